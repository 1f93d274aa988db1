"""Large JSON documents: parsed, decoded and released in parts, so that the event loop is not held. Pure.

The functions are generators: they yield None where the caller is to let others run, and return their result.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final, TypeAlias

import orjson

from sidecar.decode import nesting, scan
from sidecar.model.errors import DecodeError, Reason

Container: TypeAlias = dict[str, Any] | list[Any]

WHOLE_BYTES: Final = 65_536  # a document up to this size is parsed in one call: some 0.3 ms
PART_BYTES: Final = 8_192  # of members, elements or text that are parsed in one call: up to 0.2 ms
LEVELS: Final = nesting.LEVELS  # of arrays and objects in each other: what is nested deeper is parsed in one call
SEARCHED_BYTES: Final = (
    131_072  # in which parts are found one by one, after no comma was found to be between two of them
)
PAUSE_PARTS: Final = 250  # found between two yields: 0.2 ms
COUNTED_BYTES: Final = 262_144  # looked at between two yields
RELEASED: Final = 100  # parts freed between two yields
_BLANKS: Final = b" \t\r\n"
# Commas that may be between two parts of a container, and how many of each kind are tried.
_COMMAS: Final = ((re.compile(rb"[\]}][ \t\r\n]*+,"), 3), (re.compile(rb","), 5))


def parse(
    document: bytes, containers: list[Container] | None = None, begin: int = 0, end: int | None = None
) -> Generator[None, None, Any]:
    """Parse a document, some members or elements at a time.

    Args:
        document: JSON.
        begin: where it begins, blanks before it left out.
        end: where it ends, blanks behind it included; None: with the bytes.
        containers: the large arrays and objects are appended, to be passed to `release` when they are not needed any more.

    Returns:
        What it holds; DecodeError where it is not JSON: `invalid_json` or `invalid_utf8`.
    """
    end = len(document) if end is None else end
    if end - begin <= WHOLE_BYTES:
        return loads(document[begin:end])
    parser = _Parser(document, [] if containers is None else containers)
    return (yield from parser.value(begin, end, LEVELS))


def text(data: bytes) -> Generator[None, None, str]:
    """Decode UTF-8; raises UnicodeDecodeError."""
    if len(data) <= WHOLE_BYTES or data.isascii():
        return data.decode()
    pieces: list[str] = []
    begin = 0
    while begin < len(data):
        end = begin + PART_BYTES
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a continuation byte
            end += 1
        pieces.append(data[begin:end].decode())
        begin = end
        yield
    return "".join(pieces)


def count(text: bytes, byte: bytes, begin: int = 0) -> Generator[None, None, int]:
    """Count a byte in `text[begin:]`: a megabyte takes 0.4 ms."""
    number = text.count(byte, begin, begin + COUNTED_BYTES)
    for first in range(begin + COUNTED_BYTES, len(text), COUNTED_BYTES):
        yield
        number += text.count(byte, first, first + COUNTED_BYTES)
    return number


def release(containers: list[Container]) -> Generator[None, None, None]:
    """Empty the containers that `parse` found to be large: to free all that is in them at once takes milliseconds."""
    while containers:
        container = containers.pop()  # after those in it
        while container:
            if isinstance(container, dict):
                for _ in range(min(RELEASED, len(container))):
                    container.popitem()
            else:
                del container[-RELEASED:]
            yield


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


class _Parser:
    """Parses parts of one document; positions are bytes from its beginning."""

    def __init__(self, document: bytes, containers: list[Container]) -> None:
        self._document = document
        self._containers = containers
        self._ends: dict[int, int] = {}  # as of `scan.parts`

    def value(self, begin: int, end: int, levels: int) -> Generator[None, None, Any]:
        """Parse the value in a range, which may end in blanks; containers in it at most `levels` deep in parts."""
        document = self._document
        if end - begin <= PART_BYTES or not levels:
            return loads(document[begin:end])
        if document[end - 1] in _BLANKS:
            end = begin + len(document[begin:end].rstrip(_BLANKS))
        opening = document[begin : begin + 1]
        if opening == b'"':
            return (yield from self._string(begin, end))
        container: Container
        if opening == b"{":
            container = {}
        elif opening == b"[":
            container = []
        else:
            return loads(document[begin:end])
        self._containers.append(container)
        position = search_until = begin + 1
        while position > 0:
            if position >= search_until:
                after = yield from self._up_to_some_comma(position, end, container)
                if after > 0:
                    position = after
                    continue
                search_until = position + SEARCHED_BYTES
            found = yield from self._found(position, end, container, levels)
            if isinstance(found, DecodeError):
                return found
            position = found
        return container

    def _up_to_some_comma(self, position: int, end: int, container: Container) -> Generator[None, None, int]:
        """Parse what is before a comma some way on.

        Where the text before a comma is valid JSON with brackets around it, that comma is between two parts: a parser of
        the whole is in the same state there.

        Returns:
            The position behind the comma; -1 where none was found.
        """
        document = self._document
        for pattern, tries in _COMMAS:
            at = position + PART_BYTES
            for _ in range(tries):
                comma = pattern.search(document, at, min(at + PART_BYTES, end))
                if comma is None:
                    break
                at = comma.end()
                if self._some(position, at - 1, container) is None:
                    yield
                    return at
                yield
        return -1

    def _found(
        self, position: int, end: int, container: Container, levels: int
    ) -> Generator[None, None, int | DecodeError]:
        """Find parts and parse them: one that is large, or several.

        Returns:
            The position behind the comma that follows; -1 where the container ends.
        """
        first, last = position, -1
        closing = scan.OBJECT_END if isinstance(container, dict) else scan.ARRAY_END
        spans = scan.parts(self._document, position, closing, self._ends)
        count = 0
        while True:
            try:
                span = next(spans)
            except StopIteration as stop:
                if stop.value != end:
                    return DecodeError(Reason.INVALID_JSON, f"not JSON: a part of it does not end at byte {end}")
                if last < 0 and not container:
                    return -1
                return self._some(first, max(first, last), container) or -1
            count += span is not None
            if span is None or not count % PAUSE_PARTS:
                yield
            if span is None:
                continue
            is_large = span[1] - span[0] > PART_BYTES
            if last >= 0 and (is_large or span[1] - first > PART_BYTES):
                problem = self._some(first, last, container)
                yield
                if problem is not None or not is_large:
                    return problem or span[0]
            if is_large:
                behind = self._behind(span[1], end, closing)
                if isinstance(behind, DecodeError):  # one that is not closed: not searched level by level
                    return behind
                yield
                problem = yield from self._one(*span, container, levels)
                return problem or behind
            last = span[1]

    def _behind(self, position: int, end: int, closing: bytes) -> int | DecodeError:
        """The position behind the comma that follows a part; -1 where the container ends."""
        at = scan.behind_blanks(self._document, position, end)
        mark = self._document[at : at + 1]
        if mark == b",":
            return at + 1
        if mark == closing and at + 1 == end:
            return -1
        return DecodeError(Reason.INVALID_JSON, f"not JSON: neither a comma nor the end at byte {at}")

    def _one(
        self, begin: int, end: int, container: Container, levels: int
    ) -> Generator[None, None, DecodeError | None]:
        """Parse one large member or element."""
        if isinstance(container, list):
            value = yield from self.value(scan.behind_blanks(self._document, begin, end), end, levels - 1)
            container.append(value)
        else:
            member = scan.member(self._document, begin, end)
            if member.name is None:
                return DecodeError(Reason.INVALID_JSON, f"not JSON: no key and value at byte {begin}")
            value = container[member.name] = yield from self.value(member.value, end, levels - 1)
        return value if isinstance(value, DecodeError) else None

    def _some(self, begin: int, end: int, container: Container) -> DecodeError | None:
        """Parse members or elements in one call; there is at least one."""
        part = self._document[begin:end]
        held = loads(b"{%b}" % part if isinstance(container, dict) else b"[%b]" % part)
        if isinstance(held, DecodeError):
            return held
        if not held:
            return DecodeError(Reason.INVALID_JSON, f"not JSON: nothing before the comma or bracket at byte {end}")
        if isinstance(container, dict):
            container.update(held)
        else:
            container += held
        return None

    def _string(self, begin: int, end: int) -> Generator[None, None, str | DecodeError]:
        """Parse a long string; a quote within it that is not escaped is refused with its piece."""
        document = self._document
        if document[end - 1 : end] != b'"':
            return DecodeError(Reason.INVALID_JSON, f"not JSON: a string does not end at byte {end}")
        pieces: list[str] = []
        at, end = begin + 1, end - 1
        while at < end:
            to = end if end - at <= PART_BYTES else scan.boundary(document, at, at + PART_BYTES)
            to = to if to > at else end  # not UTF-8: refused
            piece = loads(b'"%b"' % document[at:to])
            if isinstance(piece, DecodeError):
                return piece
            pieces.append(piece)
            at = to
            yield
        return "".join(pieces)
