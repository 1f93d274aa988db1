"""The pace: halved by a throttle, back within half a minute; a phase that widens and is drawn again."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.pace import MEMORY_SECONDS, RECOVERY_SECONDS, Pace


def lowest(low: float, _high: float) -> float:
    return low


def highest(_low: float, high: float) -> float:
    return high


def sent(pace: Pace, begin: float, end: float) -> list[float]:
    """When requests begin where there is always one waiting, at most 200 a second."""
    times, now = [], begin
    while now < end:
        pause = pace.pause(now)
        if pause <= 0.0:
            pace.begin(now)
            times.append(now)
            now += 0.005
        else:
            now += pause
    return times


def test_before_the_first_throttle_nothing_waits() -> None:
    pace = Pace(20.0, lowest)

    assert pace.limit(0.0) is None
    assert len(sent(pace, 0.0, 10.0)) == 2_000


def test_a_throttle_halves_the_rate_of_the_last_second() -> None:
    pace = Pace(20.0, lowest)
    now = sent(pace, 0.0, 3.0)[-1]
    pace.throttled(now, now, first_attempt=True)

    assert pace.limit(now) == pytest.approx(100.0, rel=0.02)
    pace.throttled(now, now, first_attempt=False)
    assert pace.limit(now) == pytest.approx(50.0, rel=0.02)
    assert 1.0 / pace.pause(now) == pytest.approx(50.0, rel=0.02)


def test_throttles_of_requests_that_were_under_way_together_count_once() -> None:
    pace = Pace(20.0, lowest)
    now = sent(pace, 0.0, 3.0)[-1]
    for _ in range(4):
        pace.throttled(now + 0.1, now, first_attempt=False)

    assert pace.limit(now + 0.1) == pytest.approx(100.0, rel=0.02)


def test_no_number_of_throttles_stops_it_and_half_a_minute_later_the_limit_is_gone() -> None:
    pace = Pace(20.0, lowest)
    for now in range(60):
        pace.begin(now)
        pace.throttled(now, now, first_attempt=False)
    limits = [pace.limit(59.0 + seconds) for seconds in (0.0, 5.0, 10.0, 15.0, RECOVERY_SECONDS)]

    assert limits == [0.5, 1.0, 8.0, 256.0, None]


@pytest.mark.parametrize(("max_pause_seconds", "expected"), [(20.0, 2.0), (0.2, 0.2), (0.0, 0.0)])
def test_the_longest_pause_is_configured_or_two_seconds(max_pause_seconds: float, expected: float) -> None:
    pace = Pace(max_pause_seconds, lowest)
    pace.begin(5.0)
    pace.throttled(5.0, 5.0, first_attempt=True)

    assert pace.pause(5.0) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.booleans()), max_size=60))
def test_a_request_may_always_begin_within_two_seconds(steps: list[tuple[float, bool]]) -> None:
    pace, now = Pace(20.0, random.Random(3).uniform), 0.0
    for seconds, throttled in steps:
        now += seconds
        now += pace.pause(now)
        pace.begin(now)
        if throttled:
            pace.throttled(now, now, first_attempt=True)
        assert 0.0 <= pace.pause(now) <= 2.0 + 1e-9
        assert 0.0 <= pace.phase(60.0, now) <= 60.0


@pytest.mark.parametrize(("quota", "least"), [(2.0, 0.6), (20.0, 0.75)])
def test_a_quota_below_the_demand_is_used_and_few_requests_are_throttled(quota: float, least: float) -> None:
    """The rate swings between half of what the service takes and a little more."""
    pace, now, tokens, seen = Pace(20.0, lowest), 0.0, quota, 0.0
    accepted = refused = 0
    while now < 600.0:
        pause = pace.pause(now)
        if pause > 0.0:
            now += pause
            continue
        pace.begin(now)
        tokens, seen = min(quota, tokens + (now - seen) * quota), now
        if tokens >= 1.0:
            tokens -= 1.0
            accepted += 1
        else:
            refused += 1
            pace.throttled(now, now, first_attempt=False)
        now += 0.005

    print(f"quota {quota}/s: {accepted / 600:.2f}/s accepted, {refused / (accepted + refused):.1%} throttled")
    assert accepted / 600.0 > least * quota
    assert refused < 0.2 * accepted


# --- flushes ---


def test_the_phase_is_a_share_of_twenty_seconds_or_of_a_shorter_interval() -> None:
    pace = Pace(20.0, highest)

    assert pace.phase(60.0, 0.0) == 20.0
    assert pace.phase(10.0, 0.0) == 10.0
    assert Pace(20.0, lowest).phase(60.0, 0.0) == 0.0


def test_a_throttled_first_attempt_doubles_the_range_once_a_flush_up_to_the_interval() -> None:
    pace = Pace(20.0, highest)
    ranges = []
    for flush in range(4):
        pace.flushed(1, 60.0)
        pace.throttled(60.0 * flush, 60.0 * flush, first_attempt=True)
        pace.throttled(60.0 * flush, 60.0 * flush, first_attempt=True)
        ranges.append((pace.phase(60.0, 60.0 * flush), pace.phase(300.0, 60.0 * flush)))

    assert ranges == [(40.0, 40.0), (60.0, 80.0), (60.0, 160.0), (60.0, 300.0)]


def test_the_phase_is_drawn_again() -> None:
    pace = Pace(20.0, random.Random(1).uniform)
    phases = {pace.phase(60.0, 0.0)}
    for _ in range(5):
        pace.flushed(1, 60.0)
        pace.throttled(0.0, 0.0, first_attempt=True)
        phases.add(pace.phase(60.0, 0.0))

    assert len(phases) == 6


def test_a_throttled_retry_does_not_move_the_phase() -> None:
    pace = Pace(20.0, random.Random(1).uniform)
    before = pace.phase(60.0, 0.0)
    pace.throttled(0.0, 0.0, first_attempt=False)

    assert pace.phase(60.0, 0.0) == before


def test_a_wide_range_is_remembered_for_an_hour_and_forgotten_within_an_hour_and_a_half() -> None:
    for uniform in (lowest, highest):
        pace = Pace(20.0, uniform)
        pace.throttled(100.0, 100.0, first_attempt=True)
        pace._share = 1.0
        assert pace.phase(60.0, 100.0 + MEMORY_SECONDS - 1.0) == 40.0
        assert pace.phase(60.0, 100.0 + 1.5 * MEMORY_SECONDS) == 20.0


@pytest.mark.parametrize(
    ("throttled", "requests", "gap"), [(False, 3, 0.1), (True, 3, 1.0), (False, 1_000, 0.03), (True, 60, 0.5)]
)
def test_the_requests_of_one_flush_are_spaced(throttled: bool, requests: int, gap: float) -> None:  # noqa: FBT001
    pace = Pace(20.0, lowest)
    if throttled:
        pace.throttled(0.0, 0.0, first_attempt=True)
    pace.flushed(requests, 60.0)
    times = sent(pace, 60.0, 120.0)

    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[: requests - 1] == pytest.approx([gap] * (requests - 1))
    assert gaps[requests + 1] == pytest.approx(0.005)  # what else waits is not
