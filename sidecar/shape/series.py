"""The series of a sample: its own fields, rules, configured dimensions and defaults; names are checked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sidecar.model import names
from sidecar.model.closing import PLAIN, Closing
from sidecar.model.limits import DIMENSIONS_PER_METRIC, TAGS_PER_LINE
from sidecar.model.samples import DEFAULT_UNIT, Rollups, Sample, Series, SignedGauges
from sidecar.shape.rules import Decision, Rule, Rules

# The cache of series has few entries: a line or document that repeats is found in the tables of `pipeline.shortcuts`
# before it comes here, and 16,384 entries were measured at 0.6 kB each.
CACHED_SERIES: Final = 1_024
CACHED_SERIES_BYTES: Final = 2_048  # larger ones are not cached
# Most series share their name and most of their dimensions: equal names, and equal pairs of a dimension and its value,
# are stored once. Not with `sys.intern`, since Python 3.12 never frees an interned text.
SHARED: Final = 8_192  # of each
SHARED_CHARACTERS: Final = 128  # of a name, and of a value


class Named(NamedTuple):
    """What a sample becomes by its names, before the cap on the number of series.

    Attributes:
        series: its own.
        closing: what is done with its accumulator when the window closes.
        drop: True if a rule drops it.
        percentiles: whether values are stored for percentiles, by rule; None for the default.
        max_series: the most series its metric may have, by rule; None for no such limit.
        repaired: True if a character of its names was replaced.
        unknown: True if a placeholder of a rule or of a configured dimension was filled with `unknown`.
    """

    series: Series
    closing: Closing = PLAIN
    drop: bool = False
    percentiles: bool | None = None
    max_series: int | None = None
    repaired: bool = False
    unknown: bool = False


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
        unknown: Iterable[str] = (),
    ) -> None:
        """Read the configuration.

        Args:
            namespace: of samples that bring none.
            dimensions: added to every sample; the sample's own of the same name wins.
            resolution: seconds, 1 or 60, of samples that bring none.
            replace_invalid: the character put in place of one CloudWatch disallows; None refuses the sample.
            rules: of `metrics.rules`.
            unknown: names of configured dimensions whose value has a placeholder that was filled with `unknown`.
        """
        self._namespace = namespace
        self._dimensions = tuple(dimensions.items())
        self._unknown = frozenset((name, dimensions[name]) for name in unknown)
        self._resolution = resolution
        self._replace = replace_invalid
        self._rules = rules or Rules([])
        self._cache: dict[tuple[object, ...], Named] = {}
        self._names: dict[str, str] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def rules(self) -> Rules:
        """The rules of `metrics.rules`, with their counts."""
        return self._rules

    def signed_gauges(self, name: str, default: SignedGauges) -> SignedGauges:
        """How the sign of a gauge is read, by rule or by default; `name` is the gauge's as it was sent."""
        return self._rules.signed_gauges(name) or default

    def series(self, sample: Sample) -> Series:
        """The series of a sample.

        Raises:
            DecodeError: CloudWatch would refuse the name, namespace, dimensions or unit.
        """
        return self.name(sample).series

    def name(self, sample: Sample, input_: str = "") -> Named:
        """Name the series of a sample.

        Args:
            sample: as decoded.
            input_: the label of the input by which it arrived.

        Raises:
            DecodeError: CloudWatch would refuse the name, namespace, dimensions or unit.
        """
        # Checking names takes three times as long as all the rest of an event.
        key = (
            sample.name, sample.kind, sample.dimensions, sample.unit, sample.resolution, sample.namespace,
            sample.rollups, input_ if self._rules.by_input else "",
        )  # fmt: skip
        named = self._cache.get(key)
        if named is None:
            named = self._name(sample, input_)
            if named.series.memory_bytes <= CACHED_SERIES_BYTES:
                if len(self._cache) >= CACHED_SERIES:
                    self._cache.clear()
                self._cache[key] = named
        return named

    def steps(self, sample: Sample, input_: str) -> Iterator[tuple[Rule, Decision]]:
        """The rules that apply to a sample that arrived by an input, as `Rules.steps` yields them."""
        return self._rules.steps(sample.name, dict(self._dimensions + sample.dimensions), input_)

    def _name(self, sample: Sample, input_: str) -> Named:
        replace, shared = self._replace, self._shared
        sent_name = names.metric_name(sample.name, replace)  # before it is matched: rules see valid names only
        sent = self._dimensions + sample.dimensions
        if len(sent) > TAGS_PER_LINE + DIMENSIONS_PER_METRIC:  # before they are compared with rules
            names.dimensions(sent, replace)
        decision = self._rules.decide(sample.name, dict(sent), input_) or Decision(sent)
        if decision.drop:
            series = Series(self._namespace, shared(sent_name), (), DEFAULT_UNIT[sample.kind], self._resolution)
            return Named(series, Closing(hits=decision.hits), drop=True)
        name = sent_name if decision.name is None else names.metric_name(decision.name, replace)
        given_namespace = sample.namespace if decision.namespace is None else decision.namespace
        namespace = self._namespace if given_namespace is None else names.namespace(given_namespace, replace)
        unit = decision.unit if sample.unit is None or decision.scales else names.unit(sample.unit)
        resolution = decision.resolution if sample.resolution is None else sample.resolution
        dimensions = names.dimensions(decision.dimensions, replace)
        series = Series(
            self._namespace if given_namespace is None else shared(namespace),
            shared(name),
            tuple([self._shared_pair(pair) for pair in dimensions]),
            DEFAULT_UNIT[sample.kind] if unit is None else unit,
            self._resolution if resolution is None else resolution,
        )
        repaired = replace is not None and not (
            (sent_name == sample.name if decision.name is None else name == decision.name)
            and given_namespace in (None, namespace)
            and set(decision.dimensions) - set(self._dimensions) <= set(dimensions)
        )
        return Named(
            series,
            _closing(decision, sample.rollups),
            percentiles=decision.percentiles,
            max_series=decision.max_series,
            repaired=repaired,
            unknown=decision.unknown or not self._unknown.isdisjoint(dimensions),
        )

    def _shared(self, text: str) -> str:
        """The stored copy of an equal name; names over 128 characters are returned as they are."""
        shared = self._names.get(text)
        if shared is None:
            if len(text) > SHARED_CHARACTERS:
                return text
            if len(self._names) >= SHARED:
                self._names.clear()
            shared = self._names[text] = text
        return shared

    def _shared_pair(self, pair: tuple[str, str]) -> tuple[str, str]:
        """The stored copy of an equal pair of name and value; of one with a text over 128 characters only the name is."""
        shared = self._pairs.get(pair)
        if shared is None:
            name, value = pair
            if len(name) > SHARED_CHARACTERS or len(value) > SHARED_CHARACTERS:
                return self._shared(name), value
            if len(self._pairs) >= SHARED:
                self._pairs.clear()
            shared = self._shared(name), value
            self._pairs[shared] = shared
        return shared


def _closing(decision: Decision, rollups: Rollups) -> Closing:
    """What is done with an accumulator when its window closes; `rollups` are the sample's, unless a rule sets others."""
    if decision.rollups is not None:
        rollups = decision.rollups
    return Closing(decision.scale, rollups, decision.hits) if decision.hits or rollups else PLAIN
