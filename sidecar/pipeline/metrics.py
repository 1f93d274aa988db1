"""The way of a metric: sample -> shape -> window; `flushes` continues from there."""

from __future__ import annotations

from typing import Final, NamedTuple

from sidecar.aggregate.window import Accumulator, Windows
from sidecar.decode.fields import check_timestamp
from sidecar.model.batches import MetricBatch
from sidecar.model.closing import PLAIN, Closing
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.samples import Sample, Series
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Discard, Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.shape.shape import Shape

SHOWN_CHARACTERS: Final = 500  # of a series in a log line


class Added(NamedTuple):
    """Where a sample was added.

    Attributes:
        accumulator: accepts more samples of the same series, kind and time; or counts them as dropped by a rule.
        series: the sample's own, or the one it was folded into.
        adjusted: what was changed, each once: the sample's own kinds, `name_repaired`, `series_folded`,
            `series_folded_by_budget`, `placeholder_unknown`.
        closing: of the accumulator's window.
    """

    accumulator: Accumulator | Discard
    series: Series
    adjusted: tuple[str, ...]
    closing: Closing = PLAIN


class MetricPath:
    """Shapes samples and adds them to windows.

    Attributes:
        shape: replaced where the configuration is reloaded.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        windows: Windows,
        shortcuts: Shortcuts,
        flushes: MetricFlushes,
        sink: Sink[MetricBatch],
        observer: Observer,
    ) -> None:
        """Connect the parts.

        Args:
            shape: names the series of samples.
            windows: what samples are added to.
            shortcuts: are cleared where the clock was set back.
            flushes: knows whether memory for samples is full.
            sink: knows whether there is room for another body.
            observer: counts, logs and reads the clock.
        """
        self.shape = shape
        self._windows = windows
        self._shortcuts = shortcuts
        self._flushes = flushes
        self._sink = sink
        self._observer = observer

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        return not self._flushes.full and self._sink.room_for(size_bytes)

    def note_time(self, now: float) -> None:
        """Note the wall time of an input, so that a clock that was set back is noticed."""
        self._flushes.note_time(now)
        self._shortcuts.note_time(now)

    def check(self, sample: Sample, now: float, input_: str) -> None:
        """Check a sample without adding it: its time and its names; the arguments are those of `add`.

        Raises:
            DecodeError: `add` would refuse it.
        """
        if sample.timestamp is not None:
            check_timestamp(sample.timestamp, now)
        self.shape.check(sample, input_)

    def add(self, sample: Sample, now: float, input_: str) -> Added:
        """Shape a sample and add it to its window; one that a rule drops is counted as dropped.

        Args:
            sample: as decoded.
            now: wall seconds, the time of a sample without one.
            input_: the label of the input by which it arrived.

        Raises:
            DecodeError: it is refused.
        """
        if self._flushes.full:
            raise DecodeError(Reason.MEMORY_FULL, "twice metrics.flush_entries are open")
        if sample.timestamp is not None:
            check_timestamp(sample.timestamp, now)
        observer = self._observer
        shaped = self.shape.shape(sample, observer.clock.monotonic(), input_)
        series = shaped.series
        if shaped.drop:
            discard = self._shortcuts.discard(shaped.closing)
            discard.count(sample.size)
            return Added(discard, series, (), shaped.closing)
        adjusted = sample.adjusted
        if sample.ignored:
            observer.limiter.warning(
                "unknown_field", "fields of a metric were ignored", fields=list(sample.ignored), metric=sample.name
            )
        if shaped.repaired:
            adjusted += ("name_repaired",)
        if shaped.over_budget:
            adjusted += ("series_folded_by_budget",)
            observer.limiter.warning(
                "series_folded_by_budget",
                "metrics.budget is spent: new series are folded, those that exist go on",
                into=str(series)[:SHOWN_CHARACTERS],
            )
        elif shaped.folded:
            adjusted += ("series_folded",)
            observer.limiter.warning(
                "series_folded",
                "metrics.max_series is reached, or that of a rule: new series are folded",
                into=str(series)[:SHOWN_CHARACTERS],
            )
        if shaped.unknown:
            adjusted += ("placeholder_unknown",)
            observer.limiter.warning(
                "placeholder_unknown",
                "a placeholder has no value: neither a hole nor a dimension nor a variable has its name",
                where="a rule of metrics, or dimensions",
                metric=sample.name,
            )
        accumulator = self._windows.add(series, sample, now, percentiles=shaped.percentiles, closing=shaped.closing)
        for kind in adjusted:
            observer.ledger.adjusted[kind] += sample.size
        return Added(accumulator, series, adjusted, shaped.closing)
