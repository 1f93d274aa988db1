"""Patterns over names and values: globs, and globs with named holes. Pure.

`*` stands for any characters, dots included; `?` for one; `[seq]` and `[!seq]` for one of, or none of, a set. A hole,
`{name}`, stands for one whole part between dots and is remembered. Matching takes linear time in the text for each
`*` of the pattern and never tries an earlier decision again: a part of the pattern between two stars matches where it
first can. That loses no match, since the later it began, the later it would end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

PATTERN_CHARACTERS: Final = 255
ALPHABET: Final = frozenset(map(chr, range(0x20, 0x7F)))  # what names may consist of

_TOKEN: Final = re.compile(
    r"(?P<star>\*+)|(?P<any>\?)|\[(?P<set>!?\]?[^\]]*)\]|\{(?P<hole>[^{}]*)\}|(?P<text>.)", re.DOTALL
)
_HOLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Token(NamedTuple):
    """One step of a pattern.

    Attributes:
        kind: star, any, set, hole or text.
        text: the name of a hole, the members of a set, or the character itself.
    """

    kind: str
    text: str


class Pattern:
    """A compiled pattern.

    Attributes:
        text: as it was written.
        holes: their names, in their order.
        tokens: its steps.
        expression: the same as a regular expression.
    """

    __slots__ = ("expression", "holes", "text", "tokens")

    def __init__(self, text: str, *, holes: bool = True) -> None:
        """Compile a pattern; with `holes` false braces are characters like any other.

        Raises:
            ValueError: what is wrong with it, as a sentence without a subject.
        """
        if not 0 < len(text) <= PATTERN_CHARACTERS:
            raise ValueError(f"must have 1-{PATTERN_CHARACTERS} characters")
        self.text = text
        self.tokens = tuple(_tokens(text, holes=holes))
        self.holes = tuple(token.text for token in self.tokens if token.kind == "hole")
        if holes:
            _check_holes(self.tokens, self.holes)
        self.expression = _expression(self.tokens)

    def match(self, text: str) -> dict[str, str] | None:
        """What the holes stand for if the whole text matches, else None; compiles the pattern each time."""
        return Patterns([self]).match(text)

    def __repr__(self) -> str:
        """The pattern as it was written."""
        return f"Pattern({self.text!r})"


class Patterns:
    """Several patterns, of which one must match the whole text.

    Those without holes are one regular expression: it decides by their common beginnings, and a thousand take about
    the time of one where the text begins with none of these.
    """

    __slots__ = ("_matches",)

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        """Compile the patterns, in the order in which they are tried."""
        together = "|".join(one.expression for one in patterns)
        apart = any(one.holes for one in patterns)
        expressions = [one.expression for one in patterns] if apart else [together] if patterns else []
        self._matches = [re.compile(one, re.DOTALL).fullmatch for one in expressions]

    def match(self, text: str) -> dict[str, str] | None:
        """What the holes of the first that matches stand for, else None."""
        for match in self._matches:
            matched = match(text)
            if matched is not None:
                return matched.groupdict()
        return None


def overlap(one: Pattern, other: Pattern) -> bool:
    """True if some name of printable ASCII matches both patterns."""
    left, right = _states(one), _states(other)
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(left) and j == len(right):
            return True
        for following in _following(left, i, right, j):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return False


def _following(
    left: list[tuple[frozenset[str], bool]], i: int, right: list[tuple[frozenset[str], bool]], j: int
) -> Iterator[tuple[int, int]]:
    """Where two patterns may stand after one more character, or after giving up a repetition."""
    if i < len(left) and left[i][1]:
        yield i + 1, j
    if j < len(right) and right[j][1]:
        yield i, j + 1
    if i < len(left) and j < len(right) and left[i][0] & right[j][0]:
        yield i if left[i][1] else i + 1, j if right[j][1] else j + 1


def _states(pattern: Pattern) -> list[tuple[frozenset[str], bool]]:
    """Each step as the characters it accepts, and whether it repeats, none at all included."""
    states: list[tuple[frozenset[str], bool]] = []
    for kind, text in pattern.tokens:
        if kind == "star":
            states.append((ALPHABET, True))
        elif kind == "hole":
            part = ALPHABET - {"."}
            states += [(part, False), (part, True)]
        elif kind == "any":
            states.append((ALPHABET, False))
        elif kind == "set":
            members = re.compile(_set(text))
            states.append((frozenset(one for one in ALPHABET if members.match(one)), False))
        else:
            states.append((frozenset(text), False))
    return states


def _tokens(text: str, *, holes: bool) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None  # noqa: S101  # the last alternative matches any character
        kind = str(found.lastgroup)
        if kind == "hole" and not holes:
            yield Token("text", "{")
            at += 1
            continue
        yield Token(kind, found[kind])
        at = found.end()


def _check_holes(tokens: tuple[Token, ...], holes: tuple[str, ...]) -> None:
    """Check that every hole has a name of its own and is a whole part between dots.

    Raises:
        ValueError: one is not.
    """
    if any(token.kind == "text" and token.text in "{}" for token in tokens):
        raise ValueError("has a brace that is not closed or opened: write [{] for a brace")
    if len(set(holes)) < len(holes):
        raise ValueError("has two holes of the same name")
    dot = Token("text", ".")
    for number, token in enumerate(tokens):
        if token.kind != "hole":
            continue
        if not _HOLE.fullmatch(token.text):
            raise ValueError(f"has the hole {{{token.text}}}: its name must be letters, digits and _")
        if tokens[number - 1 : number] not in ((), (dot,)) or tokens[number + 1 : number + 2] not in ((), (dot,)):
            raise ValueError(f"has the hole {{{token.text}}} beside something else than a dot: a hole is a whole part")


def _expression(tokens: tuple[Token, ...]) -> str:
    """The pattern as a regular expression in which nothing is tried twice."""
    pieces = [""]  # between stars
    for kind, text in tokens:
        if kind == "star":
            pieces.append("")
        elif kind == "any":
            pieces[-1] += "."
        elif kind == "hole":
            pieces[-1] += f"(?P<{text}>[^.]++)"
        elif kind == "set":
            pieces[-1] += _set(text)
        else:
            pieces[-1] += re.escape(text)
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = rest
    # The last piece must end where the text does: `.*` backs up to where it fits, and it fits in one place only, or
    # where it has holes in few; a middle one is matched where it first can, for good.
    return first + "".join(f"(?>.*?{piece})" for piece in middle if piece) + ".*" + last


def _set(text: str) -> str:
    """A set as a regular expression; `!` in front negates it, and a range that is reversed has no members."""
    negated = text.startswith("!")
    members = text[1:] if negated else text
    escaped = re.sub(r"[\\\[\]^&~|]", lambda one: "\\" + one[0], members)
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        return "." if negated else "(?!)"
    return f"[^{escaped}]" if negated else f"[{escaped}]"
