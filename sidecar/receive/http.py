"""Events over HTTP: bodies of bounded size, read in bounded time, and the answer to the sender.

202 with what was accepted and what was not and why; 400 nothing was acceptable; 403 a foreign web page; 408 the
body did not come in time; 413 too large, after inflating; 415 a kind of body we do not read; 429 no room, with
Retry-After; 503 the daemon is draining.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from aiohttp import web

from sidecar.model.errors import BodyTooLargeError, BusyError, DrainingError, TooManyItemsError, UnsupportedError
from sidecar.model.events import Outcome
from sidecar.observe.health import ListenerHealth
from sidecar.observe.log import Limiter
from sidecar.observe.responses import ResponseLog
from sidecar.receive.bodies import BODY_SECONDS, BodyMemory, Hold, read_body, to_utf8
from sidecar.receive.inflate import InflateError
from sidecar.receive.sdk import sdk_call, sdk_error
from sidecar.runtime.http_server import CONNECTIONS, HttpServer, json_response

Ingest: TypeAlias = Callable[[bytes, str], Awaitable[Outcome]]
"""Takes a body and its content type; raises BodyTooLargeError, BusyError, DrainingError or UnsupportedError."""

Answer: TypeAlias = tuple[int, dict[str, Any], dict[str, str] | None]

BODIES_IN_WORK: Final = 8  # of the largest size, or as many small ones as take the same memory
FORM: Final = "application/x-www-form-urlencoded"
SHOWN_CHARACTERS: Final = 100  # of a path or method that is not ours


class HttpReceiver:
    """The ingest server."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        max_body_bytes: int,
        routes: Mapping[str, Ingest],
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
            routes: path to what takes its bodies.
            refuse: called when the drain begins to refuse; the functions of `routes` raise DrainingError from then on.
            responses: where responses are counted, by path and status.
            listener: where the addresses are shown.
            limiter: for requests that are refused.
            allowed_hosts: see `HttpServer`.
            connections: the most that are open at a time.
        """
        self._max_body_bytes = max_body_bytes
        self.listener = listener
        self._routes = routes
        self._refuse = refuse
        self._accepted = 0
        self._memory = BodyMemory(BODIES_IN_WORK * max_body_bytes)
        self._responses = ResponseLog(listener.name, responses, limiter)
        self._server = HttpServer(
            host,
            port,
            handle=self._handle,
            note=self._responses.note,
            routes=routes,
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
        """Requests answered 202 so far: neither probes nor refused requests prolong the drain."""
        return self._accepted

    async def close(self) -> None:
        """Stop serving; connections that are open are closed."""
        await self._server.close()
        self.listener.bound = False

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        ingest = self._routes.get(path)
        if ingest is None:
            # Clients join a base URL and a path with two slashes, or end it with one.
            path = "/" + "/".join(filter(None, path.split("/")))
            ingest = self._routes.get(path)
        if ingest is None:
            return await self._unknown(request, path)
        if request.method != "POST":
            problem = f"{path} takes POST"
            self._responses.note(path, 405, problem, came={"method": request.method[:20]})
            return json_response(405, {"error": problem}, {"Allow": "POST"})
        status, answer, headers = await self._answer(request, ingest)
        self._accepted += status == 202
        self._responses.count(path, status)
        return json_response(status, answer, headers)

    async def _answer(self, request: web.BaseRequest, ingest: Ingest) -> Answer:
        try:
            with Hold(self._memory) as hold:
                body = await read_body(request, hold, self._max_body_bytes)
                if not body or body.isspace():
                    return 400, {"error": "the body is empty"}, None
                type_ = request.content_type
                if type_ == "text/plain" and request.charset is not None:
                    body = await to_utf8(body, request.charset, hold, self._max_body_bytes)
                outcome = await ingest(body, type_)
        except (BodyTooLargeError, TooManyItemsError) as error:
            return 413, {"error": str(error)}, None
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
        return await _told(outcome)

    async def _unknown(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer a path that is not ours: an AWS SDK in its own form, since it shows its user nothing else."""
        call = sdk_call(request.headers, path, await self._form(request))
        paths = " and ".join(f"POST {route}" for route in self._routes)
        came = {"method": request.method[:20], "path": path[:SHOWN_CHARACTERS]}
        if call is not None:
            problem = (
                f"this is a CloudWatch sidecar, which does not answer AWS SDK calls: {call.operation} was not carried"
                f" out. Remove the endpoint override (AWS_ENDPOINT_URL...), or send events to {paths}"
            )
            response = sdk_error(call, problem)
            self._responses.note("other", response.status, problem, came={"operation": call.operation, **came})
            return response
        problem = f"there is no {path[:SHOWN_CHARACTERS]!r}: events go to {paths}"
        self._responses.note("other", 404, problem, came=came)
        return json_response(404, {"error": problem})

    async def _form(self, request: web.BaseRequest) -> bytes:
        """The body of a form, which may be a call of an SDK; nothing of anything else, or where it cannot be read."""
        if request.content_type != FORM:
            return b""
        try:
            with Hold(self._memory) as hold:
                return await read_body(request, hold, self._max_body_bytes)
        except (
            *(BodyTooLargeError, BusyError, UnsupportedError, InflateError),
            *(TimeoutError, web.RequestPayloadError, ConnectionError),
        ):
            return b""


async def _told(outcome: Outcome) -> Answer:
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
