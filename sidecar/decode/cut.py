"""Log events longer than CloudWatch Logs accepts: cut and marked; a JSON object stays one. Pure.

Everything but the ends of the texts that are cut is unchanged. The texts are searched in C, past all that is short.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Final, TypeAlias

from sidecar.decode import large, scan
from sidecar.model.errors import DecodeError
from sidecar.model.limits import LOG_MESSAGE_BYTES

Span: TypeAlias = tuple[int, int]
"""Where a text begins and ends, its quotes left out."""

TRUNCATED: Final = "[truncated]"
# A character has at most 4 bytes in UTF-8: a message of so many characters fits whatever they are.
UNCUT_CHARACTERS: Final = LOG_MESSAGE_BYTES // 4
PIECE_CHARACTERS: Final = 65_536  # encoded at once to be measured
NESTED_BRACKETS: Final = 10_000  # looked at one by one, where brackets are nested deeper than the pattern

_MARK: Final = TRUNCATED.encode()
SHORT_BYTES: Final = 256  # a text up to this size is not cut
_COLON_BYTES: Final = 64  # before a text, among which a colon and blanks say that it is a member's value
_BLANKS: Final = b" \t\r\n"
# A text of up to SHORT_BYTES, or of some more with escapes.
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


def cut(message: str) -> tuple[str, bool]:
    """Bring a message within the service's limit, as `cut_in_turns` does, at once."""
    return scan.at_once(cut_in_turns(message))


def cut_in_turns(message: str) -> Generator[None, None, tuple[str, bool]]:
    """Bring a message within the service's limit of 1,048,550 bytes.

    A JSON object stays one: its longest text fields are cut, where these have over 256 bytes and that makes it short
    enough. Anything else is cut at a character's boundary. Either ends in `[truncated]`.

    Yields:
        None where the caller is to let others run.

    Returns:
        The message, and True if it was cut.
    """
    if len(message) <= (LOG_MESSAGE_BYTES if message.isascii() else UNCUT_CHARACTERS):
        return message, False
    length = 0  # of its UTF-8; to encode it whole takes a millisecond
    for first in range(0, len(message), PIECE_CHARACTERS):
        length += len(message[first : first + PIECE_CHARACTERS].encode())
        yield
    if length <= LOG_MESSAGE_BYTES:
        return message, False
    data = message.encode()
    yield
    shorter = (yield from _cut_object(data)) if message.startswith("{") else None
    if shorter is None:
        shorter = data[: LOG_MESSAGE_BYTES - len(_MARK)].decode("utf-8", "ignore").encode() + _MARK
    yield
    return (yield from large.text(shorter)), True


def _cut_object(data: bytes) -> Generator[None, None, bytes | None]:
    """Cut the longest text fields of an object, or None where that does not make it short enough."""
    over = len(data) - LOG_MESSAGE_BYTES
    cuts: list[Span] = []
    found = yield from _long_texts(data)
    for begin, end in sorted(found, key=lambda span: span[1] - span[0], reverse=True):
        if over <= 0:
            break
        value = yield from large.parse(data[begin - 1 : end + 1])
        if isinstance(value, DecodeError):  # a line that only looks like an object
            return None
        last = scan.boundary(data, begin, max(begin, end - over - len(_MARK)))
        cuts.append((last, end))
        over -= end - last - len(_MARK)
        yield
    if over > 0:
        return None
    pieces: list[bytes] = []
    position = 0
    for last, end in sorted(cuts):
        pieces += (data[position:last], _MARK)
        position = end
    return b"".join([*pieces, data[position:]])


def _long_texts(data: bytes) -> Generator[None, None, list[Span]]:
    """Find the values of an object's members that are long texts; none after what is not JSON."""
    found: list[Span] = []
    at = 1
    stops = 0  # in objects that are nested deeper than the patterns
    while at < len(data):
        yield
        passed = _TO_LONG.match(data, at, at + scan.WINDOW)
        if passed is None or not passed[1]:
            if passed is None or passed.end() == at:
                break
            at = passed.end()
            continue
        begin = at = passed.end()
        if passed[1] == b'"':
            at = yield from scan.string_end(data, begin)
            if at < 0:
                break
            if at - begin > SHORT_BYTES and data[max(0, begin - _COLON_BYTES) : begin - 1].rstrip(_BLANKS).endswith(
                b":"
            ):
                found.append((begin, at - 1))
            continue
        depth = 1
        while depth and at < len(data):
            yield
            bracket = _TO_BRACKET.match(data, at, at + scan.WINDOW)
            stops += 1
            if bracket is None or stops > NESTED_BRACKETS:
                return found
            if bracket[1]:
                depth += 1 if bracket[1] in (b"[", b"{") else -1
            elif bracket.end() == at:  # a string is next that does not end within the window
                at = yield from scan.string_end(data, at + 1)
                if at < 0:
                    return found
                continue
            at = bracket.end()
    return found
