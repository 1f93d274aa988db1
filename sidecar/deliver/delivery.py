"""The whole of the deliver stage: for each signal what waits, who sends it, and where to."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from sidecar.config.schema import Config
from sidecar.deliver.backlog import Backlog
from sidecar.deliver.metered import MeteredLogs
from sidecar.deliver.pace import Pace
from sidecar.deliver.retry import Backoff
from sidecar.deliver.target import Target, open_target
from sidecar.deliver.worker import Destination, Worker
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.limits import METRICS_SHARE
from sidecar.observe.health import DeliveryHealth, Health
from sidecar.observe.ledger import Ledger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.spool.codec import Codec, LogCodec, MetricCodec
from sidecar.spool.writer import Spool

LOG_REQUESTS: Final = 4  # log streams sent to at the same time

B = TypeVar("B", MetricBatch, LogBatch)


class SignalDelivery(Generic[B]):
    """The delivery of one signal: backlog, worker, and the pace of both flushes and requests."""

    def __init__(self, backlog: Backlog[B], worker: Worker[B], pace: Pace) -> None:
        """Hold them together."""
        self.backlog: Backlog[B] = backlog
        self.worker: Worker[B] = worker
        self.pace = pace


class Delivery:
    """Both signals. Metrics and logs share the target's store or credentials and the spool, and nothing else."""

    def __init__(
        self,
        config: Config,
        *,
        ledger: Ledger,
        health: Health,
        limiter: Limiter,
        clock: Clock,
        target: Target | None = None,
    ) -> None:
        """Put the stage together; nothing is opened yet. `target` stands in for the configured one."""
        self._config = config.deliver
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock
        self.target = target or open_target(config, clock, limiter)
        directory = config.deliver.spool_dir
        self.spool = Spool(Path(directory), config.deliver.spool_max_bytes, limiter) if directory else None
        if self.spool is not None:
            health.spool = self.spool.summary
        memory = config.deliver.memory_bytes
        for_metrics = memory // METRICS_SHARE
        self.metrics: SignalDelivery[MetricBatch] = self._signal(
            "metrics", for_metrics, MetricCodec(), self.target.metrics, ledger.samples, health.metrics, 1
        )
        logs = MeteredLogs(self.target.logs, ledger.log_bytes.count)
        self.logs: SignalDelivery[LogBatch] = self._signal(
            "logs", memory - for_metrics, LogCodec(), logs, ledger.log_events, health.logs, LOG_REQUESTS
        )

    def _signal(
        self,
        signal: str,
        capacity_bytes: int,
        codec: Codec[B],
        destination: Destination[B],
        account: SignalLedger,
        health: DeliveryHealth,
        concurrency: int,
    ) -> SignalDelivery[B]:
        pace = Pace(self._config.retry_max_seconds, random.uniform)
        health.rate_limit = lambda: pace.limit(self._clock.monotonic())
        backlog = Backlog[B](
            signal,
            capacity_bytes,
            codec=codec,
            spool=self.spool,
            account=account,
            limiter=self._limiter,
            clock=self._clock,
            ordered=signal == "logs",
        )
        worker = Worker[B](
            signal,
            backlog,
            destination,
            backoff=Backoff(self._config.retry_base_seconds, self._config.retry_max_seconds, random.uniform),
            pace=pace,
            account=account,
            requests=self._ledger.requests,
            health=health,
            clock=self._clock,
            limiter=self._limiter,
            concurrency=concurrency,
        )
        return SignalDelivery(backlog, worker, pace)

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """What sends, until it is drained."""
        return [self.metrics.worker.run(), self.logs.worker.run()]

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside."""
        running: list[Coroutine[Any, Any, None]] = [self.target.prepare()]
        if self.spool is not None:
            running += [self.metrics.backlog.run(), self.logs.backlog.run()]
        return running

    def memory(self) -> dict[str, tuple[int, int]]:
        """{signal: (bytes of closed batches in memory, the most that may be)}."""
        metrics, logs = self.metrics.backlog.waiting.memory, self.logs.backlog.waiting.memory
        return {
            "metrics": (metrics.used_bytes, metrics.capacity_bytes),
            "logs": (logs.used_bytes, logs.capacity_bytes),
        }

    async def committed(self) -> None:
        """Wait until every batch that was offered or split is on disk, or cannot be."""
        await self.metrics.backlog.committed()
        await self.logs.backlog.committed()

    async def stop_committing(self) -> None:
        """Send what the disk has not written yet without waiting for it any longer."""
        if self.spool is not None and (self.metrics.backlog.committing or self.logs.backlog.committing):
            self.spool.stop_waiting()
            await self.committed()

    def drain(self) -> None:
        """No more will be offered: from now on each batch gets one more attempt."""
        self.metrics.worker.drain()
        self.logs.worker.drain()

    def abandon(self) -> dict[str, int]:
        """Give up what still waits: what is lost is named, what is in the spool stays there."""
        lost_samples, kept_samples = self.metrics.backlog.abandon()
        lost_events, kept_events = self.logs.backlog.abandon()
        return {
            "abandoned_samples": lost_samples,
            "abandoned_log_events": lost_events,
            "spooled_samples": kept_samples,
            "spooled_log_events": kept_events,
        }

    def closers(self) -> list[Coroutine[Any, Any, None]]:
        """What lets go of connections and files."""
        return [self.target.close(), *([self.spool.close()] if self.spool is not None else [])]
