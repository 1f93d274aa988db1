"""Checkpoints: all blobs of an open window, restored, are that window."""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.aggregate.checkpoint import blob, record, records, restore
from sidecar.aggregate.window import Windows
from sidecar.model.limits import VALUES_PER_DATUM
from sidecar.model.samples import Kind, Measurement, Sample, Series
from tests.support.strategies import NOW, samples

SERIES: Final = [Series("App", "n", (), "None", 60), Series("Other", "m", (("k", "é"),), "Count", 1)]
Blobs = list[tuple[int, bytes]]


def checkpoint(windows: Windows, *, full: bool = False, per_blob: int = 2) -> Blobs:
    """One checkpoint of everything, as the checkpointer takes it."""
    blobs: Blobs = []
    for window in windows.windows():
        gains = [
            gained
            for (series, _), accumulator in window.accumulators.items()
            if (gained := record(window, series, accumulator, full=full)) is not None
        ]
        blobs += [(window.serial, blob(gains[at : at + per_blob])) for at in range(0, len(gains), per_blob)]
    return blobs


def restored(blobs: Blobs) -> tuple[Windows, int]:
    windows = Windows(checkpointed=True)
    return windows, restore(windows, [(serial, records(body)) for serial, body in blobs])


def taken(windows: Windows) -> dict[tuple[int, Series, str], Measurement]:
    """What every accumulator holds; empties the windows."""
    held: dict[tuple[int, Series, str], Measurement] = {}
    for window in windows.take(NOW, unfinished=True):
        for (series, form), accumulator in window.accumulators.items():
            measurement = accumulator.take()
            if measurement is not None:
                held[window.start, series, form.form] = measurement
    return held


def assert_alike(expected: Measurement, got: Measurement) -> None:
    """The same samples, count, sum, extremes and, where they were exact, values."""
    assert got.samples == expected.samples
    if expected.statistics is not None:
        assert got.statistics is not None
        assert got.statistics == pytest.approx(expected.statistics, rel=1e-12)
        return
    assert (got.counts is None) is (expected.counts is None)
    if expected.counts is None or got.counts is None:
        assert got.values == expected.values
        return
    assert (got.values[0], got.values[-1]) == (expected.values[0], expected.values[-1])
    assert math.fsum(got.counts) == pytest.approx(math.fsum(expected.counts), rel=1e-12)
    products = [value * count for value, count in zip(expected.values, expected.counts, strict=True)]
    sum_ = math.fsum(value * count for value, count in zip(got.values, got.counts, strict=True))
    assert sum_ == pytest.approx(math.fsum(products), rel=1e-12, abs=1e-12 * math.fsum(map(abs, products)))
    if len(expected.values) <= VALUES_PER_DATUM:
        assert got.values == expected.values
        assert got.counts == pytest.approx(expected.counts, rel=1e-12)


steps = st.lists(
    st.one_of(st.tuples(st.sampled_from(SERIES), samples()), st.sampled_from(["delta", "full", "close"])), max_size=60
)


@given(steps)
def test_all_blobs_of_the_open_windows_restored_are_the_open_windows(
    given_steps: list[tuple[Series, Sample] | str],
) -> None:
    """Samples of every kind; checkpoints, full and not, and closings of windows at any moment between them."""
    windows = Windows(checkpointed=True)
    kept: Blobs = []
    for step in given_steps:
        if isinstance(step, tuple):
            windows.add(step[0], step[1], NOW)
        elif step == "close":
            closed = windows.take(NOW, unfinished=False)
            for window in closed:
                for accumulator in window.accumulators.values():
                    accumulator.take()
            serials = {window.serial for window in closed}
            kept = [(serial, body) for serial, body in kept if serial not in serials]
        else:
            kept = ([] if step == "full" else kept) + checkpoint(windows, full=step == "full")
    kept += checkpoint(windows)
    back, count = restored(kept)

    assert count == windows.tally.samples == back.tally.samples
    expected, got = taken(windows), taken(back)
    assert expected.keys() == got.keys()
    for key, measurement in expected.items():
        assert_alike(measurement, got[key])


@given(st.lists(st.tuples(st.sampled_from(SERIES), samples()), max_size=30), st.integers(1, 5))
def test_taking_checkpoints_changes_nothing(given_samples: list[tuple[Series, Sample]], every: int) -> None:
    quiet, watched = Windows(), Windows(checkpointed=True)
    for number, (series, sample) in enumerate(given_samples):
        quiet.add(series, sample, NOW)
        watched.add(series, sample, NOW)
        if number % every == 0:
            checkpoint(watched, full=number % 2 == 0)

    assert quiet.tally.samples == watched.tally.samples
    expected, got = taken(quiet), taken(watched)
    assert expected.keys() == got.keys()
    for key, measurement in expected.items():
        assert_alike(measurement, got[key])
    assert watched.tally.entries == watched.tally.samples == 0


@given(st.lists(st.tuples(st.sampled_from(SERIES), samples()), max_size=20))
def test_what_did_not_change_is_not_written_again(given_samples: list[tuple[Series, Sample]]) -> None:
    windows = Windows(checkpointed=True)
    for series, sample in given_samples:
        windows.add(series, sample, NOW)
    first = checkpoint(windows)

    assert checkpoint(windows) == []
    assert restored(checkpoint(windows, full=True))[1] == restored(first)[1] == windows.tally.samples


@given(st.lists(st.tuples(st.sampled_from(SERIES), samples()), max_size=20), st.data())
def test_what_was_restored_is_checkpointed_in_full_and_restored_again(
    given_samples: list[tuple[Series, Sample]], data: st.DataObject
) -> None:
    """As after two crashes in a row."""
    windows = Windows(checkpointed=True)
    kept: Blobs = []
    for series, sample in given_samples:
        windows.add(series, sample, NOW)
        if data.draw(st.booleans()):
            kept += checkpoint(windows)
    kept += checkpoint(windows)
    once, count = restored(kept)
    twice, again = restored(checkpoint(once, full=True))

    assert count == again == windows.tally.samples
    expected, got = taken(windows), taken(twice)
    assert expected.keys() == got.keys()
    for key, measurement in expected.items():
        assert_alike(measurement, got[key])


@given(st.integers(0, 2**32), st.integers(151, 3_000), st.sampled_from([1, 7, 100, 1_000]), st.integers(0, 9))
def test_a_folded_distribution_stays_within_one_percent_and_exact_in_count_sum_and_extremes(
    seed: int, size: int, every: int, full_every: int
) -> None:
    values = [math.exp((seed * 7 + i * 7919) % 10_007 / 1_000) for i in range(size)]
    windows = Windows(checkpointed=True)
    kept: Blobs = []
    for number, value in enumerate(values, 1):
        windows.add(SERIES[0], Sample("n", Kind.TIMER, (value,), (1.0,)), NOW)
        if number % every == 0:
            full = bool(full_every) and number // every % full_every == 0
            kept = ([] if full else kept) + checkpoint(windows, full=full)
    kept += checkpoint(windows)
    back, count = restored(kept)
    (got,) = taken(back).values()

    assert count == got.samples == size
    assert got.counts is not None
    assert math.fsum(got.counts) == size
    assert (got.values[0], got.values[-1]) == (min(values), max(values))
    sum_ = math.fsum(value * weight for value, weight in zip(got.values, got.counts, strict=True))
    assert sum_ == pytest.approx(math.fsum(values), rel=1e-12)
    values.sort()
    rank = 0
    for value, weight in zip(got.values, got.counts, strict=True):
        rank += round(weight)
        # Every value that was represented by this one lies within 1 % of it.
        assert values[rank - 1] == pytest.approx(value, rel=0.01)
        assert values[rank - round(weight)] == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b"[1]", b"[[1,2]]", b'{"a":1}', b'[["members",0,1,2,3,4]]'])
def test_a_blob_that_is_none_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        restored([(1, body)])
