"""Where the parts of a JSON text begin and end: commas, brackets and strings, nothing else. Pure.

orjson parses a document whole or not at all. To parse the elements of an array one by one, because one of them is
broken or because all of them together would block the event loop, their boundaries have to be known first. These are
found in time linear in the text, whether or not it is valid JSON: brackets and commas inside strings are ignored, and
the brackets inside an element are counted but their kinds are not compared. orjson then parses what is between two
boundaries; a span that is not valid JSON is refused alone.

The patterns use possessive quantifiers only, so that no input makes them backtrack, and match at most `WINDOW` bytes in
one call.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from typing import Final, NamedTuple, TypeAlias, TypeVar

import orjson

from sidecar.decode.nesting import Nested

T = TypeVar("T")

Span: TypeAlias = tuple[int, int]
"""Where a part begins and where it ends: `text[begin:end]`."""


class Member(NamedTuple):
    """One part of an object.

    Attributes:
        name: its key, decoded; None where it is not a key with a value.
        begin, end: where it is, blanks around it included.
        value: where its value begins; it goes to `end`.
    """

    name: str | None
    begin: int
    value: int
    end: int


WINDOW: Final = 16_384  # bytes: 0.2 ms in one call of a pattern
PAUSE_STEPS: Final = 500  # brackets or strings between two yields of None: about 0.3 ms
STEP_BYTES: Final = 32  # of what a pattern passes over, counted as one more step
DEEPER_STEPS: Final = 200  # for a bracket that is not passed over: the pattern may have tried a whole window
PAUSE_MEMBERS: Final = 100
ARRAY_END: Final = b"]"
OBJECT_END: Final = b"}"
_OPENINGS: Final = (b"[", b"{")

# Loops of plain characters and what may follow them: an alternation of both takes half as long again.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+'  # anything without a bracket
_BLANKS: Final = rb"[ \t\r\n]*+"
_TO_MARK: Final = re.compile(rb'[^"\[\]{},]*+(?:' + _STRING + rb'[^"\[\]{},]*+)*+([\[\]{},]?)', re.DOTALL)
_MARK_OR_QUOTE: Final = re.compile(rb'["\[\]{},]')
_BRACKET_OR_QUOTE: Final = re.compile(rb'["\[\]{}]')
# An object of at most three levels with the comma or bracket behind it: most events are found in one call.
_NESTED: Final = rb"(?:" + _STRING + rb"|[\[{]" + _FLAT + rb"[\]}])"
_DEEPER: Final = rb"(?:" + _STRING + rb'|[\[{][^"\[\]{}]*+(?:' + _NESTED + rb'[^"\[\]{}]*+)*+[\]}])'
_OBJECT: Final = re.compile(
    _BLANKS + rb'\{[^"\[\]{}]*+(?:' + _DEEPER + rb'[^"\[\]{}]*+)*+\}' + _BLANKS + rb"([,\]])", re.DOTALL
)
# The same for a member, whose value may be a plain one.
_MEMBER: Final = re.compile(
    _BLANKS + _STRING + _BLANKS + rb':[^"\[\]{},]*+(?:' + _DEEPER + _BLANKS + rb")?+([,}])", re.DOTALL
)
# Past what is whole within the window and nested at most three levels deep.
_TO_BRACKET: Final = re.compile(rb'[^"\[\]{}]*+(?:' + _DEEPER + rb'[^"\[\]{}]*+)*+([\[\]{}]?)', re.DOTALL)
_BLANK: Final = re.compile(_BLANKS)
_KEY: Final = re.compile(_BLANKS + rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")' + _BLANKS + rb":" + _BLANKS, re.DOTALL)

_CONTENT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)  # of a string
_LONGEST_ESCAPE: Final = 12  # bytes: \ud83d\ude00
_HIGH_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB]")
_LOW_SURROGATE: Final = re.compile(rb"\\u[dD][c-fC-F]")
_PLAIN_VALUE: Final = re.compile(r'[ \t\r\n]*+:[ \t\r\n]*+"[^"\\]*+"[ \t\r\n]*+(,?)[ \t\r\n]*+')


def at_once(turns: Generator[object, None, T]) -> T:
    """Run a generator to its end without letting others run; returns its result."""
    while True:
        try:
            next(turns)
        except StopIteration as stop:
            result: T = stop.value
            return result


def behind_blanks(text: bytes, position: int, end: int | None = None) -> int:
    """The position of the first byte from `position` on that is no blank; `end`, or the end of the text, where all are."""
    found = _BLANK.match(text, position, len(text) if end is None else end)
    return position if found is None else found.end()


def parts(
    text: bytes, position: int, closing: bytes, ends: dict[int, int] | None = None
) -> Generator[Span | None, None, int]:
    """Find what the commas of an array or object separate: elements, or keys with their values.

    Args:
        text: contains the array or object.
        position: just behind the opening bracket.
        closing: the bracket that ends it, `ARRAY_END` or `OBJECT_END`.
        ends: of brackets far apart (`nesting`): the position behind the opening one: that behind the
            closing one. Read, and those found are added, so that what is nested is not searched again at each level.

    Yields:
        The span of each part, in order, blanks around it included; a part of nothing but blanks lacks its element.
        None between them, where the caller is to yield to the event loop.

    Returns:
        Where the array or object ends, just behind its bracket; -1 where it does not: then the last part is the
        rest of the text.
    """
    pattern = _OBJECT if closing == ARRAY_END else _MEMBER
    ends = {} if ends is None else ends
    first = True
    while True:
        simple = pattern.match(text, position, position + WINDOW)
        if simple is not None:
            yield position, simple.start(1)
            first = False
            position = simple.end()
            if simple[1] != b",":
                return position
            continue
        begin = position
        position, mark = yield from _end_of_part(text, begin, closing, ends)
        end = position - len(mark)
        if not first or mark == b"," or (begin < end and text[begin:end].strip(b" \t\r\n")):
            yield begin, end
        first = False
        if mark != b",":
            return position if mark else -1


def _end_of_part(
    text: bytes, position: int, closing: bytes, ends: dict[int, int]
) -> Generator[None, None, tuple[int, bytes]]:
    """Find the comma or closing bracket behind a part; `ends` as in `parts`.

    Returns:
        Where it ends, and the mark itself; the end of the text and nothing where there is none.
    """
    steps = 0
    nested = Nested(text, ends)
    while True:
        depth = nested.depth
        found = (_TO_BRACKET if depth else _TO_MARK).match(text, position, position + WINDOW)
        assert found is not None  # noqa: S101  # it matches anything, even the empty rest of the text
        steps += 1 + (found.end() - position) // STEP_BYTES
        if steps >= PAUSE_STEPS:
            steps = 0
            yield
        mark: bytes = found[1]
        if found.end() > position or found.end() >= len(text):
            position = found.end()
            if not mark and position < len(text):
                continue  # a string is next that does not end within the window
        else:
            marks = _BRACKET_OR_QUOTE if depth else _MARK_OR_QUOTE
            position, mark = yield from _far_mark(text, position, marks)
        if not mark or (not depth and mark in (b",", closing)):
            return position, mark
        if mark in _OPENINGS:
            position = nested.opened(position)
            steps += DEEPER_STEPS
        elif depth:  # a bracket that closes nothing is part of its element
            position = nested.closed(position)


def _far_mark(text: bytes, position: int, marks: re.Pattern[bytes]) -> Generator[None, None, tuple[int, bytes]]:
    """Find the next mark outside of strings where it is far away: long strings are skipped with `bytes.find`.

    Returns:
        Where the mark ends, and the mark; the end of the text and nothing where there is none.
    """
    steps = 0
    inside = False
    while position < len(text):
        if inside:
            quote = text.find(b'"', position)
            if quote < 0:
                break
            run = text[position:quote]
            inside = (len(run) - len(run.rstrip(b"\\"))) % 2 == 1  # an odd number of backslashes escapes the quote
            position = quote + 1
        else:
            found = marks.search(text, position, position + WINDOW)
            if found is None:
                position += WINDOW
                steps += PAUSE_STEPS // 2
            elif found[0] == b'"':
                inside, position = True, found.end()
            else:
                return found.end(), found[0]
        steps += 1
        if steps >= PAUSE_STEPS:
            steps = 0
            yield None
    return len(text), b""


def string_end(text: bytes, position: int) -> Generator[None, None, int]:
    """Find where a string ends, its closing quote included; -1 where it does not.

    Args:
        text: contains the string.
        position: just behind its opening quote.

    Yields:
        None where the caller is to let others run.
    """
    while True:
        found = _CONTENT.match(text, position, position + WINDOW)
        end = position if found is None else found.end()
        if text[end : end + 1] == b'"':
            return end + 1
        if end == position:  # at the end of the text, or at a backslash that is its last character
            return -1
        position = end
        yield


def boundary(text: bytes, begin: int, last: int) -> int:
    """The end of the longest part of a string's content that ends by `last`, within neither a character nor an escape.

    Args:
        text: contains the string, in valid JSON; of other text the end may be before `begin`.
        begin: of its content, or of what is left of it.
        last: within the content.
    """
    while last >= begin and text[last] & 0xC0 == 0x80:  # a continuation byte of UTF-8
        last -= 1
    escape = text.rfind(b"\\", max(begin, last - _LONGEST_ESCAPE), last)
    if escape < 0 or (escape - len(text[begin:escape].rstrip(b"\\")) - begin) % 2:
        return last  # none is near, or it is an escaped backslash
    if escape + (6 if text[escape + 1 : escape + 2] == b"u" else 2) > last:
        last = escape
    elif _HIGH_SURROGATE.match(text, escape):
        return escape  # its other half would be missing
    if _LOW_SURROGATE.match(text, last) and _HIGH_SURROGATE.match(text, last - 6):
        return last - 6
    return last


def members(text: bytes, position: int) -> Generator[Member | None, None, int]:
    """Find the members of an object.

    Args:
        text: contains the object.
        position: just behind its opening bracket.

    Yields:
        Each part, in order; None between them, where the caller is to yield to the event loop.

    Returns:
        Where the object ends, just behind its bracket; -1 where it does not.
    """
    found = parts(text, position, OBJECT_END)
    while True:
        try:
            span = next(found)
        except StopIteration as end:
            return int(end.value)
        yield None if span is None else member(text, *span)


def member(text: bytes, begin: int, end: int) -> Member:
    """Read the key of a part of an object."""
    key = _KEY.match(text, begin, end)
    if key is not None:
        try:
            return Member(orjson.loads(key[1]), begin, key.end(), end)
        except orjson.JSONDecodeError:
            pass
    return Member(None, begin, begin, end)


def without(text: str, names: Collection[str]) -> str:
    """Remove members of an object; the others keep their text.

    Args:
        text: an object, valid JSON, without blanks around it.
        names: keys it has, written without escapes; each is removed as often as it occurs. Members of nested objects
            are not removed.
    """
    for name in names:
        shorter = _without_one(text, name)
        if shorter is None:
            return at_once(without_in_turns(text, names))
        text = shorter
    return text


def _without_one(text: str, name: str) -> str | None:
    """Remove a member whose value is a plain string; None where its position is not certain.

    The object has the key: where the quoted key occurs once and no character is escaped by number, that is its position.
    """
    key = f'"{name}"'
    begin = text.find(key)
    if begin < 0 or text.find(key, begin + 1) >= 0 or "\\u" in text:
        return None
    found = _PLAIN_VALUE.match(text, begin + len(key))
    if found is None:
        return None
    before = text[:begin]
    if not found[1]:  # the last member: the comma before it goes
        before = before.rstrip(" \t\r\n").removesuffix(",")
    return before + text[found.end() :]


def without_in_turns(text: str, names: Collection[str]) -> Generator[None, None, str]:
    """Remove members of a large object, as `without` does; yields None where the caller is to let others run."""
    data = text.encode()
    yield
    others: list[list[int]] = []  # ranges of members, with the commas between them
    follows = False
    for count, part in enumerate(members(data, data.index(b"{") + 1), 1):
        if part is None or not count % PAUSE_MEMBERS:
            yield
        if part is None:
            continue
        if part.name in names:
            follows = False
        elif follows:
            others[-1][1] = part.end
        else:
            others.append([part.begin, part.end])
            follows = True
    yield
    shorter = b"{" + b",".join([data[begin:end] for begin, end in others]).strip(b" \t\r\n") + b"}"
    yield
    return shorter.decode()
