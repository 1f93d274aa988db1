"""The way of a log event: log event -> shape -> buffer, and at a flush -> batch -> sink."""

from __future__ import annotations

import asyncio
from typing import Final

from sidecar.batch.logs import LogBuffer, encode
from sidecar.config.schema import Logs
from sidecar.decode.cut import UNCUT_CHARACTERS, cut
from sidecar.decode.fields import check_timestamp
from sidecar.model.batches import MEMORY_PER_ELEMENT, LogBatch
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.turns import Turns
from sidecar.shape.log_routes import Route
from sidecar.shape.log_rules import LogRules, Measured
from sidecar.shape.routing import Destination
from sidecar.shape.shape import Shape

METRICS_INPUT: Final = "logs"  # the label under which the ledger counts the samples of `logs.metrics`


class LogPath:
    """Buffers log events by destination, and flushes the buffers by time, size or drain.

    Attributes:
        shape: replaced where the configuration is reloaded.
        not_durable: how many times something was not written to the spool.
    """

    def __init__(
        self,
        config: Logs,
        shape: Shape,
        *,
        open_bytes: int,
        sink: Sink[LogBatch],
        metrics: MetricPath,
        shortcuts: Shortcuts,
        observer: Observer,
    ) -> None:
        """Connect the parts.

        Args:
            config: the section `logs`.
            shape: chooses the destinations.
            open_bytes: the most of all buffers together: 500 streams must not buffer a megabyte each.
            sink: where batches go.
            metrics: aggregates what `logs.metrics` measure.
            shortcuts: to the accumulators of what was measured before.
            observer: counts, logs and reads the clock.
        """
        self._config = config
        self._metrics = metrics
        self._shortcuts = shortcuts
        self._ledger = observer.ledger
        self._refusals = observer.refusals
        self.shape = shape
        self._open_bytes = open_bytes
        self._sink = sink
        self._keeps = sink.keeps
        self._flush_counts = observer.ledger.flushes
        self._adjusted = observer.ledger.adjusted
        self._limiter = observer.limiter
        self._monotonic = observer.clock.monotonic
        self._buffers: dict[Destination, LogBuffer] = {}
        self._buffered_events = 0
        self._buffered_bytes = 0
        self._touched: set[Destination] = set()  # buffers with events that no segment has
        self._commits: set[asyncio.Future[bool]] = set()  # under way
        self.not_durable = 0
        observer.ledger.log_events.holders.append(lambda: self._buffered_events)

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        buffered = self._buffered_bytes + MEMORY_PER_ELEMENT * self._buffered_events
        return self._sink.room_for(buffered + size_bytes)

    def prepare(self, event: LogEvent, now: float, input_: str) -> tuple[Destination, int, bytes, int] | None:
        """Apply the rules to one log event that arrived at `now` (wall seconds), route and encode it.

        Returns:
            The arguments of `buffer`: destination, milliseconds since the epoch, encoded message, its size in a batch.
            None where a rule drops the event, which is counted.

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
        if len(event.message) > UNCUT_CHARACTERS:
            event.message, was_cut = cut(event.message)
            if was_cut:
                self._adjusted["message_cut"] += 1
                self._limiter.warning("message_cut", "a log event is over 1,048,550 bytes and was cut", input=input_)
        router = self.shape.router
        overflowed = router.overflowed
        destination = router.route(event, self._monotonic(), route)
        if router.overflowed > overflowed:
            self._adjusted["stream_overflow"] += 1
            self._limiter.warning("stream_overflow", "logs.max_streams is reached: events go to the default stream")
        body, size = encode(timestamp_ms, event.message)
        return destination, timestamp_ms, body, size

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
        for metric, value, dimensions in measured:
            key = metric.key(dimensions)
            if value.__class__ is float and self._shortcuts.add_value(key, value, at):
                continue
            try:
                sample = metric.sample(value, dimensions, timestamp)
                added = self._metrics.add(sample, now, METRICS_INPUT)
            except DecodeError as error:
                self._refusals.refuse(account, error, 1, METRICS_INPUT)
                continue
            if not added.adjusted:
                self._shortcuts.learn_document(key, sample, added.accumulator, added.series, added.closing)

    def buffer(self, destination: Destination, timestamp_ms: int, body: bytes, size: int) -> None:
        """Buffer a log event, by what `prepare` returned; flush what is full."""
        buffer = self._buffers.get(destination)
        if buffer is not None and not buffer.has_room(size):
            # Flushed before adding: the other way round, a request of one event would follow each full one.
            self._flush(destination, "threshold")
            buffer = None
        if buffer is None:
            buffer = self._buffers[destination] = LogBuffer()
        buffer.add(timestamp_ms, body, size)
        if self._keeps:
            self._touched.add(destination)
        self._buffered_events += 1
        self._buffered_bytes += size
        if buffer.full(self._config.flush_bytes):
            self._flush(destination, "threshold")
        elif self._buffered_bytes >= self._open_bytes:
            self._flush(max(self._buffers, key=self._size_of), "threshold")

    def save(self) -> None:
        """Write what was buffered since the last call to the spool, where there is one."""
        for destination in self._touched:
            buffer = self._buffers.get(destination)
            if buffer is None:
                continue
            saved = self._sink.save(LogBatch(*destination, buffer.unsaved()))
            if saved is not None:
                buffer.segments.append(saved[0])
            self._note(None if saved is None else saved[1])
        self._touched.clear()

    async def durable_since(self, not_durable: int) -> bool:
        """Wait until all writes so far have ended; True if none failed since `not_durable` was read.

        One write covers all buffers: the events of a body may be in one that a datagram started.
        """
        if self._commits:
            await asyncio.wait(set(self._commits))
        return self.not_durable == not_durable

    def restore(self, segment: int, events: LogBatch) -> None:
        """Put the events of a segment that an earlier process wrote back into their buffer."""
        destination = Destination(events.group, events.stream)
        self._buffers.setdefault(destination, LogBuffer()).restore(segment, events.events)
        self._buffered_events += len(events)
        self._buffered_bytes += events.size_bytes

    async def flush(self, cause: str, *, at_once: bool = False) -> None:
        """Batch what every buffer holds and offer it to the sink, yielding to the event loop every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            at_once: do not yield to the event loop: there is no time left.
        """
        turns = Turns(self._monotonic)
        for destination in list(self._buffers):
            if destination in self._buffers:  # not flushed meanwhile
                self._flush(destination, cause)
            if turns.due() and not at_once:
                await turns.give()

    async def run_timer(self) -> None:
        """Flush every `logs.flush_seconds`."""
        while True:
            await asyncio.sleep(self._config.flush_seconds)
            await self.flush("timer")

    def _size_of(self, destination: Destination) -> int:
        return self._buffers[destination].size_bytes

    def _flush(self, destination: Destination, cause: str) -> None:
        buffer = self._buffers.pop(destination)
        self._buffered_events -= len(buffer)
        self._buffered_bytes -= buffer.size_bytes
        self._flush_counts["logs", cause] += 1
        segments = buffer.segments
        self._touched.discard(destination)
        commit = self._sink.offer(buffer.take(*destination), segments=segments)
        if self._keeps:
            self._note(commit)

    def _note(self, commit: asyncio.Future[bool] | None) -> None:
        if commit is None:
            self.not_durable += 1
            return
        self._commits.add(commit)
        commit.add_done_callback(self._committed)

    def _committed(self, commit: asyncio.Future[bool]) -> None:
        self._commits.discard(commit)
        self.not_durable += not commit.result()
