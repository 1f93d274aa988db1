"""Flushes: open windows -> batches -> sink, by timer, when a threshold is reached, and at the drain."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from sidecar.aggregate.window import Windows
from sidecar.batch.metrics import Packer, encode
from sidecar.config.schema import Metrics
from sidecar.deliver.pace import Pace
from sidecar.model.batches import MetricBatch
from sidecar.model.limits import RESOLUTIONS
from sidecar.model.samples import Series
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns

EARLY_SECONDS: Final = 5.0  # between two early flushes
MOST_ENTRIES: Final = 2  # times metrics.flush_entries may be open; a sample beyond is refused
FLUSH_BYTES: Final = 8_000_000  # of finished batches that a flush holds before it offers them


class MetricFlushes:
    """Closes windows when it is time, and sends what they hold."""

    def __init__(
        self,
        config: Metrics,
        *,
        windows: Windows,
        sink: Sink[MetricBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
        pace: Pace,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: the section `metrics`.
            windows: what is open.
            sink: where batches go.
            ledger: where samples that are being batched are pending, and flushes are counted.
            limiter: limits the rate of log lines.
            clock: wall time for windows, monotonic time for yielding to the event loop.
            pace: says how long after the boundary to flush, so that a fleet spreads; it is told of each flush.
        """
        self._config = config
        self._windows = windows
        self._sink = sink
        self._ledger = ledger
        self._limiter = limiter
        self._clock = clock
        self._pace = pace
        self.flushing = asyncio.Lock()  # held while samples are neither in a window nor offered to the sink
        self._last = 0.0  # wall seconds of the last input
        self._packing = 0  # samples taken from windows and not yet offered to the sink
        self._early = asyncio.Event()
        self._urgent = asyncio.Event()  # flush without the pause between early flushes
        ledger.samples.holders.append(lambda: self._windows.tally.samples + self._packing)

    @property
    def full(self) -> bool:
        """True if twice `metrics.flush_entries` are open, so that no sample is accepted."""
        return self._windows.tally.entries >= MOST_ENTRIES * self._config.flush_entries

    def note_time(self, now: float) -> bool:
        """Note the wall time of an input; True if the clock was set back since the last.

        A window that is open would wait for its time to come again, which may be never: what is open is sent soon.
        """
        back = self._last - now
        self._last = now
        if back >= 1.0:
            self._early.set()
        return back > 0.0

    def look_for_early_flush(self) -> None:
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
        """Take windows out, batch them and send them, yielding to the event loop every half millisecond.

        Args:
            cause: timer, threshold or drain, for the count.
            unfinished: also the open part of windows that have not ended; CloudWatch merges the parts.
            resolutions: which windows.
            spread_seconds: time until the next flush, over a part of which the requests of this one are spaced.
                None: they are sent as soon as they can be.
            at_once: do not yield to the event loop: there is no time left.
        """
        async with self.flushing:
            cancelled = await self._flush(
                unfinished=unfinished, resolutions=resolutions, spread_seconds=spread_seconds, at_once=at_once
            )
        self._ledger.flushes["metrics", cause] += 1
        if cancelled:
            raise asyncio.CancelledError

    async def _flush(
        self, *, unfinished: bool, resolutions: tuple[int, ...], spread_seconds: float | None, at_once: bool
    ) -> bool:
        """Flush; True if it was cancelled on the way, and finished all the same."""
        packer = Packer()
        batches: list[MetricBatch] = []
        cancelled = at_once
        turns = Turns(self._clock.monotonic)
        serials: list[int] = []
        requests = 0
        for window in self._windows.take(self._clock.wall(), unfinished=unfinished, resolutions=resolutions):
            accumulators = window.accumulators
            while accumulators:
                # One by one: freeing 10,000 at once would block the event loop for 10 ms.
                (series, _), accumulator = accumulators.popitem()
                measurement = accumulator.take()
                if measurement is None:
                    continue
                self._packing += measurement.samples
                if measurement.counts is not None and measurement.values[0] < 0.0:
                    self._warn_of_negative(series)
                batches += packer.add(series.namespace, encode(series, window.start, measurement))
                if turns.due() and not cancelled:
                    try:
                        await turns.give()
                    except asyncio.CancelledError:
                        cancelled = True  # what was taken out cannot be put back: finish first, without yielding
            serials.append(window.serial)
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

    def _offer(self, batches: list[MetricBatch], serials: list[int]) -> None:
        """Offer what whole windows hold: in the spool it takes the place of their checkpoints."""
        for batch in batches:
            self._packing -= batch.units
        self._sink.offer(batches, windows=serials)

    async def run_timer(self, resolution: int, flush_seconds: float) -> None:
        """Flush one resolution's windows after every boundary of `flush_seconds`, later by the phase.

        The phase is asked for at the boundary: it may have been redrawn since the last flush.
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
        # A loop may wake up just before the time, and the clock may be set back meanwhile.
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
            self.look_for_early_flush()

    async def _pause(self) -> None:
        """Wait between two early flushes, but not where memory is full before that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EARLY_SECONDS):
                await self._urgent.wait()

    def _warn_of_negative(self, series: Series) -> None:
        self._limiter.warning(
            f"negative {series.name}",
            "a distribution has negative values: CloudWatch gives no percentiles for it",
            metric=series.name,
            namespace=series.namespace,
        )
