"""Rules on metrics: which apply to a sample, and how they change its names, numbers and series. Pure.

Every rule that matches applies, in the order of the configuration, and of two that set the same thing the later one
wins; a rule with `stop` is the last. A rule is chosen by the metric as it was sent (its name, and its dimensions with
the configured ones), not as earlier rules have changed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from sidecar.model.closing import Hits
from sidecar.model.conditions import compile_condition
from sidecar.model.limits import DIMENSION_VALUE_CHARACTERS, NAME_CHARACTERS
from sidecar.model.patterns import Pattern, Patterns
from sidecar.model.samples import Dimensions, Rollups
from sidecar.model.template import Template

CACHED_NAMES: Final = 10_000  # names whose rules are cached; none longer than a metric's may be, which bounds the bytes
CACHED_MATCHES: Final = 100_000  # rules of these names together

INPUT: Final = "input"
"""The key of a mapping under `when` that is about the input, and not about a dimension."""

_NO_HOLES: Final[dict[str, str]] = {}


@dataclass(slots=True, frozen=True)
class Rule:
    """One rule of `metrics.rules`: what it matches and, for each effect, what it sets; None where it does not.

    Attributes:
        match: a pattern over the whole name, or several of which one must match; case matters.
        when: `{dimension: globs}`: the metric has each of these dimensions, its value matched by one of the globs;
            under `input`, it arrived by an input whose label one of the globs matches. Or a filter pattern of
            CloudWatch over the dimensions.
        stop: no later rule applies.
        drop: the sample is dropped, counted with the reason `rule`.
        name: the metric's name, a template over holes, dimensions and environment variables.
        namespace: likewise.
        unit: a CloudWatch unit, for samples without one, and for all where the rule scales.
        resolution: 1 or 60 seconds, for samples without one.
        percentiles: True if distributions store their values.
        signed_gauges: how a StatsD gauge with a sign (`+5`, `-5`) is read: `delta` changes the gauge's level,
            `value` is the level itself, `auto` decides by the line's dialect.
        scale: what every value is multiplied by.
        keep_dimensions: globs; the others are removed.
        drop_dimensions: globs; these are removed.
        rename_dimensions: `{name: new name}`.
        dimensions: `{name: template}`, added.
        rollups: sets of dimensions to add up over, besides the series itself.
        max_series: of this metric; beyond, new series are folded.
        origin: the path of the rule in the configuration, for messages.
    """

    match: str | tuple[str, ...]
    when: Mapping[str, tuple[str, ...]] | str = field(default_factory=dict)
    stop: bool = False
    drop: bool | None = None
    name: str | None = None
    namespace: str | None = None
    unit: str | None = None
    resolution: int | None = None
    percentiles: bool | None = None
    signed_gauges: Literal["auto", "delta", "value"] | None = None
    scale: float | None = None
    keep_dimensions: tuple[str, ...] | None = None
    drop_dimensions: tuple[str, ...] | None = None
    rename_dimensions: Mapping[str, str] | None = None
    dimensions: Mapping[str, str] | None = None
    rollups: Rollups | None = None
    max_series: int | None = None
    origin: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """What it matches, as patterns of which one must match."""
        return (self.match,) if isinstance(self.match, str) else self.match


@dataclass(slots=True)
class Decision:
    """What the rules that apply to one series say, all together; None where they say nothing.

    Attributes:
        name, namespace: rendered.
        dimensions: what became of the sample's and the configured ones; their names may repeat no more.
        scales: True if the unit is that of the scaled values.
        unknown: True if a placeholder was filled with `unknown`.
        hits: of the rules.
    """

    dimensions: Dimensions
    name: str | None = None
    namespace: str | None = None
    unit: str | None = None
    scales: bool = False
    resolution: int | None = None
    percentiles: bool | None = None
    scale: float = 1.0
    rollups: Rollups | None = None
    max_series: int | None = None
    drop: bool = False
    unknown: bool = False
    hits: tuple[Hits, ...] = ()


class _Compiled:
    """One rule, ready to be applied."""

    __slots__ = (
        "condition", "dimensions", "dropped", "hits", "inputs", "kept", "name", "namespace", "patterns", "rule", "when",
    )  # fmt: skip

    def __init__(self, rule: Rule, hostname: str, context: Mapping[str, str]) -> None:
        self.rule = rule
        self.hits = Hits()
        self.patterns = Patterns([Pattern(text) for text in rule.patterns])
        when = {} if isinstance(rule.when, str) else dict(rule.when)
        self.condition = compile_condition(rule.when) if isinstance(rule.when, str) else None
        self.inputs = _Globs(when.pop(INPUT), NAME_CHARACTERS) if INPUT in when else None
        self.when = [(name, _Globs(globs, DIMENSION_VALUE_CHARACTERS)) for name, globs in when.items()]
        self.kept = _Globs(rule.keep_dimensions or (), NAME_CHARACTERS)
        self.dropped = _Globs(rule.drop_dimensions or (), NAME_CHARACTERS)
        self.name = None if rule.name is None else Template(rule.name, hostname, context)
        self.namespace = None if rule.namespace is None else Template(rule.namespace, hostname, context)
        self.dimensions = [
            (name, Template(text, hostname, context)) for name, text in (rule.dimensions or _NO_HOLES).items()
        ]

    def match(self, name: str) -> dict[str, str] | None:
        """What the holes stand for where the name matches, else None."""
        holes = self.patterns.match(name)
        return None if holes is None else holes or _NO_HOLES

    def holds(self, dimensions: Mapping[str, str], input_: str) -> bool:
        """True if the conditions hold."""
        if self.inputs is not None and not self.inputs.match(input_):
            return False
        if self.condition is not None and not self.condition(dimensions, ""):
            return False
        for name, globs in self.when:
            value = dimensions.get(name)
            if value is None or not globs.match(value):
                return False
        return True

    def apply(self, decision: Decision, sent: Mapping[str, str], holes: Mapping[str, str]) -> None:
        """Set what the rule sets.

        Args:
            decision: of the rules before it.
            sent: the dimensions as they were sent, with the configured ones.
            holes: what they stand for.
        """
        rule = self.rule
        decision.hits += (self.hits,)
        decision.drop = decision.drop if rule.drop is None else rule.drop
        fields = {**sent, **holes}
        if self.name is not None:
            decision.name = self._render(self.name, fields, decision)
        if self.namespace is not None:
            decision.namespace = self._render(self.namespace, fields, decision)
        if rule.unit is not None:
            decision.unit, decision.scales = rule.unit, rule.scale is not None
        decision.resolution = decision.resolution if rule.resolution is None else rule.resolution
        decision.percentiles = decision.percentiles if rule.percentiles is None else rule.percentiles
        decision.scale = decision.scale if rule.scale is None else rule.scale
        decision.rollups = decision.rollups if rule.rollups is None else rule.rollups
        decision.max_series = decision.max_series if rule.max_series is None else rule.max_series
        if self._changes_dimensions:
            decision.dimensions = self._changed(decision, fields)

    @property
    def _changes_dimensions(self) -> bool:
        rule = self.rule
        return bool(
            rule.keep_dimensions is not None or rule.drop_dimensions or rule.rename_dimensions or self.dimensions
        )

    def _changed(self, decision: Decision, fields: Mapping[str, str]) -> Dimensions:
        """The dimensions once some are removed, then some renamed, then some added."""
        rule, left = self.rule, dict(decision.dimensions)
        if rule.keep_dimensions is not None:
            left = {name: value for name, value in left.items() if self.kept.match(name)}
        if rule.drop_dimensions:
            left = {name: value for name, value in left.items() if not self.dropped.match(name)}
        renamed = {new: left.pop(name) for name, new in (rule.rename_dimensions or _NO_HOLES).items() if name in left}
        added = {name: self._render(template, fields, decision) for name, template in self.dimensions}
        return tuple({**left, **renamed, **added}.items())

    @staticmethod
    def _render(template: Template, fields: Mapping[str, str], decision: Decision) -> str:
        decision.unknown = decision.unknown or template.lacks(fields)
        return template.render(fields)


class _Globs:
    """Several globs, of which one must match; none matches a text longer than CloudWatch accepts."""

    __slots__ = ("_most", "_patterns")

    def __init__(self, globs: Sequence[str], most: int) -> None:
        self._patterns = Patterns([Pattern(text, holes=False) for text in globs])
        self._most = most

    def match(self, text: str) -> bool:
        return len(text) <= self._most and self._patterns.match(text) is not None


class Rules:
    """The rules in their order.

    Attributes:
        by_input: True if what they decide depends on the input by which a sample arrived.
    """

    def __init__(self, rules: Sequence[Rule], *, hostname: str = "", context: Mapping[str, str] | None = None) -> None:
        """Compile the rules.

        Args:
            rules: in their order.
            hostname: what `{hostname}` stands for.
            context: what other placeholders stand for that are neither a hole nor a dimension.

        Raises:
            ValueError: a pattern cannot be used; the schema of the configuration has refused those.
        """
        self._rules = [_Compiled(rule, hostname, context or _NO_HOLES) for rule in rules]
        self.by_input = any(rule.inputs is not None for rule in self._rules)
        self._cache: dict[str, tuple[tuple[_Compiled, dict[str, str]], ...]] = {}
        self._cached = 0

    def decide(self, name: str, dimensions: Mapping[str, str], input_: str = "") -> Decision | None:
        """What the rules make of a metric; None if none applies.

        Args:
            name: as it was sent.
            dimensions: as they were sent, with the configured ones.
            input_: the label of the input; empty for none, which fulfils no condition on the input.
        """
        decision: Decision | None = None
        for _, decision in self.steps(name, dimensions, input_):  # noqa: B007  # the last is wanted
            pass
        return decision

    def steps(self, name: str, dimensions: Mapping[str, str], input_: str = "") -> Iterator[tuple[Rule, Decision]]:
        """The rules that apply to a metric, in their order, each with what it and those before it say.

        The decision is the same object each time; the arguments are those of `decide`.
        """
        decision = Decision(tuple(dimensions.items()))
        for rule, holes in self._matching(name):
            if rule.holds(dimensions, input_):
                rule.hits.decided = True
                rule.apply(decision, dimensions, holes)
                yield rule.rule, decision
                if rule.rule.stop:
                    return

    def signed_gauges(self, name: str) -> Literal["auto", "delta", "value"] | None:
        """How the signs of gauges of this name are read, by the rules without conditions: a line is decoded before them."""
        decided = None
        for rule, _ in self._matching(name):
            if not rule.when:
                decided = rule.rule.signed_gauges or decided
                if rule.rule.stop:
                    break
        return decided

    def hits(self) -> list[tuple[Rule, Hits]]:
        """Every rule with its count."""
        return [(rule.rule, rule.hits) for rule in self._rules]

    def _matching(self, name: str) -> tuple[tuple[_Compiled, dict[str, str]], ...]:
        """The rules that match a name, with what their holes stand for."""
        # A longer name is refused anyway.
        if not self._rules or len(name) > NAME_CHARACTERS:
            return ()
        found = self._cache.get(name)
        if found is None:
            found = tuple((rule, holes) for rule in self._rules if (holes := rule.match(name)) is not None)
            if len(self._cache) >= CACHED_NAMES or self._cached + len(found) > CACHED_MATCHES:
                self._cache.clear()
                self._cached = 0
            self._cache[name] = found
            self._cached += len(found)
        return found
