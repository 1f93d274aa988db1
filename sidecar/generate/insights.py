"""The grammar of CloudWatch Logs Insights, as far as it is documented. Pure.

Source: "CloudWatch Logs Insights language query syntax" and its pages on functions, read 2026-11-20. After `stats` there
are only the fields that it names: the service accepts a `sort` by another, which has no effect.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.generate.insights_lexer import Token, WrongError, tokens

AGGREGATES: Final = frozenset(
    [
        "avg",
        "count",
        "count_distinct",
        "earliest",
        "latest",
        "max",
        "min",
        "pct",
        "sortsFirst",
        "sortsLast",
        "stddev",
        "sum",
    ]
)
_OF_NUMBERS: Final = ("abs", "ceil", "floor", "greatest", "least", "log", "sqrt")
_OF_TIMES: Final = ("bin", "dateceil", "datefloor", "fromMillis", "now", "toMillis")
_OF_TEXT: Final = (
    *("concat", "isblank", "isempty", "ltrim", "replace", "rtrim", "strcontains", "strlen", "substr", "tolower"),
    *("toupper", "trim", "jsonParse", "jsonStringify"),
)
_OF_ADDRESSES: Final = (
    *("isIpInSubnet", "isIpv4InSubnet", "isIpv6InSubnet", "isValidIp", "isValidIpInV4", "isValidIpInV6"),
    *("isValidIpv4", "isValidIpv6"),
)
FUNCTIONS: Final = frozenset({"coalesce", "ispresent", *_OF_NUMBERS, *_OF_TIMES, *_OF_TEXT, *_OF_ADDRESSES})
UNREAD: Final = frozenset({"anomaly", "diff", "filterIndex", "join", "lookup", "unnest"})
"""Commands whose arguments are not checked."""
PERIOD: Final = re.compile(r"[1-9][0-9]*(ms|s|m|h|d|w|mo|q|y)")
MAX_LIMIT: Final = 10_000
MAX_DEPTH: Final = 50

_COMPARED: Final = ("=", "!=", "<", "<=", ">", ">=")


def problem(query: str) -> str | None:
    """What is wrong with a query, as a sentence without a subject; None if it follows the grammar."""
    try:
        _Query(query).read()
    except WrongError as error:
        return str(error)
    return None


class _Query:
    """Reads one query; recursive, with a bound on the depth."""

    def __init__(self, query: str) -> None:
        self._tokens = tokens(query)
        self._at = 0
        self._depth = 0
        self._known: set[str] | None = None  # the fields there are; None: whatever the events have
        self._aggregates = False

    def read(self) -> None:
        self._command()
        while self._take("|"):
            self._command()
        if self._at < len(self._tokens):
            raise WrongError(f"has {self._next().text!r} where a command ends")

    def _command(self) -> None:
        name = self._next().text
        self._at += 1
        reader = {
            "fields": lambda: self._list(self._named),
            "display": lambda: self._list(self._field),
            "dedup": lambda: self._list(self._field),
            "filter": self._expression,
            "where": self._expression,
            "stats": self._stats,
            "sort": lambda: self._list(self._sorted),
            "limit": self._limit,
            "parse": self._parse,
            "pattern": self._field,
            "unmask": self._field,
        }.get(name)
        if reader is None and name in UNREAD:
            reader = self._unread
        if reader is None:
            raise WrongError(f"has {name!r} where a command is expected")
        reader()

    def _unread(self) -> None:
        """Pass over a command whose arguments are not checked, and which may add any field."""
        depth = 0
        while self._at < len(self._tokens) and (depth or self._peek() != "|"):
            depth += {"(": 1, ")": -1}.get(self._peek(), 0)
            self._at += 1
        self._known = None

    def _list(self, one: object) -> None:
        assert callable(one)  # noqa: S101  # for the type checker
        one()
        while self._take(","):
            one()

    def _named(self) -> None:
        start = self._at
        self._expression()
        name = self._alias() or self._text(start)
        if self._known is not None:
            self._known.add(name)

    def _stats(self) -> None:
        known: set[str] = set()

        def one() -> None:
            start = self._at
            self._aggregates = True
            self._expression()
            self._aggregates = False
            text = self._text(start)
            if not any(text.startswith(f"{name}(") for name in AGGREGATES) and "(" not in text:
                raise WrongError(f"has {text!r} in stats, which is no aggregation")
            known.add(self._alias() or text)

        def group() -> None:
            start = self._at
            self._expression()
            known.add(self._alias() or self._text(start))

        self._list(one)
        if self._take("by"):
            self._list(group)
        self._known = known

    def _sorted(self) -> None:
        start = self._at
        if self._known is not None:
            self._aggregates = True
            depth_known, self._known = self._known, None
            self._expression()
            self._aggregates, self._known = False, depth_known
            self._require(self._text(start))
        else:
            self._expression()
        if self._peek() in ("asc", "desc"):
            self._at += 1

    def _limit(self) -> None:
        token = self._next()
        self._at += 1
        if token.kind != "number" or not token.text.isdecimal() or not 0 < int(token.text) <= MAX_LIMIT:
            raise WrongError(f"has limit {token.text!r}: it must be 1-{MAX_LIMIT}")

    def _parse(self) -> None:
        self._field()
        token = self._next()
        self._at += 1
        if token.kind == "pattern":
            names = re.findall(r"\(\?<([A-Za-z][A-Za-z0-9]*)>", token.text)
        elif token.kind == "text" and self._take("as"):
            names = [self._name()]
            while self._take(","):
                names.append(self._name())
            if len(names) != token.text.count("*"):
                raise WrongError(f"has parse with {token.text.count('*')} stars for {len(names)} names")
        else:
            raise WrongError("has parse without a pattern, or text with stars and as")
        if self._known is not None:
            self._known |= set(names)

    def _field(self) -> None:
        self._require(self._name())

    def _alias(self) -> str | None:
        return self._name() if self._take("as") else None

    def _name(self) -> str:
        token = self._next()
        if token.kind not in ("name", "quoted"):
            raise WrongError(f"has {token.text!r} where a field is expected")
        self._at += 1
        return token.text

    # --- expressions: or, and, not, comparison, sum, product, power, sign, operand -------------------

    def _expression(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WrongError("is nested too deeply")
        self._both()
        while self._take("or"):
            self._both()
        self._depth -= 1

    def _both(self) -> None:
        self._negated()
        while self._take("and"):
            self._negated()

    def _negated(self) -> None:
        while self._take("not"):
            pass
        self._compared()

    def _compared(self) -> None:
        self._sum()
        if self._peek() in _COMPARED:
            self._at += 1
            self._sum()
            return
        self._take("not")
        if self._peek() in ("like", "=~"):
            self._at += 1
            token = self._next()
            if token.kind not in ("text", "pattern"):
                raise WrongError(f"has {token.text!r} where text or a pattern is expected")
            self._at += 1
        elif self._take("in"):
            self._expect("[")
            self._list(self._sum)
            self._expect("]")

    def _sum(self) -> None:
        self._operand()
        while self._peek() in ("+", "-", "*", "/", "%", "^"):
            self._at += 1
            self._operand()

    def _operand(self) -> None:
        while self._take("-"):
            pass
        token = self._next()
        self._at += 1
        if token.text == "(":
            self._expression()
            self._expect(")")
        elif token.kind == "name" and self._peek() == "(":
            self._call(token.text)
        elif token.kind in ("name", "quoted"):
            if token.text in ("and", "or", "not", "by", "as", "in", "like"):
                raise WrongError(f"has {token.text!r} where a value is expected")
            self._require(token.text)
        elif token.kind not in ("number", "text"):
            raise WrongError(f"has {token.text!r} where a value is expected")

    def _call(self, name: str) -> None:
        if name not in AGGREGATES | FUNCTIONS:
            hint = "; percentiles are pct(field, 95)" if name.startswith("perc") else ""
            raise WrongError(f"has {name}(), which is no function of the language{hint}")
        if name in AGGREGATES and not self._aggregates:
            raise WrongError(f"has {name}() outside of stats")
        self._expect("(")
        if self._take(")"):
            return
        if name in ("bin", "datefloor", "dateceil"):
            self._binned(name)
        elif not (name == "count" and self._take("*")):
            self._list(self._expression)
        self._expect(")")

    def _binned(self, name: str) -> None:
        if name != "bin":
            self._expression()
            self._expect(",")
        token = self._next()
        self._at += 1
        if not PERIOD.fullmatch(token.text):
            raise WrongError(f"has {name}({token.text}): a period is like 30s, 5m, 1h, 1d")

    # --- tokens ---------------------------------------------------------------------------------------

    def _require(self, name: str) -> None:
        if self._known is not None and name not in self._known:
            raise WrongError(f"uses {name} after stats, which leaves only {', '.join(sorted(self._known))}")

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise WrongError("ends where more is expected")
        return self._tokens[self._at]

    def _take(self, text: str) -> bool:
        found = self._peek() == text
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise WrongError(f"has {self._peek()!r} where {text!r} is expected")

    def _text(self, start: int) -> str:
        return "".join(token.text for token in self._tokens[start : self._at])
