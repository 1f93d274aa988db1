"""The parameters of a call in AWS JSON: bytes to an object, with pauses where it is large. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sidecar.decode import scan
from sidecar.decode.large import WHOLE_BYTES, loads, parse, release
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY

PAUSE_BYTES: Final = 16_384  # of a larger one, between two pauses
PAUSE_ELEMENTS: Final = 100  # the same; one that is broken takes 5 us
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
    if len(body) > WHOLE_BYTES:
        opening = scan.behind_blanks(body, 0)
        if body[opening : opening + 1] == b"{":
            return (yield from _by_members(body, opening + 1))
    value = loads(body or b"{}")
    if isinstance(value, dict | DecodeError):
        return value
    return DecodeError(Reason.INVALID_JSON, "the JSON is not an object")


def _by_members(body: bytes, begin: int) -> Generator[None, None, dict[str, Any] | DecodeError]:
    """Read an object; `begin` is behind its bracket."""
    parameters: dict[str, Any] = {}
    members = scan.members(body, begin)
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
        value: Any
        if body[member.value : member.value + 1] == b"[":
            value = yield from _elements(body, member.value + 1, member.end)
        else:
            value = yield from parse(body, None, member.value, member.end)
            yield
        if isinstance(value, DecodeError):
            return value
        parameters[member.name] = value
    if end < 0 or body[end:].strip(_BLANKS):
        return DecodeError(Reason.INVALID_JSON, "not JSON: the object does not end with the body")
    return parameters


def _elements(body: bytes, begin: int, after: int) -> Generator[None, None, list[Any] | DecodeError]:
    """Read an array; `begin` is behind its bracket, and nothing but blanks may be between its end and `after`."""
    values: list[Any] = []
    spans = scan.parts(body, begin, scan.ARRAY_END)
    pause = begin + PAUSE_BYTES
    while True:
        try:
            span = next(spans)
        except StopIteration as stop:
            end: int = stop.value
            break
        if span is None:
            yield
            continue
        if len(values) == ITEMS_PER_BODY:
            yield from release([values])
            return DecodeError(Reason.TOO_MANY_ITEMS, f"over {ITEMS_PER_BODY} elements in a list")
        first, end = span
        if end - first <= WHOLE_BYTES:
            values.append(loads(body[first:end]))
        else:
            values.append((yield from parse(body, None, scan.behind_blanks(body, first), end)))
        if end >= pause or not len(values) % PAUSE_ELEMENTS:
            pause = end + PAUSE_BYTES
            yield
    if end < 0 or body[end:after].strip(_BLANKS):
        return DecodeError(Reason.INVALID_JSON, "not JSON: an array does not end where its member does")
    return values
