r"""DogStatsD events and service checks: a line in, the fields of a log event out. Pure.

Grammar:  _e{<title bytes>,<text bytes>}:<title>|<text>[|d:<seconds>][|h:<host>][|k:<key>][|p:<priority>]
          [|s:<source>][|t:<alert type>][|#<tags>][|c:..]
          _sc|<name>|<status>[|d:<seconds>][|h:<host>][|#<tags>][|m:<message>]
Source:   https://docs.datadoghq.com/developers/dogstatsd/datagram_shell (events, service checks)
Differs:  an unknown field is ignored, the line is not lost.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.errors import DecodeError, Reason

# The Datadog agent's own tag, of no use to anybody else.
STRIPPED_TAGS: Final = frozenset({b"dd.internal.entity_id"})
OPENINGS: Final = (b"_e{", b"_sc|")
STATUSES: Final = ("ok", "warning", "critical", "unknown")

_EVENT: Final = re.compile(rb"_e\{(\d{1,6}),(\d{1,6})\}:")
_EVENT_FIELDS: Final = {
    b"h": "hostname",
    b"k": "aggregation_key",
    b"p": "priority",
    b"s": "source_type_name",
    b"t": "alert_type",
}


def decode_event(line: bytes) -> dict[str, object]:
    """Decode one event or service check.

    Args:
        line: starts with one of `OPENINGS`; a carriage return at its end is taken off.

    Returns:
        The fields of a log event; `timestamp` (seconds) only where the line brought one,
        as text where that is no number.

    Raises:
        DecodeError: `malformed_line` or `invalid_utf8`.
    """
    line = line.removesuffix(b"\r")
    return _event(line) if line.startswith(b"_e{") else _service_check(line)


def _event(line: bytes) -> dict[str, object]:
    opening = _EVENT.match(line)
    if opening is None:
        raise DecodeError(Reason.MALFORMED_LINE, "an event starts with _e{<title bytes>,<text bytes>}:")
    title_bytes, text_bytes = int(opening[1]), int(opening[2])
    title_ends = opening.end() + title_bytes
    text_ends = title_ends + 1 + text_bytes
    after = line[text_ends : text_ends + 1]
    if (
        not title_bytes
        or len(line) < text_ends
        or line[title_ends : title_ends + 1] != b"|"
        or after not in (b"", b"|")
    ):
        raise DecodeError(Reason.MALFORMED_LINE, "the lengths of an event's title and text do not fit the line")
    fields: dict[str, object] = {
        "message": _text(line[title_ends + 1 : text_ends]).replace("\\n", "\n"),
        "title": _text(line[opening.end() : title_ends]).replace("\\n", "\n"),
    }
    for field in line[text_ends + 1 :].split(b"|"):
        mark, _, value = field.partition(b":")
        if mark in _EVENT_FIELDS and value:
            fields[_EVENT_FIELDS[mark]] = _text(value)
        else:
            _shared_field(field, fields)
    fields["type"] = "event"
    return fields


def _service_check(line: bytes) -> dict[str, object]:
    parts = line.split(b"|")
    if len(parts) < 3 or not parts[1]:
        raise DecodeError(Reason.MALFORMED_LINE, "a service check is _sc|<name>|<status>")
    if parts[2] not in (b"0", b"1", b"2", b"3"):
        raise DecodeError(Reason.MALFORMED_LINE, "the status of a service check is 0, 1, 2 or 3")
    status = int(parts[2])
    fields: dict[str, object] = {
        "message": "",
        "check": _text(parts[1]),
        "status": status,
        "status_name": STATUSES[status],
    }
    for field in parts[3:]:
        if field.startswith(b"h:") and len(field) > 2:
            fields["hostname"] = _text(field[2:])
        elif field.startswith(b"m:"):
            fields["message"] = _text(field[2:]).replace("\\n", "\n").replace("m\\:", "m:")
        else:
            _shared_field(field, fields)
    fields["type"] = "service_check"
    return fields


def _shared_field(field: bytes, fields: dict[str, object]) -> None:
    """Read a field both kinds know: the time and the tags; anything else is read past."""
    if field.startswith(b"d:"):
        # What is no time stays as it came: the event is kept, stamped on arrival, and that is counted.
        seconds = _text(field[2:])
        fields["timestamp"] = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 13 else seconds
    elif field.startswith(b"#"):
        tags: dict[str, str] = {}
        for piece in field[1:].split(b","):
            key, found, value = piece.partition(b":")
            if key and (value or not found) and key not in STRIPPED_TAGS:
                tags[_text(key)] = _text(value) if found else "true"
        if tags:
            fields["tags"] = tags


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DecodeError(Reason.INVALID_UTF8, "the line is not UTF-8") from None
