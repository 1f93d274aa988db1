"""Filter patterns for events of columns: `[ip, user, ..., status=4*, size > 1000]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sidecar.model.conditions.expression import COMPARES, Reader
from sidecar.model.conditions.lexer import Condition, Test, comparison, tokens, wrong

MESSAGE_CHARACTERS: Final = 65_536  # of a message are split into columns; one that is longer has no columns
_WORD: Final = re.compile(r"\S+")
_CLOSING: Final = {'"': '"', "[": "]"}


def compile_columns(pattern: str) -> Condition:
    """Compile a pattern in brackets: one condition a column; `...` stands for any number of columns.

    Raises:
        ConditionError: it cannot be read.
    """
    end = len(pattern.rstrip())
    if pattern[end - 1] != "]":
        raise wrong(end, "']' is expected at the end")
    first = len(pattern) - len(pattern.lstrip()) + 1
    reader: Reader[object] = Reader(tokens(pattern, first, end - 1), _comparison)
    before: list[Test] = []
    after: list[Test] | None = None
    while True:
        dots = reader.take_sign("...")
        if dots is not None:
            if after is not None:
                raise wrong(dots.at, "'...' is there already")
            after = []
        else:
            (before if after is None else after).append(reader.expression())
        if reader.take_sign(",") is None:
            break
    reader.expect_end()
    return _condition(before, after)


def _comparison(reader: Reader[object]) -> Test:
    name = reader.take()
    if name.kind not in ("word", "text"):
        raise wrong(name.at, "the name of a column is expected")
    sign = reader.take_sign(*COMPARES)
    return _anything if sign is None else comparison(sign, reader.take())


def _anything(_: object) -> bool:
    return True


def _condition(before: Sequence[Test], after: Sequence[Test] | None) -> Condition:
    least = len(before) + len(after or ())

    def holds(_: object, message: str) -> bool:
        columns = split(message)
        if len(columns) < least or (after is None and len(columns) > least):
            return False
        ends: list[tuple[Sequence[Test], list[str]]] = [(before, columns[: len(before)])]
        if after:
            ends.append((after, columns[-len(after) :]))
        return all(test(column) for tests, part in ends for test, column in zip(tests, part, strict=True))

    return holds


def split(message: str) -> list[str]:
    """The columns of a message: in quotes, in brackets (both are left out), or up to the next blank.

    A quote or bracket without its partner, or whose partner is not at the end of a word, is a character like others.
    """
    length = len(message)
    if length > MESSAGE_CHARACTERS:
        return []
    columns: list[str] = []
    closing = {'"': -1, "]": -1}  # where each was found last: looked for again only from there on, so that it is linear
    at = 0
    while (word := _WORD.search(message, at)) is not None:
        first, at = word.span()
        partner = _CLOSING.get(message[first])
        if partner is not None:
            if closing[partner] <= first:
                found = message.find(partner, first + 1)
                closing[partner] = length if found < 0 else found
            end = closing[partner]
            if end < length and not message[end + 1 : end + 2].strip():
                columns.append(message[first + 1 : end])
                at = end + 1
                continue
        columns.append(word.group())
    return columns
