"""Rollups: their totals are those of their parts, whatever the parts are."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import groupby
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.aggregate.checkpoint import blob, record, records, restore
from sidecar.aggregate.rollups import ClosingInterval
from sidecar.aggregate.window import Windows
from sidecar.model.closing import Closing, Hits
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Measurement, Rollups, Sample, Series, Statistics
from tests.support.strategies import NOW, moderate_values, weights

SETS: Rollups = (("env",), (), ("env", "service"), ("missing",))
Key = tuple[int, Series]


def series(env: str, service: str, user: str) -> Series:
    return Series("App", "n", (("env", env), ("service", service), ("user", user)), "None", 60)


def sample(kind: Kind, values: list[tuple[float, float]]) -> Sample:
    if kind is Kind.SET:
        return Sample("n", kind, members=tuple(str(value) for value, _ in values))
    return Sample("n", kind, tuple(value for value, _ in values), tuple(weight for _, weight in values))


def closed(windows: Windows) -> tuple[dict[Key, list[Measurement]], dict[Key, list[Measurement]]]:
    """Close everything, as a flush does: what is sent of series, and of rollups."""
    parts: dict[Key, list[Measurement]] = defaultdict(list)
    totals: dict[Key, list[Measurement]] = defaultdict(list)
    taken = windows.take(NOW, unfinished=True)
    for (start, _), interval in groupby(taken, key=attrgetter("start", "resolution")):
        closing = ClosingInterval()
        for window in interval:
            for (one, _), accumulator in window.accumulators.items():
                measurement = closing.take(window.closing, one, accumulator)
                if measurement is not None:
                    parts[start, one].append(measurement)
        for rollup, measurement in closing.rollups():
            totals[start, rollup].append(measurement)
    return parts, totals


def statistics(measurements: list[Measurement]) -> tuple[float, float, float, float]:
    """Count, sum, minimum and maximum of what is sent."""
    counts, sums, low, high = [], [], math.inf, -math.inf
    for one in measurements:
        if one.statistics is not None:
            counts.append(one.statistics.sample_count)
            sums.append(one.statistics.sum)
            low, high = min(low, one.statistics.minimum), max(high, one.statistics.maximum)
        else:
            assert one.counts is not None
            counts += one.counts
            sums += [value * count for value, count in zip(one.values, one.counts, strict=True)]
            low, high = min(low, one.values[0]), max(high, one.values[-1])
    return math.fsum(counts), math.fsum(sums), low, high


additions = st.lists(
    st.tuples(
        st.builds(series, st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from("123456")),
        st.builds(
            sample,
            st.sampled_from([Kind.COUNTER, Kind.GAUGE, Kind.TIMER, Kind.SAMPLE]),
            st.lists(st.tuples(moderate_values, weights), min_size=1, max_size=100),
        ),
        st.sampled_from([NOW, NOW - 60.0]),
    ),
    max_size=30,
)


@given(additions, st.sampled_from([1.0, 1_000.0, 0.001]))
def test_the_totals_of_a_rollup_are_those_of_its_parts(added: list[tuple[Series, Sample, float]], scale: float) -> None:
    """Late samples included: what is added for an earlier minute is in that minute's rollup."""
    windows, one, other = Windows(), Hits(), Hits()
    for number, (part, given_sample, at) in enumerate(added):
        # Series that different rules applied to have windows of their own, and their rollups in common.
        windows.add(part, given_sample, at, closing=Closing(scale, SETS, (one, other)[: number % 3]))
    parts, totals = closed(windows)

    assert {key for key, _ in totals.items()} == {
        (start, part._replace(dimensions=tuple(pair for pair in part.dimensions if pair[0] in names)))
        for start, part in parts
        for names in SETS[:3]
    }
    for (start, rollup), sent in totals.items():
        whole = [
            measurement
            for (at, part), measurements in parts.items()
            if at == start and set(rollup.dimensions) <= set(part.dimensions)
            for measurement in measurements
        ]
        count, sum_, low, high = statistics(whole)
        size = math.fsum(abs(value) for one in whole for value in _magnitudes(one))

        assert statistics(sent)[0] == pytest.approx(count, rel=1e-12)
        assert statistics(sent)[1] == pytest.approx(sum_, rel=1e-12, abs=1e-12 * size)
        assert statistics(sent)[2:] == (low, high)
        assert [one.samples for one in sent] == [0] * len(sent), "no samples of the ledger"


def _magnitudes(one: Measurement) -> list[float]:
    if one.statistics is not None:
        return [one.statistics.sum, one.statistics.minimum, one.statistics.maximum]
    return [value * count for value, count in zip(one.values, one.counts or (), strict=True)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1_000_000, 1_000_000)), min_size=1))
def test_totals_of_whole_numbers_are_equal_to_the_last_bit(values: list[tuple[str, int]]) -> None:
    windows = Windows()
    for env, value in values:
        windows.add(
            series(env, "s", "u"), sample(Kind.COUNTER, [(float(value), 1.0)]), NOW, closing=Closing(1.0, ((),))
        )
    ((total,),) = closed(windows)[1].values()
    numbers = [value for _, value in values]

    assert total.statistics == (len(numbers), sum(numbers), min(numbers), max(numbers))


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=600))
def test_percentiles_of_a_rollup_are_within_one_percent_of_those_of_all_samples(values: list[float]) -> None:
    windows = Windows()
    for number, value in enumerate(values):
        part = series("a", "s", str(number % 3))
        windows.add(part, sample(Kind.TIMER, [(value, 1.0)]), NOW, closing=Closing(1.0, (("env",),)))
    ((total,),) = closed(windows)[1].values()
    assert total.counts is not None
    merged = [value for value, count in zip(total.values, total.counts, strict=True) for _ in range(round(count))]

    assert len(merged) == len(values)
    for expected, got in zip(sorted(values), merged, strict=True):
        assert got == pytest.approx(expected, rel=0.0101)


def test_a_rollup_of_sets_counts_the_members_of_all_once() -> None:
    windows = Windows()
    for env, members in (("a", "xyz"), ("b", "yzq")):
        windows.add(
            series(env, "s", "u"), Sample("n", Kind.SET, members=tuple(members)), NOW, closing=Closing(1.0, SETS)
        )
    totals = {one.dimensions: sent for (_, one), sent in closed(windows)[1].items()}

    assert totals[()] == [Measurement(0, values=(4.0,))]
    assert totals[("env", "a"),] == [Measurement(0, values=(3.0,))]


def test_a_series_is_not_added_up_in_itself() -> None:
    windows = Windows()
    part = Series("App", "n", (("env", "a"),), "None", 60)
    windows.add(part, sample(Kind.COUNTER, [(1.0, 1.0)]), NOW, closing=Closing(1.0, (("env",), ())))

    assert [one.dimensions for _, one in closed(windows)[1]] == [()]


def test_a_rollup_that_cloudwatch_would_refuse_is_not_sent_and_counted() -> None:
    windows = Windows()
    for env in "ab":
        part = sample(Kind.COUNTER, [(VALUE_MAGNITUDE, 1.0)])
        windows.add(series(env, "s", "u"), part, NOW, closing=Closing(1.0, ((),)))
    closing = ClosingInterval()
    for window in windows.take(NOW, unfinished=True):
        for (one, _), accumulator in window.accumulators.items():
            closing.take(window.closing, one, accumulator)

    assert list(closing.rollups()) == []
    assert closing.out_of_range == 1


@pytest.mark.parametrize(
    "given_sample",
    [
        sample(Kind.COUNTER, [(VALUE_MAGNITUDE / 100, 1.0)]),
        sample(Kind.TIMER, [(-VALUE_MAGNITUDE / 100, 1.0)]),
        Sample("n", Kind.SAMPLE, statistics=Statistics(2.0, 1.0, 0.0, VALUE_MAGNITUDE / 100)),
        Sample("n", Kind.SAMPLE, statistics=Statistics(200.0, VALUE_MAGNITUDE / 100, 0.0, 1.0)),
    ],
)
def test_a_sample_that_scaling_would_bring_out_of_range_is_refused(given_sample: Sample) -> None:
    with pytest.raises(DecodeError) as error:
        Windows().add(series("a", "s", "u"), given_sample, NOW, closing=Closing(1_000.0))

    assert error.value.reason is Reason.VALUE_OUT_OF_RANGE


def test_values_that_scaling_makes_equal_are_one_value() -> None:
    windows = Windows()
    tiny = [(5e-324, 1.0), (1e-323, 2.0), (1.0, 1.0)]
    windows.add(series("a", "s", "u"), sample(Kind.TIMER, tiny), NOW, closing=Closing(1e-9))
    ((sent,),) = closed(windows)[0].values()

    assert (sent.values, sent.counts) == ((0.0, 1e-9), (3.0, 1.0))


@given(additions, st.data())
def test_rollups_after_a_crash_are_those_without(
    added: list[tuple[Series, Sample, float]], data: st.DataObject
) -> None:
    """Checkpoints have the parts and what is done with them; a rollup is made once, of all of them."""
    windows, whole = Windows(checkpointed=True), Windows(checkpointed=True)
    blobs: list[tuple[int, bytes]] = []
    closing = Closing(2.0, SETS)
    for part, given_sample, at in added:
        for one in (windows, whole):
            one.add(part, given_sample, at, closing=closing)
        if data.draw(st.booleans()):
            blobs += _checkpoint(windows)
    blobs += _checkpoint(windows)
    again = Windows(checkpointed=True)
    restore(again, [(serial, records(body)) for serial, body in blobs])
    expected, got = closed(whole)[1], closed(again)[1]

    assert got.keys() == expected.keys()
    for key, sent in expected.items():
        assert statistics(got[key])[0] == pytest.approx(statistics(sent)[0], rel=1e-12)
        assert statistics(got[key])[2:] == statistics(sent)[2:]


def _checkpoint(windows: Windows) -> list[tuple[int, bytes]]:
    blobs = []
    for window in windows.windows():
        held = [record(window, one, it, full=False) for (one, _), it in window.accumulators.items()]
        blobs.append((window.serial, blob([gained for gained in held if gained is not None])))
    return blobs


def test_a_checkpoint_of_an_earlier_version_has_neither_scale_nor_rollups() -> None:
    body = b'[["statistics",1789999980,["App","n",[],"None",60],1,"AAAAAAAA8D8AAAAAAAAQQAAAAAAAABBAAAAAAAAAEEA=",[]]]'

    assert records(body)[0].closing == Closing()


@pytest.mark.parametrize("closing", [b'"x",[]', b"-1,[]", b"0,[]", b"1,5", b"1,[[]],3"])
def test_a_checkpoint_with_a_closing_that_cannot_be_read_is_none(closing: bytes) -> None:
    body = b'[["statistics",1,["App","n",[],"None",60],1,"",[],%b]]' % closing
    with pytest.raises(ValueError, match="not"):
        records(body)
