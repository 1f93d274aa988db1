"""The series of a sample: its own fields, rules, configured dimensions and defaults; names are checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.model import names
from sidecar.model.samples import DEFAULT_UNIT, Sample, Series, SignedGauges
from sidecar.shape.rules import Rules

# The cache of series has few entries: a line or document that repeats is found in the tables of `pipeline.shortcuts`
# before it comes here, and 16,384 entries were measured at 0.6 kB each.
CACHED_SERIES: Final = 1_024
CACHED_SERIES_BYTES: Final = 2_048  # larger ones are not cached
# Most series share their name and most of their dimensions: equal texts are stored once. Not with `sys.intern`, since
# Python 3.12 never frees an interned text.
SHARED_TEXTS: Final = 8_192
SHARED_CHARACTERS: Final = 128


class SeriesNaming:
    """Names the series of samples."""

    def __init__(
        self,
        *,
        namespace: str,
        dimensions: Mapping[str, str],
        resolution: int,
        replace_invalid: str | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Read the configuration.

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
        self._cache: dict[tuple[object, ...], Series] = {}
        self._texts: dict[str, str] = {}

    def repaired(self, sample: Sample, series: Series) -> bool:
        """True if a character of the sample's names was replaced in its series."""
        if self._replace is None:
            return False
        if series.name != sample.name or sample.namespace not in (None, series.namespace):
            return True
        return not set(sample.dimensions) <= set(series.dimensions)

    def percentiles(self, sample: Sample, default: bool) -> bool:  # noqa: FBT001  # a value, not a mode
        """True if the sample's values are to be stored for percentiles, by rule or by default."""
        percentiles = self._rules.find(sample.name).percentiles
        return default if percentiles is None else percentiles

    def signed_gauges(self, name: str, default: SignedGauges) -> SignedGauges:
        """How the sign of a gauge is read, by rule or by default; `name` is the gauge's as it was sent."""
        return self._rules.find(name).signed_gauges or default

    def series(self, sample: Sample) -> Series:
        """Name the series.

        Raises:
            DecodeError: CloudWatch would refuse the name, namespace, dimensions or unit.
        """
        # Checking names takes three times as long as all the rest of an event.
        key = (sample.name, sample.kind, sample.dimensions, sample.unit, sample.resolution, sample.namespace)
        series = self._cache.get(key)
        if series is None:
            series = self._name(sample)
            if series.memory_bytes <= CACHED_SERIES_BYTES:
                if len(self._cache) >= CACHED_SERIES:
                    self._cache.clear()
                self._cache[key] = series
        return series

    def _name(self, sample: Sample) -> Series:
        namespace = sample.namespace
        metric_name = names.metric_name(sample.name, self._replace)  # before it is matched: rules see valid names only
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
        """The stored copy of an equal text; texts over 128 characters are returned as they are."""
        shared = self._texts.get(text)
        if shared is None:
            if len(text) > SHARED_CHARACTERS:
                return text
            if len(self._texts) >= SHARED_TEXTS:
                self._texts.clear()
            shared = self._texts[text] = text
        return shared
