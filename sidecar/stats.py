"""The JSON of `/stats`: everything the daemon can tell of itself, gathered from those who know."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from sidecar import __version__
from sidecar.deliver.target import Target
from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger
from sidecar.observe.stall import StallProbe
from sidecar.pipeline import Pipeline


class Stats:
    """Gathers the figures when asked."""

    def __init__(
        self,
        target_name: str,
        *,
        ledger: Ledger,
        health: Health,
        pipeline: Pipeline,
        queues: Mapping[str, Sized],
        stall: StallProbe,
        target: Target,
    ) -> None:
        """Take those who know; `queues` holds the batches that wait, by signal."""
        self._target_name = target_name
        self._ledger = ledger
        self._health = health
        self._pipeline = pipeline
        self._queues = queues
        self._stall = stall
        self._target = target

    async def summary(self) -> dict[str, Any]:
        """Everything, as JSON would have it."""
        ledger, health = self._ledger, self._health
        stats: dict[str, Any] = {
            "version": __version__,
            "samples": ledger.samples.summary(),
            "log_events": ledger.log_events.summary(),
            "datagrams": {
                "read": ledger.datagrams.read,
                "discarded": ledger.datagrams.discarded,
                "kernel_dropped": ledger.datagrams.kernel_dropped(),
            },
            "delivery": {
                "target": self._target_name,
                "metrics": health.metrics.summary() | {"queued_batches": len(self._queues["metrics"])},
                "logs": health.logs.summary() | {"queued_batches": len(self._queues["logs"])},
                "requests": self._requests(),
            },
            "series": {"known": self._pipeline.series, "open": self._pipeline.open_accumulators},
            "listeners": {listener.name: listener.summary() for listener in health.listeners},
            "http": [
                {"route": route, "status": status, "answers": count}
                for (route, status), count in sorted(ledger.answers.items())
            ],
            "adjusted": dict(ledger.adjusted),
            "dogstatsd_clients": dict(ledger.client_telemetry),
            "flushes": dict(ledger.flushes),
            "loop_stall_seconds": self._stall.longest(),
        }
        if health.spool is not None:
            stats["spool"] = health.spool()
        local = await self._target.totals()
        if local is not None:
            stats["local"] = local
        return stats

    def _requests(self) -> dict[str, dict[str, int]]:
        requests: dict[str, dict[str, int]] = {}
        for (operation, outcome), count in self._ledger.requests.outcomes.items():
            requests.setdefault(operation, {})[outcome] = count
        return requests
