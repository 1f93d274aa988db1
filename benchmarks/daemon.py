"""The daemon under load: a real process on a core of its own, watched through /stats and by what it delivers."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.machine import RECEIVER_CORE, ROOT, cpu_seconds, pinned, resident_bytes, waited_seconds
from tests.support.daemon import Daemon

SETTLE_SECONDS: Final = 30.0
NEVER_SECONDS: Final = 86_400.0  # for timers that are not to come while something is measured
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 20.0


class MeasuredDaemon:
    """A daemon that is pinned, and says what it costs."""

    def __init__(self, folder: Path, config: dict[str, Any], environ: dict[str, str] | None = None) -> None:
        """Start one and wait until it is ready; its console and log go to files in `folder`."""
        self._daemon = self._describe(folder, config, environ)
        started = time.monotonic()
        try:
            with pinned(RECEIVER_CORE):
                self._daemon.start()
        except BaseException:
            self._daemon.kill()  # one that never became ready
            raise
        self.ready_seconds = time.monotonic() - started
        assert self._daemon.process is not None
        self.pid = self._daemon.process.pid
        self.statsd_port, self.http_port = self._daemon.statsd_port, self._daemon.http_port
        self.admin_port = self._daemon.admin_port
        self.emf_port = self._daemon.emf_port

    def _describe(self, folder: Path, config: dict[str, Any], environ: dict[str, str] | None) -> Daemon:
        return Daemon(folder, config, environ=environ)

    def stats(self) -> dict[str, Any]:
        """The JSON of /stats."""
        return self._daemon.stats()

    def post(self, path: str, body: bytes) -> int:
        """POST a body to the ingest port; returns the status."""
        return self._daemon.post(path, body)[0]

    def cpu_seconds(self) -> float:
        """CPU seconds used so far, all threads."""
        return cpu_seconds(self.pid)

    def waited_seconds(self) -> float:
        """Seconds the event loop waited for its core so far, for others or for threads of its own."""
        return waited_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Memory in RAM now."""
        return resident_bytes(self.pid)

    def read(self, datagrams: int) -> dict[str, Any]:
        """Wait until so many datagrams were read or dropped by the kernel; returns /stats.

        Raises:
            TimeoutError: they did not come.
        """
        ends = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < ends:
            now = self.stats()
            if arrived(now) >= datagrams:
                return now
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"of {datagrams} datagrams {arrived(now)} came in {SETTLE_SECONDS:g} s")

    def settled(self, datagrams: int | None = None) -> dict[str, Any]:
        """Wait until nothing is pending; returns /stats.

        Args:
            datagrams: read and dropped by the kernel together, that must have arrived; None: whatever has.

        Raises:
            TimeoutError: something stayed pending.
        """
        ends = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < ends:
            now = self.stats()
            pending = now["samples"]["pending"] + now["log_events"]["pending"]
            if pending == 0 and (datagrams is None or arrived(now) >= datagrams):
                return now
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"still pending after {SETTLE_SECONDS:g} s: {now}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemon.signal()
        try:
            self._daemon.exit_status(_END_SECONDS)
        finally:
            self._daemon.kill()


class CommandedDaemon(MeasuredDaemon):
    """A daemon that flushes when told to, and has the reader of delays on its loop: `benchmarks.probed`."""

    _daemon: _Commanded

    def _describe(self, folder: Path, config: dict[str, Any], environ: dict[str, str] | None) -> _Commanded:
        timers = {"metrics": {"flush_seconds": NEVER_SECONDS}, "logs": {"flush_seconds": NEVER_SECONDS}}
        config = config | {name: section | config.get(name, {}) for name, section in timers.items()}
        return _Commanded(folder, config, environ=environ)

    @property
    def probe_port(self) -> int:
        """Where datagrams of `benchmarks.delays` are read."""
        return self._daemon.probe_port

    def flush(self) -> dict[str, Any]:
        """Flush metrics and logs, and wait until all of it is delivered; returns what `probed` tells of that time."""
        return self._daemon.ask("flush")

    def delays_ns(self) -> list[int]:
        """The waits since the last call, or the last flush."""
        delays: list[int] = self._daemon.ask("delays")["delays_ns"]
        return delays


class _Commanded(Daemon):
    """The daemon as `benchmarks.probed` runs it."""

    probe_port = 0
    _commanded: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log_path.open("ab") as log:
            self.process = self._commanded = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.probed", str(self.config_path)],
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.probe_port = int(self._line())
        self.wait_until(lambda: self.ready()[0] == 200, "ready")

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command; returns the answer."""
        assert self._commanded is not None
        assert self._commanded.stdin is not None
        self._commanded.stdin.write(f"{command}\n".encode())
        self._commanded.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> bytes:
        assert self._commanded is not None
        assert self._commanded.stdout is not None
        if not select.select([self._commanded.stdout], [], [], SETTLE_SECONDS)[0]:
            raise TimeoutError(f"no answer within {SETTLE_SECONDS:g} s: {self.log()[-2_000:]}")
        return self._commanded.stdout.readline()

    def kill(self) -> None:
        """End the process whatever it does, and let go of its pipes."""
        super().kill()
        if self._commanded is not None:
            for pipe in (self._commanded.stdin, self._commanded.stdout):
                if pipe is not None:
                    pipe.close()


def arrived(stats: dict[str, Any]) -> int:
    """Datagrams that came, whether read or dropped by the kernel."""
    read: int = stats["datagrams"]["read"]
    dropped: int = stats["datagrams"]["kernel_dropped"] or 0
    return read + dropped


def gained(before: dict[str, Any], after: dict[str, Any], part: str, name: str) -> int:
    """By how much a figure of /stats has grown."""
    return int((after[part][name] or 0) - (before[part][name] or 0))
