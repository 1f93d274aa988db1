"""Values of StatsD lines, and what CloudWatch accepts of any number; texts of lines in UTF-8. Pure."""

from __future__ import annotations

from math import isnan

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import PLAIN_MAGNITUDE, VALUE_MAGNITUDE


def plain_number(text: bytes) -> float | None:
    """Read an unsigned number the fast way.

    Returns:
        The number where `text` starts with a digit or a point and needs no check of what it is added to; None for
        everything else, which deserves the slow look of `number`.
    """
    # float() would also take signs, `nan` and `inf` (kept out by the first byte), `_` (95), and blanks at the end
    # (below the point, 46).
    if b"." <= text < b":" and 95 not in text and text[-1] >= 46:
        try:
            value = float(text)
        except ValueError:
            return None
        if value <= PLAIN_MAGNITUDE:
            return value
    return None


def number(text: bytes) -> float:
    """Read a value as decimal ASCII: sign, digits, point, exponent; nothing else.

    Raises:
        DecodeError: `invalid_value`, `not_finite` (NaN and infinity) or `value_out_of_range` (beyond 2^360).
    """
    # float() would also take "1_000" and surrounding blanks.
    if 95 in text or text != text.strip():
        raise DecodeError(Reason.INVALID_VALUE, f"{quoted(text)} is not a number")
    try:
        value = float(text)
    except ValueError:
        raise DecodeError(Reason.INVALID_VALUE, f"{quoted(text)} is not a number") from None
    return in_range(value, text)


def in_range(value: float, shown: object) -> float:
    """Check that CloudWatch takes the value: finite, within plus or minus 2^360.

    Raises:
        DecodeError: `not_finite` or `value_out_of_range`.
    """
    if -VALUE_MAGNITUDE <= value <= VALUE_MAGNITUDE:
        return value
    if isnan(value) or str(shown).lower().find("inf") >= 0:
        raise DecodeError(Reason.NOT_FINITE, f"{quoted(shown)} is not a finite number")
    raise DecodeError(Reason.VALUE_OUT_OF_RANGE, f"{quoted(shown)} is outside -2^360..2^360")


def utf8(text: bytes) -> str:
    """Decode UTF-8.

    Raises:
        DecodeError: `invalid_utf8`.
    """
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DecodeError(Reason.INVALID_UTF8, f"{quoted(text)} is not UTF-8") from None


def quoted(text: object) -> str:
    """Quote what a sender sent, short enough for a log line and an answer."""
    # Cut first: a datagram's worth of bytes that are not UTF-8 takes 30 ms to quote.
    shown = ascii(text[:100].decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text)
    return shown if len(shown) <= 80 else shown[:76] + "...'"
