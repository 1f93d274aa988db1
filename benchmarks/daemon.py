"""The daemon under load: a real process on a core of its own, on the local target, watched through /stats."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.machine import RECEIVER_CORE, cpu_seconds, pinned, resident_bytes, waited_seconds
from tests.harness import Daemon

SETTLE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 20.0


class MeasuredDaemon:
    """A daemon that is pinned, and says what it costs."""

    def __init__(self, folder: Path, config: dict[str, Any], environ: dict[str, str] | None = None) -> None:
        """Start one and wait until it is ready; its console and log go to files in `folder`."""
        self._daemon = Daemon(folder, config, environ=environ)
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

    def stats(self) -> dict[str, Any]:
        """The JSON of /stats."""
        return self._daemon.stats()

    def cpu_seconds(self) -> float:
        """CPU seconds used so far, all threads."""
        return cpu_seconds(self.pid)

    def waited_seconds(self) -> float:
        """Seconds the event loop waited for its core so far, for others or for threads of its own."""
        return waited_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Memory in RAM now."""
        return resident_bytes(self.pid)

    def settled(self, datagrams: int | None = None) -> dict[str, Any]:
        """Wait until nothing is pending; returns /stats.

        Args:
            datagrams: read and dropped by the kernel together, that must have arrived; None: whatever has.

        Raises:
            TimeoutError: something stayed pending.
        """
        ends = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < ends:
            now = self._metrics()
            came = now["sidecar_datagrams_read_total"] + now.get("sidecar_datagrams_kernel_dropped_total", 0.0)
            pending = now["sidecar_samples_pending"] + now["sidecar_log_events_pending"]
            if pending == 0.0 and (datagrams is None or came >= datagrams):
                return self.stats()
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"still pending after {SETTLE_SECONDS:g} s: {now}")

    def _metrics(self) -> dict[str, float]:
        """What /metrics says without labels: cheaper to ask for than /stats, which reads the whole local store."""
        lines = self._daemon.get("/metrics")[1].decode().splitlines()
        pairs = [line.split() for line in lines if not line.startswith("#") and "{" not in line]
        return {pair[0]: float(pair[1]) for pair in pairs if len(pair) >= 2}

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


def arrived(stats: dict[str, Any]) -> int:
    """Datagrams that came, whether read or dropped by the kernel."""
    read: int = stats["datagrams"]["read"]
    dropped: int = stats["datagrams"]["kernel_dropped"] or 0
    return read + dropped


def stored(stats: dict[str, Any]) -> float:
    """Measurements in the local store, over all series."""
    return float(sum(row["sample_count"] for row in stats["local"]["series"]))
