"""Which names CloudWatch accepts; nothing else decides that. Pure.

Source: the CloudWatch service model (MetricName, Namespace, Dimension) and the Logs service model
(LogGroupName, LogStreamName), read 2026-11-20. The alphabet of metric names is not documented: they are held
to the rules of dimensions (ASCII, no control characters, not blank), since a rejected name spoils a whole request.

Every function returns its argument, repaired where `replace` is given, or raises `DecodeError`; nothing is
ever cut silently.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import (
    DIMENSION_VALUE_CHARACTERS,
    DIMENSIONS_PER_METRIC,
    GROUP_CHARACTERS,
    NAME_CHARACTERS,
    STREAM_CHARACTERS,
    UNITS,
)
from sidecar.model.samples import Dimensions

INPUTS: Final = ("statsd", "json_udp", "http", "emf", "aws", "logs", "self")
"""The labels of inputs by which samples arrive, as the ledger has them.

`logs` is of metrics from log events, `self` of the sidecar's own (`observe.publish`).
"""

_DISALLOWED: Final = re.compile(r"[^\x20-\x7e]")  # non-ASCII and ASCII control characters
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9.\-_/#: ]+")
_NOT_NAMESPACE: Final = re.compile(r"[^A-Za-z0-9.\-_/#: ]")
_GROUP: Final = re.compile(r"[.\-_/#A-Za-z0-9]+")
_NOT_GROUP: Final = re.compile(r"[^.\-_/#A-Za-z0-9]")
_NOT_STREAM: Final = re.compile(r"[:*\x00-\x1f\x7f]")


def metric_name(name: str, replace: str | None = None) -> str:
    """Check a metric name: 1-255 printable ASCII characters, not blank, no leading colon.

    Raises:
        DecodeError: `invalid_name` or `name_too_long`.
    """
    return _text(name, "metric name", Reason.INVALID_NAME, Reason.NAME_TOO_LONG, NAME_CHARACTERS, replace)


def namespace(name: str, replace: str | None = None) -> str:
    """Check a namespace: letters, digits, blanks and . - _ / # : and outside `AWS/`, the services' own.

    The service model allows any printable ASCII; the user guide is narrower, and is followed here.

    Raises:
        DecodeError: `invalid_namespace`.
    """
    reason = Reason.INVALID_NAMESPACE
    name = _text(name, "namespace", reason, reason, NAME_CHARACTERS, replace)
    if not _NAMESPACE.fullmatch(name):
        if replace is None:
            detail = f"namespace {_shown(name)} has a character other than letters, digits, blanks and . - _ / # :"
            raise DecodeError(reason, detail)
        name = _NOT_NAMESPACE.sub(replace if _NAMESPACE.fullmatch(replace) else "_", name)
    if name.startswith("AWS/"):
        raise DecodeError(reason, f"namespace {name!r} is in AWS/, which is reserved for AWS services")
    return name


def dimensions(pairs: Dimensions, replace: str | None = None) -> Dimensions:
    """Check a whole dimension set: at most 30 distinct names.

    Args:
        pairs: names and values in any order; a repeated name keeps its last value.
        replace: replaces a character that CloudWatch disallows; None refuses the name.

    Returns:
        The pairs sorted by name.

    Raises:
        DecodeError: `invalid_dimension`, `dimension_too_long`, `too_many_dimensions`.
    """
    invalid, too_long = Reason.INVALID_DIMENSION, Reason.DIMENSION_TOO_LONG
    names = {name for name, _ in pairs}
    if len(names) > DIMENSIONS_PER_METRIC:  # before each is checked
        raise _too_many_dimensions(len(names))
    checked = {
        _text(name, "dimension name", invalid, too_long, NAME_CHARACTERS, replace): _text(
            value,
            f"value of dimension {name!r}",
            invalid,
            too_long,
            DIMENSION_VALUE_CHARACTERS,
            replace,
            colon_may_lead=True,
        )
        for name, value in pairs
    }
    if len(checked) < len(names):
        raise DecodeError(invalid, "two dimension names become one by metrics.replace_invalid")
    return tuple(sorted(checked.items()))


def _too_many_dimensions(number: int) -> DecodeError:
    return DecodeError(
        Reason.TOO_MANY_DIMENSIONS, f"{number} dimensions, CloudWatch takes at most {DIMENSIONS_PER_METRIC}"
    )


def unit(name: str) -> str:
    """Check a unit: one of CloudWatch's 27, exact case.

    Raises:
        DecodeError: `unknown_unit`.
    """
    if name not in UNITS:
        raise DecodeError(Reason.UNKNOWN_UNIT, f"unit {_shown(name)} is not one of CloudWatch's; use None for others")
    return name


def group_problem(name: str) -> str | None:
    """Why CloudWatch Logs would reject this log group name, a sentence; None if it would not."""
    if not _GROUP.fullmatch(name) or len(name) > GROUP_CHARACTERS:
        return f"log group {_shown(name)} must be 1-{GROUP_CHARACTERS} of A-Z a-z 0-9 . - _ / #"
    if name.startswith("aws/"):
        return f"log group {_shown(name)} must not start with aws/"
    return None


def group(name: str) -> str:
    """Repair a rendered log group name: what is not allowed becomes `_`, at most 512 characters.

    A group is routing and not data: it is repaired, where a metric's names are refused.
    """
    name = _NOT_GROUP.sub("_", name)[:GROUP_CHARACTERS] or "_"
    return "_" + name[1:] if name.startswith("aws/") else name


def stream(name: str) -> str:
    """Repair a rendered log stream name: no colon, asterisk or control character, 1-512 characters."""
    return _NOT_STREAM.sub("_", name)[:STREAM_CHARACTERS] or "_"


def _text(
    text: str,
    what: str,
    invalid: Reason,
    too_long: Reason,
    most: int,
    replace: str | None,
    *,
    colon_may_lead: bool = False,
) -> str:
    # isascii and isprintable are C loops: the pattern runs only where something is to be repaired.
    if not (text.isascii() and text.isprintable()):
        if replace is None:
            raise DecodeError(invalid, f"{what} {_shown(text)} has a character outside printable ASCII")
        text = _DISALLOWED.sub(replace, text)
    if not text or text.isspace():
        raise DecodeError(invalid, f"{what} is empty")
    if len(text) > most:
        raise DecodeError(too_long, f"{what} {_shown(text)} has {len(text)} characters, at most {most}")
    if text[0] == ":" and not colon_may_lead:
        if replace is None or replace == ":":
            raise DecodeError(invalid, f"{what} {_shown(text)} starts with a colon")
        text = replace + text[1:]
    return text


def _shown(text: str) -> str:
    """Quote text of a sender, shortened for a log line."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
