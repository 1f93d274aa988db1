"""The AWS clients: made in the background, made anew when they have no credentials, errors made ours.

aiobotocore keeps credentials, endpoints, signing and parsing of errors. Request bodies are ours: botocore takes
46-55 ms on the event loop to serialise 1,000 datums, orjson 0.5 ms, so a `before-call` handler puts the
finished, compressed body in place of the serialised one, ahead of signing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
import zlib
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from sidecar.deliver.session import AwsSession
from sidecar.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

CONNECT_SECONDS: Final = 5.0
KEEPALIVE_SECONDS: Final = 4.0  # CloudWatch Logs closes idle connections after 6 s
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 1  # of gzip: 1.8 ms for 450 kB; level 6 takes 2.4 times as long to save 15 %

PIECE_BYTES: Final = 32_768  # some 0.3 ms to compress
PAUSE_SECONDS: Final = 0.00005
MESSAGE_CHARACTERS: Final = 500
_TOKEN: Final = re.compile(r"(?i)(x-amz-security-token\W{1,3})[^\s'\",;&]+")


class _Finished(NamedTuple):
    """A body as it is sent."""

    body: bytes
    sha256: str


_finished: ContextVar[_Finished] = ContextVar("finished")


class AwsClient:
    """One service's client, made when first needed and replaced when it turns out to have no credentials."""

    def __init__(
        self,
        service: str,
        *,
        session: AwsSession,
        request_seconds: float,
        finished_operations: tuple[str, ...] = (),
    ) -> None:
        """Describe the client; nothing is made yet.

        Args:
            service: `cloudwatch` or `logs`.
            session: makes the client.
            request_seconds: total time of one request, making the client included.
            finished_operations: operations whose body is handed over finished, to `call`.
        """
        self._service = service
        self._session = session
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
        sent = False
        try:
            async with asyncio.timeout(self._request_seconds):
                client = await self._client()
                if body is not None:
                    _finished.set(await self._session.thread.run(partial(_finish, body)))
                sent = True
                return _genuine(await self._begin(partial(getattr(client, operation), **parameters)))
        except TimeoutError:
            detail = f"no answer from {self._service} within {self._request_seconds:g} s"
            raise DeliveryError("Timeout", detail, ambiguous=sent) from None
        except Exception as error:
            translated = _translate(error, sent=sent)
            if translated.code == "NoCredentials":
                self._session.forget()
                await self.close()
            raise translated from error

    async def open(self) -> None:
        """Make the client ahead of the first request.

        Raises:
            DeliveryError: it cannot be made now.
        """
        try:
            async with asyncio.timeout(self._request_seconds):
                await self._client()
        except TimeoutError:
            raise DeliveryError("Timeout", f"no {self._service} client in {self._request_seconds:g} s") from None
        except Exception as error:
            raise _translate(error, sent=False) from error

    async def _begin(self, request: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        """Start a request in its turn, and wait for its answer."""
        async with self._session.turn:
            started = asyncio.create_task(request())
            try:
                await asyncio.sleep(0)  # it is prepared, signed, and on its way to the socket
            except asyncio.CancelledError:
                started.cancel()
                raise
        return await started

    async def _client(self) -> Any:
        """The client, made if there is none. May take seconds where the credentials' endpoint is away."""
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
        # Imported here and in a thread: 150 ms that neither the local target nor the first datagrams should pay.
        await asyncio.to_thread(__import__, "aiobotocore.session")
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
    """Make any error of the SDK ours; what it does not expect of an answer it raises as it comes."""
    translated = _known(error)
    if translated is not None:
        return translated
    if isinstance(error, ValueError) and "Invalid endpoint" in str(error):
        return DeliveryError("NoCredentials", f"{_clean(str(error))}: set region, AWS_REGION or AWS_DEFAULT_REGION")
    return DeliveryError("Unknown", _clean(f"{type(error).__name__}: {error}"), ambiguous=sent)


def _clean(text: str) -> str:
    """What is fit for a log line and `/ready`: short, and without a session token the service quotes back."""
    return _TOKEN.sub(r"\1[redacted]", text)[:MESSAGE_CHARACTERS]


def _known(error: Exception) -> DeliveryError | None:
    from aiohttp import ClientConnectorError
    from botocore import exceptions as sdk

    if isinstance(error, DeliveryError):
        return error
    if isinstance(error, sdk.ClientError):
        answer = error.response
        metadata = answer.get("ResponseMetadata", {})
        detail = answer.get("Error", {})
        return DeliveryError(
            str(detail.get("Code", "Unknown"))[:100],
            _clean(str(detail.get("Message", error))),
            status=int(metadata.get("HTTPStatusCode", 0)),
            retry_after=_seconds(metadata.get("HTTPHeaders", {}).get("retry-after")),
        )
    credentials = (
        sdk.NoCredentialsError,
        sdk.PartialCredentialsError,
        sdk.CredentialRetrievalError,
        sdk.TokenRetrievalError,
        sdk.UnauthorizedSSOTokenError,
        sdk.SSOTokenLoadError,
        sdk.ConfigNotFound,
        sdk.ProfileNotFound,
    )
    if isinstance(error, credentials):
        return DeliveryError("NoCredentials", _clean(str(error)))
    if isinstance(error, sdk.NoRegionError):
        return DeliveryError("NoCredentials", "no region is known: set region, AWS_REGION or AWS_DEFAULT_REGION")
    if isinstance(error, sdk.ReadTimeoutError):
        return DeliveryError("Timeout", _clean(str(error)), ambiguous=True)
    if isinstance(error, sdk.ConnectTimeoutError | sdk.ProxyConnectionError):
        return DeliveryError("Network", _clean(str(error)))
    if isinstance(error, sdk.EndpointConnectionError):
        # aiobotocore 3.10 says this of a connection that never stood and of one that was reset alike.
        never_stood = isinstance(error.kwargs.get("error"), ClientConnectorError | socket.gaierror)
        return DeliveryError("Network", _clean(str(error)), ambiguous=not never_stood)
    if isinstance(error, sdk.HTTPClientError):
        # The connection broke after it stood: whether the request was stored nobody knows.
        return DeliveryError("Network", _clean(str(error)), ambiguous=True)
    if isinstance(error, sdk.BotoCoreError):
        return DeliveryError("Unknown", _clean(str(error)))
    if isinstance(error, OSError):
        return DeliveryError("Network", _clean(str(error)), ambiguous=True)
    return None


def _seconds(text: str | None) -> float | None:
    """A Retry-After header in seconds; its date form is not used by these services."""
    usable = text is not None and text.isascii() and text.isdigit() and len(text) < 6
    return min(float(text or 0), 3_600.0) if usable else None
