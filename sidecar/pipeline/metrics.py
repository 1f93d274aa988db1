"""The way of a metric: item or sample -> shape -> aggregate; `flushes` has the way from there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import nsmallest
from typing import Any, Final, NamedTuple

from sidecar.aggregate.window import Accumulator, Windows
from sidecar.config.schema import Metrics
from sidecar.decode.fields import check_timestamp
from sidecar.decode.items import Item
from sidecar.decode.json_metrics import decode_metric
from sidecar.model.batches import MetricBatch
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import VALUES_PER_ITEM
from sidecar.model.samples import Sample, Series, SignedGauges
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.refusals import Refusals
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.series import Shaper

SLICE_VALUES: Final = 500  # values of one item that are taken at once: some 0.3 ms
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
    """Shapes samples and aggregates them into windows."""

    def __init__(
        self,
        config: Metrics,
        *,
        shaper: Shaper,
        cardinality: Cardinality,
        windows: Windows,
        shortcuts: Shortcuts,
        flushes: MetricFlushes,
        sink: Sink[MetricBatch],
        ledger: Ledger,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        """Take over the collaborators.

        Args:
            config: the section `metrics`.
            shaper: names the series of samples.
            cardinality: caps the number of series.
            windows: what samples are added to.
            shortcuts: of JSON metrics.
            flushes: says whether there is room for samples.
            sink: says whether there is room for bodies.
            ledger: where samples are counted.
            limiter: for what is worth a line but may come a million times.
            clock: monotonic time, for the cap on series.
        """
        self._config = config
        self._shaper = shaper
        self._cardinality = cardinality
        self._windows = windows
        self._shortcuts = shortcuts
        self._flushes = flushes
        self._sink = sink
        self._ledger = ledger
        self._limiter = limiter
        self._refusals = Refusals(limiter)
        self._clock = clock

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        return not self._flushes.full and self._sink.room_for(size_bytes)

    def note_time(self, now: float) -> None:
        """Note the wall time at which something comes in, in case the clock was set back."""
        self._flushes.note_time(now)
        self._shortcuts.note_time(now)

    def item(self, item: Item, input_: str, now: float) -> Slices | DecodeError | None:
        """Take one JSON metric; returns why not, already counted, or what is to be iterated to take it."""
        account = self._ledger.samples
        unknown: set[str] = set()
        key = b""
        try:
            document = item.value
            if document.__class__ is dict and not item.ignored:
                known = self._shortcuts.add_document(document, now)
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
            self._shortcuts.learn_document(key, sample, taken.accumulator, taken.series)
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
            if self._flushes.full:
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
            accumulator = self._windows.add(series, sample, now, percentiles=percentiles)
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
