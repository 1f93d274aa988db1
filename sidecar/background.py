"""Threads for work beside the event loop: one at a time, and after the loop in the queue for a core."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

T = TypeVar("T")

# Where a container has one core, a thread that compresses for milliseconds must not keep the loop from it.
NICE: Final = 10


class Background:
    """One thread. What is run there should let go of the interpreter: compression, hashing, files, SQLite."""

    def __init__(self, name: str) -> None:
        """Describe the thread; it is started with the first work."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_step_back)

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for work that is done there; raises what the work raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Take no more work; what is running is not waited for."""
        self._thread.shutdown(wait=False)


def _step_back() -> None:
    """Lower this thread's own priority: on Linux each thread has one."""
    if sys.platform == "linux":
        # A hardened container may forbid it. The work goes on as before then: an error here would end the thread.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
