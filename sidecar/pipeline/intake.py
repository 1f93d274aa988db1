"""The pipeline: builds and connects the stages, admits bodies, and ingests their items.

Metrics:  bytes -> decode -> shape -> aggregate   ... flush ...   -> batch -> sink
Logs:     bytes -> decode -> shape -> batch       ... flush ...   -> sink

`lines` has the way of a datagram, `metrics` that of a metric, `logs` that of a log event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final

from sidecar.aggregate.window import Windows
from sidecar.config.schema import Config
from sidecar.decode import json_logs, json_metrics
from sidecar.decode.documents import documents, looks_like_json, text_lines
from sidecar.decode.forms import FORM, form_items
from sidecar.decode.items import Item
from sidecar.decode.requests import metric_items
from sidecar.deliver.pace import Pace
from sidecar.model.batches import MEMORY_PER_ELEMENT, LogBatch, MetricBatch
from sidecar.model.errors import BodyTooLargeError, BusyError, DecodeError, DrainingError, UnsupportedError
from sidecar.model.events import Outcome
from sidecar.model.limits import RESOLUTIONS
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.lines import DatagramPath
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.turns import Turns
from sidecar.shape.shape import Shape

REJECTED_LISTED: Final = 1_000  # of one body; further ones are counted and not listed
RETRY_AFTER: Final = 2  # seconds, the Retry-After of a 429
LOG_OPEN_SHARE: Final = 4  # of deliver.memory_bytes open log buffers may hold one part in so many


class Pipeline:
    """Passes events through the stages.

    Attributes:
        windows: the open windows.
    """

    def __init__(
        self,
        config: Config,
        shape: Shape,
        *,
        metrics: Sink[MetricBatch],
        logs: Sink[LogBatch],
        observer: Observer,
        pace: Pace,
    ) -> None:
        """Build the parts and connect them.

        Args:
            config: read once.
            shape: what the configuration makes of events.
            metrics: where metric batches go.
            logs: where log batches go.
            observer: counts, logs and reads the clock.
            pace: of metrics: when to flush.
        """
        self._config = config
        self._clock = observer.clock
        self._closed = False
        self._bodies = 0  # bodies that are being processed
        self._reserved_bytes = 0  # the memory that their events may need
        self._idle = asyncio.Event()  # set while no body is being processed
        self._idle.set()
        ledger, max_series = observer.ledger, config.metrics.max_series
        self.windows = Windows(checkpointed=metrics.keeps, max_levels=max_series)
        self._shortcuts = Shortcuts(shape, self.windows, max_series, observer)
        self._flushes = MetricFlushes(config.metrics, windows=self.windows, sink=metrics, observer=observer, pace=pace)
        self._metrics = MetricPath(
            shape,
            windows=self.windows,
            shortcuts=self._shortcuts,
            flushes=self._flushes,
            sink=metrics,
            observer=observer,
        )
        self._metrics_capacity, self._logs_capacity = config.deliver.capacities()
        open_bytes = config.deliver.memory_bytes // LOG_OPEN_SHARE
        self._logs = LogPath(config.logs, shape, open_bytes=open_bytes, sink=logs, observer=observer)
        self._dispatch = Dispatch(metrics=self._metrics, logs=self._logs, shortcuts=self._shortcuts, observer=observer)
        self._metric_source = Source("http", ledger.samples, json_metrics.decode, documents=True)
        self._log_source = Source("http", ledger.log_events, json_logs.decode)
        self._datagrams = DatagramPath(
            metrics=self._metrics,
            logs=self._logs,
            dispatch=self._dispatch,
            windows=self.windows,
            shortcuts=self._shortcuts,
            flushes=self._flushes,
            observer=observer,
        )
        self._has_spool = logs.keeps

    @property
    def shape(self) -> Shape:
        """What the configuration makes of events; assigning another takes effect with the next event.

        Open windows and buffers stay as they are.
        """
        return self._metrics.shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self._metrics.shape = self._logs.shape = self._shortcuts.shape = shape
        self._shortcuts.clear()

    @property
    def series(self) -> int:
        """Distinct series in the last hour."""
        return len(self.shape.cardinality)

    @property
    def open_accumulators(self) -> int:
        """Accumulators in open windows."""
        return self.windows.series

    @property
    def flushing(self) -> asyncio.Lock:
        """Held while samples are neither in a window nor offered to the sink."""
        return self._flushes.flushing

    def datagrams(self, burst: list[bytes]) -> bool:
        """Ingest a burst of datagrams, StatsD or JSON; True if a rest was deferred: call again, with an empty burst."""
        return self._datagrams.ingest(burst)

    async def ingest_metrics(self, body: bytes, content_type: str) -> Outcome:
        """Ingest a body of JSON metrics.

        Raises:
            BodyTooLargeError: it would not fit even if memory were empty.
            BusyError: it does not fit now; nothing of it was ingested.
            DrainingError: the sidecar is shutting down.
            UnsupportedError: not JSON.
        """
        size = len(body)
        self._admit(self._metrics.room_for, size, self._metrics_capacity)
        if not looks_like_json(body):
            raise UnsupportedError(f"{content_type}: the body must be JSON, an object, an array or one a line")
        items = metric_items(documents(body, texts=False, requests=True))
        outcome = await self._ingest(items, self._metric_source, size)
        self._flushes.check_thresholds()
        return outcome

    async def ingest_logs(self, body: bytes, content_type: str) -> Outcome:
        """Ingest a body of log events: JSON, a form, or text with one event a line where the type is text/plain.

        Raises:
            BodyTooLargeError: it would not fit even if memory were empty.
            BusyError: it does not fit now; nothing of it was ingested.
            DrainingError: the sidecar is shutting down.
            UnsupportedError: it is none of these.
        """
        # In an encoded message every quote and backslash is two bytes, and each line may become an event.
        size = 2 * len(body) + MEMORY_PER_ELEMENT * (body.count(b"\n") + 1)
        self._admit(self._logs.room_for, size, self._logs_capacity)
        if content_type == "text/plain":
            items: Iterable[Item | None] = text_lines(body)
        elif looks_like_json(body):
            items = documents(body)
        elif content_type == FORM:
            items = form_items(body)
        else:
            raise UnsupportedError(
                f"{content_type}: the body must be JSON, a form, or text/plain with one event a line"
            )
        not_durable = self._logs.not_durable
        outcome = await self._ingest(items, self._log_source, size)
        if not self._has_spool:
            return outcome
        self._logs.save()
        return outcome._replace(durable=self._logs.durable_since(not_durable))

    def close(self) -> None:
        """Refuse all further bodies with DrainingError."""
        self._closed = True

    def restore_log_events(self, segment: int, events: LogBatch) -> None:
        """Put the log events of a segment that an earlier process wrote back into their buffer."""
        self._logs.restore(segment, events)

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that run for as long as the daemon does."""
        metrics = self._config.metrics
        return [
            self._flushes.run_timer(60, metrics.flush_seconds),
            self._flushes.run_timer(1, metrics.high_resolution_flush_seconds),
            self._flushes.run_early_flushes(),
            self._logs.run_timer(),
        ]

    async def flush_metrics(self, cause: str, *, unfinished: bool, resolutions: tuple[int, ...] = RESOLUTIONS) -> None:
        """Flush windows of these resolutions that have ended, with `unfinished` all; `cause` is for the count."""
        await self._flushes.flush(cause, unfinished=unfinished, resolutions=resolutions)

    async def flush_logs(self, cause: str) -> None:
        """Flush all log buffers; `cause` is for the count."""
        await self._logs.flush(cause)

    async def flush_everything(self, *, at_once: bool = False) -> None:
        """Ingest what is deferred, then flush all windows and buffers, for the drain.

        Args:
            at_once: neither wait for bodies that are being processed nor yield to the event loop.
        """
        if not at_once:
            await self._idle.wait()
        await self._datagrams.finish(at_once=at_once)
        await self._logs.flush("drain", at_once=at_once)
        await self._flushes.flush("drain", unfinished=True, at_once=at_once)

    def _admit(self, room_for: Callable[[int], bool], size_bytes: int, capacity_bytes: int) -> None:
        if self._closed:
            raise DrainingError
        if size_bytes > capacity_bytes:  # a 429 would be repeated for ever
            raise BodyTooLargeError(
                f"the body may take {size_bytes} bytes of memory, of {capacity_bytes} in all: send it in parts"
                " (deliver.memory_bytes, deliver.spool_max_bytes)"
            )
        if not room_for(self._reserved_bytes + size_bytes):
            raise BusyError(RETRY_AFTER)

    async def _ingest(
        self,
        items: Iterable[Item | None],
        source: Source,
        size_bytes: int,
    ) -> Outcome:
        """Process a body's items, yielding to the event loop every 0.5 ms; `size_bytes` stays reserved meanwhile."""
        now = self._clock.wall()
        self._metrics.note_time(now)
        accepted = 0
        rejected: list[tuple[int, str]] = []
        refused = 0
        ingest = self._dispatch.ingest
        self._bodies += 1
        self._reserved_bytes += size_bytes
        self._idle.clear()
        try:
            turns = Turns(self._clock.monotonic)
            for item in items:
                if item is None:
                    await turns.give()
                    continue
                outcome = ingest(item, source, now)
                if outcome is not None and isinstance(outcome, Iterator):
                    # An item of several events is refused if one of them is.
                    events, outcome = outcome, None
                    for error in self._dispatch.ingest_several(events, source, now):
                        outcome = error or outcome
                        await turns.give()
                if outcome is None or not isinstance(outcome, DecodeError):
                    accepted += 1
                else:
                    refused += 1
                    if refused <= REJECTED_LISTED:
                        rejected.append((accepted + refused - 1, str(outcome)))
                if turns.due():
                    await turns.give()
        finally:
            self._bodies -= 1
            self._reserved_bytes -= size_bytes
            if not self._bodies:
                self._idle.set()
        return Outcome(accepted, rejected, refused)
