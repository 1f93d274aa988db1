"""Which series a sample belongs to: configured dimensions, defaults and CloudWatch's naming rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Final

from sidecar import naming
from sidecar.model import DEFAULT_UNIT, Sample, Series
from sidecar.shape.rules import Rules

# Series by what samples said of themselves; beyond, they are named anew. Few: what comes again and again is known by its
# line or its document, and 16,384 of these took 0.6 kB each.
REMEMBERED: Final = 1_024
REMEMBERED_CHARACTERS: Final = 1_024  # of a series' texts: with thirty dimensions it may have 38,000


class Shaper:
    """Turns what a sample says of itself, and what is configured, into its series."""

    def __init__(
        self,
        *,
        namespace: str,
        dimensions: Mapping[str, str],
        resolution: int,
        replace_invalid: str | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Take over the configuration.

        Args:
            namespace: of samples that bring none.
            dimensions: added to every sample; the sample's own of the same name wins.
            resolution: seconds, 1 or 60, of samples that bring none.
            replace_invalid: the character put in place of one CloudWatch disallows; None refuses the sample.
            rules: by metric name.
        """
        self._namespace = namespace
        self._dimensions = tuple(dimensions.items())
        self._resolution = resolution
        self._replace = replace_invalid
        self._rules = rules or Rules([])
        self._known: dict[tuple[object, ...], Series] = {}

    def repaired(self, sample: Sample, series: Series) -> bool:
        """Whether a name had to be changed for CloudWatch to take it."""
        if self._replace is None:
            return False
        named = series.name == sample.name and sample.namespace in (None, series.namespace)
        return not named or not set(sample.dimensions) <= set(series.dimensions)

    def keeps_values(self, sample: Sample, default: bool) -> bool:  # noqa: FBT001  # a value, not a mode
        """Whether the sample's values are to be kept for percentiles, by rule or by default."""
        percentiles = self._rules.find(sample.name).percentiles
        return default if percentiles is None else percentiles

    def series(self, sample: Sample) -> Series:
        """Name the series.

        Raises:
            DecodeError: CloudWatch would refuse the name, namespace, dimensions or unit.
        """
        # Checking names takes three times as long as all the rest of an event: what was asked before is known.
        asked = (sample.name, sample.kind, sample.dimensions, sample.unit, sample.resolution, sample.namespace)
        known = self._known.get(asked)
        if known is None:
            known = self._name(sample)
            if sum([len(name) + len(value) for name, value in sample.dimensions]) <= REMEMBERED_CHARACTERS:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[asked] = known
        return known

    def _name(self, sample: Sample) -> Series:
        namespace = sample.namespace
        metric_name = naming.metric_name(sample.name, self._replace)  # before the globs of rules see it
        rule = self._rules.find(sample.name)
        unit = rule.unit if sample.unit is None else naming.unit(sample.unit)
        resolution = rule.resolution if sample.resolution is None else sample.resolution
        dimensions = naming.dimensions(self._dimensions + sample.dimensions, self._replace)
        # One copy of a text for all the series that have it: most share their name and most of their dimensions.
        return Series(
            self._namespace if namespace is None else intern(naming.namespace(namespace, self._replace)),
            intern(metric_name),
            tuple([(intern(name), intern(value)) for name, value in dimensions]),
            DEFAULT_UNIT[sample.kind] if unit is None else unit,
            self._resolution if resolution is None else resolution,
        )
