"""The credentials that requests are signed with: found by the SDK's own chain, and read again when they fail.

The SDK reads credentials once and remembers them, or that there are none, for as long as its session lives. A new
session for each look loads 8 MB of endpoints and models, in reference cycles that only a full garbage collection
would free. So there is one session for the life of the process, and what it remembers of credentials is reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any, Final

from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioDeferredRefreshableCredentials
from aiobotocore.session import AioSession

from sidecar.deliver.cloudwatch.errors import translate
from sidecar.deliver.retry import Failure, classify
from sidecar.model.errors import DeliveryError, drop_traceback

STS_CLIENTS: Final = 4  # reused: with one identity each, of which there are as many as roles in a chain
_IDENTITY: Final = (
    "region_name",
    "endpoint_url",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
)
# Failures of finding credentials that keep their own meaning; every other one, of STS above all, is `NoCredentials`:
# an invalid role must not read as an invalid request, whose events would be dropped.
_OWN_MEANING: Final = frozenset(
    {
        *(Failure.THROTTLE, Failure.SERVER, Failure.NETWORK, Failure.TIMEOUT),
        *(Failure.CREDENTIALS, Failure.ACCESS_DENIED, Failure.CLOCK_SKEW),
    }
)


class SdkSession(AioSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK's session. Its service models are loaded once; what it read of the environment and files can be read again."""

    def __init__(self, role_arn: str | None, endpoint_url: str | None, reread_seconds: float) -> None:
        """Make a session; nothing is read yet.

        Args:
            role_arn: a role to assume with the credentials of the SDK's own chain, or None.
            endpoint_url: of STS for that, or None.
            reread_seconds: see `Credentials`.
        """
        super().__init__()
        self._role_arn = role_arn
        self._endpoint_url = endpoint_url
        self._sts: dict[tuple[Any, ...], tuple[AsyncExitStack, Any]] = {}  # {identity: open client}, oldest first
        self.credentials = Credentials(self._find, reread_seconds)

    async def get_credentials(self) -> Credentials:
        """The credentials a client signs with; the SDK calls this once for each client."""
        return self.credentials

    def reread(self) -> None:
        """Read configuration, profiles and credentials again when they are next asked for."""
        # botocore 1.43 has no public way to do so.
        self._config = self._profile = self._profile_map = self._credentials = None
        self._register_credential_provider()

    async def _find(self) -> Any:
        """Find the SDK's credentials, or those of a role assumed with them.

        Raises:
            DeliveryError: `NoCredentials`: there are none.
        """
        self.reread()
        source = await super().get_credentials()
        if source is None:
            purpose = " to assume deliver.role_arn with" if self._role_arn else ""
            raise DeliveryError("NoCredentials", f"no credentials were found{purpose}")
        if self._role_arn is None:
            return source
        fetcher = AioAssumeRoleCredentialFetcher(
            client_creator=lambda service, **arguments: self.create_client(
                service, region_name=self._last_client_region_used, endpoint_url=self._endpoint_url, **arguments
            ),
            source_credentials=source,
            role_arn=self._role_arn,
            extra_args={"RoleSessionName": "cloudwatch-sidecar"},
        )
        return AioDeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)

    def create_client(self, service_name: str, **arguments: Any) -> AbstractAsyncContextManager[Any]:
        """Make a client, or reuse an STS client of the same identity: a failing role asks for one every time."""
        if service_name == "sts":
            return self._reused(arguments)
        client: AbstractAsyncContextManager[Any] = super().create_client(service_name, **arguments)
        return client

    @asynccontextmanager
    async def _reused(self, arguments: dict[str, Any]) -> AsyncIterator[Any]:
        signature = getattr(arguments.get("config"), "signature_version", None)
        identity = (signature, *(arguments.get(name) for name in _IDENTITY))
        held = self._sts.pop(identity, None)
        if held is None:
            while len(self._sts) >= STS_CLIENTS:
                oldest, _ = self._sts.pop(next(iter(self._sts)))
                await oldest.aclose()
            stack = AsyncExitStack()
            held = stack, await stack.enter_async_context(super().create_client("sts", **arguments))
        self._sts[identity] = held
        yield held[1]

    async def close(self) -> None:
        """Close the STS clients."""
        while self._sts:
            stack, _ = self._sts.popitem()[1]
            await stack.aclose()


class Credentials:
    """What the SDK signs with, in place of credentials of its own: found when needed, and again after `forget`."""

    method = "cloudwatch-sidecar"

    def __init__(self, find: Callable[[], Awaitable[Any]], reread_seconds: float) -> None:
        """Describe the credentials; nothing is read yet.

        Args:
            find: reads environment, files and endpoints anew; gives the SDK's credentials, or raises.
            reread_seconds: the least time between two readings; a failure stands for so long.
        """
        self._find = find
        self._reread_seconds = reread_seconds
        self._found: Any = None
        self._failure: tuple[str, str, int] | None = None  # code, detail and status of a failure that stands
        self._read_at = float("-inf")
        self._usable = False
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Read credentials again before the next request: the service does not accept these."""
        self._usable = False

    async def get_frozen_credentials(self) -> Any:
        """Give access key, secret key and token, of one moment; the SDK asks for each request.

        Raises:
            DeliveryError: there are none, or they cannot be refreshed.
        """
        async with self._reading:
            if not self._usable and monotonic() - self._read_at >= self._reread_seconds:
                self._found, self._failure, self._read_at = None, None, monotonic()
            if self._found is None and self._failure is None:
                try:
                    found = await self._find()
                    await found.get_frozen_credentials()  # a role is assumed only now; once for all who wait
                    self._found, self._usable = found, True
                except Exception as error:  # noqa: BLE001  # whatever the SDK raises becomes one of our errors
                    self._failed(error)
        # Outside the lock: the SDK refreshes ahead of the end, and a slow refresh must hold up one request, not all.
        if self._failure is None:
            try:
                return await self._found.get_frozen_credentials()
            except Exception as error:  # noqa: BLE001  # as above
                self._failed(error)
        code, detail, status = self._failure or ("NoCredentials", "credentials are being read again", 0)
        raise DeliveryError(code, detail, status=status)

    def _failed(self, error: Exception) -> None:
        self._usable = False
        self._failure = _failure(error)
        drop_traceback(error)

    async def get_account_id(self) -> str | None:
        """Give the account, where the credentials name one: the SDK asks for endpoints of an account's own."""
        account: str | None = (await self.get_frozen_credentials()).account_id
        return account

    def get_deferred_property(self, _name: str) -> Callable[[], Awaitable[str | None]]:
        """Give what asks for a property; the SDK knows one, `account_id`."""
        return self.get_account_id


def _failure(error: Exception) -> tuple[str, str, int]:
    translated = translate(error, sent=False)
    if isinstance(error, FileNotFoundError | PermissionError):  # of a token or credentials file
        return "NoCredentials", translated.detail, 0
    if classify(translated) in _OWN_MEANING:
        return translated.code, translated.detail, translated.status
    code = f"{translated.code}: " if translated.status else ""
    return "NoCredentials", code + translated.detail, 0
