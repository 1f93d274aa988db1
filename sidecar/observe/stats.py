"""The JSON of `/stats`: every figure at its path, and states that are no numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sized
from typing import Any, Final

from sidecar import __version__
from sidecar.observe.figure import Figure, Histogram, Sources
from sidecar.observe.figures import FIGURES

SECTIONS: Final = {"metrics": "samples", "logs": "log_events"}  # {signal: the section with its account}


class Stats:
    """Reads figures and states at each request."""

    def __init__(
        self,
        target_name: str,
        sources: Sources,
        *,
        open_accumulators: Callable[[], int],
        queues: Mapping[str, Sized],
        totals: Callable[[], Awaitable[dict[str, Any] | None]],
        figures: Iterable[Figure] = FIGURES,
        rules: Callable[[], dict[str, Any]] | None = None,
        cost: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        """Describe what is shown.

        Args:
            target_name: `deliver.target`.
            sources: what the figures are read from.
            open_accumulators: returns the number of accumulators in open windows.
            queues: the waiting batches, by signal.
            totals: returns what the local target holds, or None.
            figures: the table.
            rules: returns what the rules of the configuration applied to; None where there are none.
            cost: returns what is sent in dollars; None where that is not estimated.
        """
        self._target_name = target_name
        self._sources = sources
        self._open_accumulators = open_accumulators
        self._queues = queues
        self._totals = totals
        self._figures = tuple(figures)
        self._rules = rules
        self._cost = cost

    async def summary(self) -> dict[str, Any]:
        """The JSON of `/stats`."""
        ledger, health = self._sources.ledger, self._sources.health
        stats: dict[str, Any] = {
            "version": __version__,
            "samples": {},
            "log_events": {},
            "datagrams": {"kernel_dropped": None},  # null where the system has no such counter
            "delivery": {
                "target": self._target_name,
                "metrics": health.metrics.summary() | {"queued_batches": len(self._queues["metrics"])},
                "logs": health.logs.summary() | {"queued_batches": len(self._queues["logs"])},
            },
            "series": {"open": self._open_accumulators()},
            "listeners": {listener.name: listener.summary() for listener in health.listeners},
            "dogstatsd_clients": dict(ledger.client_telemetry),
        }
        if health.spool is not None:
            stats["spool"] = health.spool()
        if health.configuration is not None:
            stats["configuration"] = health.configuration()
        if self._rules is not None:
            stats["rules"] = self._rules()
        if self._cost is not None:
            stats["cost"] = await self._cost()
        local = await self._totals()
        if local is not None:
            stats["local"] = local
        for figure in self._figures:
            _show(figure, self._sources, stats)
        return stats


def _show(figure: Figure, sources: Sources, stats: dict[str, Any]) -> None:
    """Put the values of a figure at its path in `stats`."""
    if not figure.path:
        return
    values = list(figure.read(sources))
    if figure.labels and not values and "{" not in figure.path:
        _put(stats, figure.path.split("."), {})
    for label_values, value in values:
        labels = dict(zip(figure.labels, label_values, strict=True))
        path = figure.path.format(**labels | {"signal": SECTIONS.get(labels.get("signal", ""), "")}).split(".")
        nested = [labels[name] for name in figure.labels if f"{{{name}}}" not in figure.path]
        shown = {"count": value.buckets[-1][1], "sum": value.sum} if isinstance(value, Histogram) else value
        _put(stats, [*path, *nested], shown)
    if figure.total_path:
        _put(stats, figure.total_path.split("."), sum(value for _, value in values if not isinstance(value, Histogram)))


def _put(stats: dict[str, Any], path: list[str], value: object) -> None:
    *sections, last = path
    for section in sections:
        stats = stats.setdefault(section, {})
    stats[last] = value
