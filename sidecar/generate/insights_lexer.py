"""Tokens of CloudWatch Logs Insights. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<quoted>`[^`]+`)"""
    r"""|(?P<period>[0-9]+(?:ms|mo|[smhdwqy])\b)|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[@A-Za-z_][A-Za-z0-9_.@]*)"""
    r"""|(?P<sign>=~|!=|<=|>=|[-+*/^%(),=<>\[\]|])"""
)
_PATTERN: Final = re.compile(r"/(?:[^/\\\n]|\\.)+/")


class Token(NamedTuple):
    """One token: its kind (text, quoted, period, number, name, sign or pattern), and its text."""

    kind: str
    text: str


class WrongError(Exception):
    """The query is not of the grammar; the message is a sentence without a subject."""


def tokens(query: str) -> list[Token]:
    """The tokens of a query, without blanks and comments.

    Raises:
        WrongError: something is none.
    """
    found: list[Token] = []
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        # A slash divides, or begins a pattern where one can stand.
        if query[at] == "/" and found and (found[-1].text in ("like", "=~") or _parses(found)):
            match = _PATTERN.match(query, at)
            if match is None:
                raise WrongError("has a pattern that does not end")
            found.append(Token("pattern", match[0]))
        elif match is None:
            raise WrongError(f"has {query[at : at + 20]!r}, which is nothing of the language")
        elif match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0]))
        at = match.end()
    return found


def _parses(found: list[Token]) -> bool:
    """True after the field of `parse`."""
    return len(found) >= 2 and found[-2].text == "parse"
