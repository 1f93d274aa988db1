"""Numbers of StatsD lines, the range CloudWatch accepts, and UTF-8 texts of lines. Pure."""

from __future__ import annotations

from math import isnan

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import PLAIN_MAGNITUDE, VALUE_MAGNITUDE


def plain_number(text: bytes) -> float | None:
    """Read an unsigned number the fast way.

    Returns:
        The number where `text` starts with a digit or a point and is at most 2^280, so that sums need no check of
        their range; None for everything else, which `number` reads or refuses.
    """
    # float() also accepts signs, `nan` and `inf` (excluded by the first byte), `_` (95), and blanks at the end
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
    # float() also accepts "1_000" and blanks around a number.
    if 95 in text or text != text.strip():
        raise DecodeError(Reason.INVALID_VALUE, f"{quoted(text)} is not a number")
    try:
        value = float(text)
    except ValueError:
        raise DecodeError(Reason.INVALID_VALUE, f"{quoted(text)} is not a number") from None
    return in_range(value, text)


def in_range(value: float, shown: object) -> float:
    """Check that CloudWatch accepts the value: finite, from -2^360 to 2^360.

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
    """Quote text of a sender, shortened for a log line and an answer."""
    # Cut first: quoting a whole datagram of bytes that are not UTF-8 takes 30 ms.
    shown = ascii(text[:100].decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text)
    return shown if len(shown) <= 80 else shown[:76] + "...'"
