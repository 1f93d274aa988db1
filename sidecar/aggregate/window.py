"""Windows: wall-clock intervals aligned to the resolution, each with one accumulator a series. Pure.

A window `[start, start + resolution)` belongs to samples of that time. Taking a window out closes it; a
sample that comes later for the same time opens it anew, and CloudWatch merges the two.
"""

from __future__ import annotations

from collections import OrderedDict
from operator import mul
from typing import Final, NamedTuple, TypeAlias

from sidecar.aggregate.distribution import CheckpointedDistribution, Distribution
from sidecar.aggregate.members import Members
from sidecar.aggregate.state import State
from sidecar.aggregate.statistic_set import Gauge, Level, StatisticSet
from sidecar.aggregate.tally import Tally
from sidecar.model.closing import PLAIN, Closing
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import MIN_SERIES_BYTES, RESOLUTIONS, SERIES_BYTES, VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Sample, Series, Statistics

Numeric: TypeAlias = StatisticSet | Distribution
Accumulator: TypeAlias = Numeric | Members
Checkpointed: TypeAlias = StatisticSet | CheckpointedDistribution | Members
Key: TypeAlias = tuple[Series, type[Accumulator]]

_SPREAD: Final = (Kind.TIMER, Kind.HISTOGRAM, Kind.DISTRIBUTION, Kind.SAMPLE)


FORMS: Final[dict[str, type[Accumulator]]] = {form.form: form for form in (StatisticSet, Gauge, Distribution, Members)}


class Window(NamedTuple):
    """One interval of one resolution.

    Attributes:
        start: wall seconds, a multiple of the resolution.
        resolution: seconds.
        accumulators: `{(series, form): accumulator}`; a series may be counted in several forms side by side.
        serial: distinguishes it from an earlier window of the same interval.
        closing: what is done with its content when it closes; an interval has one window for each.
    """

    start: int
    resolution: int
    accumulators: dict[Key, Accumulator]
    serial: int
    closing: Closing = PLAIN

    def ended(self, now: float) -> bool:
        """Tell whether the interval is over."""
        return self.start + self.resolution <= now


class Windows:
    """All open windows."""

    def __init__(self, *, checkpointed: bool = False, max_levels: int = 20_000) -> None:
        """Start with none.

        Args:
            checkpointed: distributions record what they gained since the last checkpoint.
            max_levels: how many gauges' last values are remembered, and 1.5 kB of their names for each; the least
                recently opened goes first.
        """
        self.tally = Tally()
        self._checkpointed = checkpointed
        self._serial = 0
        self._open: dict[tuple[int, int, Closing], Window] = {}
        self._levels: OrderedDict[Series, Level] = OrderedDict()
        self._moved: dict[Series, Level] = {}  # those of them that signed lines have moved
        self._levels_lost = False  # some of those were forgotten since the last checkpoint
        self._max_levels = max_levels
        self._level_bytes = 0  # of the series whose levels are remembered
        self._max_level_bytes = max(MIN_SERIES_BYTES, max_levels * SERIES_BYTES)

    @property
    def series(self) -> int:
        """How many accumulators are open, over all windows."""
        return sum(len(window.accumulators) for window in self._open.values())

    def add(
        self, series: Series, sample: Sample, now: float, *, percentiles: bool = True, closing: Closing = PLAIN
    ) -> Accumulator:
        """Add a sample to its window.

        Args:
            series: the sample's series.
            sample: the sample; its timestamp chooses the window, else `now` does.
            now: wall seconds.
            percentiles: keep the values of a distribution; False makes it a statistic set.
            closing: what is done with the accumulator's content when its window closes.

        Raises:
            DecodeError: a gauge, a sum or a count would leave CloudWatch's range.

        Returns:
            The accumulator, which takes more samples of this series, kind and time directly until `until`.
        """
        at = now if sample.timestamp is None else sample.timestamp
        form = form_of(sample, percentiles=percentiles)
        accumulator = self.open(series, form, at, closing)
        values = sample.values
        if sample.delta and isinstance(accumulator, Gauge):
            values = (accumulator.change(values[0]),)
            if series not in self._moved and series in self._levels:
                self._moved[series] = accumulator.level
                accumulator.level.relative = accumulator.level.value == 0.0
        if not isinstance(accumulator, Members):
            if closing.scale > 1.0:
                _check_scaled(sample.statistics, values, closing.scale)
            accumulator.check_range(*_added(sample.statistics, values, sample.weights), closing.scale)
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

    def open(self, series: Series, form: type[Accumulator], at: float, closing: Closing = PLAIN) -> Accumulator:
        """Find or make the accumulator of this form for samples of this series, time (wall seconds) and closing."""
        resolution = series.resolution
        start = int(at) - int(at) % resolution
        window = self._open.get((start, resolution, closing))
        if window is None:
            self._serial += 1
            window = Window(start, resolution, {}, self._serial, closing)
            self._open[start, resolution, closing] = window
        accumulator = window.accumulators.get((series, form))
        if accumulator is None:
            until = float(start + resolution)
            accumulator = self._make(series, form, until)
            window.accumulators[series, form] = accumulator
        return accumulator

    def reopen(self, series: Series, accumulator: Numeric, now: float, closing: Closing = PLAIN) -> Numeric:
        """Find or make the accumulator that follows one whose window is over."""
        following = self.open(series, FORMS[accumulator.form], now, closing)
        assert not isinstance(following, Members)  # noqa: S101  # it has the form of the one before
        return following

    def take(self, now: float, *, unfinished: bool, resolutions: tuple[int, ...] = RESOLUTIONS) -> list[Window]:
        """Take out the windows of these resolutions that have ended, oldest first; with `unfinished`, all.

        Accumulators stay valid until each is taken in turn: what is added meanwhile is in what they give.
        """
        keys = [
            key
            for key, window in self._open.items()
            if window.resolution in resolutions and (unfinished or window.ended(now))
        ]
        return sorted((self._open.pop(key) for key in keys), key=_age)

    def windows(self) -> list[Window]:
        """The open windows."""
        return list(self._open.values())

    def reserve_serials(self, highest: int) -> None:
        """Give no window a serial that an earlier process may have given."""
        self._serial = max(self._serial, highest)

    def restore(self, series: Series, form: str, start: int, state: State, closing: Closing = PLAIN) -> None:
        """Add a state that a checkpoint stored to the window it belongs to."""
        accumulator = self.open(series, FORMS[form], start, closing)
        assert isinstance(accumulator, Checkpointed)  # noqa: S101  # these windows are made for checkpoints
        accumulator.restore(state)
        self.tally.samples += state.samples

    def unsaved_levels(self, *, full: bool) -> tuple[bool, list[tuple[Series, float]]]:
        """The levels of gauges that signed lines have moved, which count as saved then.

        A gauge that no signed line has moved needs no level: each of its lines sets it.

        Args:
            full: all of them, and not only those that changed since the last call.

        Returns:
            Whether these are all there are, so that any other is to be forgotten, and the series with their levels.
        """
        full, self._levels_lost = full or self._levels_lost, False
        unsaved = []
        for series, level in self._moved.items():
            if full or level.value != level.saved:
                level.saved = level.value
                unsaved.append((series, level.value))
        return full, unsaved

    def restore_level(self, series: Series, value: float) -> None:
        """Have a gauge go on from the level that an earlier process reached; one set since then stays as it is."""
        level = self._levels.get(series)
        if level is None:
            size = self._level_bytes + series.memory_bytes
            if len(self._levels) >= self._max_levels or size > self._max_level_bytes:
                return
            level = self._levels[series] = Level()
            level.value, self._level_bytes = value, size
        elif level.relative:
            level.value += value
        level.relative = False
        self._moved[series] = level

    def _make(self, series: Series, form: type[Accumulator], until: float) -> Accumulator:
        if form is Gauge:
            return self._gauge(series, until)
        if form is Distribution and self._checkpointed:
            return CheckpointedDistribution(until, self.tally)
        return form(until, self.tally)

    def _gauge(self, series: Series, until: float) -> Gauge:
        level = self._levels.get(series)
        if level is None:
            level = self._levels[series] = Level()
            self._level_bytes += series.memory_bytes
            while len(self._levels) > self._max_levels or self._level_bytes > self._max_level_bytes:
                forgotten, _ = self._levels.popitem(last=False)
                self._level_bytes -= forgotten.memory_bytes
                if self._moved.pop(forgotten, None) is not None:
                    self._levels_lost = True
        else:
            self._levels.move_to_end(series)
        return Gauge(until, self.tally, level)


def _age(window: Window) -> tuple[int, int, int]:
    return window.start, window.resolution, window.serial


def _check_scaled(statistics: Statistics | None, values: tuple[float, ...], scale: float) -> None:
    """Check that each value is in range once it is scaled.

    Raises:
        DecodeError: `value_out_of_range`.
    """
    for value in values if statistics is None else (statistics.minimum, statistics.maximum):
        if abs(value) * scale > VALUE_MAGNITUDE:
            detail = f"a rule of metrics.rules would scale {value:g} by {scale:g}, outside -2^360..2^360"
            raise DecodeError(Reason.VALUE_OUT_OF_RANGE, detail)


def _added(statistics: Statistics | None, values: tuple[float, ...], weights: tuple[float, ...]) -> tuple[float, float]:
    """The count and the sum that a sample adds."""
    if statistics is not None:
        return statistics.sample_count, statistics.sum
    return sum(weights), sum(map(mul, values, weights))


def form_of(sample: Sample, *, percentiles: bool) -> type[Accumulator]:
    """The form of accumulator that a sample is added to; `percentiles`: values of distributions are stored."""
    if sample.statistics is not None:
        return StatisticSet
    if sample.kind in _SPREAD:
        return Distribution if percentiles else StatisticSet
    if sample.kind is Kind.GAUGE:
        return Gauge
    return Members if sample.kind is Kind.SET else StatisticSet
