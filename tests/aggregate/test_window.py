"""Windows: aligned, closed once, reopened by what comes late; the tally is what they hold."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.aggregate.distribution import Distribution
from sidecar.aggregate.members import Members
from sidecar.aggregate.statistic_set import Gauge, StatisticSet
from sidecar.aggregate.tally import Tally
from sidecar.aggregate.window import Accumulator, Window, Windows
from sidecar.model.samples import Kind, Measurement, Sample, Series, Statistics
from tests.support.strategies import NOW, samples

MINUTELY: Final = Series("App", "n", (), "None", 60)
SECONDLY: Final = Series("App", "n", (), "None", 1)


def counter(value: float = 1.0, timestamp: float | None = None) -> Sample:
    return Sample("n", Kind.COUNTER, (value,), (1.0,), timestamp=timestamp)


def gauge(value: float, *, delta: bool = False) -> Sample:
    return Sample("n", Kind.GAUGE, (value,), (1.0,), delta=delta)


def measured(windows: list[Window]) -> list[Measurement]:
    """What every accumulator of these windows holds, in their order."""
    taken = [accumulator.take() for window in windows for accumulator in window.accumulators.values()]
    return [measurement for measurement in taken if measurement is not None]


def everything(windows: Windows, now: float = NOW) -> list[Measurement]:
    return measured(windows.take(now, unfinished=True))


@given(st.floats(0.0, 4e9), st.sampled_from([MINUTELY, SECONDLY]))
def test_windows_are_aligned_to_the_resolution_and_hold_their_sample(at: float, series: Series) -> None:
    windows = Windows()
    accumulator = windows.add(series, counter(), at)
    (window,) = windows.take(at, unfinished=True)

    assert window.start % series.resolution == 0
    assert window.start <= at < accumulator.until == window.start + series.resolution


def test_the_samples_own_time_chooses_its_window() -> None:
    windows = Windows()
    windows.add(MINUTELY, counter(timestamp=NOW - 3_600.0), NOW)
    windows.add(MINUTELY, counter(), NOW)

    assert [int(NOW) - 3_600 - 20, int(NOW) - 20] == [
        window.start for window in windows.take(NOW + 60, unfinished=False)
    ]


def test_only_windows_that_have_ended_are_taken_unless_asked() -> None:
    windows = Windows()
    windows.add(MINUTELY, counter(), NOW)

    assert windows.take(NOW + 39.9, unfinished=False) == []
    assert len(windows.take(NOW + 40.0, unfinished=False)) == 1
    assert windows.take(NOW + 40.0, unfinished=True) == []


def test_only_the_resolutions_asked_for_are_taken() -> None:
    windows = Windows()
    windows.add(MINUTELY, counter(), NOW)
    windows.add(SECONDLY, counter(), NOW)

    assert [window.resolution for window in windows.take(NOW, unfinished=True, resolutions=(1,))] == [1]
    assert [window.resolution for window in windows.take(NOW, unfinished=True, resolutions=(60,))] == [60]


def test_windows_come_oldest_first() -> None:
    windows = Windows()
    for minutes in (3, 1, 2):
        windows.add(MINUTELY, counter(timestamp=NOW - minutes * 60), NOW)
    starts = [window.start for window in windows.take(NOW, unfinished=True)]

    assert sorted(starts) == starts
    assert len(starts) == 3


def test_a_late_sample_reopens_its_window() -> None:
    windows = Windows()
    windows.add(MINUTELY, counter(1.0), NOW)
    (first,) = windows.take(NOW + 60, unfinished=False)
    measured([first])
    windows.add(MINUTELY, counter(5.0, timestamp=NOW), NOW + 60)
    (second,) = windows.take(NOW + 60, unfinished=False)

    assert first.start == second.start
    assert [Measurement(1, Statistics(1.0, 5.0, 5.0, 5.0))] == measured([second])


def test_a_clock_that_steps_back_reopens_windows() -> None:
    windows = Windows()
    windows.add(MINUTELY, counter(), NOW)
    measured(windows.take(NOW + 60, unfinished=False))
    windows.add(MINUTELY, counter(), NOW - 120.0)

    assert len(measured(windows.take(NOW, unfinished=False))) == 1


def test_until_tells_how_long_an_accumulator_may_be_added_to() -> None:
    """A reader may keep the accumulator and add directly until then; afterwards `reopen` gives the next."""
    windows = Windows()
    first = windows.add(MINUTELY, counter(), NOW)
    assert isinstance(first, StatisticSet)
    assert first is windows.open(MINUTELY, StatisticSet, first.until - 0.001)
    windows.tally.samples += 1
    first.add(2.0, 1.0)

    second = windows.reopen(MINUTELY, first, first.until)

    assert second is not first
    assert second.until == first.until + 60.0
    assert [Measurement(2, Statistics(2.0, 3.0, 1.0, 2.0))] == everything(windows)


def test_what_is_added_between_taking_a_window_and_its_accumulator_is_in_it() -> None:
    """A flush takes windows apart in slices; what comes meanwhile for an open one still counts."""
    windows = Windows()
    accumulator = windows.add(MINUTELY, counter(), NOW)
    assert isinstance(accumulator, StatisticSet)
    taken = windows.take(NOW, unfinished=True)
    windows.tally.samples += 1
    accumulator.add(1.0, 1.0)

    assert [measurement.samples for measurement in measured(taken)] == [2]
    assert accumulator.until == 0.0


FORMS: Final[list[tuple[Kind, type[Accumulator], type[Accumulator]]]] = [
    (Kind.COUNTER, StatisticSet, StatisticSet),
    (Kind.GAUGE, Gauge, Gauge),
    (Kind.TIMER, Distribution, StatisticSet),
    (Kind.HISTOGRAM, Distribution, StatisticSet),
    (Kind.DISTRIBUTION, Distribution, StatisticSet),
    (Kind.SAMPLE, Distribution, StatisticSet),
]


@pytest.mark.parametrize(("kind", "with_percentiles", "without"), FORMS, ids=lambda form: getattr(form, "name", ""))
def test_kinds_are_collected_in_their_form(
    kind: Kind, with_percentiles: type[Accumulator], without: type[Accumulator]
) -> None:
    sample = Sample("n", kind, (1.0,), (1.0,))

    assert type(Windows().add(MINUTELY, sample, NOW, percentiles=True)) is with_percentiles
    assert type(Windows().add(MINUTELY, sample, NOW, percentiles=False)) is without


def test_sets_count_members_whatever_percentiles_are() -> None:
    windows = Windows()
    accumulator = windows.add(MINUTELY, Sample("n", Kind.SET, members=("a", "b", "a")), NOW, percentiles=False)

    assert isinstance(accumulator, Members)
    assert [Measurement(3, values=(2.0,))] == everything(windows)


def test_a_received_statistic_set_stands_beside_the_values_of_its_series() -> None:
    windows = Windows()
    windows.add(MINUTELY, Sample("n", Kind.SAMPLE, (1.0,), (1.0,)), NOW)
    windows.add(MINUTELY, Sample("n", Kind.SAMPLE, statistics=Statistics(5.0, 10.0, 1.0, 3.0)), NOW)

    assert windows.series == 2
    assert [
        Measurement(1, values=(1.0,), counts=(1.0,)),
        Measurement(1, Statistics(5.0, 10.0, 1.0, 3.0)),
    ] == everything(windows)


def test_packed_values_share_their_weights() -> None:
    windows = Windows()
    windows.add(MINUTELY, Sample("n", Kind.TIMER, (3.0, 1.0, 3.0), (2.0, 2.0, 2.0)), NOW)

    assert [Measurement(3, values=(1.0, 3.0), counts=(2.0, 4.0))] == everything(windows)


def test_signed_gauges_move_the_level_over_windows() -> None:
    windows = Windows()
    windows.add(MINUTELY, gauge(10.0), NOW)
    everything(windows)
    windows.add(MINUTELY, gauge(-3.0, delta=True), NOW + 60.0)
    windows.add(MINUTELY, gauge(1.0, delta=True), NOW + 120.0)

    assert [Statistics(1.0, 7.0, 7.0, 7.0), Statistics(1.0, 8.0, 8.0, 8.0)] == [
        measurement.statistics for measurement in everything(windows)
    ]


def test_remembered_levels_are_bounded_and_the_idlest_goes_first() -> None:
    windows = Windows(max_levels=2)
    a, b, c = [Series("App", name, (), "None", 60) for name in "abc"]
    for minute, series in enumerate((a, b, a, c)):
        windows.add(series, gauge(5.0), NOW + 60.0 * minute)
    everything(windows)
    for series in (a, b):
        windows.add(series, gauge(1.0, delta=True), NOW + 600.0)

    assert [measurement.statistics.sum for measurement in everything(windows) if measurement.statistics] == [6.0, 1.0]


class AnyInterleaving(RuleBasedStateMachine):
    """Adding, taking part and taking all, while the clock goes either way."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = Windows()
        self.now = NOW
        self.apart: list[Accumulator] = []  # of windows taken out, not yet taken themselves
        self.held: Counter[str] = Counter()

    @rule(sample=samples(), resolution=st.sampled_from([1, 60]))
    def add(self, sample: Sample, resolution: int) -> None:
        self.windows.add(Series("App", "n", (), "None", resolution), sample, self.now)
        self.held["in"] += sample.size

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0, 60.0, -45.0, -3_600.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(unfinished=st.booleans(), resolutions=st.sampled_from([(1,), (60,), (1, 60)]))
    def take_windows(self, unfinished: bool, resolutions: tuple[int, ...]) -> None:  # noqa: FBT001
        for window in self.windows.take(self.now, unfinished=unfinished, resolutions=resolutions):
            assert unfinished or window.start + window.resolution <= self.now
            self.apart.extend(window.accumulators.values())

    @rule(most=st.integers(1, 5))
    def take_accumulators(self, most: int) -> None:
        for accumulator in self.apart[:most]:
            measurement = accumulator.take()
            self.held["out"] += measurement.samples if measurement else 0
        del self.apart[:most]

    @invariant()
    def tally_is_what_is_held(self) -> None:
        assert self.windows.tally.samples == self.held["in"] - self.held["out"]
        assert self.windows.tally.entries >= 0

    def teardown(self) -> None:
        self.take_windows(unfinished=True, resolutions=(1, 60))
        self.take_accumulators(len(self.apart))
        assert self.windows.tally == Tally(coarsened=self.windows.tally.coarsened)
        assert self.windows.series == 0


AnyInterleaving.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
TestTheTallyReturnsToZero = AnyInterleaving.TestCase
