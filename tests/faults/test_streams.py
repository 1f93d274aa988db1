"""Standard output and standard error may be unread, gone, full or closed: the daemon works, stops in time, exits 0."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon import Daemon

DRAIN_SECONDS: Final = 3.0
LATE_SECONDS: Final = 3.0  # bounds a hang; a stop without a deadline would last for ever

KINDS: Final = ("fine", "unread", "gone", "full", "closed")


class Redirected(Daemon):
    """A daemon whose standard streams are what a test makes of them."""

    def __init__(self, folder: Path, stdout: str, stderr: str, config: dict[str, Any] | None = None) -> None:
        super().__init__(folder, {"deliver": {"target": "local", "drain_seconds": DRAIN_SECONDS}} | (config or {}))
        self._environ.pop("PYTHONUNBUFFERED", None)  # it hides what buffers do at the end of a process
        self._stack = ExitStack()
        self._kinds = (stdout, stderr)

    def start(self) -> None:
        """Start the process with its streams, and wait until it is ready."""
        first, second = (self._stream(kind, number) for number, kind in enumerate(self._kinds, 1))
        closed = "".join([f" {number}>&-" for number, kind in enumerate(self._kinds, 1) if kind == "closed"])
        command = [sys.executable, "-m", "sidecar", "run", "--config", str(self.config_path)]
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@"{closed}', "sh", *command],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=first,
            stderr=second,
        )
        self.wait_until(lambda: self.ready()[0] == 200, "ready")

    def close(self) -> None:
        """Kill what still runs and close the test's ends."""
        self.kill()
        self._stack.close()

    def _stream(self, kind: str, number: int) -> int:
        path = (self.console_path, self.log_path)[number - 1]
        path.touch()
        if kind == "full":
            return self._opened("/dev/full", os.O_WRONLY)
        if kind in ("fine", "closed"):
            return self._opened(str(path), os.O_WRONLY | os.O_APPEND)
        reading, writing = os.pipe()
        self._stack.callback(_close, writing)
        if kind == "gone":
            os.close(reading)
            return writing
        self._stack.callback(_close, reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4_096)
        os.set_blocking(writing, True)
        return writing

    def _opened(self, path: str, flags: int) -> int:
        descriptor = os.open(path, flags)
        self._stack.callback(_close, descriptor)
        return descriptor


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    running: list[Redirected] = []

    def start(stdout: str, stderr: str) -> Redirected:
        one = Redirected(tmp_path, stdout, stderr)
        running.append(one)
        one.start()
        return one

    yield start
    for one in running:
        one.close()


def work_and_stop(one: Redirected) -> float:
    """Send every kind of thing that makes it write, stop it, and return how long that took."""
    for number in range(20):
        one.udp(b"a:1|c", b"broken %d" % number)
        assert one.post("/ingest/logs", {"message": "x" * 200, "n": number})[0] == 202
    one.wait_until(lambda: one.stats()["log_events"]["delivered"] == 20, "delivered")
    one.wait_until(lambda: one.get("/health")[0] == 200, "alive")
    began = time.monotonic()
    one.signal(signal.SIGTERM)
    assert one.exit_status(DRAIN_SECONDS + LATE_SECONDS) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_becomes_of_its_output_it_works_and_stops_with_status_0(started: Any, kind: str) -> None:
    """This kind of standard output, of standard error, and of both, all daemons at the same time."""
    pairs = {(kind, "fine"), ("fine", kind), (kind, kind)}
    with ThreadPoolExecutor(len(pairs)) as threads:
        stops = {pair: threads.submit(lambda pair: work_and_stop(started(*pair)), pair) for pair in pairs}

    for (stdout, stderr), stop in stops.items():
        print(f"stdout {stdout}, stderr {stderr}: stopped after {stop.result():.2f} s")


def test_where_the_streams_are_fine_the_last_line_is_written(started: Any) -> None:
    one = started("fine", "fine")
    work_and_stop(one)

    assert one.log_lines()[-1]["event"] == "stopped"
    assert "PutLogEvents" in one.console()


@pytest.mark.parametrize("stderr", ["unread", "closed"])
def test_an_unusable_start_is_status_2_whatever_standard_error_does(tmp_path: Path, stderr: str) -> None:
    one = Redirected(tmp_path, "fine", stderr, {"deliver": {"target": "local", "local_path": str(tmp_path)}})
    one.wait_until = lambda *_: None  # type: ignore[method-assign]  # it never becomes ready
    one.start()
    try:
        assert one.exit_status() == 2
    finally:
        one.close()


def test_what_was_closed_is_never_a_socket(started: Any) -> None:
    """Where descriptor 1 is free the next socket gets it, and what is printed goes into a connection."""
    one = started("closed", "closed")
    assert one.process is not None
    for number in (1, 2):
        assert Path(f"/proc/{one.process.pid}/fd/{number}").readlink() == Path("/dev/null")
