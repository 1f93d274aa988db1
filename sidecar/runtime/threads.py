"""Threads for blocking work beside the event loop: one job at a time, at a lower priority than the loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Where a container has one core, a thread that compresses for milliseconds must not delay the event loop.
NICE: Final = 10


class Background:
    """One thread, for work that releases the interpreter lock: compression, hashing, files, SQLite.

    A daemon thread and no ThreadPoolExecutor: the interpreter joins an executor's threads before it exits, so that
    one call to a disk that does not answer would prevent the process from ending.
    """

    def __init__(self, name: str) -> None:
        """Name the thread; it starts with the first job."""
        self._name = name
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return its result; raises what `work` raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        done: Future[T] = Future()
        self._jobs.put((done, work))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End the thread after its queued jobs, without waiting."""
        self._jobs.put(None)


def _work(jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    _lower_priority()
    while (job := jobs.get()) is not None:
        _run(*job)
        del job  # otherwise its objects would live until the next job


def _run(done: Future[Any], work: Callable[[], Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # passed on to the awaiting task
        done.set_exception(error)
    else:
        done.set_result(result)


def _lower_priority() -> None:
    """Lower the priority of this thread; on Linux each thread has its own."""
    if sys.platform == "linux":
        # A hardened container may forbid it; the thread then runs at normal priority.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
