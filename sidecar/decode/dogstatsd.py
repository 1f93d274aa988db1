r"""DogStatsD events and service checks: a line in, the fields of a log event out. Pure.

Grammar:  _e{<title length>,<text length>}:<title>|<text>[|d:<seconds>][|h:<host>][|k:<key>][|p:<priority>]
          [|s:<source>][|t:<alert type>][|#<tags>][|c:..]
          _sc|<name>|<status>[|d:<seconds>][|h:<host>][|#<tags>][|m:<message>]
Source:   https://docs.datadoghq.com/developers/dogstatsd/datagram_shell (events, service checks)
Differs:  an unknown field is ignored, the line is not lost; lengths are in bytes, and where those do not fit the line in
          characters or in UTF-16 units, as some clients count.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.decode import json_logs
from sidecar.decode.tags import STRIPPED_TAGS, dogstatsd_tags
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.limits import FIELDS_PER_LINE

OPENINGS: Final = (b"_e{", b"_sc|")
STATUSES: Final = ("ok", "warning", "critical", "unknown")

_EVENT: Final = re.compile(rb"_e\{(\d{1,6}),(\d{1,6})\}:")
# JavaScript's hot-shots writes the lengths in UTF-16 units; encodings of a fixed size for each unit, and that size.
_LENGTH_UNITS: Final = (("utf-8", 1), ("utf-32-le", 4), ("utf-16-le", 2))
_EVENT_FIELDS: Final = {
    b"h": "hostname",
    b"k": "aggregation_key",
    b"p": "priority",
    b"s": "source_type_name",
    b"t": "alert_type",
}


def decode(line: bytes, _: float = 0.0) -> LogEvent:
    """Decode one event or service check as a log event; the errors raised are those of `decode_event`."""
    event = json_logs.from_object(decode_event(line))
    event.from_statsd = True
    return event


def decode_event(line: bytes) -> dict[str, object]:
    """Decode one event or service check.

    Args:
        line: starts with one of `OPENINGS`; blanks at its end are removed unless they belong to an event's text.

    Returns:
        The fields of a log event; `timestamp` (seconds) only where the line brought one,
        as text where that is no number.

    Raises:
        DecodeError: `malformed_line`, `invalid_utf8` or `too_many_dimensions` (over 100 tags).
    """
    return _event(line) if line.startswith(b"_e{") else _service_check(line)


def _event(line: bytes) -> dict[str, object]:
    opening = _EVENT.match(line)
    if opening is None:
        raise DecodeError(Reason.MALFORMED_LINE, "an event starts with _e{<title length>,<text length>}:")
    title, text, rest = _title_and_text(line[opening.end() :], int(opening[1]), int(opening[2]))
    fields: dict[str, object] = {
        "message": _text(text).replace("\\n", "\n"),
        "title": _text(title).replace("\\n", "\n"),
    }
    for field in _fields(rest):
        mark, _, value = field.partition(b":")
        if mark in _EVENT_FIELDS and value:
            fields[_EVENT_FIELDS[mark]] = _text(value)
        else:
            _shared_field(field, fields)
    fields["type"] = "event"
    return fields


def _title_and_text(body: bytes, title_length: int, text_length: int) -> tuple[bytes, bytes, bytes]:
    """Cut `<title>|<text>|<fields>` by the lengths, in the first unit in which they fit."""
    for encoding, size in _LENGTH_UNITS:
        encoded = body
        if encoding != "utf-8":
            encoded = _text(body).encode(encoding)
        bar = "|".encode(encoding)
        title_ends = size * title_length
        text_starts = title_ends + size
        text_ends = text_starts + size * text_length
        rest = encoded[text_ends:]
        # What ends at a bar, or at the end of the line, ends at a character, too.
        ends = rest.startswith(bar) or (encoding == "utf-8" and not rest.strip()) or not rest
        if title_length and len(encoded) >= text_ends and ends and encoded[title_ends:text_starts] == bar:
            pieces = (encoded[:title_ends], encoded[text_starts:text_ends], rest)
            if encoding == "utf-8":
                return pieces
            title, text, fields = [piece.decode(encoding).encode() for piece in pieces]
            return title, text, fields
    raise DecodeError(Reason.MALFORMED_LINE, "the lengths of an event's title and text do not fit the line")


def _service_check(line: bytes) -> dict[str, object]:
    parts = _fields(line)
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


def _fields(text: bytes) -> list[bytes]:
    fields = text.rstrip().split(b"|", FIELDS_PER_LINE)
    if len(fields) > FIELDS_PER_LINE:
        raise DecodeError(Reason.MALFORMED_LINE, f"over {FIELDS_PER_LINE} fields")
    return fields


def _shared_field(field: bytes, fields: dict[str, object]) -> None:
    """Read a field that both kinds have: the time or the tags; any other is ignored."""
    if field.startswith(b"d:"):
        # What is no number stays text: the event then gets the time of its arrival, and that is counted.
        seconds = _text(field[2:])
        fields["timestamp"] = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 13 else seconds
    elif field.startswith(b"#"):
        tags = {key: value for key, value in dogstatsd_tags(field[1:], []) if key not in STRIPPED_TAGS}
        if tags:
            fields["tags"] = tags


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DecodeError(Reason.INVALID_UTF8, "the line is not UTF-8") from None
