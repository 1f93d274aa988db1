"""The SDK's session: where clients and credentials come from. One for both services."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sidecar.runtime.threads import Background

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sidecar.deliver.cloudwatch.credentials import SdkSession

REREAD_SECONDS: Final = 5.0


class AwsSession:
    """Makes clients. What the SDK reads for one service (7 MB of endpoints and models) serves the other."""

    def __init__(
        self,
        *,
        region: str | None,
        endpoint_url: str | None,
        role_arn: str | None,
        reread_seconds: float = REREAD_SECONDS,
    ) -> None:
        """Describe the session; nothing is made yet.

        Args:
            region: or None for what the SDK's own chain finds (which ignores AWS_REGION).
            endpoint_url: or None for the region's own endpoints.
            role_arn: a role to assume with the found credentials, or None.
            reread_seconds: the least time between two readings of credentials and SDK configuration.
        """
        self._region = region
        self._endpoint_url = endpoint_url
        self._role_arn = role_arn
        self._reread_seconds = reread_seconds
        self._sdk: SdkSession | None = None
        self._making = asyncio.Lock()
        # What both clients share beside: the thread that makes bodies ready, and the turn to start a request, which
        # takes 1 ms of the loop: several at once would add up before the sockets are read again.
        self.thread = Background("requests")
        self.turn = asyncio.Lock()

    async def client(self, service: str, config: Any) -> AbstractAsyncContextManager[Any]:
        """Make a client of a service: an async context manager.

        Args:
            service: `cloudwatch` or `logs`.
            config: an `AioConfig`.

        Raises:
            NoRegionError, InvalidRegionError: the SDK's own; so is every other error.
        """
        sdk = await self.load()
        from botocore.exceptions import NoRegionError
        from botocore.utils import validate_region_name

        sdk.reread()
        # Checked here, and not only by the SDK: it would have built a client in reference cycles by then.
        region = sdk.get_config_variable("region")
        if self._region is None and region is None:
            raise NoRegionError
        validate_region_name(self._region or region)
        return sdk.create_client(service, region_name=self._region, endpoint_url=self._endpoint_url, config=config)

    async def ready(self) -> None:
        """Find credentials where there are none yet, or where they failed.

        Raises:
            DeliveryError: there are none, or they cannot be refreshed.
        """
        await (await self.load()).credentials.get_frozen_credentials()

    def forget(self) -> None:
        """Read credentials again before the next request: the service does not accept these."""
        if self._sdk is not None:
            self._sdk.credentials.forget()

    async def close(self) -> None:
        """Let go of the thread and of connections; the clients are closed by those who have them."""
        self.thread.close()
        if self._sdk is not None:
            await self._sdk.close()

    async def load(self) -> SdkSession:
        """Import and set up the SDK, the first time."""
        async with self._making:
            if self._sdk is None:
                # Imported here and in a thread: 150 ms that neither the local target nor the first datagrams pay.
                await asyncio.to_thread(__import__, "sidecar.deliver.cloudwatch.credentials")
                from sidecar.deliver.cloudwatch import credentials

                self._sdk = credentials.SdkSession(self._role_arn, self._endpoint_url, self._reread_seconds)
            return self._sdk
