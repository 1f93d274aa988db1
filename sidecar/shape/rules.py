"""Rules by metric name: what the operator says of metrics whose senders cannot say it. Pure.

The first rule whose glob matches the name as it was sent applies; a sample's own unit and resolution win over it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Literal

from sidecar.model.limits import NAME_CHARACTERS

# Names whose rule is known; beyond, they are looked up anew, as is a name longer than any metric may have: the table is
# bounded in bytes too.
REMEMBERED: Final = 10_000


@dataclass(slots=True, frozen=True)
class Rule:
    """What holds for the metrics of one glob.

    Attributes:
        match: a glob over the whole name: `*`, `?`, `[seq]`; case matters.
        unit: a CloudWatch unit, or None.
        resolution: 1 or 60 seconds, or None.
        percentiles: whether distributions keep their values, or None for the configured default.
        signed_gauges: how a StatsD gauge with a sign (`+5`, `-5`) is read: `delta` changes the gauge's level,
            `value` is the level itself, `auto` decides by the line's dialect; None for the configured default.
    """

    match: str
    unit: str | None = None
    resolution: int | None = None
    percentiles: bool | None = None
    signed_gauges: Literal["auto", "delta", "value"] | None = None


NO_RULE: Final = Rule("")


class Rules:
    """The rules in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Compile the globs."""
        self._rules = [(re.compile(translate(rule.match)), rule) for rule in rules]
        self._known: dict[str, Rule] = {}

    def find(self, name: str) -> Rule:
        """The rule for a metric name; one that says nothing where none matches."""
        # A name longer than CloudWatch takes is refused: not remembered, at up to 64 kB each.
        if not self._rules or len(name) > NAME_CHARACTERS:
            return NO_RULE
        rule = self._known.get(name)
        if rule is None:
            rule = next((rule for glob, rule in self._rules if glob.match(name)), NO_RULE)
            if len(name) <= NAME_CHARACTERS:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[name] = rule
        return rule
