"""What one configuration makes of events, as one value: a reload replaces it, `explain` can call it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sidecar.model.closing import PLAIN, Closing
from sidecar.model.samples import Sample, Series, SignedGauges
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.log_rules import LogRules
from sidecar.shape.routing import Router
from sidecar.shape.rules import Decision, Rule, Rules
from sidecar.shape.series import Named, SeriesNaming


class ShapedSample(NamedTuple):
    """What a sample is aggregated as.

    Attributes:
        series: its own, or the one it is folded into.
        percentiles: True if the values of a distribution are to be stored; False makes it a statistic set.
        repaired: True if a character of its names was replaced (`metrics.replace_invalid`).
        folded: True if `series` is not its own, because of `metrics.max_series` or that of a rule.
        closing: what is done with its accumulator when the window closes.
        drop: True if a rule drops it; its series is not counted then.
        unknown: True if a placeholder of a rule or of a configured dimension was filled with `unknown`.
        over_budget: True if it is folded because of `metrics.budget`.
    """

    series: Series
    percentiles: bool
    repaired: bool
    folded: bool
    closing: Closing = PLAIN
    drop: bool = False
    unknown: bool = False
    over_budget: bool = False


class Shape:
    """Series, rules, cardinality, routing and the rules of log events.

    Attributes:
        cardinality: the series of the last hour.
        router: chooses the destinations of log events.
        log_rules: redact, measure and route log events; None where there are none.
    """

    __slots__ = ("_naming", "_percentiles", "_signed_gauges", "cardinality", "log_rules", "router")

    def __init__(
        self,
        *,
        naming: SeriesNaming,
        cardinality: Cardinality,
        router: Router,
        percentiles: bool,
        signed_gauges: SignedGauges,
        log_rules: LogRules | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            naming: names the series of samples; it has the rules.
            cardinality: caps the number of series.
            router: chooses the destinations of log events.
            percentiles: `metrics.percentiles`, for samples no rule decides on.
            signed_gauges: `metrics.signed_gauges`, for the same.
            log_rules: of log events, if any.
        """
        self._naming = naming
        self.cardinality = cardinality
        self.router = router
        self.log_rules = log_rules
        self._percentiles = percentiles
        self._signed_gauges: SignedGauges = signed_gauges

    def shape(self, sample: Sample, now: float, input_: str = "") -> ShapedSample:
        """Name the series of a sample, and count it among those of the last hour.

        Args:
            sample: as decoded.
            now: monotonic seconds.
            input_: the label of the input by which it arrived; empty for none.

        Raises:
            DecodeError: CloudWatch would refuse a name, the unit or the dimensions; or `too_many_series`.
        """
        own, closing, drop, percentiles, max_series, repaired, unknown = self._naming.name(sample, input_)
        if percentiles is None:
            percentiles = self._percentiles
        if drop:
            return ShapedSample(own, percentiles, repaired, folded=False, closing=closing, drop=True)
        series = self.cardinality.admit(own, now, max_series=max_series, rollups=closing.rollups)
        folded = series is not own and series != own
        over_budget = folded and self.cardinality.over_budget
        return ShapedSample(series, percentiles, repaired, folded, closing, unknown=unknown, over_budget=over_budget)

    def name(self, sample: Sample, input_: str = "") -> Named:
        """What a sample, that arrived by an input, becomes by its names, without counting its series.

        Raises:
            DecodeError: CloudWatch would refuse a name, the unit or the dimensions.
        """
        return self._naming.name(sample, input_)

    def percentiles(self, named: Named) -> bool:
        """True if the values of a distribution are stored: by rule, else `metrics.percentiles`."""
        return self._percentiles if named.percentiles is None else named.percentiles

    def steps(self, sample: Sample, input_: str = "") -> Iterator[tuple[Rule, Decision]]:
        """The rules of `metrics.rules` that apply to a sample, each with what it and those before it say.

        The decision is the same object each time.
        """
        return self._naming.steps(sample, input_)

    def check(self, sample: Sample, input_: str = "") -> None:
        """Check the names of a sample, that arrived by an input, without counting its series.

        Raises:
            DecodeError: CloudWatch would refuse a name, the unit or the dimensions.
        """
        self._naming.name(sample, input_)

    @property
    def rules(self) -> Rules:
        """The rules of `metrics.rules`, with their counts."""
        return self._naming.rules

    def signed_gauges(self, name: str) -> SignedGauges:
        """How the sign of a StatsD gauge of this name is read: by rule, else `metrics.signed_gauges`."""
        return self._naming.signed_gauges(name, self._signed_gauges)
