"""The way of a metric: sample -> shape -> aggregate; `flushes` has the way from there."""

from __future__ import annotations

from typing import Final, NamedTuple

from sidecar.aggregate.window import Accumulator, Windows
from sidecar.config.schema import Metrics
from sidecar.decode.fields import check_timestamp
from sidecar.model.batches import MetricBatch
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.samples import Sample, Series, SignedGauges
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.shortcuts import Shortcuts
from sidecar.pipeline.sink import Sink
from sidecar.runtime.clock import Clock
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.series import Shaper

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
            shortcuts: are cleared where the clock was set back.
            flushes: says whether there is room for samples.
            sink: says whether there is room for bodies.
            ledger: where samples are counted.
            limiter: limits the rate of log lines.
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
        self._clock = clock

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit; False becomes a 429."""
        return not self._flushes.full and self._sink.room_for(size_bytes)

    def note_time(self, now: float) -> None:
        """Note the wall time at which something comes in, in case the clock was set back."""
        self._flushes.note_time(now)
        self._shortcuts.note_time(now)

    def check(self, sample: Sample, now: float) -> None:
        """Check a sample without adding it: its time and its names.

        Raises:
            DecodeError: `add` would not accept it.
        """
        if sample.timestamp is not None:
            check_timestamp(sample.timestamp, now)
        self._shaper.series(sample)

    def add(self, sample: Sample, now: float) -> Taken:
        """Shape and aggregate one sample.

        Raises:
            DecodeError: it is not accepted.
        """
        if self._flushes.full:
            raise DecodeError(Reason.MEMORY_FULL, "twice metrics.flush_entries are open")
        if sample.timestamp is not None:
            check_timestamp(sample.timestamp, now)
        asked = self._shaper.series(sample)
        adjusted = sample.adjusted
        if sample.ignored:
            self._limiter.warning(
                "unknown_field", "fields of a metric were ignored", fields=list(sample.ignored), metric=sample.name
            )
        if self._shaper.repaired(sample, asked):
            adjusted += ("name_repaired",)
        series = self._cardinality.admit(asked, self._clock.monotonic())
        if series is not asked and series != asked:
            adjusted += ("series_folded",)
            into = str(series)[:MOST_SHOWN]
            self._limiter.warning("series_folded", "metrics.max_series is reached: new series are folded", into=into)
        percentiles = self._shaper.keeps_values(sample, self._config.percentiles)
        accumulator = self._windows.add(series, sample, now, percentiles=percentiles)
        for kind in adjusted:
            self._ledger.adjusted[kind] += sample.size
        return Taken(accumulator, series, adjusted)

    def signed_gauges(self, name: str) -> SignedGauges:
        """How the signs of a gauge of this name are read: by rule, else `metrics.signed_gauges`."""
        return self._shaper.signed_gauges(name, self._config.signed_gauges)
