"""The parameters of a call in AWS JSON: bytes to an object, with pauses where it is large. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sidecar.decode import scan
from sidecar.decode.large import WHOLE_BYTES, loads
from sidecar.model.errors import DecodeError, Reason

PAUSE_BYTES: Final = 16_384  # of a larger one, between two pauses
_BLANKS: Final = b" \t\r\n"


def decode(body: bytes) -> Generator[None, None, dict[str, Any] | DecodeError]:
    """Read one object.

    Args:
        body: the whole document; empty: an object without members.

    Yields:
        None now and then: a moment to let others run.

    Returns:
        The object, or why it could not be read: `invalid_json` or `invalid_utf8`. Of a large one, an element of a
        list that cannot be read alone is a DecodeError in its place.
    """
    if len(body) > WHOLE_BYTES and body.lstrip(_BLANKS)[:1] == b"{":
        return (yield from _by_members(body))
    value = loads(body or b"{}")
    if isinstance(value, dict | DecodeError):
        return value
    return DecodeError(Reason.INVALID_JSON, "the JSON is not an object")


def _by_members(body: bytes) -> Generator[None, None, dict[str, Any] | DecodeError]:
    parameters: dict[str, Any] = {}
    members = scan.members(body, body.index(b"{") + 1)
    while True:
        try:
            member = next(members)
        except StopIteration as stop:
            end: int = stop.value
            break
        if member is None:
            yield
            continue
        if member.name is None:
            return DecodeError(Reason.INVALID_JSON, f"not JSON: no key and value at byte {member.begin}")
        text = body[member.value : member.end]
        value: Any
        if text[:1] == b"[":
            value = yield from _elements(text)
        else:
            value = loads(text)
            yield
        if isinstance(value, DecodeError):
            return value
        parameters[member.name] = value
    if end < 0 or body[end:].strip(_BLANKS):
        return DecodeError(Reason.INVALID_JSON, "not JSON: the object does not end with the body")
    return parameters


def _elements(text: bytes) -> Generator[None, None, list[Any] | DecodeError]:
    values: list[Any] = []
    spans = scan.parts(text, 1, scan.ARRAY_END)
    pause = PAUSE_BYTES
    while True:
        try:
            span = next(spans)
        except StopIteration as stop:
            end: int = stop.value
            break
        if span is None:
            yield
            continue
        begin, end = span
        values.append(loads(text[begin:end]))
        if end >= pause:
            pause = end + PAUSE_BYTES
            yield
    if end < 0 or text[end:].strip(_BLANKS):
        return DecodeError(Reason.INVALID_JSON, "not JSON: an array does not end where its member does")
    return values
