"""Tokens of filter patterns, and how two values compare. Pure.

Source: "Filter pattern syntax for metric filters, subscription filters, filter log events, and Live Tail" in the
CloudWatch Logs user guide, read 2026-11-21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from sidecar.model.regex import compile_regex

Condition: TypeAlias = Callable[[Mapping[str, object], str], bool]
"""True if a condition holds of an event's fields and its message."""
Test: TypeAlias = Callable[[object], bool]
"""True if a condition holds of one value."""

PATTERN_CHARACTERS: Final = 1_024  # FilterPattern of PutMetricFilter
NESTING: Final = 16  # parentheses within parentheses
ABSENT: Final = object()  # the value of a field that an event does not have

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_STEP: Final = r"""\.?(?:\[[0-9]{1,6}\]|\[\*\]|\['[^']*'\]|\["[^"]*"\])|\.(?:\*|[\w-]+)"""
_TOKEN: Final = re.compile(
    rf"""(?P<blank>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*")
    |(?P<regex>%(?:[^%\\]|\\.)*%)
    |(?P<sign>&&|\|\||<=|>=|!=|[=<>(),]|\.\.\.)
    |(?P<selector>\$(?:{_STEP})*)
    |(?P<word>[^\s"%=!<>&|(),$]+)""",
    re.VERBOSE | re.DOTALL,
)
# What AWS does not accept in a regular expression: groups, and characters beyond ASCII.
_NO_REGEX: Final = re.compile(r"(?<!\\)(?:\\\\)*[()]|[^\x20-\x7e]")


class ConditionError(ValueError):
    """Raised when a condition cannot be read; its text is a sentence for the operator."""


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: `text`, `regex`, `sign`, `selector`, `word`, or `end`.
        text: as written.
        at: the position of its first character, counted from 1.
    """

    kind: str
    text: str
    at: int


def tokens(text: str, first: int, end: int) -> list[Token]:
    """Split a part of a pattern into tokens; the last is of the kind `end`.

    Raises:
        ConditionError: a character belongs to no token, such as a quote without its partner.
    """
    found: list[Token] = []
    while first < end:
        match = _TOKEN.match(text, first, end)
        if match is None:
            raise wrong(first + 1, f"{text[first]!r} is not expected here")
        kind = str(match.lastgroup)
        if kind != "blank":
            found.append(Token(kind, match.group(), first + 1))
        first = match.end()
    found.append(Token("end", "", end + 1))
    return found


def wrong(at: int, problem: str) -> ConditionError:
    """An error at a position, counted from 1."""
    return ConditionError(f"at character {at}: {problem}")


def unquoted(token: Token) -> str:
    """The text of a quoted token without quotes and escapes; of another, as written."""
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL) if token.kind == "text" else token.text


def comparison(sign: Token, operand: Token) -> Test:
    """Compile a comparison of a value with a literal.

    Numbers compare as numbers, text as text, where `*` stands for anything; a number is also compared as its text, so
    that `4*` is any number that begins with 4. Nothing compares with an absent value or with null.

    Raises:
        ConditionError: an operator of numbers and no number, or a regular expression that cannot be compiled.
    """
    if operand.kind not in ("text", "word", "regex"):
        raise wrong(operand.at, f"a value is expected behind {sign.text}")
    if sign.text in ("=", "!="):
        equal = equality(operand)
        if sign.text == "=":
            return equal
        return lambda value: value is not None and value is not ABSENT and not equal(value)
    if not _NUMBER.fullmatch(operand.text):
        raise wrong(operand.at, f"{sign.text} compares numbers, got {operand.text}")
    number = float(operand.text)
    compare: Callable[[float], bool] = {
        "<": number.__gt__,
        "<=": number.__ge__,
        ">": number.__lt__,
        ">=": number.__le__,
    }[sign.text]

    def holds(value: object) -> bool:
        read = number_of(value)
        return read is not None and compare(read)

    return holds


def equality(operand: Token) -> Test:
    """A test for one value: a number, text with `*`, or a regular expression."""
    if operand.kind == "regex":
        search = regex(operand)
        return lambda value: (text := text_of(value)) is not None and search(text)
    text = unquoted(operand)
    if text == "*":
        return lambda value: value is not None and value is not ABSENT
    number = float(text) if operand.kind == "word" and _NUMBER.fullmatch(text) else None
    same = wildcard(text)

    def holds(value: object) -> bool:
        if number is not None and isinstance(value, int | float) and not isinstance(value, bool):
            return value == number
        shown = text_of(value)
        return shown is not None and same(shown)

    return holds


def wildcard(pattern: str) -> Callable[[str], bool]:
    """A test for text in which `*` stands for any characters; case matters. Linear in the text for each part."""
    if "*" not in pattern:
        return pattern.__eq__
    first, *middle, last = pattern.split("*")
    parts = [part for part in middle if part]
    least = len(first) + len(last)

    def holds(text: str) -> bool:
        if len(text) < least or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in parts:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return holds


def regex(token: Token) -> Callable[[str], bool]:
    """A test for text that contains a match of a regular expression.

    Raises:
        ConditionError: it cannot be compiled, or AWS would not accept it.
    """
    pattern = token.text[1:-1].replace(r"\%", "%")
    refused = _NO_REGEX.search(pattern)
    if refused is not None:
        raise wrong(token.at, f"{refused.group()[-1]!r} is not supported in a regular expression of a filter pattern")
    try:
        search = compile_regex(pattern).search
    except ValueError as error:
        raise wrong(token.at, str(error)) from None
    return lambda text: search(text) is not None


def number_of(value: object) -> float | None:
    """A value as a number: a number, or text that is one; else None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return None


def text_of(value: object) -> str | None:
    """A value as text, as JSON writes it; None for one that is absent, null, an object or an array."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None
