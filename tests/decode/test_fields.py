"""Times of JSON events: what is read, to the millisecond, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.fields import check_timestamp, read_timestamp
from sidecar.model.errors import DecodeError, Reason
from tests.support.strategies import NOW, json_values

DAY = 86_400.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_790_000_000, 1_790_000_000.0),
        (1_790_000_000.25, 1_790_000_000.25),
        (1_790_000_000_250, 1_790_000_000.25),
        (1_790_000_000_250.0, 1_790_000_000.25),
        (0, 0.0),
        (99_999_999_999, 99_999_999_999.0),
        (100_000_000_000, 100_000_000.0),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T14:13:20", NOW),
        ("2026-09-21 14:13:20", NOW),
        ("2026-09-21T14:13:20.250Z", NOW + 0.25),
        ("2026-09-21T16:13:20+02:00", NOW),
        ("2026-09-21", NOW - 14 * 3_600 - 13 * 60 - 20),
    ],
)
def test_iso_8601_and_epoch_seconds_and_milliseconds_are_read(value: object, expected: float) -> None:
    assert read_timestamp(value) == expected


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001  # given a zone below
def test_a_time_without_a_zone_is_utc_and_zones_are_honoured(moment: datetime, hours: int) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()

    assert read_timestamp(moment.isoformat()) == seconds
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    assert read_timestamp(moment.isoformat() + zone) == pytest.approx(seconds - timedelta(hours=hours).total_seconds())


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, -1, -1e12, 1e20, 1e300, "", "now", "yesterday", "2026-13-01", [], {}),
        *("179000000x", "1_790_000_000", "\u0661" * 10, " 1790000000", "-1790000000", "1e9", "9" * 21, "9" * 5_000),
    ],
)
def test_what_is_no_time_has_a_reason(value: object) -> None:
    with pytest.raises(DecodeError) as error:
        read_timestamp(value)

    assert error.value.reason is Reason.INVALID_TIMESTAMP


@given(st.one_of(json_values, st.text("0123456789-T:.Z+ W", max_size=30), st.datetimes().map(datetime.isoformat)))
def test_any_json_value_is_a_time_or_has_a_reason(value: object) -> None:
    read: float | Reason
    try:
        read = read_timestamp(value)
    except DecodeError as error:
        read = error.reason

    assert isinstance(read, float) or read is Reason.INVALID_TIMESTAMP


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        (0.0, None),
        (-14 * DAY, None),
        (-14 * DAY - 0.001, Reason.TIMESTAMP_TOO_OLD),
        (-NOW, Reason.TIMESTAMP_TOO_OLD),
        (7_200.0, None),
        (7_200.001, Reason.TIMESTAMP_TOO_NEW),
        (1e11, Reason.TIMESTAMP_TOO_NEW),
    ],
)
def test_times_are_taken_from_14_days_back_to_2_hours_ahead(offset: float, reason: Reason | None) -> None:
    if reason is None:
        check_timestamp(NOW + offset, NOW)
        return
    with pytest.raises(DecodeError) as error:
        check_timestamp(NOW + offset, NOW)

    assert error.value.reason is reason


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("seconds", [1_000_000_000, 1_790_000_000, 4_000_000_000])
def test_the_unit_of_an_epoch_number_is_told_by_its_size_as_number_and_as_text(seconds: int, unit: int) -> None:
    given = seconds * unit + unit // 2

    assert read_timestamp(given) == pytest.approx(seconds + (unit // 2) / unit, abs=1e-6)
    assert read_timestamp(str(given)) == read_timestamp(given)
    assert read_timestamp(f"{given}.0") == pytest.approx(read_timestamp(given), abs=1e-6)


def test_eight_digits_are_a_date_and_longer_ones_never_are() -> None:
    assert read_timestamp("20260921") == datetime(2026, 9, 21, tzinfo=UTC).timestamp()
    assert read_timestamp("1712010500123") == 1_712_010_500.123  # Python reads this as a day in 1712
