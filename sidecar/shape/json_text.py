"""JSON as text: escapes that hide what is looked for, and the values of fields by name. Pure.

Redaction works on the text of an event, so that everything it does not redact stays as it came: parsed and encoded
anew, a number of more than 64 bits would be rounded. Every function here takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import orjson

# Strings, one without its closing quote up to the end; signs; words, such as numbers.
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_UNICODE_ESCAPE: Final = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|.)", re.DOTALL
)
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_BLANK_ESCAPES: Final = (b"\\n", b"\\t", b"\\r", b"\\b", b"\\f")
PATH_STEPS: Final = 16  # objects around a field; beyond, only its name counts: joining all would take quadratic time
NESTED: Final = 3  # JSON within the strings of JSON is read so deep


def plain(text: str) -> str:
    r"""Replace escapes such as `\u0040` by the character they stand for, or its short escape; the meaning stays."""
    if "\\u" not in text and "\\/" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        high, low, code = match.groups()
        if high:
            return chr(0x10000 + (int(high, 16) - 0xD800 << 10) + int(low, 16) - 0xDC00)
        if not code:
            return "/" if match.group() == "\\/" else match.group()
        one = chr(int(code, 16))
        return _SHORT.get(one) or (one if one.isprintable() else match.group())

    return _UNICODE_ESCAPE.sub(character, text)


def blanked(data: bytes) -> bytes:
    r"""The same number of bytes, with two blanks for escapes such as `\n`: their letter is no part of a word."""
    if b"\\" not in data:
        return data
    if b"\\\\" in data:
        return _ESCAPE.sub(lambda match: b"  " if match.group(1) in b"ntrbf" else match.group(), data)
    for escape in _BLANK_ESCAPES:
        data = data.replace(escape, b"  ")
    return data


def replace_values(
    text: str, wanted: Callable[[str, str], bool], replacement: Callable[[str], str], depth: int = 0
) -> str:
    """Replace the values of fields, whatever they are, in JSON or in text with JSON in it.

    Args:
        text: may be cut, or wrong.
        wanted: of a field's name and its path (names joined with dots, without indices), True if it is to be replaced.
        replacement: of a value's text (of a string, what it stands for), the text of the string in its place.
        depth: how many strings this text is in.
    """
    pieces: list[str] = []
    end = 0
    for first, last, value in _values(text, wanted, depth):
        pieces.append(text[end:first])
        if value is None:
            pieces.append(_nested(text[first:last], wanted, replacement, depth))
        else:
            pieces.append('"' + replacement(value) + '"')
        end = last
    return "".join([*pieces, text[end:]])


def _values(text: str, wanted: Callable[[str, str], bool], depth: int) -> Iterator[tuple[int, int, str | None]]:
    """First and end of each value to replace, with its text; of each string with JSON in it, with None."""
    within = _Within()
    done = 0
    for match in _TOKEN.finditer(text):
        if match.start() < done:
            continue
        part = match.group()
        if part == ":":
            name = within.begin_value()
            if name and wanted(name, within.path(name)):
                first, done, value = _value(text, match.end())
                if value not in ("", "null"):
                    yield first, done, value
        elif part[0] != '"':
            within.sign(part)
        else:
            within.last = _meaning(part)
            if depth < NESTED and "\\" in part and within.last.lstrip()[:1] in ("{", "["):
                yield match.start(), match.end(), None


class _Within:
    """Where in a document the walk is.

    Attributes:
        names: of the objects and arrays around; empty for one without.
        name: of the field at hand.
        last: what the last string stands for: the name of a field, if a colon comes next.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.name = self.last = ""

    def begin_value(self) -> str:
        """Note a colon; returns the name before it, or an empty text."""
        self.name, self.last = self.last, ""
        return self.name

    def path(self, name: str) -> str:
        """The path of a field; of one that is too deep for any rule, its name."""
        return name if len(self.names) > PATH_STEPS else ".".join([*filter(None, self.names), name])

    def sign(self, part: str) -> None:
        """Note a sign that is no colon, or a word."""
        self.last = ""
        if part in ("{", "["):
            self.names.append(self.name)
            self.name = ""
        elif part in ("}", "]") and self.names:
            self.name = self.names.pop()
        elif part == ",":
            self.name = ""


def _value(text: str, at: int) -> tuple[int, int, str]:
    """First, end and text of the value that begins at `at`; one that is cut ends with the text."""
    depth = 0
    first = at
    for match in _TOKEN.finditer(text, at):
        part = match.group()
        if depth == 0:
            first = match.start()
            if part in (",", ":", "}", "]"):
                return first, first, ""
            if part not in ("{", "["):
                return first, match.end(), _meaning(part)
        depth += (part in ("{", "[")) - (part in ("}", "]"))
        if depth == 0:
            return first, match.end(), text[first : match.end()]
    return first, len(text), text[first:] if depth else ""


def _nested(token: str, wanted: Callable[[str, str], bool], replacement: Callable[[str], str], depth: int) -> str:
    inner = _meaning(token)
    replaced = replace_values(inner, wanted, replacement, depth + 1)
    return token if replaced == inner else orjson.dumps(replaced).decode()


def _meaning(token: str) -> str:
    """What a string stands for; a token that is none, as it is."""
    if token[0] != '"':
        return token
    if "\\" not in token:
        return token.strip('"')
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        return token.strip('"')


def replace_tokens(text: str, replace: Callable[[str], str]) -> str:
    """Replace within strings and words, each for itself; a word that changes becomes a string."""

    def replaced(match: re.Match[str]) -> str:
        token = match.group()
        other = replace(token)
        return other if token[0] == '"' or other == token else '"' + other.strip('"') + '"'

    return _TOKEN.sub(replaced, text)
