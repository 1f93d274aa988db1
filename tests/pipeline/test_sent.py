"""What is sent is noted at a flush: by clock hour for the bill, by form for `/series`."""

from __future__ import annotations

import tracemalloc

import pytest

from sidecar.observe import sent
from sidecar.pipeline.shaping import make_shape
from sidecar.shape import cardinality
from tests.support.pipeline import SERIES, Rig
from tests.support.priced import MINUTE, Priced

HOUR = 3_600.0
STATISTICS = (
    b'{"MetricName": "a", "Unit": "Milliseconds", "Dimensions": [],'
    b' "StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}}'
)


def forms(rig: Rig) -> list[tuple[str, str]]:
    return [(one["name"], one["form"]) for one in rig.pipeline.sent.summary()["sent"]]


def test_each_form_in_which_a_series_is_sent_is_listed_though_it_was_sent_in_this_hour() -> None:
    rig = Priced()
    for burst in (b"a:1|ms", STATISTICS, b"a:2|ms"):
        rig.minute(burst)

    assert forms(rig) == [("a", "values"), ("a", "statistics")]
    assert rig.shown["metric_hours"] == 1


def test_a_reload_keeps_what_was_sent_and_counts_no_hour_again() -> None:
    rig = Priced()
    rig.minute(b"a:1|c")
    rig.pipeline.shape = make_shape(rig.config, "host-1", {}, before=rig.pipeline.shape)
    rig.minute(b"a:1|c", b"b:1|g")

    assert forms(rig) == [("a", "statistics"), ("b", "statistics")]
    assert rig.shown["metric_hours"] == 2


def test_a_series_that_ended_and_is_sent_again_is_listed_once() -> None:
    rig = Priced()
    for line in (b"a:1|c|#user:1", b"b:1|c", b"a:1|c|#user:1"):
        rig.minute(line)
        rig.clock.advance(2 * HOUR)

    assert rig.pipeline.series == 1
    assert [(one["name"], one["values"], one["more"]) for one in rig.pipeline.sent.summary()["sent"]] == [
        ("a", [("test", "1")], False),
        ("b", [("test",)], False),
    ]
    assert rig.shown["metric_hours"] == 3


@pytest.mark.parametrize("back", [5 * MINUTE, HOUR, 2 * HOUR])
def test_a_clock_that_is_set_back_over_an_hour_bills_no_hour_twice(back: float) -> None:
    """Three hours are sent, the last part of them again after the clock was set back, and the hour after them."""
    rig = Priced()
    rig.clock.advance(HOUR - rig.clock.now % HOUR)
    for _ in range(3):
        rig.minute(b"a:1|c", b"b:1|g")
        rig.clock.advance(HOUR - MINUTE)
    rig.clock.advance(MINUTE - HOUR)  # into the third hour
    rig.clock.advance(-back)
    for _ in range(int((back + HOUR) // MINUTE)):
        rig.minute(b"a:1|c", b"b:1|g")

    assert rig.shown["metric_hours"] == 2 * 4
    assert rig.shown["series_per_hour"] == {"shared": 2.0, "of_this_instance": 0.0, "hours": 2}


def test_what_is_sent_is_noted_in_the_table_of_series_without_memory_of_its_own() -> None:
    rig = Rig(metrics={"max_series": SERIES})
    rig.send(*[b"a:1|c|#user:%d" % number for number in range(SERIES)])
    files = [tracemalloc.Filter(True, str(module.__file__)) for module in (cardinality, sent)]
    tracemalloc.start()
    try:
        rig.flush()
        taken = sum([one.size for one in tracemalloc.take_snapshot().filter_traces(files).statistics("filename")])
    finally:
        tracemalloc.stop()

    assert rig.metrics.units == SERIES
    assert taken < 20 * SERIES
