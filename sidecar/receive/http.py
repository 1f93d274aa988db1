"""Events over HTTP: bodies of bounded size and bounded patience, and what the sender is told.

202 with what was accepted and what was not and why; 400 nothing was acceptable; 408 the body did not come in
time; 413 too large, after inflating; 415 a kind of body we do not read; 429 no room, with Retry-After; 503 the
daemon is draining.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import web

from sidecar.errors import BusyError, DrainingError, TooManyItemsError, UnsupportedError
from sidecar.model import Outcome
from sidecar.observe.health import ListenerHealth
from sidecar.receive.inflate import ENCODINGS, InflateError, TooLargeError, inflate
from sidecar.sockets import open_sockets, shown

Ingest: TypeAlias = Callable[[bytes, str], Awaitable[Outcome]]
"""Takes a body and its content type; raises BusyError, DrainingError or UnsupportedError."""

BODY_SECONDS: Final = 30.0  # a body that has not come by then is given up
KEEPALIVE_SECONDS: Final = 60.0  # a connection without a whole request for so long is closed
BODIES_IN_WORK: Final = 8  # of the largest size, or as many small ones as take the same memory


class HttpReceiver:
    """The ingest server."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_body_bytes: int,
        routes: Mapping[str, Ingest],
        answers: Counter[tuple[str, int]],
        health: ListenerHealth,
    ) -> None:
        """Describe the server; nothing is open yet.

        Args:
            host: where to listen.
            port: where to listen.
            max_body_bytes: of one body, after inflating.
            routes: path to what takes its bodies.
            answers: where answers are counted, by path and status.
            health: where the addresses are shown.
        """
        self._host = host
        self._port = port
        self._max_body_bytes = max_body_bytes
        self._answers = answers
        self._health = health
        self._routes = routes
        self._reserved_bytes = 0
        self._runner: web.ServerRunner | None = None

    async def open(self) -> None:
        """Bind and start to serve.

        Raises:
            OSError: an address is taken or not ours.
        """
        opened = open_sockets(self._host, self._port, socket.SOCK_STREAM)
        if self._runner is None:
            # aiohttp's low-level server: an Application's router and middlewares cost a quarter of a small request.
            server = web.Server(
                self._handle,
                request_factory=self._request,
                access_log=None,
                keepalive_timeout=KEEPALIVE_SECONDS,
                auto_decompress=False,  # aiohttp would inflate past the limit, and answer 400 where 415 is meant
            )
            self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
            await self._runner.setup()
        for made in opened:
            await web.SockSite(self._runner, made).start()
        self._health.addresses = [shown(*made.getsockname()[:2]) for made in opened]

    async def close(self) -> None:
        """Stop serving; connections that are open are closed."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._health.bound = False

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop, most = asyncio.get_running_loop(), self._max_body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        ingest = self._routes.get(path)
        if ingest is None:
            paths = " and ".join(self._routes)
            return _response(404, {"error": f"there is no {path[:100]!r}: events go to {paths}"}, None)
        if request.method != "POST":
            return _response(405, {"error": f"{path} takes POST"}, {"Allow": "POST"})
        status, answer, headers = await self._answer(request, ingest)
        self._answers[path, status] += 1
        return _response(status, answer, headers)

    async def _answer(
        self, request: web.BaseRequest, ingest: Ingest
    ) -> tuple[int, dict[str, Any], dict[str, str] | None]:
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            return 415, {"error": f"Content-Encoding {encoding!r} is not gzip or deflate"}, None
        reserved = 0
        try:
            reserved = self._reserve(request, encoding)
            body = await self._body(request)
            if encoding in ("gzip", "deflate"):
                # In a thread, which zlib lets go of the interpreter for: 5 MB take some 20 ms.
                body = await asyncio.to_thread(inflate, body, encoding, self._max_body_bytes)
            outcome = await ingest(body, request.content_type)
        except TooManyItemsError as error:
            return 413, {"error": str(error)}, None
        except (web.HTTPRequestEntityTooLarge, TooLargeError):
            limit = self._max_body_bytes
            return 413, {"error": f"the body is larger than {limit} bytes (listen.max_body_bytes)"}, None
        except TimeoutError:
            return 408, {"error": f"the body did not come within {BODY_SECONDS:g} s"}, {"Connection": "close"}
        except (InflateError, web.RequestPayloadError, ConnectionError) as error:
            return 400, {"error": f"the body cannot be read: {error}"}, {"Connection": "close"}
        except UnsupportedError as error:
            return 415, {"error": str(error)}, None
        except BusyError as error:
            return 429, {"error": str(error)}, {"Retry-After": str(error.retry_after)}
        except DrainingError:
            return 503, {"error": "the sidecar is draining"}, {"Connection": "close"}
        finally:
            self._reserved_bytes -= reserved
        return await _told(outcome)

    def _reserve(self, request: web.BaseRequest, encoding: str) -> int:
        """Set memory aside that a body may take while it is read and taken; returns how much, to be given back.

        Raises:
            HTTPRequestEntityTooLarge: the sender says so itself.
            BusyError: all bodies in work together would take too much.
        """
        length = request.content_length
        if (length or 0) > self._max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(self._max_body_bytes, length or 0)
        size = length if length is not None and encoding in ("", "identity") else self._max_body_bytes
        if self._reserved_bytes + size > BODIES_IN_WORK * self._max_body_bytes:
            raise BusyError(1)
        self._reserved_bytes += size
        return size

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.content.is_eof():
            return await request.read()  # it is there: a timer would cost as much as the reading
        async with asyncio.timeout(BODY_SECONDS):
            if request.headers.get("Expect", "").lower() == "100-continue":
                await _continue(request)
            return await request.read()


async def _continue(request: web.BaseRequest) -> None:
    """Tell a sender that waits for it to send the body (RFC 9110, 10.1.1); curl does for large ones."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0


def _response(status: int, answer: dict[str, Any], headers: dict[str, str] | None) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, headers=headers, content_type="application/json")


async def _told(outcome: Outcome) -> tuple[int, dict[str, Any], None]:
    """Status and answer for a body that was read; waits until what was accepted is on disk, where that is asked."""
    answer: dict[str, Any] = {
        "accepted": outcome.accepted,
        "rejected": [{"index": index, "error": error} for index, error in outcome.rejected],
    }
    if outcome.durable is not None and not await outcome.durable and outcome.accepted:
        answer["durable"] = False
    if outcome.rejected_total > len(outcome.rejected):
        answer["rejected_total"] = outcome.rejected_total
    if not outcome.accepted and not outcome.rejected:
        answer["error"] = "the body holds no event"
    return 202 if outcome.accepted else 400, answer, None
