"""Windows: wall-clock intervals aligned to the resolution, each with one accumulator a series. Pure.

A window `[start, start + resolution)` belongs to samples of that time. Taking a window out closes it; a
sample that comes later for the same time opens it anew, and CloudWatch merges the two.
"""

from __future__ import annotations

from collections import OrderedDict
from operator import mul
from typing import Final, NamedTuple, TypeAlias

from sidecar.aggregate.distribution import Distribution
from sidecar.aggregate.members import Members
from sidecar.aggregate.state import State
from sidecar.aggregate.statistic_set import Gauge, Level, StatisticSet
from sidecar.aggregate.tally import Tally
from sidecar.limits import RESOLUTIONS
from sidecar.model import Kind, Sample, Series, Statistics

Numeric: TypeAlias = StatisticSet | Distribution
Accumulator: TypeAlias = Numeric | Members
Key: TypeAlias = tuple[Series, type[Accumulator]]

_SPREAD: Final = (Kind.TIMER, Kind.HISTOGRAM, Kind.DISTRIBUTION, Kind.SAMPLE)


FORMS: Final[dict[str, type[Accumulator]]] = {
    "statistics": StatisticSet,
    "gauge": Gauge,
    "distribution": Distribution,
    "members": Members,
}
FORM_NAMES: Final = {form: name for name, form in FORMS.items()}


class Window(NamedTuple):
    """One interval of one resolution.

    Attributes:
        start: wall seconds, a multiple of the resolution.
        resolution: seconds.
        accumulators: `{(series, form): accumulator}`; a series may be counted in several forms side by side.
        serial: tells it from an earlier window of the same interval.
    """

    start: int
    resolution: int
    accumulators: dict[Key, Accumulator]
    serial: int

    def ended(self, now: float) -> bool:
        """Tell whether the interval is over."""
        return self.start + self.resolution <= now


class Windows:
    """All open windows."""

    def __init__(self, *, track: bool = False, max_levels: int = 20_000) -> None:
        """Start with none.

        Args:
            track: have distributions remember what is new since the last checkpoint.
            max_levels: how many gauges' last values are remembered; the least recently opened goes first.
        """
        self.tally = Tally()
        self._track = track
        self._serial = 0
        self._open: dict[tuple[int, int], Window] = {}
        self._levels: OrderedDict[Series, Level] = OrderedDict()
        self._max_levels = max_levels

    @property
    def series(self) -> int:
        """How many accumulators are open, over all windows."""
        return sum(len(window.accumulators) for window in self._open.values())

    def add(self, series: Series, sample: Sample, now: float, *, percentiles: bool = True) -> Accumulator:
        """Add a sample to its window.

        Args:
            series: the sample's series.
            sample: the sample; its timestamp chooses the window, else `now` does.
            now: wall seconds.
            percentiles: keep the values of a distribution; False makes it a statistic set.

        Raises:
            DecodeError: a gauge, a sum or a count would leave CloudWatch's range.

        Returns:
            The accumulator, which takes more samples of this series, kind and time directly until `until`.
        """
        at = now if sample.timestamp is None else sample.timestamp
        form = _form(sample, percentiles=percentiles)
        accumulator = self.open(series, form, at)
        values = sample.values
        if sample.delta and isinstance(accumulator, Gauge):
            values = (accumulator.change(values[0]),)
        if not isinstance(accumulator, Members):
            accumulator.check_range(*_added(sample.statistics, values, sample.weights))
        self.tally.samples += sample.size
        if sample.statistics is not None and isinstance(accumulator, StatisticSet):
            accumulator.merge(sample.statistics)
        elif isinstance(accumulator, Members):
            for member in sample.members:
                accumulator.add_member(member)
        else:
            for value, weight in zip(values, sample.weights, strict=True):
                accumulator.add(value, weight)
        return accumulator

    def open(self, series: Series, form: type[Accumulator], at: float) -> Accumulator:
        """Find or make the accumulator of this form for samples of this series and time (wall seconds)."""
        resolution = series.resolution
        start = int(at) - int(at) % resolution
        window = self._open.get((start, resolution))
        if window is None:
            self._serial += 1
            window = self._open[start, resolution] = Window(start, resolution, {}, self._serial)
        accumulator = window.accumulators.get((series, form))
        if accumulator is None:
            until = float(start + resolution)
            accumulator = self._make(series, form, until)
            window.accumulators[series, form] = accumulator
        return accumulator

    def reopen(self, series: Series, accumulator: Numeric, now: float) -> Numeric:
        """Find or make the accumulator that follows one whose window is over."""
        following = self.open(series, type(accumulator), now)
        assert not isinstance(following, Members)  # noqa: S101  # it has the form of the one before
        return following

    def take(self, now: float, *, unfinished: bool, resolutions: tuple[int, ...] = RESOLUTIONS) -> list[Window]:
        """Take out the windows of these resolutions that have ended, oldest first; with `unfinished`, all.

        Accumulators stay valid until each is taken in turn: what is added meanwhile is in what they give.
        """
        keys = sorted(
            key
            for key, window in self._open.items()
            if window.resolution in resolutions and (unfinished or window.ended(now))
        )
        return [self._open.pop(key) for key in keys]

    def windows(self) -> list[Window]:
        """The open windows."""
        return list(self._open.values())

    def reserve_serials(self, highest: int) -> None:
        """Give no window a serial that an earlier process may have given."""
        self._serial = max(self._serial, highest)

    def restore(self, series: Series, form: str, start: int, state: State) -> None:
        """Add a state that a checkpoint kept to the window it belongs to."""
        accumulator = self.open(series, FORMS[form], start)
        accumulator.restore(state)
        self.tally.samples += state.samples

    def _make(self, series: Series, form: type[Accumulator], until: float) -> Accumulator:
        if form is Gauge:
            return self._gauge(series, until)
        if form is Distribution:
            return Distribution(until, self.tally, track=self._track)
        return form(until, self.tally)

    def _gauge(self, series: Series, until: float) -> Gauge:
        level = self._levels.get(series)
        if level is None:
            level = self._levels[series] = Level()
            if len(self._levels) > self._max_levels:
                self._levels.popitem(last=False)
        else:
            self._levels.move_to_end(series)
        return Gauge(until, self.tally, level)


def _added(statistics: Statistics | None, values: tuple[float, ...], weights: tuple[float, ...]) -> tuple[float, float]:
    """The count and the sum that a sample adds."""
    if statistics is not None:
        return statistics.sample_count, statistics.sum
    return sum(weights), sum(map(mul, values, weights))


def _form(sample: Sample, *, percentiles: bool) -> type[Accumulator]:
    if sample.statistics is not None:
        return StatisticSet
    if sample.kind in _SPREAD:
        return Distribution if percentiles else StatisticSet
    if sample.kind is Kind.GAUGE:
        return Gauge
    return Members if sample.kind is Kind.SET else StatisticSet
