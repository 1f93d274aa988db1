"""What names, tags and refused lines may take in memory, however long they are: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

MAX_SERIES: Final = 1_250  # of which 28 kB of tags each, if they stayed, would be twice what is allowed
# For each of metrics.max_series: names (1.5 kB and a quarter for folded ones), lines (1 kB), levels of gauges (1.5 kB),
# and once more the names while a flush holds the datums of a window.
BYTES_PER_SERIES: Final = 6_000
FIXED_BYTES: Final = 10_000_000  # tables that do not depend on max_series, and what the allocator keeps

SCRIPT: Final = """
import asyncio, gc, os, sys
from pathlib import Path
import structlog
structlog.configure(logger_factory=structlog.WriteLoggerFactory(open(os.devnull, "w")))
from sidecar.app import App
from sidecar.runtime.process import tune_process
from sidecar.config.schema import Config

def resident(field):
    return next(int(line.split()[1]) * 1_024 for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith(field))

tune_process()
metrics = {"max_series": int(sys.argv[1]), "rules": [{"match": "a.*", "unit": "Count"}]}
app = App(Config.model_validate({"deliver": {"target": "local"}, "metrics": metrics}))
pipeline = app._pipeline
take = pipeline.lines("statsd", "json_udp").ingest
gc.collect()
before = resident("VmRSS")
wide = ",".join(f"tag{k:02}:" + "v" * 1_000 + "-{n}" for k in range(28))
short = ",".join(f"t{k:02}:{{n}}-{k}" for k in range(28))
form = {
    "names with 28 long tags": "name{n}:1|c|#" + wide,
    "one name with 28 long tags": "name:1|c|#" + wide,
    "gauges with 28 long tags": "name{n}:1|g|#" + wide,
    "sets with 28 long tags": "name{n}:1|s|#" + wide,
    "names with 28 short tags": "name{n}:1|c|#" + short,
    "refused names of 60 kB": "{n}" + "x" * 60_000 + ":1|g",
    "lines of 1 kB of one series": "name:1|c|#a:b,c:" + "d" * 900 + "{n},c:d",
}[sys.argv[2]]
for n in range(2 * int(sys.argv[1])):
    burst = [form.format(n=n).encode()]
    while take(burst):
        burst = []
asyncio.run(pipeline.flush_metrics("drain", unfinished=True))
gc.collect()
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "what",
    [
        "names with 28 long tags",
        "one name with 28 long tags",
        "gauges with 28 long tags",
        "sets with 28 long tags",
        "names with 28 short tags",
        "refused names of 60 kB",
        "lines of 1 kB of one series",
    ],
)
@pytest.mark.timeout(240)
def test_memory_is_bounded_however_long_names_are(what: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(MAX_SERIES), what]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    grown = int(measured.stdout)
    print(f"{what}: {grown / 1e6:.1f} MB at the most, {grown / MAX_SERIES:,.0f} bytes for each of max_series")
    assert grown < FIXED_BYTES + BYTES_PER_SERIES * MAX_SERIES
