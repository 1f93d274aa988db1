"""What rules make of one log event: redacted, then measured, then routed, sampled or dropped. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from sidecar.model.errors import Reason
from sidecar.model.events import LogEvent
from sidecar.model.template import Missed
from sidecar.shape.log_metrics import LogMetric, Number
from sidecar.shape.log_routes import Route
from sidecar.shape.redact import Redactor

Measured: TypeAlias = tuple[LogMetric, Number, tuple[str, ...], bool]
"""A metric, its value, those of its dimensions, and whether a placeholder of these was filled with `unknown`."""


class Ruled(NamedTuple):
    """What becomes of a log event.

    Attributes:
        measured: the metrics from it.
        unreadable: how many metrics found their field without a number in it.
        route: the first that matched, or None.
        dropped: why the event is dropped, or None.
    """

    measured: list[Measured]
    unreadable: int
    route: Route | None
    dropped: Reason | None


class LogRules:
    """`logs.redact`, `logs.metrics` and `logs.routes`."""

    def __init__(
        self,
        redactor: Redactor | None,
        metrics: Sequence[LogMetric],
        routes: Sequence[Route],
        missed: Missed | None = None,
    ) -> None:
        """Put the rules together, each in its order; `missed` is where templates count what they fill with `unknown`."""
        self._missed = missed or Missed()
        self._redactor = redactor
        self._metrics = metrics
        self._routes = routes

    def apply(self, event: LogEvent) -> Ruled:
        """Redact an event in place, then say what becomes of it.

        Metrics see every event, also those that are dropped: redacted, as everything behind does.
        """
        drop = self._redactor is not None and self._redactor.redact_event(event)
        fields, message = event.fields, event.message
        measured: list[Measured] = []
        unreadable = 0
        for metric in self._metrics:
            if metric.when is None or metric.when(fields, message):
                metric.hits += 1
                value = metric.measure(fields)
                if value is not True and value is not False:
                    missed = self._missed.count
                    dimensions = metric.dimensions(fields)
                    measured.append((metric, value, dimensions, self._missed.count > missed))
                else:
                    unreadable += value
        if drop:
            return Ruled(measured, unreadable, None, Reason.REDACTED)
        for route in self._routes:
            if route.when is None or route.when(fields, message):
                route.hits += 1
                if route.drop:
                    return Ruled(measured, unreadable, route, Reason.RULE)
                out = route.sampled_out(event)
                return Ruled(measured, unreadable, route, Reason.SAMPLED if out else None)
        return Ruled(measured, unreadable, None, None)

    def redact(self, text: str) -> str:
        """Redact text that is to be logged."""
        return text if self._redactor is None else self._redactor.redact(text)[0]

    def hits(self) -> dict[str, list[dict[str, Any]]]:
        """How often each rule matched, in the order of the configuration; of redactions, how often each replaced."""
        redacted = {} if self._redactor is None else self._redactor.hits
        return {
            "redact": [
                {"rule": f"logs.redact.{rule}", "name": name, "hits": hits} for (rule, name), hits in redacted.items()
            ],
            "metrics": [
                {"rule": f"logs.metrics.{index}", "name": metric.name, "hits": metric.hits}
                for index, metric in enumerate(self._metrics)
            ],
            "routes": [
                {"rule": f"logs.routes.{index}", "hits": route.hits} for index, route in enumerate(self._routes)
            ],
        }
