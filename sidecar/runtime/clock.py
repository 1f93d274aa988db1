"""Time, injected: wall time stamps what is sent, monotonic time measures how long things take."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the daemon asks of time. The two scales never meet in one subtraction."""

    def wall(self) -> float:
        """Seconds since the epoch; may step either way."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never steps back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
