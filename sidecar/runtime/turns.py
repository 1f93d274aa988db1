"""Long work on the event loop, in slices short enough for a socket's buffer to last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# A default receive buffer lasts under 3 ms at 100,000 datagrams a second.
SLICE_SECONDS: Final = 0.0005


class Turns:
    """Tells work when to let others run; asked often, so `due` is to be asked before `give`."""

    __slots__ = ("_began", "_monotonic", "busy")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin the first slice now; `monotonic` is the clock."""
        self._monotonic = monotonic
        self._began = monotonic()
        self.busy = 0.0  # seconds of the slices that are over

    def due(self) -> bool:
        """Whether the slice has lasted long enough."""
        return self._monotonic() - self._began >= SLICE_SECONDS

    async def give(self) -> None:
        """Let the others run, then begin another slice."""
        self.end()
        try:
            await asyncio.sleep(0)
        finally:
            self._began = self._monotonic()

    def end(self) -> None:
        """Count the slice; nothing is waited for."""
        self.busy += self._monotonic() - self._began
