"""The way of a log event: log event -> rules -> destination; `log_buffers` continues from there."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from sidecar.batch.logs import encode_in_turns
from sidecar.decode.cut import cut_in_turns
from sidecar.decode.fields import check_timestamp
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.shape.log_routes import Route
from sidecar.shape.log_rules import LogRules, Measured
from sidecar.shape.routing import Destination
from sidecar.shape.shape import Shape

METRICS_INPUT: Final = "logs"  # the label under which the ledger counts the samples of `logs.metrics`


class LogPath:
    """Stamps log events, applies the rules to them and chooses their destinations.

    Attributes:
        shape: replaced where the configuration is reloaded.
    """

    def __init__(self, shape: Shape, *, metrics: MetricPath, shortcuts: Shortcuts, observer: Observer) -> None:
        """Connect the parts.

        Args:
            shape: chooses the destinations.
            metrics: aggregates what `logs.metrics` measure.
            shortcuts: to the accumulators of what was measured before.
            observer: counts, logs and reads the clock.
        """
        self.shape = shape
        self._metrics = metrics
        self._shortcuts = shortcuts
        self._ledger = observer.ledger
        self._refusals = observer.refusals
        self._adjusted = observer.ledger.adjusted
        self._limiter = observer.limiter
        self._monotonic = observer.clock.monotonic
        self._warned: set[str] = set()  # where a placeholder was filled with `unknown`

    def prepare(self, event: LogEvent, now: float) -> tuple[Destination, int] | None:
        """Apply the rules to one log event that arrived at `now` (wall seconds), and route it.

        Returns:
            Its destination, and its time in milliseconds since the epoch; None where a rule drops it, which is counted.

        Raises:
            DecodeError: `timestamp_too_old` or `timestamp_too_new`.
        """
        timestamp_ms = event.timestamp_ms
        if timestamp_ms is None:
            timestamp_ms = int(now * 1_000)
        else:
            check_timestamp(timestamp_ms / 1_000, now)
        if event.unreadable_timestamp:
            self._adjusted["unreadable_timestamp"] += 1
        route: Route | None = None
        rules = self.shape.log_rules
        if rules is not None:
            delivered, route = self._apply(rules, event, now)
            if not delivered:
                return None
        router = self.shape.router
        overflowed, missed = router.overflowed, router.missed.count
        destination = router.route(event, self._monotonic(), route)
        if router.overflowed > overflowed:
            self._adjusted["stream_overflow"] += 1
            self._limiter.warning("stream_overflow", "logs.max_streams is reached: events go to the default stream")
        if router.missed.count > missed:
            self._note_unknown("the group or stream of a log event")
        return destination, timestamp_ms

    def encode_in_turns(self, message: str, timestamp_ms: int, input_: str) -> Generator[None, None, tuple[bytes, int]]:
        """Encode a long message as `batch.logs.encode` does; it is cut where CloudWatch Logs takes no more.

        Yields:
            None where the caller is to let others run.
        """
        message, was_cut = yield from cut_in_turns(message)
        if was_cut:
            self._adjusted["message_cut"] += 1
            self._limiter.warning("message_cut", "a log event is over 1,048,550 bytes and was cut", input=input_)
        return (yield from encode_in_turns(timestamp_ms, message))

    def _note_unknown(self, where: str) -> None:
        """Count a sample or event with a placeholder filled with `unknown`; log the first, since there may be many."""
        self._adjusted["placeholder_unknown"] += 1
        if where not in self._warned:
            self._warned.add(where)
            self._limiter.warning(
                f"placeholder_unknown {where}",
                "a placeholder has no value: neither a field nor a dimension nor a variable has its name",
                where=where,
            )

    def _apply(self, rules: LogRules, event: LogEvent, now: float) -> tuple[bool, Route | None]:
        """Apply the rules: False for an event that is dropped, which is counted; the route of another."""
        measured, unreadable, route, dropped = rules.apply(event)
        if measured:
            self._measure(measured, None if event.timestamp_ms is None else event.timestamp_ms / 1_000, now)
        if unreadable:
            self._adjusted["unreadable_metric_value"] += unreadable
        if dropped is None:
            return True, route
        self._ledger.log_events.dropped[dropped] += 1
        return False, route

    def _measure(self, measured: list[Measured], timestamp: float | None, now: float) -> None:
        """Aggregate what was measured of an event, whose time has been checked: one sample of the ledger each."""
        account = self._ledger.samples
        account.received[METRICS_INPUT] += len(measured)
        at = now if timestamp is None else timestamp
        for metric, value, dimensions, unknown in measured:
            key = metric.key(dimensions)
            if value.__class__ is float and self._shortcuts.add_value(key, value, at):
                if unknown:
                    self._note_unknown("a dimension of logs.metrics")
                continue
            try:
                sample = metric.sample(value, dimensions, timestamp)
                added = self._metrics.add(sample, now, METRICS_INPUT)
            except DecodeError as error:
                self._refusals.refuse(account, error, 1, METRICS_INPUT)
                continue
            if unknown and "placeholder_unknown" not in added.adjusted:
                self._note_unknown("a dimension of logs.metrics")
            if not added.adjusted:
                self._shortcuts.learn_document(key, sample, added.accumulator, added.series, added.closing)
