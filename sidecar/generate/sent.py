"""Metrics that assets name, and which statistics CloudWatch computes from the form in which they are sent. Pure.

CloudWatch never adds up over dimensions: an alarm, a widget and a filter name one exact set, and have no data where no
series has it. `configured` finds what a configuration sends, `seen` what a running sidecar has sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from sidecar.model.samples import Dimensions, Form, Rollups

ANY: Final = "*"
"""Stands for a value of a dimension, or a part of it, that is known only when events arrive or where the sidecar runs."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
"""A placeholder in a template, with its name."""

BASIC: Final = frozenset({"SampleCount", "Sum", "Average", "Minimum", "Maximum"})
"""The statistics that CloudWatch computes from statistic sets."""

_OF_SETS: Final = frozenset({"Average", "Minimum", "Maximum"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A metric that an asset names.

    Attributes:
        asset: its path in the configuration, for messages.
        name: of the metric.
        dimensions: the exact set; the value `ANY` where a graph has a line for each value.
        statistic: one of CloudWatch's.
        namespace: None for the one in which the metric is sent.
        period_seconds: of the asset.
        otherwise: what is wrong with the asset if the metric is not sent so, for messages.
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
    """A rule of `metrics.rules` with which what an asset names is sent.

    Attributes:
        name: of the metric, as it is sent to the sidecar.
        rollups: all that the metric then has; None if they do not change.
        percentiles: True if values have to be sent; None if that does not change.
    """

    name: str
    rollups: Rollups | None
    percentiles: bool | None


class Refused(NamedTuple):
    """Why an asset would have no data.

    Attributes:
        sentence: with the path of the asset.
        additions: rules with which it would have data; empty where there are none.
    """

    sentence: str
    additions: tuple[Addition, ...] = ()


class Sent(Protocol):
    """What is sent, by configuration or by a running sidecar."""

    def find(self, reference: Reference) -> Found | Refused:
        """The metric as it is sent, or why it is not."""


def known(dimensions: Mapping[str, str]) -> dict[str, str]:
    """Configured dimensions; `ANY` for a value with a placeholder, which is filled in where the sidecar runs."""
    return {name: ANY if "{" in value else value for name, value in dimensions.items()}


def supports(form: Form, statistic: str) -> bool:
    """True if CloudWatch computes the statistic from data of this form, and the result is meaningful."""
    if form == "set":  # one value in each flush of each sidecar: its count and sum mean nothing
        return statistic in _OF_SETS
    return form == "values" or statistic in BASIC


def shown_dimensions(dimensions: Dimensions) -> str:
    """A set of dimensions for messages: without the values that are not known."""
    return "{" + ", ".join(name if ANY in value else f"{name}={value}" for name, value in dimensions) + "}"


def matches(sent: Dimensions, wanted: Dimensions) -> bool:
    """True if both have the same names, and values that may be the same."""
    return len(sent) == len(wanted) and covers(sent, wanted)


def statistic_problem(reference: Reference, form: Form, resolution: int) -> str | None:
    """Why the statistic or the period of an asset has no data; None if it has."""
    if reference.period_seconds < 60 and resolution != 1:
        return (
            f"{reference.asset}: {reference.name} has a resolution of {resolution} seconds, a period of"
            f" {reference.period_seconds} needs 1"
        )
    if supports(form, reference.statistic):
        return None
    why = {
        "statistics": "is sent as statistic sets, from which CloudWatch computes only SampleCount, Sum, Average, Minimum and Maximum",
        "set": "is a number of distinct members, of which only Average, Minimum and Maximum mean something",
        "values": "",
    }[form]
    return f"{reference.asset}: {reference.statistic} of {reference.name}: the metric {why}"


def covers(sent: Dimensions, wanted: Dimensions) -> bool:
    """True if a set has all of these names, maybe others, and values that may be the same."""
    known = dict(sent)
    return all(name in known and (ANY in known[name] or value == ANY or known[name] == value) for name, value in wanted)
