"""Long work on the event loop, in slices short enough that no socket's receive buffer overflows meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# A default receive buffer is full after 3 ms at 100,000 datagrams a second.
SLICE_SECONDS: Final = 0.0005


class Turns:
    """Measures slices of work. `due` is cheap and called often; where it is True, await `give`."""

    __slots__ = ("_began", "_monotonic", "busy")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin the first slice now; `monotonic` is the clock."""
        self._monotonic = monotonic
        self._began = monotonic()
        self.busy = 0.0  # seconds of the slices that are over

    def due(self) -> bool:
        """True if the slice is over."""
        return self._monotonic() - self._began >= SLICE_SECONDS

    def half(self) -> bool:
        """True if half of the slice is over: to be asked where the next piece of work may itself take half a slice."""
        return self._monotonic() - self._began >= SLICE_SECONDS / 2

    async def give(self) -> None:
        """Yield to the event loop, then begin another slice."""
        self.end()
        try:
            await asyncio.sleep(0)
        finally:
            self._began = self._monotonic()

    def end(self) -> None:
        """Add the slice to `busy`, without yielding."""
        self.busy += self._monotonic() - self._began
