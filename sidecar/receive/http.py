"""Events over HTTP: bodies of bounded size, read in bounded time, and the answer to the sender in its own dialect.

A way in has a path, or claims requests by their head. What is refused before a body is decoded, in HTTP's terms: 400
unreadable; 403 a foreign web page; 408 the body did not come in time; 413 too large, after inflating; 415 a kind of
body we do not read; 429 no room; 503 the daemon is draining. The dialect puts it in its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiohttp import web

from sidecar.model.errors import (
    BodyTooLargeError,
    BusyError,
    DrainingError,
    EmptyBodyError,
    TooManyItemsError,
    UnsupportedError,
)
from sidecar.model.exchange import Answer, Dialect, Refusal, Request
from sidecar.observe.health import ListenerHealth
from sidecar.observe.log import Limiter
from sidecar.observe.responses import ResponseLog
from sidecar.receive.bodies import BODY_SECONDS, BodyMemory, Hold, read_body, to_utf8
from sidecar.receive.inflate import InflateError
from sidecar.runtime.http_server import CONNECTIONS, HttpServer, json_response

Ingest: TypeAlias = Callable[[Request], Awaitable[Answer | Awaitable[Answer] | None]]
"""Processes a request, and returns the answer, or what waits for it; None where the request is not of its dialect.

Raises BodyTooLargeError, BusyError, DrainingError, EmptyBodyError, TooManyItemsError or UnsupportedError.
"""

BODIES_IN_WORK: Final = 8  # of the largest size, or as many small ones as take the same memory
SHOWN_CHARACTERS: Final = 100  # of a path or method that is not ours


@dataclass(frozen=True, slots=True)
class Way:
    """A way in over HTTP.

    Attributes:
        path: of its requests; None: any other path, where the dialect claims the request.
        dialect: writes the answers to bodies that cannot be read.
        ingest: processes a request.
    """

    path: str | None
    dialect: Dialect
    ingest: Ingest


class HttpReceiver:
    """The ingest server."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_body_bytes: int,
        ways: Sequence[Way],
        refuse: Callable[[], None],
        responses: Counter[tuple[str, int]],
        listener: ListenerHealth,
        limiter: Limiter,
        allowed_hosts: Collection[str] = (),
        connections: int = CONNECTIONS,
    ) -> None:
        """Describe the server; nothing is open yet.

        Args:
            host: where to listen.
            port: where to listen.
            max_body_bytes: of one body, after inflating.
            ways: what arrives here, in the order in which those without a path are asked.
            refuse: called when the drain begins to refuse; the functions of `ways` raise DrainingError from then on.
            responses: where responses are counted, by path and status.
            listener: where the addresses are shown.
            limiter: for requests that are refused.
            allowed_hosts: see `HttpServer`.
            connections: the most that are open at a time.
        """
        self._max_body_bytes = max_body_bytes
        self.listener = listener
        self._routes = {way.path: way for way in ways if way.path is not None}
        self._others = [way for way in ways if way.path is None]
        self._refuse = refuse
        self._accepted = 0
        self._memory = BodyMemory(BODIES_IN_WORK * max_body_bytes)
        self._responses = ResponseLog(listener.name, responses, limiter)
        self._server = HttpServer(
            host,
            port,
            handle=self._handle,
            note=self._responses.note,
            routes=self._routes,
            max_body_bytes=max_body_bytes,
            connections=connections,
            allowed_hosts=allowed_hosts,
        )

    async def open(self) -> None:
        """Bind and start to serve.

        Raises:
            OSError: an address is taken or not ours.
        """
        self.listener.addresses = await self._server.open()

    async def stop_accepting(self) -> None:
        """Answer 503 to events from now on."""
        self._refuse()

    def seen(self) -> int:
        """Requests accepted so far: neither probes nor refused requests prolong the drain."""
        return self._accepted

    async def close(self) -> None:
        """Stop serving; connections that are open are closed."""
        await self._server.close()
        self.listener.bound = False

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        way = self._routes.get(path)
        if way is None:
            # Clients join a base URL and a path with two slashes, or end it with one.
            path = "/" + "/".join(filter(None, path.split("/")))
            way = self._routes.get(path)
        head = Request(request.method, path, request.headers, request.content_type)
        if way is None:
            return await self._by_head(request, head)
        if request.method != "POST":
            problem = f"{path} takes POST"
            self._responses.note(path, 405, problem, came={"method": request.method[:20]})
            refused = way.dialect.refused(head, Refusal(405, problem))
            return web.Response(body=refused.body, status=405, headers=refused.headers | {"Allow": "POST"})
        answer = await self._answer(request, head, way)
        return self._not_found(head) if answer is None else self._counted(answer, head)

    async def _by_head(self, request: web.BaseRequest, head: Request) -> web.Response:
        """Answer a path that is no way's own."""
        for way in self._others:
            if way.dialect.claims(head):
                answer = await self._answer(request, head, way)
                if answer is not None:
                    return self._counted(answer, head)
                break  # its body is read
        return self._not_found(head)

    def _counted(self, answer: Answer, head: Request) -> web.Response:
        route = answer.route or (head.path if head.path in self._routes else "other")
        self._accepted += answer.status < 300
        if answer.problem:
            self._responses.note(route, answer.status, answer.problem, came=_came(head))
        else:
            self._responses.count(route, answer.status)
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    def _not_found(self, head: Request) -> web.Response:
        paths = ", ".join(f"POST {path}" for path in self._routes)
        problem = f"there is no {head.path[:SHOWN_CHARACTERS]!r}: events go to {paths}"
        self._responses.note("other", 404, problem, came=_came(head))
        return json_response(404, {"error": problem})

    async def _answer(self, request: web.BaseRequest, head: Request, way: Way) -> Answer | None:
        try:
            with Hold(self._memory) as hold:
                body = await read_body(request, hold, self._max_body_bytes)
                if head.content_type == "text/plain" and request.charset is not None:
                    body = await to_utf8(body, request.charset, hold, self._max_body_bytes)
                head.body = body
                answer = await way.ingest(head)
        except (BodyTooLargeError, TooManyItemsError) as error:
            refusal = Refusal(413, str(error))
        except TimeoutError:
            refusal = Refusal(408, f"the body did not come within {BODY_SECONDS:g} s", close=True)
        except (InflateError, web.RequestPayloadError, ConnectionError) as error:
            refusal = Refusal(400, f"the body cannot be read: {error}", close=True)
        except EmptyBodyError as error:
            refusal = Refusal(400, str(error))
        except UnsupportedError as error:
            refusal = Refusal(415, str(error))
        except BusyError as error:
            refusal = Refusal(429, str(error), retry_after=error.retry_after)
        except DrainingError:
            refusal = Refusal(503, "the sidecar is draining", close=True)
        else:
            return answer if answer is None or isinstance(answer, Answer) else await answer
        return way.dialect.refused(head, refusal)


def _came(head: Request) -> dict[str, str]:
    """What came, cut to a bounded length, for the log."""
    return {"method": head.method[:20], "path": head.path[:SHOWN_CHARACTERS]}
