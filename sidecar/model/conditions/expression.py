"""Expressions of filter patterns: comparisons joined by `&&` and `||`, in parentheses. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sidecar.model.conditions.lexer import NESTING, Token, wrong

S = TypeVar("S")
COMPARES: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})


class Reader(Generic[S]):
    """Reads tokens of a pattern; `&&` binds closer than `||`."""

    def __init__(self, tokens: list[Token], operand: Callable[[Reader[S]], Callable[[S], bool]]) -> None:
        """Start at the first token; `operand` reads one comparison."""
        self._tokens = tokens
        self._operand = operand
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._next]

    def take(self) -> Token:
        """Go past the next token and return it; the last is never passed."""
        token = self.token
        self._next += token.kind != "end"
        return token

    def take_sign(self, *signs: str) -> Token | None:
        """Go past the next token if it is one of these signs."""
        token = self.token
        return self.take() if token.kind == "sign" and token.text in signs else None

    def expect_end(self) -> None:
        """Check that every token was read.

        Raises:
            ConditionError: one was not.
        """
        if self.token.kind != "end":
            raise wrong(self.token.at, f"{self.token.text!r} is not expected here")

    def expression(self) -> Callable[[S], bool]:
        """Read comparisons joined by `||` and `&&`.

        Raises:
            ConditionError: there is none, or something else.
        """
        return self._joined("||", any, lambda: self._joined("&&", all, self._one))

    def _joined(
        self, sign: str, join: Callable[[list[bool]], bool], read: Callable[[], Callable[[S], bool]]
    ) -> Callable[[S], bool]:
        first = read()
        if not self.take_sign(sign):
            return first
        tests = [first, read()]
        while self.take_sign(sign):
            tests.append(read())
        if join is any:
            return lambda subject: any(test(subject) for test in tests)
        return lambda subject: all(test(subject) for test in tests)

    def _one(self) -> Callable[[S], bool]:
        opened = self.take_sign("(")
        if opened is None:
            return self._operand(self)
        if self._depth >= NESTING:
            raise wrong(opened.at, f"more than {NESTING} parentheses within each other")
        self._depth += 1
        test = self.expression()
        self._depth -= 1
        if self.take_sign(")") is None:
            raise wrong(self.token.at, f"')' is expected, for the '(' at character {opened.at}")
        return test
