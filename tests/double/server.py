"""The double as a server on the loopback, in the loop of the caller."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from aiohttp import web

from .errors import DoubleTimeoutError
from .service import CloudWatchService, Settings, cut
from .surface import HOST, Surface

_STOP_SECONDS: Final = 0.2  # for requests under way when the double stops


class CloudWatchDouble(Surface):
    """The double in the running loop: `async with CloudWatchDouble() as double: ...`.

    Args:
        settings: see `Settings`; None for AWS's limits and the machine's clock.
        port: TCP port on 127.0.0.1; 0 takes a free one and keeps it until `stop`.
        keepalive_seconds: closes connections idle for so long.  The services are said to
            close them after 6 s.
        remember_requests: how many request records to keep.
        service: what answers, in place of a new one with `settings` and `remember_requests`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        port: int = 0,
        keepalive_seconds: float = 75.0,
        remember_requests: int = 10_000,
        service: CloudWatchService | None = None,
    ) -> None:
        super().__init__(service or CloudWatchService(settings or Settings(), remember_requests))
        self._port = port
        self._keepalive_seconds = keepalive_seconds
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._reserved: socket.socket | None = None  # bound, not listening: keeps the port while paused

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; 0 before the first start."""
        return self._port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; once it returns, `url` is reachable."""
        self._server = web.Server(
            self._service.handle,
            handler_cancellation=True,  # a client that leaves a hanging request is not served
            keepalive_timeout=self._keepalive_seconds,
            auto_decompress=False,
            access_log=None,
        )
        self._reserved = _bind(self._port)
        self._port = self._reserved.getsockname()[1]
        await self.resume()

    async def stop(self) -> None:
        """Clear the faults, close everything and free the port.  What was stored stays."""
        self.faults.clear()
        await self.pause(drop_connections=False)
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(_STOP_SECONDS)
            self._server = None
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def pause(self, *, drop_connections: bool = True) -> None:
        """Refuse new connections (ECONNREFUSED) until `resume`; the port stays ours.

        Args:
            drop_connections: also reset the open ones.
        """
        if self._listener is not None:
            self._reserved = _bind(self._port)
            self._listener.close()
            self._listener = None
        if drop_connections:
            self.drop_connections()

    async def resume(self) -> None:
        """Accept connections again, on the same port."""
        if self._server is None or self._reserved is None:
            return
        loop, reserved = asyncio.get_running_loop(), self._reserved
        self._reserved = None
        self._listener = await loop.create_server(self._server, sock=reserved, backlog=512)

    def drop_connections(self, *, reset: bool = True) -> None:
        """End every open connection now, busy or idle.

        Args:
            reset: with a TCP reset; False closes them in order, as an idle timeout does.
        """
        for protocol in self._server.connections if self._server is not None else []:
            if reset:
                cut(protocol.transport)
            elif protocol.transport is not None:
                protocol.transport.close()

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return 0 if self._server is None else len(self._server.connections)

    async def until(self, condition: Callable[[], bool], seconds: float = 40.0) -> None:
        """Wait until `condition` holds; it is looked at whenever a request begins, stores or ends.

        Raises:
            DoubleTimeoutError: it did not within `seconds`.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        unwatch = self.requests.watch(lambda: _call_soon(loop, changed.set))
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            raise DoubleTimeoutError(f"not within {seconds} s") from None
        finally:
            unwatch()


def _bind(port: int) -> socket.socket:
    """Bind a TCP socket without listening; two may hold one port (SO_REUSEPORT)."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    bound.settimeout(0.0)
    return bound


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(callback)
