"""The machine the figures belong to, and what it says of processes."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_MINUTE: Final = 60.0
_CORES: Final = sorted(os.sched_getaffinity(0))
RECEIVER_CORE: Final = _CORES[0]
SENDER_CORE: Final = _CORES[-1]
_CPUCLOCK_SCHED: Final = 2  # with the process id, the number of its CPU clock: clock_getcpuclockid(3)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started inside run on this core alone, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """CPU seconds a process has used so far, user and system, all threads; to the nanosecond."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def waited_seconds(pid: int) -> float:
    """Seconds the main thread of a process could have run and did not: how busy others kept its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    return 0


def wait_for_room(seconds: float) -> None:
    """Wait until the minute has so many seconds left: series belong to windows of whole minutes of the clock."""
    left = _MINUTE - time.time() % _MINUTE
    if left < seconds:
        time.sleep(left + 0.05)


def describe() -> str:
    """Cores, CPU, Python, kernel, commit and the largest receive buffer, in one line."""
    rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text())
    return (
        f"{len(_CORES)} cores, {_cpu_model()}, Python {platform.python_version()}, Linux {platform.release()},"
        f" commit {_commit()}, rmem_max {rmem_max:,}, load {os.getloadavg()[0]:.1f}"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
