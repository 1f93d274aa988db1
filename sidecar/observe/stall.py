"""Event-loop stalls: how long the loop was blocked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PROBE_SECONDS: Final = 0.05
WINDOW_SECONDS: Final = 60.0


class StallProbe:
    """Sleeps 50 ms again and again, and measures how much too late it wakes up."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Measure with this clock (monotonic seconds)."""
        self._monotonic = monotonic
        self._current = 0.0
        self._previous = 0.0

    def longest(self) -> float:
        """Seconds of the longest stall in this minute and the one before."""
        return max(self._current, self._previous)

    async def run(self) -> None:
        """Measure until cancelled."""
        window_ends = self._monotonic() + WINDOW_SECONDS
        while True:
            started = self._monotonic()
            await asyncio.sleep(PROBE_SECONDS)
            now = self._monotonic()
            self._current = max(self._current, now - started - PROBE_SECONDS)
            if now >= window_ends:
                self._previous, self._current = self._current, 0.0
                window_ends = now + WINDOW_SECONDS
