"""What rules make of one log event: redacted, then measured, then routed, sampled or dropped. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sidecar.model.errors import Reason
from sidecar.model.events import LogEvent
from sidecar.model.samples import Sample
from sidecar.shape.log_metrics import LogMetric
from sidecar.shape.log_routes import Route
from sidecar.shape.redact import Redactor


class Ruled(NamedTuple):
    """What becomes of a log event.

    Attributes:
        samples: the metrics out of it.
        unreadable: how many metrics found their field without a number in it.
        route: the first that matched, or None.
        dropped: why the event is dropped, or None.
    """

    samples: list[Sample]
    unreadable: int
    route: Route | None
    dropped: Reason | None


class LogRules:
    """`logs.redact`, `logs.metrics` and `logs.routes`."""

    def __init__(self, redactor: Redactor | None, metrics: Sequence[LogMetric], routes: Sequence[Route]) -> None:
        """Put the rules together, each in its order."""
        self._redactor = redactor
        self._metrics = metrics
        self._routes = routes

    def apply(self, event: LogEvent) -> Ruled:
        """Redact an event in place, then say what becomes of it.

        Metrics see every event, also those that are dropped: redacted, as everything behind does.
        """
        drop = self._redactor is not None and self._redactor.redact_event(event)
        fields, message = event.fields, event.message
        samples: list[Sample] = []
        unreadable = 0
        for metric in self._metrics:
            if metric.when is None or metric.when(fields, message):
                metric.hits += 1
                sample = metric.sample(event)
                if sample is not None:
                    samples.append(sample)
                elif metric.has_value(event):
                    unreadable += 1
        if drop:
            return Ruled(samples, unreadable, None, Reason.REDACTED)
        for route in self._routes:
            if route.when is None or route.when(fields, message):
                route.hits += 1
                if route.drop:
                    return Ruled(samples, unreadable, route, Reason.RULE)
                out = route.sampled_out(event)
                return Ruled(samples, unreadable, route, Reason.SAMPLED if out else None)
        return Ruled(samples, unreadable, None, None)

    def redact(self, text: str) -> str:
        """Redact text that is to be logged."""
        return text if self._redactor is None else self._redactor.redact(text)[0]

    def hits(self) -> dict[str, list[dict[str, Any]]]:
        """How often each rule matched, in the order of the configuration; of redactions, how often each replaced."""
        redacted = {} if self._redactor is None else self._redactor.hits
        return {
            "logs.redact": [{"rule": rule, "name": name, "hits": hits} for (rule, name), hits in redacted.items()],
            "logs.metrics": [
                {"rule": index, "name": metric.name, "hits": metric.hits} for index, metric in enumerate(self._metrics)
            ],
            "logs.routes": [{"rule": index, "hits": route.hits} for index, route in enumerate(self._routes)],
        }
