"""Each example under `examples/`, run as its README says, against a real daemon."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.clients.arrivals import Series, delivered, environment, of, same, series_of
from tests.support.daemon import Daemon

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
RUN_SECONDS: Final = 90  # the first `go run` on a machine compiles net/http

TOOLS: Final = {
    "first.sh": ("bash", "curl"),
    "first.py": ("python3",),
    "first.mjs": ("node",),
    "first.go": ("go",),
    "First.java": ("java",),
    "first.c": ("cc",),
}
SILENT: Final = ("first.c",)  # sends datagrams only, so nothing answers

EXPECTED: Final[Series] = {
    of("OrdersPlaced", Service="checkout", Region="eu"): same(1.0, "Count"),
    of("OrderLatency", Service="checkout"): same(245.5, "Milliseconds"),
    of("OrderSize", Service="checkout"): same(18432.0, "Bytes"),
}
LOG_EVENT: Final = {"message": "order placed", "service": "checkout", "order_id": "A-1001"}
LOG_STREAM: Final = {"group": "/examples", "stream": "first", "events": 1}


def command_of(example: str) -> str:
    """The command that the README gives for an example."""
    commands = re.findall(r"^\|[^|]*\| `([^`]+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    return str(next(command for command in commands if example in command))


@pytest.mark.parametrize("example", TOOLS)
def test_example_delivers_exactly_its_four_events(daemon: Callable[..., Daemon], tmp_path: Path, example: str) -> None:
    """A counter, a timer, a JSON metric and a log event arrive with unit, dimensions and value, and none besides."""
    for tool in TOOLS[example]:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    running = daemon({"logs": {"group": "/examples", "stream": "first", "flush_seconds": 0.2}})
    folder = shutil.copytree(EXAMPLES, tmp_path / "examples")

    ran = subprocess.run(
        ["bash", "-c", command_of(example)],
        cwd=folder,
        env=environment(
            STATSD_ADDR=f"localhost:{running.statsd_port}",
            INGEST_URL=f"http://localhost:{running.http_port}",
            GOFLAGS="-mod=mod",
        ),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert answers == [] if example in SILENT else [{"accepted": 1, "rejected": []}] * 2
    local = delivered(running, samples=3, log_events=1)
    assert series_of(local) == EXPECTED
    assert local["streams"] == [LOG_STREAM]
    running.wait_until(lambda: "order placed" in running.console(), "shown")
    (shown,) = [line for line in running.console().splitlines() if "order placed" in line]
    assert json.loads(shown[shown.index("{") :]) == LOG_EVENT


def test_readme_has_a_command_for_every_example() -> None:
    """No example is without a command, and none without a test."""
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file() and file.suffix != ".md"}

    assert files == set(TOOLS)
    assert all(command_of(example) for example in TOOLS)
