"""The conductor: the only place that knows the order of the stages.

Metrics:  bytes -> decode -> shape -> aggregate   ... flush ...   -> batch -> sink
Logs:     bytes -> decode -> shape -> batch       ... flush ...   -> sink

`statsd` has the way of a datagram, `metrics` that of a metric, `logs` that of a log event.
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
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.lines import DatagramPath
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.routing import Router
from sidecar.shape.series import Shaper

REJECTED_LISTED: Final = 1_000  # of one body; beyond, only their number is told
RETRY_AFTER: Final = 2  # seconds, told with 429
LOG_OPEN_SHARE: Final = 4  # of deliver.memory_bytes open log buffers may hold one part in so many


class Pipeline:
    """Leads events through the stages."""

    def __init__(
        self,
        config: Config,
        *,
        shaper: Shaper,
        cardinality: Cardinality,
        router: Router,
        metrics: Sink[MetricBatch],
        logs: Sink[LogBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
        pace: Pace,
    ) -> None:
        """Take over the collaborators; the paths say what each is for.

        Args:
            config: read once.
            shaper: names the series of samples.
            cardinality: caps the number of series.
            router: names the destinations of log events.
            metrics: where metric batches go.
            logs: where log batches go.
            ledger: where everything is counted.
            limiter: for what is worth a line but may come a million times.
            clock: wall time for windows, monotonic time for waiting.
            pace: of metrics: when to flush.
        """
        self._config = config
        self._clock = clock
        self._cardinality = cardinality
        self._closed = False
        self._taking = 0  # bodies in work
        self._taking_bytes = 0  # what they may come to take
        self._idle = asyncio.Event()  # none is
        self._idle.set()
        shared: dict[str, Any] = {"ledger": ledger, "limiter": limiter, "clock": clock}
        max_series = config.metrics.max_series
        self.windows = Windows(checkpointed=metrics.keeps, max_levels=max_series)
        shortcuts = Shortcuts(self.windows, cardinality, clock, max_series, ledger.adjusted)
        self._flushes = MetricFlushes(config.metrics, windows=self.windows, sink=metrics, pace=pace, **shared)
        self._metrics = MetricPath(
            config.metrics,
            shaper=shaper,
            cardinality=cardinality,
            windows=self.windows,
            shortcuts=shortcuts,
            flushes=self._flushes,
            sink=metrics,
            **shared,
        )
        self._metrics_capacity, self._logs_capacity = config.deliver.capacities()
        open_bytes = config.deliver.memory_bytes // LOG_OPEN_SHARE
        self._logs = LogPath(config.logs, open_bytes=open_bytes, router=router, sink=logs, **shared)
        self._dispatch = Dispatch(
            metrics=self._metrics, logs=self._logs, shortcuts=shortcuts, ledger=ledger, limiter=limiter
        )
        self._metric_source = Source("http", ledger.samples, json_metrics.decode, documents=True)
        self._log_source = Source("http", ledger.log_events, json_logs.decode)
        self._datagrams = DatagramPath(
            metrics=self._metrics,
            logs=self._logs,
            dispatch=self._dispatch,
            windows=self.windows,
            shortcuts=shortcuts,
            flushes=self._flushes,
            **shared,
        )
        self._keeps = logs.keeps
        self.datagrams = self._datagrams.take
        self.flushing = self._flushes.flushing
        self.restore_log_events = self._logs.restore
        self.flush_metrics = self._flushes.flush
        self.flush_logs = self._logs.flush

    @property
    def series(self) -> int:
        """Distinct series in the last hour."""
        return len(self._cardinality)

    @property
    def open_accumulators(self) -> int:
        """Accumulators in open windows."""
        return self.windows.series

    async def ingest_metrics(self, body: bytes, content_type: str) -> Outcome:
        """Take a body of JSON metrics.

        Raises:
            BodyTooLargeError: it would not fit even if nothing else were held.
            BusyError: no room; nothing was taken.
            DrainingError: the door is closed.
            UnsupportedError: not JSON.
        """
        size = len(body)
        self._admit(self._metrics.room_for, size, self._metrics_capacity)
        if not looks_like_json(body):
            raise UnsupportedError(f"{content_type}: the body must be JSON, an object, an array or one a line")
        items = metric_items(documents(body, texts=False, requests=True))
        outcome = await self._take(items, self._metric_source, size)
        self._flushes.look_for_early_flush()
        return outcome

    async def ingest_logs(self, body: bytes, content_type: str) -> Outcome:
        """Take a body of log events: JSON, a form, or text with one event a line where the type is text/plain.

        Raises:
            BodyTooLargeError: it would not fit even if nothing else were held.
            BusyError: no room; nothing was taken.
            DrainingError: the door is closed.
            UnsupportedError: none of these.
        """
        # As a message every quote and backslash is written as two bytes, and each line may become an event.
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
        unkept = self._logs.unkept
        outcome = await self._take(items, self._log_source, size)
        if not self._keeps:
            return outcome
        self._logs.save()
        return outcome._replace(durable=self._logs.kept_since(unkept))

    def close(self) -> None:
        """Close the door: what comes over HTTP from now on is refused."""
        self._closed = True

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as the daemon does."""
        metrics = self._config.metrics
        return [
            self._flushes.run_timer(60, metrics.flush_seconds),
            self._flushes.run_timer(1, metrics.high_resolution_flush_seconds),
            self._flushes.run_early_flushes(),
            self._logs.run_timer(),
        ]

    async def flush_everything(self, *, at_once: bool = False) -> None:
        """Flush what is open, for the drain.

        Args:
            at_once: neither wait for bodies that are being processed nor yield to the event loop.
        """
        if not at_once:
            await self._idle.wait()
        await self._logs.flush("drain", at_once=at_once)
        await self._flushes.flush("drain", unfinished=True, at_once=at_once)

    def _admit(self, room_for: Callable[[int], bool], size_bytes: int, capacity_bytes: int) -> None:
        if self._closed:
            raise DrainingError
        if size_bytes > capacity_bytes:  # "try again" would be said for ever
            raise BodyTooLargeError(
                f"the body may take {size_bytes} bytes of memory, of {capacity_bytes} in all: send it in parts"
                " (deliver.memory_bytes, deliver.spool_max_bytes)"
            )
        if not room_for(self._taking_bytes + size_bytes):
            raise BusyError(RETRY_AFTER)

    async def _take(
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
        take = self._dispatch.take
        self._taking += 1
        self._taking_bytes += size_bytes
        self._idle.clear()
        try:
            turns = Turns(self._clock.monotonic)
            for item in items:
                if item is None:
                    await turns.give()
                    continue
                taken = take(item, source, now)
                if taken is not None and isinstance(
                    taken, Iterator
                ):  # of several events: it is rejected if one of them is
                    events, taken = taken, None
                    for error in self._dispatch.several(events, source, now):
                        taken = error or taken
                        await turns.give()
                if taken is None or not isinstance(taken, DecodeError):
                    accepted += 1
                else:
                    refused += 1
                    if refused <= REJECTED_LISTED:
                        rejected.append((accepted + refused - 1, str(taken)))
                if turns.due():
                    await turns.give()
        finally:
            self._taking -= 1
            self._taking_bytes -= size_bytes
            if not self._taking:
                self._idle.set()
        return Outcome(accepted, rejected, refused)
