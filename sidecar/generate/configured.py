"""What a configuration sends: each metric with its sets of dimensions. Pure.

It is known from `logs.metrics`, `watch.sends` and `observe.publish`, and from `metrics.rules`, which are applied by the
same code as in the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from sidecar.config.log_rules import LogMetric
from sidecar.config.schema import Config
from sidecar.generate.sent import (
    ANY,
    PLACEHOLDER,
    Addition,
    Found,
    Reference,
    Refused,
    covers,
    known,
    matches,
    shown_dimensions,
    statistic_problem,
)
from sidecar.model.closing import rolled_up
from sidecar.model.samples import Dimensions, Form, Kind, Rollups, Sample, Series, Statistics
from sidecar.observe.published import INPUT, PUBLISHED

LOGS_INPUT: Final = "logs"
"""The input by which the samples of `logs.metrics` arrive, for conditions of rules."""


class Decided(NamedTuple):
    """What becomes of a sample.

    Attributes:
        series: its own.
        percentiles: whether the values of a distribution are stored.
        rollups: the sets of dimensions it is added up over.
    """

    series: Series
    percentiles: bool
    rollups: Rollups


Decide: TypeAlias = Callable[[Sample, str], Decided | None]
"""Returns what becomes of a sample that arrives by an input; None if it is dropped or refused."""


class Configured:
    """What a configuration sends."""

    def __init__(self, config: Config, decide: Decide) -> None:
        """Read the configuration; `decide` applies its rules to a sample."""
        self._decide = decide
        self._samples = [*_log_samples(config), *_declared(config), *_published(config)]

    def namespaces(self) -> set[str]:
        """The namespaces of the metrics that are known to be sent; `ANY` in one stands for what is not known."""
        return {one.series.namespace for way in self._samples if (one := self._decide(*way)) is not None}

    def find(self, reference: Reference) -> Found | Refused:
        """The metric as it is sent, or why it is not and what would change that."""
        ways = [(sample, one) for sample, one in self._ways(reference) if one.series.name == reference.name]
        spaces = sorted({one.series.namespace for _, one in ways})
        if reference.namespace is not None:
            ways = [(sample, one) for sample, one in ways if one.series.namespace == reference.namespace]
        elif len(spaces) > 1:
            return Refused(f"{reference.asset}: {reference.name} is sent in {', '.join(spaces)}: give the namespace")
        if not ways:
            return Refused(self._unknown(reference, spaces))
        exact = [(sample, one) for sample, one in ways if _sends(one, reference.dimensions)]
        if not exact:
            return self._without_dimensions(reference, ways)
        return next(
            (refused for sample, one in exact if (refused := _statistic_refused(reference, sample, one)) is not None),
            Found(exact[0][1].series.namespace, reference.dimensions, *_form(*exact[0])),
        )

    def _ways(self, reference: Reference) -> Iterator[tuple[Sample, Decided]]:
        """Every sample with what becomes of it; its unknown dimension values are those that the asset names."""
        wanted = dict(reference.dimensions)
        for sample, input_ in self._samples:
            pairs = tuple((name, wanted.get(name, ANY) if value == ANY else value) for name, value in sample.dimensions)
            filled = replace(sample, dimensions=pairs)
            one = self._decide(filled, input_)
            if one is not None:
                yield filled, one

    def _unknown(self, reference: Reference, spaces: Sequence[str]) -> str:
        if spaces:
            return f"{reference.asset}: {reference.name} is sent in {', '.join(spaces)}, not in {reference.namespace}"
        names = sorted({one.series.name for _, one in self._ways(reference)})
        listed = f"known are {', '.join(names[:20])}" if names else "none is known"
        return (
            f"{reference.asset}: no metric {reference.name} is known to be sent; {listed}; declare what the application sends in"
            " watch.sends, or make the metric from log events with logs.metrics"
        )

    def _without_dimensions(self, reference: Reference, ways: Sequence[tuple[Sample, Decided]]) -> Refused:
        wanted = shown_dimensions(reference.dimensions)
        sets = sorted({shown for _, one in ways for shown in map(shown_dimensions, _sets(one))})
        names = tuple(sorted(name for name, _ in reference.dimensions))
        additions = [
            Addition(sample.name, (*one.rollups, names), None)
            for sample, one in ways
            if covers(one.series.dimensions, reference.dimensions)
        ]
        sentence = (
            f"{reference.asset}: {reference.name} is not sent with exactly {wanted}, so that {reference.otherwise}; it is sent"
            f" with {' and '.join(sets)}"
        )
        if additions:
            sentence += f"; --add-rollups adds a rollup over [{', '.join(names)}]"
        return Refused(sentence, tuple(additions))


def _statistic_refused(reference: Reference, sample: Sample, one: Decided) -> Refused | None:
    form, resolution = _form(sample, one)
    problem = statistic_problem(reference, form, resolution)
    if problem is None:
        return None
    stored = form == "statistics" and sample.statistics is None and sample.kind not in (Kind.COUNTER, Kind.GAUGE)
    if not stored or reference.period_seconds < 60:
        return Refused(problem)
    return Refused(f"{problem}; --add-rollups sets percentiles: true", (Addition(sample.name, None, True),))


def _form(sample: Sample, one: Decided) -> tuple[Form, int]:
    if sample.kind is Kind.SET:
        return "set", one.series.resolution
    plain = sample.kind in (Kind.COUNTER, Kind.GAUGE) or sample.statistics is not None or not one.percentiles
    return "statistics" if plain else "values", one.series.resolution


def _sets(one: Decided) -> list[Dimensions]:
    return [one.series.dimensions, *(series.dimensions for series in rolled_up(one.series, one.rollups))]


def _sends(one: Decided, wanted: Dimensions) -> bool:
    return any(matches(dimensions, wanted) for dimensions in _sets(one))


def _log_samples(config: Config) -> Iterator[tuple[Sample, str]]:
    for rule in config.logs.metrics:
        yield _log_sample(rule, known(config.dimensions)), LOGS_INPUT


def _log_sample(rule: LogMetric, configured: Mapping[str, str]) -> Sample:
    """A sample of a rule of `logs.metrics`; values of fields of the event are `ANY`."""
    dimensions = {
        name: ANY if name in rule.rewrite else PLACEHOLDER.sub(lambda one: configured.get(one[1], ANY), template)
        for name, template in rule.dimensions.items()
    }
    kind = Kind(rule.type or ("counter" if rule.value is None else "sample"))
    sample = _sample(rule.name, kind, dimensions, rule.unit, rule.namespace, rule.resolution)
    return replace(sample, rollups=tuple(tuple(sorted(set(names))) for names in rule.rollups))


def _declared(config: Config) -> Iterator[tuple[Sample, str]]:
    for one in config.watch.sends:
        dimensions = {name: ANY if value is None else value for name, value in one.dimensions.items()}
        kind = Kind.SAMPLE if one.type == "statistics" else Kind(one.type)
        for name in one.metrics:
            sample = _sample(name, kind, dimensions, None, one.namespace, one.resolution)
            given = replace(sample, statistics=Statistics(1, 1, 1, 1)) if one.type == "statistics" else sample
            yield given, one.input or ""


def _published(config: Config) -> Iterator[tuple[Sample, str]]:
    for one in PUBLISHED if config.observe.publish else ():
        if config.deliver.spool_dir is not None or not one.spool:
            yield _sample(one.name, one.kind, dict(one.dimensions), one.unit, None, None), INPUT


def _sample(
    name: str, kind: Kind, dimensions: dict[str, str], unit: str | None, namespace: str | None, resolution: int | None
) -> Sample:
    ones = () if kind is Kind.SET else (1.0,)
    members = ("x",) if kind is Kind.SET else ()
    pairs = tuple(sorted(dimensions.items()))
    return Sample(
        name, kind, ones, ones, members, dimensions=pairs, unit=unit, namespace=namespace, resolution=resolution
    )
