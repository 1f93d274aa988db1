"""The pipeline: builds and connects the stages, and makes the ways of datagrams and elements into them.

Metrics:  bytes -> decode -> shape -> aggregate   ... flush ...   -> batch -> sink
Logs:     bytes -> decode -> shape -> batch       ... flush ...   -> sink

`bodies` has the way of a body over HTTP, `lines` that of a StatsD datagram, `elements` that of other datagrams and of
frames; `metrics` that of a metric from there, `logs` that of a log event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from sidecar.aggregate.window import Windows
from sidecar.config.schema import Config
from sidecar.deliver.pace import Pace
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import DecodeError
from sidecar.model.exchange import Decode, Signal
from sidecar.model.limits import RESOLUTIONS
from sidecar.model.samples import Sample
from sidecar.observe.sent import SentSeries
from sidecar.pipeline import hits
from sidecar.pipeline.bodies import Bodies
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.elements import ElementPath
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.lines import DatagramPath
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.shape.shape import Shape

LOG_OPEN_SHARE: Final = 4  # of deliver.memory_bytes open log buffers may hold one part in so many


class Pipeline:
    """Passes events through the stages.

    Attributes:
        windows: the open windows.
        bodies: ingests what arrives over HTTP.
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
        self._observer = observer
        self._deferring: list[DatagramPath | ElementPath] = []  # may have the rest of a burst still to ingest
        max_series = config.metrics.max_series
        self.windows = Windows(checkpointed=metrics.durable, max_levels=max_series)
        self._shortcuts = Shortcuts(shape, self.windows, max_series, observer)
        self._flushes = MetricFlushes(
            config.metrics,
            windows=self.windows,
            cardinality=shape.cardinality,
            sink=metrics,
            observer=observer,
            pace=pace,
        )
        self._metrics = MetricPath(
            shape,
            windows=self.windows,
            shortcuts=self._shortcuts,
            flushes=self._flushes,
            sink=metrics,
            observer=observer,
        )
        open_bytes = config.deliver.memory_bytes // LOG_OPEN_SHARE
        self._buffers = LogBuffers(config.logs, open_bytes=open_bytes, sink=logs, observer=observer)
        self._logs = LogPath(shape, metrics=self._metrics, shortcuts=self._shortcuts, observer=observer)
        self._redact_log_lines(shape)
        self._dispatch = Dispatch(
            metrics=self._metrics,
            logs=self._logs,
            buffers=self._buffers,
            shortcuts=self._shortcuts,
            observer=observer,
        )
        self.bodies = Bodies(
            metrics=self._metrics,
            logs=self._buffers,
            dispatch=self._dispatch,
            flushes=self._flushes,
            capacities=config.deliver.capacities(),
            durable=logs.durable,
            observer=observer,
        )

    def lines(self, input_: str, json_input: str, emf: Decode | None = None) -> DatagramPath:
        """The way of StatsD datagrams of one listener.

        Args:
            input_: the label under which the ledger counts lines: the same for all, since they share their shortcuts.
            json_input: that of datagrams that are JSON.
            emf: decodes items in embedded metric format; None: they are log events like any other.
        """
        path = DatagramPath(
            input_=input_,
            json_input=json_input,
            emf=emf,
            metrics=self._metrics,
            logs=self._buffers,
            dispatch=self._dispatch,
            windows=self.windows,
            shortcuts=self._shortcuts,
            flushes=self._flushes,
            observer=self._observer,
        )
        self._deferring.append(path)
        return path

    def elements(self, decode: Decode, signal: Signal, input_: str) -> ElementPath:
        """The way of datagrams and frames of one listener, each an element of a dialect.

        Args:
            decode: decodes one.
            signal: where one is counted that cannot be decoded.
            input_: the label under which the ledger counts events.
        """
        path = ElementPath(
            decode,
            signal,
            input_,
            metrics=self._metrics,
            logs=self._buffers,
            dispatch=self._dispatch,
            flushes=self._flushes,
            observer=self._observer,
        )
        self._deferring.append(path)
        return path

    def refuse(self, signal: Signal, input_: str, error: DecodeError) -> None:
        """Count and log an element that did not arrive whole, as one unit of a signal."""
        ledger = self._observer.ledger
        account = ledger.samples if signal == "samples" else ledger.log_events
        account.received[input_] += 1
        self._observer.refusals.refuse(account, error, 1, input_)

    @property
    def shape(self) -> Shape:
        """What the configuration makes of events; assigning another takes effect with the next event.

        Open windows and buffers stay as they are.
        """
        return self._metrics.shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self._metrics.shape = self._logs.shape = shape
        self._flushes.cardinality = shape.cardinality
        self._shortcuts.replace_shape(shape)
        self._redact_log_lines(shape)

    def _redact_log_lines(self, shape: Shape) -> None:
        self._observer.refusals.redact = None if shape.log_rules is None else shape.log_rules.redact

    def rules(self) -> dict[str, Any]:
        """What each rule applied to, in open windows too, and the names of those that never applied: for `/stats`."""
        summary = hits.summary(self.shape.rules, self.windows)
        if self.shape.log_rules is not None:
            summary["logs"] = logs = self.shape.log_rules.hits()
            summary["never_hit"] += hits.never_hit(logs)
        return summary

    def rule_hits(self) -> list[tuple[str, int]]:
        """Each rule with the number of samples or log events it applied to; a redaction that finds several once."""
        return hits.by_rule(self.rules())

    @property
    def series(self) -> int:
        """Distinct series in the last hour."""
        return len(self.shape.cardinality)

    def ingest_samples(self, samples: Iterable[Sample], input_: str) -> None:
        """Ingest samples that are made here, now, and count them under an input."""
        now = self._observer.clock.wall()
        self._metrics.note_time(now)
        source = Source(input_, self._observer.ledger.samples, lambda sample, _: sample)
        for sample in samples:
            self._dispatch.ingest(sample, source, now)
        self._flushes.check_thresholds()

    @property
    def sent(self) -> SentSeries:
        """What has been sent."""
        return self._flushes.sent

    @property
    def open_accumulators(self) -> int:
        """Accumulators in open windows."""
        return self.windows.series

    @property
    def flushing(self) -> asyncio.Lock:
        """Held while samples are neither in a window nor offered to the sink."""
        return self._flushes.flushing

    def close(self) -> None:
        """Refuse all further bodies with DrainingError."""
        self.bodies.close()

    def restore_log_events(self, segment: int, events: LogBatch) -> None:
        """Put the log events of a segment that an earlier process wrote back into their buffer."""
        self._buffers.restore(segment, events)

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that run for as long as the daemon does."""
        metrics = self._config.metrics
        return [
            self._flushes.run_timer(60, metrics.flush_seconds),
            self._flushes.run_timer(1, metrics.high_resolution_flush_seconds),
            self._flushes.run_early_flushes(),
            self._buffers.run_timer(),
            self._buffers.run_sorting(),
        ]

    async def flush_metrics(self, cause: str, *, unfinished: bool, resolutions: tuple[int, ...] = RESOLUTIONS) -> None:
        """Flush windows of these resolutions that have ended, with `unfinished` all; `cause` is for the count."""
        await self._flushes.flush(cause, unfinished=unfinished, resolutions=resolutions)

    async def flush_logs(self, cause: str) -> None:
        """Flush all log buffers; `cause` is for the count."""
        await self._buffers.flush(cause)

    async def flush_everything(self, *, at_once: bool = False) -> None:
        """Ingest what is deferred, then flush all windows and buffers, for the drain.

        Args:
            at_once: neither wait for bodies that are being processed nor yield to the event loop.
        """
        if not at_once:
            await self.bodies.idle()
        for path in self._deferring:
            await path.finish(at_once=at_once)
        await self._buffers.flush("drain", at_once=at_once)
        await self._flushes.flush("drain", unfinished=True, at_once=at_once)
