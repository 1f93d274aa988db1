"""The SDK's session: where clients and credentials come from. One for both services."""

from __future__ import annotations

import asyncio
from typing import Any

from sidecar.background import Background
from sidecar.errors import DeliveryError


class AwsSession:
    """Makes clients. What the SDK reads for one service (7 MB of endpoints and models) serves the other."""

    def __init__(self, *, region: str | None, endpoint_url: str | None, role_arn: str | None) -> None:
        """Describe the session; nothing is made yet.

        Args:
            region: or None for what the SDK's own chain finds (which ignores AWS_REGION).
            endpoint_url: or None for the region's own endpoints.
            role_arn: a role to assume with the found credentials, or None.
        """
        self._region = region
        self._endpoint_url = endpoint_url
        self._role_arn = role_arn
        self._made: Any = None
        self._making = asyncio.Lock()
        # What both clients share beside: the thread that makes bodies ready, and the turn to start a request, which
        # takes 1 ms of the loop: several at once would add up before the sockets are read again.
        self.thread = Background("requests")
        self.turn = asyncio.Lock()

    async def client(self, service: str, config: Any) -> Any:
        """Make a client of a service: an async context manager. May take seconds where credentials are slow to come.

        Args:
            service: `cloudwatch` or `logs`.
            config: an `AioConfig`.

        Raises:
            DeliveryError: `NoCredentials`: there are none to assume the role with.
        """
        async with self._making:
            if self._made is None:
                self._made = await self._make()
            return self._create(self._made, service, config=config)

    def close(self) -> None:
        """Let go of the thread; the clients are closed by those who have them."""
        self.thread.close()

    def forget(self) -> None:
        """Make the next client out of a new session: one that found no credentials looks for them no more."""
        self._made = None

    async def _make(self) -> Any:
        from aiobotocore.session import get_session

        session = get_session()
        if self._role_arn is not None:
            await self._assume_role(session, self._role_arn)
        return session

    async def _assume_role(self, session: Any, role_arn: str) -> None:
        from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioDeferredRefreshableCredentials

        source = await session.get_credentials()
        if source is None:
            raise DeliveryError("NoCredentials", "no credentials were found to assume deliver.role_arn with")
        fetcher = AioAssumeRoleCredentialFetcher(
            client_creator=lambda service, **arguments: self._create(session, service, **arguments),
            source_credentials=source,
            role_arn=role_arn,
            extra_args={"RoleSessionName": "cloudwatch-sidecar"},
        )
        session._credentials = AioDeferredRefreshableCredentials(  # noqa: SLF001  # botocore has no public setter
            method="assume-role",
            refresh_using=fetcher.fetch_credentials,
        )

    def _create(self, session: Any, service: str, **arguments: Any) -> Any:
        return session.create_client(service, region_name=self._region, endpoint_url=self._endpoint_url, **arguments)
