"""Metrics that assets name, and what CloudWatch computes from the form in which they are sent. Pure.

CloudWatch never adds up over dimensions: an alarm, a widget and a filter name one exact set, and are silent where no
series has it. `configured` knows what a configuration sends, `seen` what a running sidecar has sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from sidecar.model.samples import Dimensions, Rollups

ANY: Final = "*"
"""A value of a dimension that is not known here; so is any value with this character in it."""

Form: TypeAlias = Literal["statistics", "values", "set"]
"""What is sent in each datum: count, sum, minimum and maximum; the values themselves; the number of distinct members."""

_BASIC: Final = frozenset({"SampleCount", "Sum", "Average", "Minimum", "Maximum"})
_OF_SETS: Final = frozenset({"Average", "Minimum", "Maximum"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A metric that an asset names.

    Attributes:
        asset: where in the configuration, for people.
        name: of the metric.
        dimensions: the exact set; `ANY` where each value has a line of its own.
        statistic: one of CloudWatch's.
        namespace: None for the one in which the metric is sent.
        period_seconds: of the asset.
        otherwise: what the asset would be if the metric were not sent so.
    """

    asset: str
    name: str
    dimensions: Dimensions
    statistic: str
    namespace: str | None = None
    period_seconds: int = 300
    otherwise: str = "it would have no data"


class Found(NamedTuple):
    """One way in which a metric is sent.

    Attributes:
        namespace: its namespace.
        dimensions: the set, values included.
        form: what each datum has.
        resolution: 1 or 60 seconds.
    """

    namespace: str
    dimensions: Dimensions
    form: Form
    resolution: int


class Addition(NamedTuple):
    """A rule that would make what an asset names.

    Attributes:
        name: of the metric, as it is sent to the sidecar.
        rollups: all that the metric then has; None leaves them.
        percentiles: True stores the values of the metric; None leaves that.
    """

    name: str
    rollups: Rollups | None
    percentiles: bool | None


class Refused(NamedTuple):
    """Why an asset would have no data.

    Attributes:
        sentence: with the path of the asset.
        additions: rules that would change that; empty where none can.
    """

    sentence: str
    additions: tuple[Addition, ...] = ()


class Sent(Protocol):
    """Knows what is sent."""

    def find(self, reference: Reference) -> Found | Refused:
        """The metric as it is sent, or why it is not."""


def known(dimensions: Mapping[str, str]) -> dict[str, str]:
    """Configured dimensions, with `ANY` for a value with a place that is filled in where the sidecar runs."""
    return {name: ANY if "{" in value else value for name, value in dimensions.items()}


def supports(form: Form, statistic: str) -> bool:
    """True if CloudWatch computes the statistic from what is sent in this form, and it means what it says."""
    if form == "set":  # one value in each flush of each sidecar: its count and sum say nothing
        return statistic in _OF_SETS
    return form == "values" or statistic in _BASIC


def shown_dimensions(dimensions: Dimensions) -> str:
    """A set of dimensions, for people."""
    return "{" + ", ".join(name if ANY in value else f"{name}={value}" for name, value in dimensions) + "}"


def matches(sent: Dimensions, wanted: Dimensions) -> bool:
    """True if both have the same names, and values that may be the same."""
    return len(sent) == len(wanted) and covers(sent, wanted)


def statistic_problem(reference: Reference, form: Form, resolution: int) -> str | None:
    """Why the statistic or the period of an asset has no data; None where it has."""
    if reference.period_seconds < 60 and resolution != 1:
        return (
            f"{reference.asset}: {reference.name} has a resolution of {resolution} seconds, a period of"
            f" {reference.period_seconds} needs 1"
        )
    if supports(form, reference.statistic):
        return None
    why = {
        "statistics": "is sent as statistic sets, from which CloudWatch computes none of its own",
        "set": "is a number of distinct members, of which only Average, Minimum and Maximum mean something",
        "values": "",
    }[form]
    return f"{reference.asset}: {reference.statistic} of {reference.name}: the metric {why}"


def covers(sent: Dimensions, wanted: Dimensions) -> bool:
    """True if a set has these names and maybe others, with values that may be the same."""
    known = dict(sent)
    return all(name in known and (ANY in known[name] or value == ANY or known[name] == value) for name, value in wanted)
