"""Flushes: open windows -> batches -> sink, by timer, when a threshold is reached, and at the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Final

from sidecar.aggregate.rollups import ClosingInterval
from sidecar.aggregate.window import Window, Windows
from sidecar.batch.metrics import Packer, encode
from sidecar.config.schema import Metrics
from sidecar.deliver.pace import Pace
from sidecar.model.batches import MetricBatch
from sidecar.model.limits import RESOLUTIONS
from sidecar.model.samples import Measurement, Series
from sidecar.observe.sent import SentSeries
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.sink import Sink
from sidecar.runtime.turns import Turns
from sidecar.shape.cardinality import Cardinality

EARLY_SECONDS: Final = 5.0  # between two early flushes
FULL_AT: Final = 2  # times metrics.flush_entries are open: further samples are refused
FLUSH_BYTES: Final = 8_000_000  # of finished batches, which a flush then offers


class MetricFlushes:
    """Closes windows, batches their content and offers the batches to the sink.

    Attributes:
        flushing: held while samples are neither in a window nor offered to the sink.
        cardinality: notes which series are sent in which clock hour, what they cost, and in which form.
        sent: notes series, each once for each form.
    """

    def __init__(
        self,
        config: Metrics,
        *,
        windows: Windows,
        cardinality: Cardinality,
        sink: Sink[MetricBatch],
        observer: Observer,
        pace: Pace,
    ) -> None:
        """Connect the parts.

        Args:
            config: the section `metrics`.
            windows: the open windows.
            cardinality: see `MetricFlushes`.
            sink: where batches go.
            observer: counts flushes, and samples that are being batched as pending; logs; reads the clock.
            pace: has the seconds after the boundary at which to flush, so that a fleet spreads; it notes each flush.
        """
        self._config = config
        self._windows = windows
        self.cardinality = cardinality
        self._sink = sink
        self._observer = observer
        self._clock = observer.clock
        self._pace = pace
        self.flushing = asyncio.Lock()
        self.sent = SentSeries()
        self._last = 0.0  # wall seconds of the last input
        self._packing = 0  # samples out of windows that are not offered to the sink yet
        self._early = asyncio.Event()
        self._urgent = asyncio.Event()  # flush without the pause between early flushes
        observer.ledger.samples.holders.append(lambda: self._windows.tally.samples + self._packing)

    @property
    def full(self) -> bool:
        """True if twice `metrics.flush_entries` are open: samples are refused."""
        return self._windows.tally.entries >= FULL_AT * self._config.flush_entries

    def note_time(self, now: float) -> bool:
        """Note the wall time of an input; True if the clock was set back since the last.

        Where it was set back by a second or more, an early flush starts: open windows lie in the future by the new time,
        and would wait for it.
        """
        back = self._last - now
        self._last = now
        if back >= 1.0:
            self._early.set()
        return back > 0.0

    def check_thresholds(self) -> None:
        """Start an early flush if a threshold is reached; to be called after every burst and body."""
        config, windows = self._config, self._windows
        too_many_series = config.flush_series is not None and windows.series >= config.flush_series
        if too_many_series or windows.tally.entries >= config.flush_entries:
            self._early.set()
            if self.full:
                self._urgent.set()

    async def flush(
        self,
        cause: str,
        *,
        unfinished: bool,
        resolutions: tuple[int, ...] = RESOLUTIONS,
        spread_seconds: float | None = None,
        at_once: bool = False,
    ) -> None:
        """Close windows, batch their content and offer it, yielding to the event loop every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            unfinished: also the open part of windows that have not ended; CloudWatch merges the parts.
            resolutions: of the windows.
            spread_seconds: time until the next flush, over a part of which the requests of this one are spaced; None:
                without spacing.
            at_once: do not yield to the event loop: there is no time left.
        """
        async with self.flushing:
            cancelled = await self._flush(
                unfinished=unfinished, resolutions=resolutions, spread_seconds=spread_seconds, at_once=at_once
            )
        self._observer.ledger.flushes["metrics", cause] += 1
        if cancelled:
            raise asyncio.CancelledError

    async def _flush(
        self, *, unfinished: bool, resolutions: tuple[int, ...], spread_seconds: float | None, at_once: bool
    ) -> bool:
        """Flush to the end even if cancelled; True if it was cancelled."""
        packer = Packer()
        batches: list[MetricBatch] = []
        cancelled = at_once
        turns = Turns(self._clock.monotonic)
        serials: list[int] = []
        requests = 0
        hour, now = self.cardinality.hours.begin(int(self._clock.wall() // 3_600)), self._clock.monotonic()
        taken = self._windows.take(self._clock.wall(), unfinished=unfinished, resolutions=resolutions)
        # Windows of one interval have their rollups in common: they are offered together.
        for (start, _), windows in groupby(taken, key=attrgetter("start", "resolution")):
            interval = list(windows)
            for series, measurement in self._close(interval):
                self._packing += measurement.samples
                form = measurement.form
                if self.cardinality.sent(series, form, hour, now):
                    self.sent.note(series, form)
                if measurement.counts is not None and measurement.values[0] < 0.0:
                    self._warn_of_negative(series)
                batches += packer.add(series.namespace, encode(series, start, measurement))
                if turns.due() and not cancelled:
                    try:
                        await turns.give()
                    except asyncio.CancelledError:
                        cancelled = True  # closed windows cannot be opened again: finish first, without yielding
            serials += [window.serial for window in interval]
            if sum([batch.size_bytes for batch in batches]) >= FLUSH_BYTES:
                batches += packer.close()
                requests += len(batches)
                self._offer(batches, serials)
                batches, serials = [], []
        batches += packer.close()
        if spread_seconds is not None:
            self._pace.flushed(requests + len(batches), spread_seconds)
        self._offer(batches, serials)
        return cancelled and not at_once

    def _close(self, interval: list[Window]) -> Iterator[tuple[Series, Measurement]]:
        """Take the accumulators of an interval's windows, then yield what they add up to by rollups."""
        closing = ClosingInterval()
        for window in interval:
            accumulators = window.accumulators
            while accumulators:
                # One by one: freeing 10,000 at once would block the event loop for 10 ms.
                (series, _), accumulator = accumulators.popitem()
                measurement = closing.take(window.closing, series, accumulator)
                if measurement is not None:
                    yield series, measurement
        yield from closing.rollups()
        if closing.out_of_range:
            self._observer.ledger.adjusted["rollup_out_of_range"] += closing.out_of_range

    def _offer(self, batches: list[MetricBatch], serials: list[int]) -> None:
        """Offer the batches of whole windows; in the spool they replace the checkpoints of these windows."""
        for batch in batches:
            self._packing -= batch.units
        self._sink.offer(batches, windows=serials)

    async def run_timer(self, resolution: int, flush_seconds: float) -> None:
        """Flush one resolution's windows after every boundary of `flush_seconds`, later by the phase.

        The phase is read at the boundary: it may have been redrawn since the last flush.
        """
        unfinished = flush_seconds < resolution
        boundary = self._clock.wall() // flush_seconds * flush_seconds
        while True:
            boundary += flush_seconds
            if abs(boundary - self._clock.wall()) > flush_seconds:  # the clock was set
                boundary = (self._clock.wall() // flush_seconds + 1) * flush_seconds
            await self._sleep_until(boundary, flush_seconds)
            phase = self._pace.phase(flush_seconds, self._clock.monotonic())
            await self._sleep_until(boundary + phase, flush_seconds)
            self.note_time(self._clock.wall())
            await self.flush("timer", unfinished=unfinished, resolutions=(resolution,), spread_seconds=flush_seconds)

    async def _sleep_until(self, wall: float, most: float) -> None:
        """Sleep until the wall clock shows `wall`; not at all where that is over `most` seconds away."""
        # The event loop may wake up just before the time, and the clock may be set back meanwhile.
        while 0.0 < (left := wall - self._clock.wall()) <= most:  # noqa: ASYNC110  # time itself has no event
            await asyncio.sleep(left)

    async def run_early_flushes(self) -> None:
        """Flush when a threshold is reached, at most every five seconds."""
        while True:
            await self._early.wait()
            await self.flush("threshold", unfinished=True)
            self._early.clear()
            self._urgent.clear()
            await self._pause()
            self.check_thresholds()

    async def _pause(self) -> None:
        """Wait between two early flushes, or until memory is full."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EARLY_SECONDS):
                await self._urgent.wait()

    def _warn_of_negative(self, series: Series) -> None:
        self._observer.limiter.warning(
            f"negative {series.name}",
            "a distribution has negative values: CloudWatch gives no percentiles for it",
            metric=series.name,
            namespace=series.namespace,
        )
