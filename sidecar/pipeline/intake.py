"""The conductor: the only place that knows the order of the stages.

Metrics:  bytes -> decode -> shape -> aggregate   ... flush ...   -> batch -> sink
Logs:     bytes -> decode -> shape -> batch       ... flush ...   -> sink

`statsd` has the way of a datagram, `metrics` that of a metric, `logs` that of a log event.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from sidecar.aggregate.window import Windows
from sidecar.config.schema import Config
from sidecar.deliver.pace import Pace
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import DecodeError
from sidecar.model.exchange import Decode, Signal
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.bodies import Bodies
from sidecar.pipeline.dispatch import Dispatch
from sidecar.pipeline.elements import ElementPath
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.lines import DatagramPath
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.refusals import Refusals
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.routing import Router
from sidecar.shape.series import Shaper

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
        open_bytes = config.deliver.memory_bytes // LOG_OPEN_SHARE
        self._logs = LogPath(config.logs, open_bytes=open_bytes, router=router, sink=logs, **shared)
        self._dispatch = Dispatch(
            metrics=self._metrics, logs=self._logs, shortcuts=shortcuts, ledger=ledger, limiter=limiter
        )
        self.bodies = Bodies(
            metrics=self._metrics,
            logs=self._logs,
            dispatch=self._dispatch,
            flushes=self._flushes,
            capacities=config.deliver.capacities(),
            durable=logs.keeps,
            ledger=ledger,
            clock=clock,
        )
        self._ledger = ledger
        self._limiter = limiter
        self._shortcuts = shortcuts
        self._refusals = Refusals(limiter)
        self.flushing = self._flushes.flushing
        self.restore_log_events = self._logs.restore
        self.flush_metrics = self._flushes.flush
        self.flush_logs = self._logs.flush

    def lines(self, input_: str, json_input: str, emf: Decode | None = None) -> DatagramPath:
        """Make the way of StatsD datagrams of one listener.

        Args:
            input_: the label under which the ledger counts lines.
            json_input: that of datagrams that are JSON.
            emf: decodes items in embedded metric format; None: they are log events like any other.
        """
        return DatagramPath(
            input_=input_,
            json_input=json_input,
            emf=emf,
            metrics=self._metrics,
            logs=self._logs,
            dispatch=self._dispatch,
            windows=self.windows,
            shortcuts=self._shortcuts,
            flushes=self._flushes,
            ledger=self._ledger,
            limiter=self._limiter,
            clock=self._clock,
        )

    def elements(self, decode: Decode, signal: Signal, input_: str) -> ElementPath:
        """Make the way of datagrams and frames of one listener, each an element of a dialect.

        Args:
            decode: decodes one.
            signal: where one is counted that cannot be decoded.
            input_: the label under which the ledger counts events.
        """
        return ElementPath(
            decode,
            signal,
            input_,
            metrics=self._metrics,
            logs=self._logs,
            dispatch=self._dispatch,
            flushes=self._flushes,
            ledger=self._ledger,
            clock=self._clock,
        )

    def refuse(self, signal: Signal, input_: str, error: DecodeError) -> None:
        """Count and log an element that did not arrive whole, as one unit of a signal."""
        account = self._ledger.samples if signal == "samples" else self._ledger.log_events
        account.received[input_] += 1
        self._refusals.refuse(account, error, 1, input_)

    @property
    def series(self) -> int:
        """Distinct series in the last hour."""
        return len(self._cardinality)

    @property
    def open_accumulators(self) -> int:
        """Accumulators in open windows."""
        return self.windows.series

    def close(self) -> None:
        """Close the door: what comes over HTTP from now on is refused."""
        self.bodies.close()

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
            await self.bodies.idle()
        await self._logs.flush("drain", at_once=at_once)
        await self._flushes.flush("drain", unfinished=True, at_once=at_once)
