"""Fields that JSON metrics and log events share: times, and errors that name a field. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import FUTURE_SECONDS, PAST_SECONDS

# The unit of an epoch number follows from its size: 1e11 s is the year 5138; 1e11 ms, 1e14 us and 1e17 ns are in 1973.
MILLISECONDS_FROM: Final = 1e11
MICROSECONDS_FROM: Final = 1e14
NANOSECONDS_FROM: Final = 1e17
_NANOSECONDS_END: Final = 1e20
# Nine digits or more: the basic form of an ISO 8601 date has eight.
_EPOCH: Final = re.compile(r"[0-9]{9,20}(?:\.[0-9]{1,9})?", re.ASCII)


def read_timestamp(value: object) -> float:
    """Read a time: ISO 8601 (no zone: UTC) or epoch seconds, milliseconds, microseconds or nanoseconds by their size.

    An epoch number may also come as text, of nine digits or more.

    Returns:
        Seconds since the epoch.

    Raises:
        DecodeError: `invalid_timestamp`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0.0 <= value < MILLISECONDS_FROM:
            return float(value)
        if MILLISECONDS_FROM <= value < _NANOSECONDS_END:
            return _epoch_seconds(value)
    elif isinstance(value, str):
        if value[4:5] != "-" and _EPOCH.fullmatch(value):  # most are ISO 8601, and are not matched
            return read_timestamp(float(value) if "." in value else int(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    raise DecodeError(
        Reason.INVALID_TIMESTAMP,
        f"timestamp {shown(value)} is neither ISO 8601 nor a number of seconds (or ms, us, ns) since 1970",
    )


def _epoch_seconds(value: float) -> float:
    """Seconds of an epoch number in a smaller unit."""
    if value < MICROSECONDS_FROM:
        return value / 1_000.0
    return value / 1_000_000.0 if value < NANOSECONDS_FROM else value / 1_000_000_000.0


def check_timestamp(timestamp: float, now: float) -> None:
    """Check that the services accept an event of this time: from 14 days before `now` to 2 hours after it.

    Both are seconds since the epoch.

    Raises:
        DecodeError: `timestamp_too_old` or `timestamp_too_new`.
    """
    if timestamp < now - PAST_SECONDS:
        raise DecodeError(Reason.TIMESTAMP_TOO_OLD, "the timestamp is more than 14 days old")
    if timestamp > now + FUTURE_SECONDS:
        raise DecodeError(Reason.TIMESTAMP_TOO_NEW, "the timestamp is more than 2 hours ahead")


def wrong_type(field: str, expected: str, given: object) -> DecodeError:
    """The error for a field of the wrong type."""
    return DecodeError(Reason.WRONG_TYPE, f"{field} must be {expected}, not {shown(given)}")


def shown(value: object) -> str:
    """Quote a value of a sender, shortened for a log line and an answer."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    shown = ascii(value[:60] if isinstance(value, str) else value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
