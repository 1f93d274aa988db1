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

# Where a container has one core, a thread that compresses for milliseconds must not keep the loop from it.
NICE: Final = 10


class Background:
    """One thread. What is run there should let go of the interpreter: compression, hashing, files, SQLite.

    A daemon thread, and no ThreadPoolExecutor: the interpreter joins an executor's threads before it exits, so that
    one call into a disk that does not answer would keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        """Describe the thread; it is started with the first job."""
        self._name = name
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for work that is done there; raises what the work raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        done: Future[T] = Future()
        self._jobs.put((done, work))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Let the thread end after the jobs it was given; nothing waits for it."""
        self._jobs.put(None)


def _work(jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    _step_back()
    while (job := jobs.get()) is not None:
        _run(*job)
        del job  # what a job refers to must not live until the next one


def _run(done: Future[Any], work: Callable[[], Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # whoever awaits it handles it
        done.set_exception(error)
    else:
        done.set_result(result)


def _step_back() -> None:
    """Lower this thread's own priority: on Linux each thread has one."""
    if sys.platform == "linux":
        # A hardened container may forbid it. The work goes on as before then: an error here would end the thread.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
