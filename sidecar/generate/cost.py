"""What a pack costs a month, by the list prices. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.generate.pack import Pack
from sidecar.generate.values import Resource
from sidecar.model.prices import Prices

BAND_METRICS = 3  # that an anomaly detection alarm is billed as: the metric and both edges of its band


class Item(NamedTuple):
    """One line of the estimate.

    Attributes:
        what: such as `12 alarm metrics`.
        dollars: a month.
    """

    what: str
    dollars: float


def items(pack: Pack, prices: Prices) -> Iterator[Item]:
    """The kinds of things that are billed; without the free tier."""
    alarms = [one for one in pack.resources if one.kind == "alarm"]
    short = sum(alarm_metrics(one) for one in alarms if period_of(one) < 60)
    usual = sum(alarm_metrics(one) for one in alarms) - short
    composites = sum(one.kind == "composite" for one in pack.resources)
    boards = sum(one.kind == "dashboard" for one in pack.resources)
    filtered = {one.properties["FilterName"] for one in pack.resources if one.kind == "filter"}
    for count, one, several, price in (
        (usual, "alarm metric", "alarm metrics", prices.alarm_month),
        (short, "high-resolution alarm metric", "high-resolution alarm metrics", prices.alarm_high_resolution_month),
        (composites, "composite alarm", "composite alarms", prices.alarm_composite_month),
        (boards, "dashboard", "dashboards", prices.dashboard_month),
        (len(filtered), "metric of a filter, at least,", "metrics of filters, at least,", prices.metrics(1)),
    ):
        if count:
            yield Item(f"{count} {one if count == 1 else several}", count * price)


def alarm_metrics(alarm: Resource) -> int:
    """How many metrics an alarm is billed as: those of its expression, three for anomaly detection."""
    if "ThresholdMetricId" in alarm.properties:
        return BAND_METRICS
    entries = alarm.properties.get("Metrics")
    if not isinstance(entries, Sequence):
        return 1
    return sum("MetricStat" in one for one in entries if isinstance(one, dict))


def period_of(alarm: Resource) -> int:
    """The period of an alarm in seconds."""
    period = alarm.properties.get("Period")
    if isinstance(period, int):
        return period
    entries = alarm.properties["Metrics"]
    assert isinstance(entries, Sequence)  # noqa: S101  # an alarm has a metric or an expression
    periods = [one["MetricStat"]["Period"] for one in entries if isinstance(one, dict) and "MetricStat" in one]
    return int(periods[0])


def sentence(pack: Pack, prices: Prices) -> str:
    """What the pack costs, in a line."""
    found = list(items(pack, prices))
    if not found:
        return "costs nothing by itself"
    listed = ", ".join(f"{one.what} {one.dollars:.2f}" for one in found)
    total = sum(one.dollars for one in found)
    return f"about {total:.2f} dollars a month ({listed}); list prices of {prices.region}, {prices.date}, without free tier"
