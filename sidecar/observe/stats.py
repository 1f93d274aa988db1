"""The JSON of `/stats`: the ledger, health and figures of every part of the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sized
from typing import Any

from sidecar import __version__
from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger
from sidecar.observe.stall import StallProbe


class Stats:
    """Gathers the figures when asked."""

    def __init__(
        self,
        target_name: str,
        *,
        ledger: Ledger,
        health: Health,
        series: Callable[[], Mapping[str, int]],
        queues: Mapping[str, Sized],
        stall: StallProbe,
        totals: Callable[[], Awaitable[dict[str, Any] | None]],
    ) -> None:
        """Take what is read when `/stats` is asked for.

        Args:
            target_name: `deliver.target`.
            ledger: what is counted.
            health: the state of listeners, delivery and spool.
            series: `{known: series of the last hour, open: accumulators in open windows}`.
            queues: the batches that wait, by signal.
            stall: the longest stall of the event loop.
            totals: what the local target holds, or None.
        """
        self._target_name = target_name
        self._ledger = ledger
        self._health = health
        self._series = series
        self._queues = queues
        self._stall = stall
        self._totals = totals

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
            "series": dict(self._series()),
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
        local = await self._totals()
        if local is not None:
            stats["local"] = local
        return stats

    def _requests(self) -> dict[str, dict[str, int]]:
        requests: dict[str, dict[str, int]] = {}
        for (operation, outcome), count in self._ledger.requests.outcomes.items():
            requests.setdefault(operation, {})[outcome] = count
        return requests
