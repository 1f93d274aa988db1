"""Time that passes only while everything waits: minutes of waiting run in the time the work takes."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = 1_790_000_000.0  # wall seconds at the start


class _Selector(selectors.SelectSelector):
    """Advances the clock in place of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing is scheduled: it would wait for ever"
        self.elapsed += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop and a `sidecar.runtime.clock.Clock`: one time for both, which starts at 0.

    Attributes:
        offset: seconds by which the wall clock was set since.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.elapsed

    def monotonic(self) -> float:
        return self._waits.elapsed

    def wall(self) -> float:
        return EPOCH + self.offset + self._waits.elapsed


def simulate(loop: SimulatedLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)
