"""Log events longer than CloudWatch Logs accepts: cut and marked; a JSON object stays one. Pure.

Everything but the ends of the texts that are cut is unchanged. The texts are searched in C, past all that is short:
a message of a megabyte takes some milliseconds, however many fields it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

import orjson

from sidecar.model.limits import LOG_MESSAGE_BYTES

Span: TypeAlias = tuple[int, int]
"""Where a text begins and ends, its quotes left out."""

TRUNCATED: Final = "[truncated]"
# A character has at most 4 bytes in UTF-8: a message of so many characters fits whatever they are.
UNCUT_CHARACTERS: Final = LOG_MESSAGE_BYTES // 4
NESTED_BRACKETS: Final = 10_000  # looked at one by one, where brackets are nested deeper than the pattern: 5 ms

_MARK: Final = TRUNCATED.encode()
_LONGEST_ESCAPE: Final = 12  # bytes: \ud83d\ude00
_BLANKS: Final = b" \t\r\n"
# A text of up to 256 bytes, or of some more with escapes; longer ones may be cut.
_SHORT: Final = rb'"[^"\\]{0,256}+(?:\\.[^"\\]{0,256}+){0,4}+"'
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN: Final = rb'[^"\[\]{}]*+'


def _nested(levels: int) -> bytes:
    """The pattern of an array or object of at most so many levels."""
    inner = _STRING if levels == 1 else _STRING + b"|" + _nested(levels - 1)
    return rb"[\[{]" + _PLAIN + b"(?:(?:" + inner + b")" + _PLAIN + rb")*+[\]}]"


_NESTED: Final = _nested(6)
_TO_LONG: Final = re.compile(_PLAIN + b"(?:(?:" + _SHORT + b"|" + _NESTED + b")" + _PLAIN + rb')*+(["\[{]?)', re.DOTALL)
_TO_BRACKET: Final = re.compile(
    _PLAIN + b"(?:(?:" + _STRING + b"|" + _NESTED + b")" + _PLAIN + rb")*+([\[\]{}]?)", re.DOTALL
)
_REST_OF_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_HIGH_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB]")
_LOW_SURROGATE: Final = re.compile(rb"\\u[dD][c-fC-F]")


def cut(message: str) -> tuple[str, bool]:
    """Bring a message within the service's limit of 1,048,550 bytes.

    A JSON object stays one: its longest text fields are cut, where these have over 256 bytes and that makes it short
    enough. Anything else is cut at a character's boundary. Either ends in `[truncated]`.

    Returns:
        The message, and True if it was cut.
    """
    if len(message) <= UNCUT_CHARACTERS:
        return message, False
    data = message.encode()
    if len(data) <= LOG_MESSAGE_BYTES:
        return message, False
    shorter = _cut_object(data) if message.startswith("{") else None
    if shorter is None:
        shorter = data[: LOG_MESSAGE_BYTES - len(_MARK)].decode("utf-8", "ignore").encode() + _MARK
    return shorter.decode(), True


def _cut_object(data: bytes) -> bytes | None:
    """Cut the longest text fields of an object, or None where that does not make it short enough."""
    over = len(data) - LOG_MESSAGE_BYTES
    cuts: list[Span] = []
    for begin, end in sorted(_long_texts(data), key=lambda span: span[1] - span[0], reverse=True):
        if over <= 0:
            break
        try:
            orjson.loads(data[begin - 1 : end + 1])
        except orjson.JSONDecodeError:  # a line that only looks like an object
            return None
        last = _boundary(data, begin, max(begin, end - over - len(_MARK)))
        cuts.append((last, end))
        over -= end - last - len(_MARK)
    if over > 0:
        return None
    pieces: list[bytes] = []
    position = 0
    for last, end in sorted(cuts):
        pieces += (data[position:last], _MARK)
        position = end
    return b"".join([*pieces, data[position:]])


def _long_texts(data: bytes) -> Iterator[Span]:
    """Find the values of an object's members that are long texts; none after what is not JSON."""
    at = 1
    brackets = 0
    while (found := _TO_LONG.match(data, at)) is not None and found[1]:
        begin = at = found.end()
        if found[1] == b'"':
            at = _string_end(data, begin)
            if at < 0:
                return
            if data[found.start() : begin - 1].rstrip(_BLANKS).endswith(b":"):
                yield begin, at - 1
            continue
        depth = 1
        while depth:
            bracket = _TO_BRACKET.match(data, at)
            brackets += 1
            if bracket is None or not bracket[1] or brackets > NESTED_BRACKETS:
                return
            depth += 1 if bracket[1] in (b"[", b"{") else -1
            at = bracket.end()


def _string_end(data: bytes, begin: int) -> int:
    """Where a string ends, its closing quote included; -1 where it does not. `begin` is after the opening quote."""
    quote = data.find(b'"', begin)
    if quote >= 0 and data[quote - 1 : quote] != b"\\":
        return quote + 1
    rest = _REST_OF_STRING.match(data, begin)  # ten times as slow
    return -1 if rest is None else rest.end()


def _boundary(data: bytes, begin: int, last: int) -> int:
    """The end of the longest part of a valid string that ends by `last`, within neither a character nor an escape."""
    while data[last] & 0xC0 == 0x80:  # a continuation byte of UTF-8
        last -= 1
    escape = data.rfind(b"\\", max(begin, last - _LONGEST_ESCAPE), last)
    if escape < 0 or (escape - len(data[begin:escape].rstrip(b"\\")) - begin) % 2:
        return last  # none is near, or it is an escaped backslash
    if escape + (6 if data[escape + 1 : escape + 2] == b"u" else 2) > last:
        last = escape
    elif _HIGH_SURROGATE.match(data, escape):
        return escape  # its other half would be missing
    if _LOW_SURROGATE.match(data, last) and _HIGH_SURROGATE.match(data, last - 6):
        return last - 6
    return last
