"""A clock moved by hand."""

from __future__ import annotations

from tests.support.strategies import NOW


class HandClock:
    """A `sidecar.runtime.clock.Clock` moved by hand.

    Attributes:
        now: wall time, in seconds since the epoch.
        elapsed: monotonic time, in seconds.
        tick: seconds that monotonic time advances each time it is read. More than zero, and code that yields to the
            event loop after some time yields at every opportunity.
    """

    def __init__(self, now: float = NOW, elapsed: float = 1_000.0, *, tick: float = 0.0) -> None:
        self.now = now
        self.elapsed = elapsed
        self.tick = tick

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.elapsed += self.tick
        return self.elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass on both scales; monotonic time never goes back."""
        self.now += seconds
        self.elapsed += max(0.0, seconds)
