"""Which series a sample belongs to: configured dimensions, defaults and CloudWatch's naming rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.model import names
from sidecar.model.samples import DEFAULT_UNIT, Sample, Series, SignedGauges
from sidecar.shape.rules import Rules

# Series by what samples said of themselves; beyond, they are named anew. Few: what comes again and again is known by its
# line or its document, and 16,384 of these took 0.6 kB each.
REMEMBERED: Final = 1_024
REMEMBERED_BYTES: Final = 2_048  # larger ones are named anew
# Texts of which all series share one copy: most series have their name and most of their dimensions in common. Not
# `sys.intern`: on Python 3.12 what is interned stays for ever.
SHARED_TEXTS: Final = 8_192
SHARED_CHARACTERS: Final = 128


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
        self._texts: dict[str, str] = {}

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

    def signed_gauges(self, name: str, default: SignedGauges) -> SignedGauges:
        """How the signs of a gauge of this name, as it was sent, are read: by rule or by default."""
        return self._rules.find(name).signed_gauges or default

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
            if known.memory_bytes <= REMEMBERED_BYTES:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[asked] = known
        return known

    def _name(self, sample: Sample) -> Series:
        namespace = sample.namespace
        metric_name = names.metric_name(sample.name, self._replace)  # before the globs of rules see it
        rule = self._rules.find(sample.name)
        unit = rule.unit if sample.unit is None else names.unit(sample.unit)
        resolution = rule.resolution if sample.resolution is None else sample.resolution
        dimensions = names.dimensions(self._dimensions + sample.dimensions, self._replace)
        shared = self._shared
        return Series(
            self._namespace if namespace is None else shared(names.namespace(namespace, self._replace)),
            shared(metric_name),
            tuple([(shared(name), shared(value)) for name, value in dimensions]),
            DEFAULT_UNIT[sample.kind] if unit is None else unit,
            self._resolution if resolution is None else resolution,
        )

    def _shared(self, text: str) -> str:
        """The one copy of a text, where it is short."""
        known = self._texts.get(text)
        if known is None:
            if len(text) > SHARED_CHARACTERS:
                return text
            if len(self._texts) >= SHARED_TEXTS:
                self._texts.clear()
            known = self._texts[text] = text
        return known
