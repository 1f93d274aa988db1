"""Rules by metric name: unit, resolution and more of metrics whose senders cannot give them. Pure.

The first rule whose glob matches the name as it was sent applies; a sample's own unit and resolution win over it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Literal

from sidecar.model.limits import NAME_CHARACTERS

CACHED_NAMES: Final = 10_000  # names whose rule is cached; none longer than a metric's may be, which bounds the bytes


@dataclass(slots=True, frozen=True)
class Rule:
    """One rule of `metrics.rules`.

    Attributes:
        match: a glob over the whole name: `*`, `?`, `[seq]`; case matters.
        unit: a CloudWatch unit, or None.
        resolution: 1 or 60 seconds, or None.
        percentiles: True if distributions store their values; None for the configured default.
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
        self._cache: dict[str, Rule] = {}

    def find(self, name: str) -> Rule:
        """The rule for a metric name as it was sent; `NO_RULE` where none matches."""
        # A longer name is refused anyway.
        if not self._rules or len(name) > NAME_CHARACTERS:
            return NO_RULE
        rule = self._cache.get(name)
        if rule is None:
            rule = next((rule for glob, rule in self._rules if glob.match(name)), NO_RULE)
            if len(self._cache) >= CACHED_NAMES:
                self._cache.clear()
            self._cache[name] = rule
        return rule
