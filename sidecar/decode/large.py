"""Large JSON documents: parsed in parts, so that the event loop is not held. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import orjson

from sidecar.decode import scan
from sidecar.model.errors import DecodeError, Reason

WHOLE_BYTES: Final = 65_536  # a document up to this size is parsed in one call: some 0.3 ms
PART_BYTES: Final = 16_384  # of an array
_BLANKS: Final = b" \t\r\n"


def parse(document: bytes) -> Generator[None, None, Any]:
    """Parse a document; a large object member by member, large arrays in it some elements at a time.

    Args:
        document: JSON, without blanks around it.

    Yields:
        None now and then: a moment to let others run. A text or an object within a member is parsed in one call.

    Returns:
        What it holds; DecodeError where it is not JSON: `invalid_json` or `invalid_utf8`.
    """
    if len(document) <= WHOLE_BYTES or not document.startswith(b"{"):
        return loads(document)
    members = scan.members(document, 1)
    value: dict[str, Any] = {}
    while True:
        try:
            member = next(members)
        except StopIteration as stop:
            if stop.value != len(document):
                return DecodeError(Reason.INVALID_JSON, "not JSON: the object does not end with the document")
            return value
        if member is None:
            yield
            continue
        if member.name is None:
            return DecodeError(Reason.INVALID_JSON, f"not JSON: no key and value at byte {member.begin}")
        text = document[member.value : member.end]
        if len(text) > PART_BYTES and text.startswith(b"["):
            held = yield from _array(text.rstrip(_BLANKS))
        else:
            held = loads(text)
        if isinstance(held, DecodeError):
            return held
        value[member.name] = held
        yield


def _array(text: bytes) -> Generator[None, None, Any]:
    values: list[Any] = []
    if b'"' not in text and text.rfind(b"[") == 0 and b"{" not in text:  # of numbers alone: any comma is between two
        begin = 1
        while begin < len(text):
            end = text.find(b",", begin + PART_BYTES)
            end = len(text) - 1 if end < 0 else end
            part = _some(text[begin:end], values)
            if part is not None or text[end : end + 1] not in (b",", b"]"):
                return part or _unended()
            begin = end + 1
            yield
        return values
    spans = scan.parts(text, 1, scan.ARRAY_END)
    first, last = 1, 1
    while True:
        try:
            span = next(spans)
        except StopIteration as stop:
            if stop.value != len(text):
                return _unended()
            return _some(text[first:last], values) or values
        if span is None:
            yield
            continue
        if span[1] - first >= PART_BYTES and last > first:
            part = _some(text[first:last], values)
            if part is not None:
                return part
            first = last + 1
            yield
        last = span[1]


def _some(text: bytes, values: list[Any]) -> DecodeError | None:
    """Append the elements in a part of an array; at least one, unless the array is of none."""
    part = loads(b"[%b]" % text)
    if isinstance(part, DecodeError):
        return part
    if not part:
        return _unended() if values or text.strip(_BLANKS) else None
    values += part
    return None


def _unended() -> DecodeError:
    return DecodeError(Reason.INVALID_JSON, "not JSON: an array does not end where its member does")


def loads(text: bytes) -> Any:
    """Parse JSON in one call; returns DecodeError where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            text.decode()
        except UnicodeDecodeError:
            return DecodeError(Reason.INVALID_UTF8, "the JSON is not UTF-8")
        return DecodeError(Reason.INVALID_JSON, f"not JSON: {error.msg} at character {error.pos}")
