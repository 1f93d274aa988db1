"""The way of a metric: item or sample -> shape -> aggregate, and at a flush -> batch -> sink."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import suppress
from heapq import nsmallest
from typing import Any, Final, NamedTuple

from sidecar.aggregate.window import Accumulator, Windows
from sidecar.batch.metrics import Packer, encode
from sidecar.config.schema import Metrics
from sidecar.decode.documents import Item
from sidecar.decode.fields import check_timestamp
from sidecar.decode.json_metrics import decode_metric
from sidecar.deliver.pace import Pace
from sidecar.model.batches import MetricBatch
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import RESOLUTIONS, VALUES_PER_ITEM
from sidecar.model.samples import Sample, Series, SignedGauges
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.refusals import Refusals
from sidecar.pipeline.shortcuts import KnownDocuments
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.series import Shaper

SLICE_VALUES: Final = 500  # values of one item that are taken at once: some 0.3 ms
EARLY_SECONDS: Final = 5.0  # between two early flushes
MOST_ENTRIES: Final = 2  # times metrics.flush_entries may be open; what asks for more is refused
FLUSH_BYTES: Final = 8_000_000  # of finished batches that a flush holds before it offers them
MOST_SHOWN: Final = 500  # characters of a series in a log line


class Taken(NamedTuple):
    """Where a sample went.

    Attributes:
        accumulator: which takes more samples of the same series, kind and time.
        series: its own, or the one it was folded into.
        adjusted: what was changed to take it, each once: the sample's own, `name_repaired`, `series_folded`.
    """

    accumulator: Accumulator
    series: Series
    adjusted: tuple[str, ...]


class Slices:
    """An item with so many values that they are taken a slice at a time: to be iterated to its end.

    Attributes:
        error: why it was not taken, or not all of it, already counted; None until that is known.
    """

    def __init__(self, slices: Iterator[DecodeError | None]) -> None:
        """Nothing is taken until it is iterated."""
        self._slices = slices
        self.error: DecodeError | None = None

    def __iter__(self) -> Iterator[None]:
        """Take slice by slice; between two of them others may run."""
        for error in self._slices:
            self.error = error or self.error
            yield None


class MetricPath:
    """Aggregates samples into windows, and closes windows when it is time."""

    def __init__(
        self,
        config: Metrics,
        *,
        shaper: Shaper,
        cardinality: Cardinality,
        sink: Sink[MetricBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
        pace: Pace,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: the section `metrics`.
            shaper: names the series of samples.
            cardinality: caps the number of series.
            sink: where batches go.
            ledger: where samples are counted.
            limiter: for what is worth a line but may come a million times.
            clock: wall time for windows, monotonic time for waiting.
            pace: says how long after the boundary to flush, so that a fleet spreads; it is told of each flush.
        """
        self._config = config
        self._shaper = shaper
        self._cardinality = cardinality
        self._sink = sink
        self._ledger = ledger
        self._limiter = limiter
        self._refusals = Refusals(limiter)
        self._clock = clock
        self._pace = pace
        self.windows = Windows(checkpointed=sink.keeps, max_levels=config.max_series)
        self._known = KnownDocuments(self.windows, cardinality, clock, config.max_series)
        self.flushing = asyncio.Lock()  # held while samples are neither in a window nor offered to the sink
        self._last = 0.0  # wall seconds of the last input
        self._packing = 0  # samples taken from windows and not yet offered to the sink
        self._early = asyncio.Event()
        self._urgent = asyncio.Event()  # not even the pause between early flushes is to be kept
        ledger.samples.holders.append(lambda: self.windows.tally.samples + self._packing)

    # --- in ------------------------------------------------------------------------------------------

    def room_for(self, size_bytes: int) -> bool:
        """Whether a sender who can wait should not be told to."""
        return not self._full() and self._sink.room_for(size_bytes)

    def _full(self) -> bool:
        return self.windows.tally.entries >= MOST_ENTRIES * self._config.flush_entries

    def note_time(self, now: float) -> None:
        """Note the wall time at which something comes in: where the clock was set back, what is open is sent soon.

        It would wait for its time to come again, which may be never.
        """
        if self._last - now >= 1.0:
            self.flush_soon()
        self._last = now

    def item(self, item: Item, input_: str, now: float) -> Slices | DecodeError | None:
        """Take one JSON metric; returns why not, already counted, or what is to be iterated to take it."""
        account = self._ledger.samples
        unknown: set[str] = set()
        key = b""
        try:
            document = item.value
            if document.__class__ is dict and not item.ignored:
                known = self._known.take(document, now)
                if known is None:
                    account.received[input_] += 1
                    return None
                key = known
            if item.error is not None:
                raise item.error  # noqa: TRY301  # counted where every other refusal is
            field = _many_values(document)
            if field is not None:
                return Slices(self._slices(item, field, input_, now))
            sample = decode_metric(document, unknown)
        except DecodeError as error:
            account.received[input_] += 1
            self._refusals.refuse(account, error, 1, input_)
            return error
        except Exception:  # noqa: BLE001  # a bug in reading one item costs that item, counted and told
            account.received[input_] += 1
            return self._refusals.bug(account, 1, input_)
        self._note_ignored(sample, unknown, item.ignored)
        taken = self.sample(sample, input_, now)
        if isinstance(taken, DecodeError):
            return taken
        if not taken.adjusted:  # else each is read in full, and counted as adjusted
            self._known.learn(key, sample, taken.accumulator, taken.series)
        return None

    def _slices(self, item: Item, field: str, input_: str, now: float) -> Iterator[DecodeError | None]:
        """Take an item of many values: all of them are read before the first is added."""
        account = self._ledger.samples
        unknown: set[str] = set()
        samples: list[Sample] = []
        try:
            for first, part in _sliced(item.value, field):
                samples.append(decode_metric(part, unknown, first))
                yield None
        except DecodeError as error:
            account.received[input_] += 1
            self._refusals.refuse(account, error, 1, input_)
            yield error
            return
        except Exception:  # noqa: BLE001  # a bug in reading one item costs that item, counted and told
            account.received[input_] += 1
            yield self._refusals.bug(account, 1, input_)
            return
        for sample in samples:
            self._note_ignored(sample, unknown, item.ignored)
            taken = self.sample(sample, input_, now)
            yield taken if isinstance(taken, DecodeError) else None

    def _note_ignored(self, sample: Sample, fields: Collection[str], around: Collection[str]) -> None:
        """Mark a sample of a document with fields that are not read, its own or those around it, and log them."""
        if fields or around:
            sample.adjusted = ("unknown_field",)
            names = nsmallest(10, (*fields, *around))
            self._limiter.warning("unknown_field", "fields of a metric were ignored", fields=names, metric=sample.name)

    def sample(self, sample: Sample, input_: str, now: float, line: bytes | None = None) -> Taken | DecodeError:
        """Shape and aggregate one sample; returns where it went, or why nowhere, already counted."""
        account = self._ledger.samples
        account.received[input_] += sample.size
        try:
            if self._full():
                raise DecodeError(Reason.MEMORY_FULL, "twice metrics.flush_entries are open")  # noqa: TRY301
            if sample.timestamp is not None:
                check_timestamp(sample.timestamp, now)
            asked = self._shaper.series(sample)
            adjusted = sample.adjusted
            if self._shaper.repaired(sample, asked):
                adjusted += ("name_repaired",)
            series = self._cardinality.admit(asked, self._clock.monotonic())
            if series is not asked and series != asked:
                adjusted += ("series_folded",)
                into = str(series)[:MOST_SHOWN]
                self._limiter.warning(
                    "series_folded", "metrics.max_series is reached: new series are folded", into=into
                )
            percentiles = self._shaper.keeps_values(sample, self._config.percentiles)
            accumulator = self.windows.add(series, sample, now, percentiles=percentiles)
            for kind in adjusted:
                self._ledger.adjusted[kind] += sample.size
            return Taken(accumulator, series, adjusted)
        except DecodeError as error:
            self._refusals.refuse(account, error, sample.size, input_, line)
            return error
        except Exception:  # noqa: BLE001  # a bug in one sample costs that sample, counted and told
            return self._refusals.bug(account, sample.size, input_)

    def signed_gauges(self, name: str) -> SignedGauges:
        """How the signs of a gauge of this name are read: by rule, else `metrics.signed_gauges`."""
        return self._shaper.signed_gauges(name, self._config.signed_gauges)

    def look_for_early_flush(self) -> None:
        """See whether a threshold is reached; to be called after every burst and body."""
        config, windows = self._config, self.windows
        too_many_series = config.flush_series is not None and windows.series >= config.flush_series
        if too_many_series or windows.tally.entries >= config.flush_entries:
            self._early.set()
            if self._full():
                self._urgent.set()

    def flush_soon(self) -> None:
        """Have everything that is open sent, as when a threshold is reached."""
        self._early.set()

    # --- out -----------------------------------------------------------------------------------------

    async def flush(
        self,
        cause: str,
        *,
        unfinished: bool,
        resolutions: tuple[int, ...] = RESOLUTIONS,
        spread_seconds: float | None = None,
        at_once: bool = False,
    ) -> None:
        """Take windows out, batch them and send them, with a turn for the sockets every half millisecond.

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
        """Flush; True where it was cancelled on the way, and finished all the same."""
        packer = Packer()
        batches: list[MetricBatch] = []
        cancelled = at_once
        turns = Turns(self._clock.monotonic)
        serials: list[int] = []
        requests = 0
        for window in self.windows.take(self._clock.wall(), unfinished=unfinished, resolutions=resolutions):
            accumulators = window.accumulators
            while accumulators:
                # One by one: letting go of 10,000 at once would hold the loop for 10 ms.
                (series, _), accumulator = accumulators.popitem()
                measurement = accumulator.take()
                if measurement is None:
                    continue
                self._packing += measurement.samples
                if measurement.counts is not None and measurement.values[0] < 0.0:
                    self._tell_negative(series)
                batches += packer.add(series.namespace, encode(series, window.start, measurement))
                if turns.due() and not cancelled:
                    try:
                        await turns.give()
                    except asyncio.CancelledError:
                        cancelled = True  # what was taken out has no way back: finish first, without turns
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

    def _tell_negative(self, series: Series) -> None:
        self._limiter.warning(
            f"negative {series.name}",
            "a distribution has negative values: CloudWatch gives no percentiles for it",
            metric=series.name,
            namespace=series.namespace,
        )


def _many_values(document: object) -> str | None:
    """The name of the field in which a metric has more values than are taken at once, if it has."""
    if isinstance(document, dict):
        for field in ("values", "Values"):
            values = document.get(field)
            if isinstance(values, list) and SLICE_VALUES < len(values) <= VALUES_PER_ITEM:
                return field
    return None


def _sliced(document: dict[str, Any], field: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """A metric of many values as several of few, each with the index of its first value."""
    counts_field = "counts" if field == "values" else "Counts"
    values, counts = document[field], document.get(counts_field)
    for first in range(0, len(values), SLICE_VALUES):
        part = {**document, field: values[first : first + SLICE_VALUES]}
        if isinstance(counts, list) and len(counts) == len(values):
            part[counts_field] = counts[first : first + SLICE_VALUES]
        yield first, part
