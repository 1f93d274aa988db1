"""The lines of `sidecar check` about rules: each rule, pairs that set the same thing, and how many series rollups add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from pydantic import BaseModel

from sidecar.config.metric_rules import MetricRule
from sidecar.config.problems import printable
from sidecar.config.schema import Config, rules_of
from sidecar.model.patterns import Pattern, overlap

LINE_CHARACTERS: Final = 300
ORDERS: Final = {
    "metrics.rules": "every one that matches applies, in this order",
    "logs.redact": "every one applies, before anything else sees the event",
    "logs.metrics": "every one that matches makes a sample, also of events that routes drop",
    "logs.routes": "the first that matches decides",
}
"""{key of a list of rules: how they apply}."""
MAX_PAIRS: Final = 50  # of rules that set the same thing, in the report
MAX_COMPARED: Final = 2_000  # pairs of patterns: about a second at worst
_ADDING: Final = frozenset({"keep_dimensions", "drop_dimensions", "rename_dimensions", "dimensions"})


def report(config: Config, lines: Mapping[str, int]) -> Iterator[str]:
    """The sentences about all rules: of metrics, then of log events in the order in which an event meets them.

    Args:
        config: the configuration.
        lines: of the file, by the path of the rule, such as `metrics.rules.0`; without those that are not from a file.
    """
    for key, how in ORDERS.items():
        rules = rules_of(config, key)
        names = [_name(f"{key}.{number}", lines) for number in range(len(rules))]
        if rules:
            yield f"{key}: {len(rules)}, {how}"
        for name, rule in zip(names, rules, strict=True):
            yield _cut(f"{name}: {_described(rule) if isinstance(rule, MetricRule) else _given(rule)}")
        if key == "metrics.rules":
            yield from _conflicts(config.metrics.rules, names)
        for name, rule in zip(names, rules, strict=True):
            rollups = getattr(rule, "rollups", None)
            if rollups:
                yield (
                    f"{name}: at most {1 + len({frozenset(one) for one in rollups})} times as many series on the bill, one"
                    " for each set of rollups; fewer where series share a rollup"
                )


def _name(path: str, lines: Mapping[str, int]) -> str:
    return f"{path} (line {lines[path]})" if path in lines else path


def _given(rule: BaseModel) -> str:
    """A rule of log events as a sentence: which it is for, and what it sets."""
    given = rule.model_dump(by_alias=True, exclude_defaults=True)
    when = given.pop("when", None)
    effects = ", ".join(f"{key} {_shown(value)}" for key, value in given.items())
    return effects if when is None else f"{_shown(when)}: {effects}"


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
