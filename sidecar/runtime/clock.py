"""Time, injected: wall time stamps what is sent, monotonic time measures how long things take."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time. A difference is always of two times of the same scale."""

    def wall(self) -> float:
        """Seconds since the epoch; may step either way."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
