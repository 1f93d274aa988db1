"""Samples, series and the changes of rules as text, for `sidecar explain`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

from sidecar.aggregate.distribution import Distribution
from sidecar.aggregate.members import Members
from sidecar.aggregate.window import form_of
from sidecar.config.cost import PriceOverrides
from sidecar.config.schema import Config
from sidecar.model.prices import two_digits
from sidecar.model.samples import Dimensions, Sample, Series, Statistics
from sidecar.shape.rules import Decision
from sidecar.shape.shape import ShapedSample

_UNSAID: Final = ("hits", "unknown", "scales")  # fields of a decision that are shown elsewhere
SHOWN_VALUES: Final = 20


def dimensions(pairs: Dimensions) -> str:
    """`{Environment=prod, Service=api}`."""
    return "{" + ", ".join(f"{name}={value}" for name, value in pairs) + "}"


def named(series: Series) -> str:
    """Namespace, name and dimensions."""
    return f"{series.namespace} {series.name} {dimensions(series.dimensions)}"


def sample(decoded: Sample) -> str:
    """A sample as it was decoded."""
    words = f"{decoded.kind.value} {decoded.name} = {_quantity(decoded, 1.0)}"
    given = [f"dimensions {dimensions(decoded.dimensions)}"] if decoded.dimensions else []
    given += [f"{key} {value}" for key in ("unit", "namespace", "resolution") if (value := getattr(decoded, key))]
    if decoded.timestamp is not None:
        given.append(f"timestamp {decoded.timestamp:.3f}")
    return ", ".join([words, *given])


def series(shaped_as: Series, of: Sample, shaped: ShapedSample) -> str:
    """The series a sample is aggregated in, and how it is sent."""
    form = form_of(of, percentiles=shaped.percentiles)
    sent_as = "the number of distinct members" if form is Members else "a statistic set"
    if form is Distribution:
        sent_as = "values and counts, for percentiles"
    unit = "no unit" if shaped_as.unit == "None" else f"in {shaped_as.unit}"
    return f"{named(shaped_as)}, {unit}, windows of {shaped_as.resolution} s, sent as {sent_as}"


def sent(of: Sample, shaped: ShapedSample, rollups: Sequence[Series], config: Config) -> str:
    """What is sent of a sample, in one line: name, dimensions, scaled value, unit, and what differs from the defaults."""
    own = shaped.series
    words = [f"{own.name} {dimensions(own.dimensions)} = {_quantity(of, shaped.closing.scale)} {own.unit}"]
    if form_of(of, percentiles=shaped.percentiles) is not form_of(of, percentiles=True):
        words.append("statistic set")
    if own.namespace != config.namespace:
        words.append(f"namespace {own.namespace}")
    if own.resolution != config.metrics.resolution:
        words.append(f"resolution {own.resolution}")
    if rollups:
        words.append("rollups " + " ".join(dimensions(one.dimensions) for one in rollups))
    return ", ".join(words)


def cost(number: int, config: Config) -> str:
    """What so many series cost in a month in which they are sent in every hour."""
    prices = (config.prices or PriceOverrides()).over(config.region)
    dollars = two_digits(prices.metrics(number))
    metrics = "1 metric" if number == 1 else f"{number} metrics"
    return f"{metrics}, {dollars:g} dollars a month if sent every hour; list price of {prices.region}, {prices.date}"


class Before:
    """Describes what each rule changes, one after the other."""

    def __init__(self, decoded: Sample, config: Config) -> None:
        """Begin with the dimensions as they were sent, with the configured ones."""
        self._last = Decision(tuple(dict((*config.dimensions.items(), *decoded.dimensions)).items()))

    def changes(self, decision: Decision) -> str:
        """What differs from the last decision."""
        changed = [one.name for one in fields(Decision) if getattr(decision, one.name) != getattr(self._last, one.name)]
        self._last = replace(decision)
        said = [f"{name} {_said(getattr(decision, name), name)}" for name in changed if name not in _UNSAID]
        return ", ".join(said) or "applies, and changes nothing"


def _said(value: object, name: str) -> str:
    if name == "dimensions" and isinstance(value, tuple):
        return dimensions(value)
    if name == "rollups" and isinstance(value, tuple):
        return " ".join("{" + ", ".join(names) + "}" for names in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quantity(of: Sample, scale: float) -> str:
    statistics: Statistics | None = of.statistics
    if statistics is not None:
        count, sum_, minimum, maximum = statistics
        return f"{count:g} samples, sum {sum_ * scale:g}, min {minimum * scale:g}, max {maximum * scale:g}"
    if of.members:
        return "1 member" if len(of.members) == 1 else f"{len(of.members)} members"
    shown = [
        f"{'+' if of.delta and value >= 0 else ''}{value * scale:g}" + (f" x{weight:g}" if weight != 1.0 else "")
        for value, weight in zip(of.values, of.weights, strict=True)
    ]
    more = [f"and {len(shown) - SHOWN_VALUES} more"] if len(shown) > SHOWN_VALUES else []
    return " ".join([*shown[:SHOWN_VALUES], *more])
