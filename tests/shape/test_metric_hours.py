"""Series are counted once for each clock hour in which they are sent."""

from __future__ import annotations

from sidecar.shape.metric_hours import HOURS, Average, MetricHours, MetricLevel


def sent(hours: MetricHours, hour: int, shared: int, instance: int = 0) -> None:
    for number in range(shared + instance):
        hours.count(hour, instance=number >= shared)


def test_a_young_process_has_the_series_of_this_hour() -> None:
    hours = MetricHours()
    sent(hours, 100, 5, 2)

    assert hours.level() == hours.average() == Average(5, 2)
    assert (hours.total, hours.hours) == (7, 0)


def test_the_hour_in_which_it_started_does_not_count_once_there_is_a_whole_one() -> None:
    hours = MetricHours()
    sent(hours, 100, 5)
    sent(hours, 101, 20)
    assert hours.average() == Average(20, 0)

    hours.begin(102)
    assert hours.average() == Average(20, 0)
    assert hours.total == 25


def test_whole_hours_are_averaged_and_an_hour_that_has_begun_only_raises_it() -> None:
    hours = MetricHours()
    for hour, series in ((100, 1), (101, 10), (102, 30), (103, 3)):
        sent(hours, hour, series)
    assert hours.average() == Average(20, 0)

    sent(hours, 103, 77)
    assert hours.average() == Average(40, 0)
    assert hours.level() == Average(80, 0)


def test_hours_in_which_nothing_was_sent_lower_the_average() -> None:
    hours = MetricHours()
    sent(hours, 100, 9)
    sent(hours, 101, 8)
    hours.begin(105)

    assert hours.hours == 4
    assert hours.average() == Average(2, 0)
    assert hours.level() == Average(0, 0)


def test_no_more_than_a_day_is_remembered_however_the_clock_is_set() -> None:
    hours = MetricHours()
    sent(hours, 100, 1)
    sent(hours, 10**9, 1)
    sent(hours, 5, 1)
    hours.begin(10**12)

    assert hours.hours == HOURS
    assert hours.total == 3


def test_a_clock_that_is_set_back_by_two_hours_or_less_stays_in_its_hour() -> None:
    hours = MetricHours()
    sent(hours, 100, 5)
    sent(hours, 101, 6)
    sent(hours, 102, 7)

    assert [hours.begin(hour) for hour in (101, 102, 100, 101, 102)] == [102] * 5
    assert hours.hours == 1
    assert hours.level() == Average(7, 0)

    assert hours.begin(99) == 99
    assert hours.level() == Average(7, 0)
    assert hours.begin(103) == 103


def test_the_level_of_a_metric_is_that_of_this_hour_or_of_the_one_before() -> None:
    level = MetricLevel()
    for hour in (7, 7, 7, 8):
        level.count(hour)

    assert [level.at(hour) for hour in (8, 9, 10)] == [3, 1, 0]
    level.count(20)
    assert level.at(20) == 1
