"""Fields of JSON documents that metrics and log events share: times, and what to say of a wrong one. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sidecar.errors import DecodeError, Reason
from sidecar.limits import FUTURE_SECONDS, PAST_SECONDS

MILLISECONDS_FROM: Final = 1e11  # an epoch number this large is in milliseconds: 1e11 s is the year 5138


def read_timestamp(value: object) -> float:
    """Read a time: ISO 8601 (no zone: UTC) or epoch seconds, milliseconds from 1e11 on.

    Returns:
        Seconds since the epoch.

    Raises:
        DecodeError: `invalid_timestamp`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1_000.0 if value >= MILLISECONDS_FROM else float(value)
        if 0.0 <= seconds < MILLISECONDS_FROM:
            return seconds
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    raise DecodeError(
        Reason.INVALID_TIMESTAMP,
        f"timestamp {shown(value)} is neither ISO 8601 nor a number of seconds or milliseconds since 1970",
    )


def check_timestamp(timestamp: float, now: float) -> None:
    """Check that the services take an event of this time: 14 days back to 2 hours ahead.

    Raises:
        DecodeError: `timestamp_too_old` or `timestamp_too_new`.
    """
    if timestamp < now - PAST_SECONDS:
        raise DecodeError(Reason.TIMESTAMP_TOO_OLD, "the timestamp is more than 14 days old")
    if timestamp > now + FUTURE_SECONDS:
        raise DecodeError(Reason.TIMESTAMP_TOO_NEW, "the timestamp is more than 2 hours ahead")


def wrong_type(field: str, expected: str, given: object) -> DecodeError:
    """The error for a field that holds something else than it must."""
    return DecodeError(Reason.WRONG_TYPE, f"{field} must be {expected}, not {shown(given)}")


def shown(value: object) -> str:
    """Quote what a sender sent, short enough for a log line and an answer."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    shown = ascii(value[:60] if isinstance(value, str) else value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
