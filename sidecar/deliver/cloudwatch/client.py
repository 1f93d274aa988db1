"""The AWS clients: made in the background, once; their errors become ours.

aiobotocore does credentials, endpoints, signing and parsing of errors. Request bodies are ours: botocore takes
46-55 ms on the event loop to serialise 1,000 datums, orjson 0.5 ms, so a `before-call` handler puts the
finished, compressed body in place of the serialised one, ahead of signing.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from sidecar.deliver.cloudwatch.session import AwsSession
from sidecar.deliver.retry import Failure, advice, classify
from sidecar.model.errors import DeliveryError, drop_traceback
from sidecar.observe.log import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

CONNECT_SECONDS: Final = 5.0
KEEPALIVE_SECONDS: Final = 4.0  # CloudWatch Logs closes idle connections after 6 s
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 1  # of gzip: 1.8 ms for 450 kB; level 6 takes 2.4 times as long to save 15 %

PIECE_BYTES: Final = 32_768  # some 0.3 ms to compress
PAUSE_SECONDS: Final = 0.00005

_CLIENT: Final = "client"
_CREDENTIALS: Final = "credentials"
_BODY: Final = "request body"
_ANSWER: Final = "answer"


class _Finished(NamedTuple):
    """A body as it is sent."""

    body: bytes
    sha256: str


_finished: ContextVar[_Finished] = ContextVar("finished")


class AwsClient:
    """One service's client, made when first needed."""

    def __init__(
        self,
        service: str,
        *,
        session: AwsSession,
        limiter: Limiter,
        request_seconds: float,
        finished_operations: tuple[str, ...] = (),
    ) -> None:
        """Describe the client; nothing is made yet.

        Args:
            service: `cloudwatch` or `logs`.
            session: makes the client, and finds its credentials.
            limiter: for log lines about a client that cannot be created or has no credentials.
            request_seconds: total time of one request, making the client included.
            finished_operations: operations whose body is handed over finished, to `call`.
        """
        self._service = service
        self._session = session
        self._limiter = limiter
        self._request_seconds = request_seconds
        self._finished_operations = finished_operations
        self._made: tuple[AsyncExitStack, Any] | None = None
        self._making = asyncio.Lock()
        self._log = structlog.get_logger(service=service)

    async def call(
        self, operation: str, parameters: Mapping[str, Any], body: Callable[[], bytes] | None = None
    ) -> dict[str, Any]:
        """Make one request, within `request_seconds`.

        Args:
            operation: the method's name, such as `put_metric_data`.
            parameters: what botocore would serialise; ignored on the wire where `body` is given.
            body: gives the finished JSON body; asked, and what it gives compressed, off the event loop.

        Raises:
            DeliveryError: it failed, or did not come back in time.
        """
        phase = _CLIENT
        try:
            async with asyncio.timeout(self._request_seconds):
                client = await self._client()
                phase = _CREDENTIALS
                await self._session.ready()
                phase = _BODY
                if body is not None:
                    _finished.set(await self._session.thread.run(partial(_finish, body)))
                phase = _ANSWER
                return _genuine(await self._begin(partial(getattr(client, operation), **parameters)))
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises becomes one of our errors
            raise self._failure(error, phase) from None

    async def open(self) -> None:
        """Make the client and find its credentials ahead of the first request.

        Raises:
            DeliveryError: not now; it was logged.
        """
        phase = _CLIENT
        try:
            async with asyncio.timeout(self._request_seconds):
                await self._client()
                phase = _CREDENTIALS
                await self._session.ready()
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises becomes one of our errors
            raise self._failure(error, phase) from None

    def _failure(self, error: Exception, phase: str) -> DeliveryError:
        """Translate the error of a call that is being handled; where credentials failed, they are read again."""
        sent = phase == _ANSWER
        if isinstance(error, TimeoutError):
            detail = f"no {phase} within {self._request_seconds:g} s"
            failure = DeliveryError("Timeout", f"{self._service}: {detail}", ambiguous=sent)
        else:
            failure = _translate(error, sent=sent)
        drop_traceback(error)
        meaning = classify(failure)
        if meaning in (Failure.CREDENTIALS, Failure.ACCESS_DENIED):
            self._session.forget()
        if not sent:
            self._limiter.warning(
                f"{self._service} {phase} {failure.code} {failure.detail[:100]}",
                f"no AWS {phase}, will retry",
                service=self._service,
                error=str(failure),
                fix=advice(meaning, failure),
            )
        return failure

    async def _begin(self, request: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        """Start a request in its turn, and wait for its answer."""
        async with self._session.turn:
            started = asyncio.create_task(request())
            try:
                await asyncio.sleep(0)  # it is prepared, signed, and on its way to the socket
            except asyncio.CancelledError:
                started.cancel()
                raise
        try:
            return await started
        finally:
            del started  # a task that failed holds the error, whose traceback holds this frame

    async def _client(self) -> Any:
        """The client, made if there is none."""
        async with self._making:
            if self._made is None:
                self._made = await self._make()
            return self._made[1]

    async def close(self) -> None:
        """Let go of the client and its connections; the next call makes another."""
        if self._made is not None:
            stack, self._made = self._made[0], None
            await stack.aclose()

    async def _make(self) -> tuple[AsyncExitStack, Any]:
        await self._session.load()
        from aiobotocore.config import AioConfig

        config = AioConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self._request_seconds,
            retries={"mode": "standard", "total_max_attempts": 1},  # one layer of retries: the worker's
            disable_request_compression=True,
            parameter_validation=False,
            connector_args={"keepalive_timeout": KEEPALIVE_SECONDS},
            user_agent_extra="cloudwatch-sidecar",
        )
        stack = AsyncExitStack()
        client = await stack.enter_async_context(await self._session.client(self._service, config))
        for operation in self._finished_operations:
            client.meta.events.register(f"before-call.*.{operation}", _place_body)
        self._log.info("client ready", endpoint=client.meta.endpoint_url, region=client.meta.region_name)
        return stack, client


def _finish(make: Callable[[], bytes]) -> _Finished:
    """Compress and hash a body, in a thread, in pieces with a pause after each.

    Where the process has one core, a piece is what the loop may have to wait for: compressing 1 MB at once kept it
    from that core for 3 to 5 ms at a time. compressobj lets go of the interpreter, and writes no time into the header.
    """
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    body = memoryview(make())
    pieces: list[bytes] = []
    for first in range(0, len(body), PIECE_BYTES):
        pieces.append(packer.compress(body[first : first + PIECE_BYTES]))
        time.sleep(PAUSE_SECONDS)
    pieces.append(packer.flush())
    finished = b"".join(pieces)
    return _Finished(finished, sha256(finished).hexdigest())


def _place_body(params: dict[str, Any], **_: object) -> None:
    finished = _finished.get()
    params["body"] = finished.body
    params["headers"]["Content-Encoding"] = "gzip"
    # The signer takes the header's word for it, and signs the header: 0.3 ms of the loop less for a large body.
    params["headers"]["X-Amz-Content-SHA256"] = finished.sha256


def _genuine(answer: dict[str, Any]) -> dict[str, Any]:
    """Check that an answer of success is one of AWS: a proxy's page is not.

    Raises:
        DeliveryError: it carries neither a request id nor a body of the protocol.
    """
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    protocol = str(headers.get("content-type", "")).startswith("application/x-amz-json")
    if not protocol and "x-amzn-requestid" not in headers:
        raise DeliveryError("NotAws", "the answer of success is not one of AWS: is there a proxy?", status=502)
    return answer


def _translate(error: Exception, *, sent: bool) -> DeliveryError:
    """Translate an error of the SDK, or one that came before the SDK could be imported."""
    if isinstance(error, DeliveryError):
        return error
    translator = sys.modules.get("sidecar.deliver.cloudwatch.errors")
    if translator is None or not hasattr(translator, "translate"):
        return DeliveryError("Network", f"the AWS SDK cannot be loaded: {error}")
    translated: DeliveryError = translator.translate(error, sent=sent)
    return translated
