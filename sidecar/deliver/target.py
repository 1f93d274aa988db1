"""The two targets: which destinations `deliver.target` means, and what they share."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any, Final, Protocol

from sidecar.config.schema import Config
from sidecar.deliver.worker import Destination
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import DeliveryError
from sidecar.model.log_groups import LogGroups
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.runtime.console import Console

CLOSING_SECONDS: Final = 0.2  # for the console to show what it was given


class Target(Protocol):
    """Both destinations, and what they share."""

    @property
    def metrics(self) -> Destination[MetricBatch]:
        """Where metric batches are sent."""
        ...

    @property
    def logs(self) -> Destination[LogBatch]:
        """Where log batches are sent."""
        ...

    async def prepare(self) -> None:
        """Do what may take seconds before the first batch is sent; never fails: the first batch will."""
        ...

    async def totals(self) -> dict[str, Any] | None:
        """What the destination stores, for `/stats`, or None."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...


def open_target(config: Config, clock: Clock, limiter: Limiter, groups: LogGroups | None = None) -> Target:
    """The configured target; nothing is connected yet.

    Args:
        config: the configuration.
        clock: monotonic time.
        limiter: for log lines about clients that cannot be created.
        groups: the retention that senders asked for.
    """
    if config.deliver.target == "local":
        return _Local(config)
    return _CloudWatch(config, clock, limiter, groups or LogGroups())


class _CloudWatch:
    """`deliver.target: cloudwatch`."""

    def __init__(self, config: Config, clock: Clock, limiter: Limiter, groups: LogGroups) -> None:
        # Each target imports what it needs: the SDK is 15 MB that the local target does without.
        from sidecar.deliver.cloudwatch.client import AwsClient
        from sidecar.deliver.cloudwatch.logs import CloudWatchLogs
        from sidecar.deliver.cloudwatch.metrics import CloudWatchMetrics
        from sidecar.deliver.cloudwatch.session import AwsSession

        deliver = config.deliver
        session = AwsSession(region=config.region, endpoint_url=deliver.endpoint_url, role_arn=deliver.role_arn)
        metrics, logs = (
            AwsClient(
                service,
                session=session,
                limiter=limiter,
                request_seconds=deliver.request_seconds,
                finished_operations=(operation,),
            )
            for service, operation in (("cloudwatch", "PutMetricData"), ("logs", "PutLogEvents"))
        )
        self._session = session
        self._clients = (metrics, logs)
        self.metrics: Destination[MetricBatch] = CloudWatchMetrics(metrics)
        self.logs: Destination[LogBatch] = CloudWatchLogs(
            logs,
            create=config.logs.create,
            retention_days=config.logs.retention_days,
            asked=groups.retention_days,
            settings=groups.settings,
            monotonic=clock.monotonic,
        )

    async def prepare(self) -> None:
        for client in self._clients:
            with suppress(DeliveryError):  # logged by the client, and raised again by the first request
                await client.open()

    async def totals(self) -> None:
        return None

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self._session.close()


class _Local:
    """`deliver.target: local`."""

    def __init__(self, config: Config) -> None:
        from sidecar.deliver.local import LocalLogs, LocalMetrics, LocalStore

        self._store = LocalStore(config.deliver.local_path, config.deliver.local_max_bytes)
        self._console = Console(lambda: sys.stdout)
        self.metrics: Destination[MetricBatch] = LocalMetrics(self._store, self._show)
        self.logs: Destination[LogBatch] = LocalLogs(self._store, self._show)

    def _show(self, text: str) -> None:
        self._console.write(text + "\n")

    async def prepare(self) -> None:
        return None

    async def totals(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._store.totals)

    async def close(self) -> None:
        self._store.close()
        await asyncio.to_thread(self._console.close, CLOSING_SECONDS)
