"""What was refused is let go of: the error that says why must not keep the body alive."""

from __future__ import annotations

import gc
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson
import pytest

from sidecar.model.errors import DecodeError
from tests.support.daemon import Daemon
from tests.support.pipeline import Rig

MEGABYTE: Final = 1_048_576
FILLER: Final = "x" * (4 * MEGABYTE)
METRICS: Final = {
    "broken": b'{"name": "' + FILLER.encode(),
    "not UTF-8": b'{"name": "\xff' + FILLER.encode() + b'"}',
    "no value": orjson.dumps({"name": "a", "filler": FILLER}),
    "number out of range": orjson.dumps({"name": "a", "value": 1e300, "filler": FILLER}),
    "wrong number among values": orjson.dumps({"name": "a", "values": [1, 1e300], "filler": FILLER}),
    "bad time": orjson.dumps({"name": "a", "value": 1, "timestamp": 1, "filler": FILLER}),
    "bad name": orjson.dumps({"name": "", "value": 1, "filler": FILLER}),
    "among others": orjson.dumps([{"name": "a", "value": 1}, {"name": "a", "filler": FILLER}]),
    "lines": b'{"name": "a"}\n{"name": "b"' + FILLER.encode() + b"\n{broken}\n",
}
LOGS: Final = {
    "broken": b'{"message": "' + FILLER.encode(),
    "not UTF-8": b'{"message": "\xff' + FILLER.encode() + b'"}',
    "a number": b"[7, " + orjson.dumps({"timestamp": 1, "message": FILLER}) + b"]",
    "bad route": orjson.dumps({"message": FILLER, "log_group": 7}),
    "too old": orjson.dumps({"message": FILLER, "timestamp": 1}),
}
CASES: Final = [("metrics", name, body) for name, body in METRICS.items()] + [
    ("logs", name, body) for name, body in LOGS.items()
]


@pytest.mark.parametrize(("signal", "name", "body"), CASES, ids=[f"{signal}-{name}" for signal, name, _ in CASES])
async def test_a_refusal_leaves_no_error_and_no_frame_in_a_cycle(signal: str, name: str, body: bytes) -> None:
    """Full garbage collections hardly ever come: what only they would free is as good as never freed."""
    rig = Rig()
    ingest = rig.pipeline.ingest_metrics if signal == "metrics" else rig.pipeline.ingest_logs
    await ingest(body, "application/json")
    gc.collect()
    gc.disable()
    try:
        outcome = await ingest(body, "application/json")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
    finally:
        gc.enable()
        gc.set_debug(0)
        garbage, gc.garbage[:] = list(gc.garbage), []

    assert outcome.rejected
    assert not [one for one in garbage if isinstance(one, DecodeError) or type(one).__name__ == "frame"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/ingest/logs", LOGS["broken"], {}, 400),
        ("/ingest/logs", LOGS["bad route"], {}, 400),
        ("/ingest/metrics", METRICS["broken"], {}, 400),
        ("/ingest/metrics", METRICS["number out of range"], {}, 400),
        ("/ingest/metrics", FILLER.encode(), {}, 415),
        ("/ingest/metrics", b"{}\n" * 100_002, {}, 413),
        ("/ingest/metrics", b"[" + b"{}," * 100_001 + b"{}]", {}, 413),
        ("/ingest/logs", FILLER.encode(), {"Content-Encoding": "gzip"}, 400),
        ("/ingest/logs", gzip.compress(2 * FILLER.encode()), {"Content-Encoding": "gzip"}, 413),
    ],
    ids=[
        *("broken-log", "refused-log", "broken-metric", "refused-metric", "no-json", "too-many-lines"),
        *("too-many-elements", "no-gzip", "too-large-inflated"),
    ],
)
def test_fifty_refused_documents_take_the_memory_of_one(
    daemon: Callable[..., Daemon], path: str, body: bytes, headers: dict[str, str], expected: int
) -> None:
    one = daemon()

    def refuse(times: int) -> None:
        for _ in range(times):
            status, answer, _ = one.post(path, body, headers)
            assert status == expected, answer

    refuse(5)
    before = resident_bytes(one)
    refuse(50)
    after = resident_bytes(one)

    print(f"{before / MEGABYTE:.0f} MB, after 50 more {after / MEGABYTE:.0f} MB")
    assert after - before < 24 * MEGABYTE


def resident_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes) * 1_024
