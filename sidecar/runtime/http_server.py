"""The HTTP server of both listeners, and the only module that uses aiohttp's internals.

aiohttp's low-level server, with what it lacks for clients that may misbehave: a limit of connections and of
header bytes, JSON answers to what is not HTTP (aiohttp logs a traceback with the client's headers), answers to
clients that close their half of the connection after the request, and a refusal of foreign web pages. The
undocumented names of aiohttp are used in `_Protocol`, `_Server` and `send_continue`;
tests/test_http_server.py fails where aiohttp changes them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from sidecar.runtime.http_hosts import HostCheck, is_loopback
from sidecar.runtime.sockets import BACKLOG, open_sockets, shown

CONNECTIONS: Final = 1_000  # of one listener; beyond, the one that is idle longest is closed
KEEPALIVE_SECONDS: Final = 60.0  # a connection without a whole request head for so long is closed
HEAD_BYTES: Final = 16_384  # of one request; an AWS session token has some 2 kB, a browser's cookies up to 4 kB

Handle = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Note(Protocol):
    """Called for each response that the server gives in place of the handler."""

    def __call__(self, route: str, status: int, problem: str, error: BaseException | None = None) -> None:
        """Count a response: its route or what stands for it, status, problem, and the exception where it is a bug."""
        ...


def json_response(status: int, answer: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    """A response with a JSON body."""
    return web.Response(body=orjson.dumps(answer), status=status, headers=headers, content_type="application/json")


async def send_continue(request: web.BaseRequest) -> None:
    """Tell a sender that waits for it to send the body (RFC 9110, 10.1.1); curl does for large ones."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # otherwise aiohttp considers the response to have begun


class HttpServer:
    """One listener: binds, serves, closes."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        handle: Handle,
        note: Note,
        routes: Collection[str],
        max_body_bytes: int,
        connections: int = CONNECTIONS,
        linger_seconds: float = 10.0,
        allowed_hosts: Collection[str] = (),
        open_paths: Collection[str] = (),
    ) -> None:
        """Describe the server; nothing is open yet.

        Args:
            host: where to listen.
            port: where to listen.
            handle: answers a request.
            note: counts and logs what is answered without `handle`.
            routes: the paths that `note` may be given; others are "other".
            max_body_bytes: of what `request.read()` takes.
            connections: the most that are open at a time.
            linger_seconds: how long the rest of a body that was refused is read, so that the sender sees why.
            allowed_hosts: besides loopback names and addresses; checked only where all addresses are loopback.
            open_paths: answered whatever the Host and Origin: probes.
        """
        self._host = host
        self._port = port
        self._handle = handle
        self._note = note
        self._routes = frozenset(routes)
        self._max_body_bytes = max_body_bytes
        self._connections = connections
        self._linger_seconds = linger_seconds
        self._hosts = HostCheck(allowed_hosts)
        self._open_paths = frozenset(open_paths)
        self._loopback = False
        self._runner: web.ServerRunner | None = None

    async def open(self) -> list[str]:
        """Bind, start to serve, and return the addresses.

        Raises:
            OSError: an address is in use, or not one of this machine.
        """
        opened = open_sockets(self._host, self._port, socket.SOCK_STREAM)
        self._loopback = all(is_loopback(sock.getsockname()[0]) for sock in opened)
        if self._runner is None:
            server = _Server(
                self._checked,
                note=self._note,
                connections=self._connections,
                max_body_bytes=self._max_body_bytes,
                lingering_time=self._linger_seconds,
            )
            self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
            await self._runner.setup()
        for sock in opened:
            await web.SockSite(self._runner, sock, backlog=BACKLOG).start()
        return [shown(*sock.getsockname()[:2]) for sock in opened]

    async def close(self) -> None:
        """Stop serving; connections that are open are closed."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _checked(self, request: web.BaseRequest) -> web.Response:
        if self._loopback and (problem := self._hosts.problem(request.headers)) is not None:
            path = request.path
            if path not in self._open_paths:
                self._note(path if path in self._routes else "other", 403, problem)
                return json_response(403, {"error": problem}, {"Connection": "close"})
        return await self._handle(request)


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_body", "_busy", "_ended", "_head_bytes", "_server")

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._busy = False  # True while a request is handled, until its response is written
        self._body: Any = None  # of the last request; after a refusal its rest is still read
        self._ended = False  # the client will send no more
        self._head_bytes = 0  # received since the last request, of a head that is not whole

    @property
    def idle(self) -> bool:
        """True if no request waits for its response."""
        return not self._busy and not self._messages

    def begin(self, body: Any) -> None:
        """Note that a request is being handled; `body` is its payload."""
        self._busy, self._body = True, body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or refuse it with a 503."""
        super().connection_made(transport)
        if not self._server.admit(self):
            self.refuse("connections", 503, "too many connections are open, all of them with a request in work")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection from the server's tables."""
        self._server.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; a request head over 16 kB is refused."""
        super().data_received(data)
        if not self.idle or (self._body is not None and not self._body.is_eof()):
            self._head_bytes = 0
        elif data and self.transport is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.refuse("malformed", 431, f"the request head is larger than {HEAD_BYTES} bytes")

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio allows both
        """Keep the connection for responses that are due, where the client has closed its half (RFC 9112, 9.6)."""
        if self.idle:
            return None  # the transport closes itself
        self._ended = True
        payloads = [payload for _, payload in self._messages]
        if self._current_request is not None:
            payloads.append(self._current_request.content)
        for payload in payloads:
            if not payload.is_eof():
                payload.set_exception(ConnectionResetError("the body ends too soon"))
        return True

    async def finish_response(self, request: Any, resp: Any, start_time: float | None) -> tuple[Any, bool]:
        """Write a response."""
        if self._ended and not self._messages:
            resp.force_close()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._busy = False
            self._server.used(self)

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.Response:
        """Answer what is not HTTP, and a bug in a handler. Nothing of the request is logged or sent back."""
        del message  # quotes the request
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun")
        if status == 400:  # what the parser refuses
            problem = f"this is not valid HTTP ({type(exc).__name__})"
            self._server.note("malformed", status, problem)
        else:
            problem = "internal error"
            self._server.note("other", status, problem, exc)
        response = json_response(status, {"error": problem})
        response.force_close()
        return response

    def refuse(self, route: str, status: int, problem: str) -> None:
        """Answer before a request is complete, and close."""
        self._server.note(route, status, problem)
        body = orjson.dumps({"error": problem})
        reason = {431: "Request Header Fields Too Large", 503: "Service Unavailable"}[status]
        if self.transport is not None:
            self.transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: 1\r\n"
                b"Connection: close\r\n\r\n%b" % (status, reason.encode(), len(body), body)
            )
        self._server.forget(self)
        self.force_close()


class _Server(web.Server):
    """Creates a `_Protocol` for each connection, and bounds their number."""

    def __init__(
        self, handle: Handle, *, note: Note, connections: int, max_body_bytes: int, lingering_time: float
    ) -> None:
        super().__init__(
            handle,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=lingering_time,
            auto_decompress=False,  # aiohttp would inflate past the limit, and answer 400 where 415 is meant
        )
        self.note = note
        self._limit = connections
        self._max_body_bytes = max_body_bytes
        # Open connections, the longest idle first. Those that never had a request are closed before all others, so
        # that connections that do nothing never displace those of an application.
        self._fresh: dict[_Protocol, None] = {}
        self._used: dict[_Protocol, None] = {}

    def __call__(self) -> _Protocol:
        """Create the protocol of a connection."""
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def admit(self, protocol: _Protocol) -> bool:
        """Admit a new connection, closing the one idle longest where there are too many; False where none is idle."""
        if len(self._fresh) + len(self._used) >= self._limit:
            for table in (self._fresh, self._used):
                for one in table:
                    if one.idle:
                        self.forget(one)
                        one.force_close()
                        self._fresh[protocol] = None
                        return True
            return False
        self._fresh[protocol] = None
        return True

    def used(self, protocol: _Protocol) -> None:
        """Note that a connection had a response."""
        if protocol.transport is not None:
            self._fresh.pop(protocol, None)
            self._used.pop(protocol, None)
            self._used[protocol] = None

    def forget(self, protocol: _Protocol) -> None:
        """Note that a connection is closed."""
        self._fresh.pop(protocol, None)
        self._used.pop(protocol, None)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        protocol.begin(payload)
        loop, most = asyncio.get_running_loop(), self._max_body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)
