"""The double in a thread and a loop of its own, for blocking tests and clients in subprocesses."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Final, Self, TypeVar

from .errors import DoubleTimeoutError
from .server import CloudWatchDouble
from .service import CloudWatchService, Settings
from .surface import Surface

_T = TypeVar("_T")
_CALL_SECONDS: Final = 40.0  # for starting, stopping, pausing: far more than any needs


class ThreadedCloudWatchDouble(Surface):
    """The double in a thread: `with ThreadedCloudWatchDouble() as double: ...`.

    Arguments and methods are those of `CloudWatchDouble`; the methods block.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        port: int = 0,
        keepalive_seconds: float = 75.0,
        remember_requests: int = 10_000,
    ) -> None:
        super().__init__(CloudWatchService(settings or Settings(), remember_requests))
        self._double = CloudWatchDouble(port=port, keepalive_seconds=keepalive_seconds, service=self._service)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; 0 before the first start."""
        return self._double.port

    @property
    def open_connections(self) -> int:
        """How many connections are open."""

        async def count() -> int:
            return self._double.open_connections

        return self._run(count())

    def start(self) -> None:
        """Listen; once it returns, `url` is reachable."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloudwatch-double", daemon=True)
        self._thread.start()
        try:
            self._run(self._double.start())
        except BaseException:
            self._end_thread()
            raise

    def stop(self) -> None:
        """Clear the faults, close everything, free the port and end the thread."""
        if self._loop is not None:
            try:
                self._run(self._double.stop())
            finally:
                self._end_thread()

    def pause(self, *, drop_connections: bool = True) -> None:
        """Refuse new connections (ECONNREFUSED) until `resume`; the port stays ours."""
        self._run(self._double.pause(drop_connections=drop_connections))

    def resume(self) -> None:
        """Accept connections again, on the same port."""
        self._run(self._double.resume())

    def drop_connections(self, *, reset: bool = True) -> None:
        """End every open connection now, busy or idle: reset, or closed in order."""

        async def drop() -> None:
            self._double.drop_connections(reset=reset)

        self._run(drop())

    def until(self, condition: Callable[[], bool], seconds: float = 40.0) -> None:
        """Block until `condition` holds; it is looked at whenever a request begins, stores or ends.

        Raises:
            DoubleTimeoutError: it did not within `seconds`.
        """
        deadline, changed = time.monotonic() + seconds, threading.Event()
        unwatch = self.requests.watch(changed.set)
        try:
            while not condition():
                if not changed.wait(deadline - time.monotonic()):
                    raise DoubleTimeoutError(f"not within {seconds} s")
                changed.clear()
        finally:
            unwatch()

    def _run(self, work: Coroutine[object, object, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the double is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def _end_thread(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
