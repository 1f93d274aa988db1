"""An event loop and a thread that advance only when a test tells them to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.runtime.threads import Background
from sidecar.spool.store import SpoolStore
from tests.support.clock import HandClock

T = TypeVar("T")


class HandLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the clock's; it comes round once each time it is told to."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        super().__init__()

    def time(self) -> float:
        return self.clock.elapsed

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()

    @property
    def idle(self) -> bool:
        return not self._ready  # type: ignore[attr-defined]

    @property
    def next_timer(self) -> float | None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else None


class HandThread(Background):
    """The spool's thread: a job at a time, when it is told to."""

    def __init__(self) -> None:
        super().__init__("spool")
        self.jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self.dead = False
        self.store: SpoolStore | None = None  # the one that is open

    async def run(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self.dead:
            self.jobs.append((done, work))
        return await done

    def work(self) -> None:
        if not self.jobs:
            return
        done, job = self.jobs.popleft()
        if done.cancelled():
            return
        closes = self.store is not None and job == self.store.close
        try:
            result = job()
        except Exception as error:  # noqa: BLE001  # as a thread hands it over
            done.set_exception(error)
            return
        if closes:
            self.store = None
        if isinstance(result, tuple) and isinstance(result[0], SpoolStore):
            self.store = result[0]
        done.set_result(result)
