"""Calls of SDKs that the sidecar does not answer, sent to AWS as they came, signed with the sidecar's credentials."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import aiohttp

from sidecar.deliver.cloudwatch.session import AwsSession
from sidecar.model.errors import BusyError, DeliveryError, drop_traceback
from sidecar.model.exchange import Answer, Request

AT_A_TIME: Final = 8  # beyond, a call is throttled: bodies and answers are held meanwhile
ANSWER_BYTES: Final = 8_388_608
_CLIENTS: Final = {"monitoring": "cloudwatch", "logs": "logs"}  # {name requests are signed for: the SDK's name}
_SENT: Final = ("content-type", "x-amz-target", "smithy-protocol", "accept", "x-amzn-query-mode")
_RETURNED: Final = (
    *("content-type", "smithy-protocol", "x-amzn-requestid", "x-amzn-errortype", "x-amzn-query-error", "retry-after"),
)


class _Endpoint(NamedTuple):
    """Where a service is."""

    url: str
    region: str


class Upstream:
    """AWS, for calls of others; everything is made when first needed."""

    def __init__(self, session: AwsSession, *, request_seconds: float) -> None:
        """Describe it; nothing is connected.

        Args:
            session: finds endpoints and credentials; closed with this.
            request_seconds: total time of one call.
        """
        self._session = session
        self._request_seconds = request_seconds
        self._open = AsyncExitStack()
        self._endpoints: dict[str, _Endpoint] = {}
        self._http: aiohttp.ClientSession | None = None
        self._calls = 0

    async def forward(self, service: str, request: Request) -> Answer:
        """Send a call, and return the answer as it comes.

        Args:
            service: the name requests are signed for.
            request: as it came; the path without what endpoints have before it.

        Raises:
            BusyError: too many are under way.
            DeliveryError: there is no answer.
        """
        if self._calls >= AT_A_TIME:
            raise BusyError(1)
        self._calls += 1
        try:
            async with asyncio.timeout(self._request_seconds):
                return await self._send(service, request)
        except TimeoutError:
            raise DeliveryError("Timeout", f"no answer within {self._request_seconds:g} s") from None
        except Exception as error:
            drop_traceback(error)
            if isinstance(error, DeliveryError):
                raise
            raise DeliveryError("Network", f"{type(error).__name__}: {error}") from None
        finally:
            self._calls -= 1

    async def close(self) -> None:
        """Release connections."""
        await self._open.aclose()
        await self._session.close()

    async def _send(self, service: str, request: Request) -> Answer:
        endpoint = await self._endpoint(service)
        headers = {name: request.headers[name] for name in _SENT if name in request.headers}
        url = endpoint.url.rstrip("/") + request.path
        signed = await self._sign(service, endpoint, url, headers, request.body)
        if self._http is None:
            self._http = await self._open.enter_async_context(aiohttp.ClientSession(trust_env=True))
        async with self._http.post(
            url, data=request.body, headers=signed, allow_redirects=False, skip_auto_headers=("Accept-Encoding",)
        ) as response:
            body = await response.content.read(ANSWER_BYTES + 1)
            while len(body) <= ANSWER_BYTES and (part := await response.content.read(ANSWER_BYTES)):
                body += part
            if len(body) > ANSWER_BYTES:
                raise DeliveryError("TooLarge", f"the answer is larger than {ANSWER_BYTES} bytes")
            returned = {name: response.headers[name] for name in _RETURNED if name in response.headers}
            return Answer(response.status, returned, body)

    async def _sign(self, service: str, endpoint: _Endpoint, url: str, headers: dict[str, str], body: bytes) -> Any:
        frozen = await (await self._session.load()).credentials.get_frozen_credentials()
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("POST", url, headers=headers, data=body)
        SigV4Auth(frozen, service, endpoint.region).add_auth(request)
        return dict(request.headers.items())

    async def _endpoint(self, service: str) -> _Endpoint:
        if service not in self._endpoints:
            await self._session.load()
            from aiobotocore.config import AioConfig

            client = await self._session.client(_CLIENTS[service], AioConfig())
            async with client as made:
                self._endpoints[service] = _Endpoint(made.meta.endpoint_url, made.meta.region_name)
        return self._endpoints[service]
