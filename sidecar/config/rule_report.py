"""The lines of `sidecar check` about rules: each rule, pairs that set the same thing, and how many series rollups add."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from sidecar.config.metric_rules import MetricRule
from sidecar.config.problems import printable
from sidecar.model.patterns import Pattern, overlap

LINE_CHARACTERS: Final = 300
MAX_PAIRS: Final = 50  # of rules that set the same thing, in the report
MAX_COMPARED: Final = 2_000  # pairs of patterns: about a second at worst
_ADDING: Final = frozenset({"keep_dimensions", "drop_dimensions", "rename_dimensions", "dimensions"})


def report(rules: Sequence[MetricRule], lines: Sequence[int | None]) -> Iterator[str]:
    """The sentences about `metrics.rules`; none where there are no rules.

    Args:
        rules: in their order.
        lines: of the file, of each rule; None where it is not from a file.
    """
    if not rules:
        return
    names = [_name(number, line) for number, line in enumerate(lines)]
    yield f"metrics.rules: {len(rules)}, every one that matches applies, in this order"
    for name, rule in zip(names, rules, strict=True):
        yield _cut(f"{name}: {_described(rule)}")
    yield from _conflicts(rules, names)
    for name, rule in zip(names, rules, strict=True):
        if rule.rollups:
            most = len({frozenset(one) for one in rule.rollups})
            yield (
                f"{name}: at most {1 + most} times as many series on the bill, one for each set of rollups; fewer"
                " where series share a rollup"
            )


def _name(number: int, line: int | None) -> str:
    return f"metrics.rules.{number}" + ("" if line is None else f" (line {line})")


def _described(rule: MetricRule) -> str:
    """A rule as a sentence: what it matches, and what it sets."""
    if isinstance(rule.when, str):
        conditions = f" and {rule.when.strip()}"
    else:
        conditions = "".join(f" and {name} is {' or '.join(globs)}" for name, globs in rule.when.items())
    effects = [f"{key} {_shown(value)}" for key, value in rule.effects.items()]
    return f"{' or '.join(rule.patterns)}{conditions}: {', '.join(effects + ['stop'] * rule.stop)}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _conflicts(rules: Sequence[MetricRule], names: Sequence[str]) -> Iterator[str]:
    """Pairs of rules that set the same thing and that one name may match both of."""
    found = compared = 0
    patterns = [[Pattern(one) for one in rule.patterns] for rule in rules]
    for first, second in combinations(range(len(rules)), 2):
        same = _same(rules[first], rules[second])
        if not same:
            continue
        for one in patterns[first]:
            for other in patterns[second]:
                compared += 1
                if compared > MAX_COMPARED:
                    yield f"only the first {MAX_COMPARED} pairs of patterns were compared"
                    return
                if overlap(one, other):
                    break
            else:
                continue
            break
        else:
            continue
        found += 1
        if found > MAX_PAIRS:
            yield "further rules set the same thing"
            return
        yield _cut(f"{names[first]} and {names[second]} both set {', '.join(same)}: where both match, the later wins")


def _same(one: MetricRule, other: MetricRule) -> list[str]:
    """What both rules set. Changes of dimensions go on from each other: two collide only where they add the same one."""
    same = [key for key in one.effects if key in other.effects and key not in _ADDING]
    added = set(one.dimensions or ()) & set(other.dimensions or ())
    return same + [f"the dimension {name}" for name in sorted(added)]


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LINE_CHARACTERS else text[: LINE_CHARACTERS - 3] + "..."
