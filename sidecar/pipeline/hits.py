"""How often each rule of the configuration applied, as `/stats` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.aggregate.window import Windows
from sidecar.model.closing import Hits
from sidecar.shape.rules import Rules

SHOWN_CHARACTERS = 100  # of what a rule matches


def summary(rules: Rules, windows: Windows) -> dict[str, Any]:
    """Every rule of `metrics.rules` with the samples it applied to, and the paths of those that never applied.

    A sample is counted once for each rule that applied to it. Rules are decided once for a series: the samples are those
    of the windows that the rules belong to, closed and open.
    """
    open_: Counter[Hits] = Counter()
    for window in windows.windows():
        if window.closing.hits:
            samples = sum([accumulator.samples for accumulator in window.accumulators.values()])
            for hits in window.closing.hits:
                open_[hits] += samples
    counted = rules.hits()
    return {
        "metrics": [
            {
                "rule": rule.origin,
                "match": ", ".join(rule.patterns)[:SHOWN_CHARACTERS],
                "hits": hits.samples + open_[hits],
            }
            for rule, hits in counted
        ],
        "never_hit": [rule.origin for rule, hits in counted if not hits.decided],
    }


def by_rule(rules: dict[str, Any]) -> list[tuple[str, int]]:
    """Each rule with its hits, added up where it is listed several times; of what `/stats` shows."""
    return list(_added_up([rules["metrics"], *rules.get("logs", {}).values()]).items())


def never_hit(logs: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """The paths of the rules of log events that never applied, each once; of a redaction, if none of what it finds was found."""
    return [rule for rule, hits in _added_up(logs.values()).items() if not hits]


def _added_up(lists: Iterable[list[dict[str, Any]]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for listed in lists:
        for one in listed:
            counted[one["rule"]] += one["hits"]
    return counted
