"""Metrics and expressions over them, as PutMetricAlarm has them: one entry is returned, the others are its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from sidecar.config.watch import ErrorRate
from sidecar.generate.sent import Reference
from sidecar.generate.values import Value
from sidecar.model.samples import Dimensions

MILLION: Final = 1_000_000


class Part(NamedTuple):
    """One metric of an expression.

    Attributes:
        id: how the expression names it.
        reference: the metric.
    """

    id: str
    reference: Reference


class Expression(NamedTuple):
    """An expression over metrics.

    Attributes:
        text: the expression.
        label: what a graph calls it.
        parts: its metrics.
    """

    text: str
    label: str
    parts: Sequence[Part]


def error_rate(rate: ErrorRate, base: Reference) -> Expression:
    """Errors in percent of requests; 0 in a period with too few requests, so that a single error at night causes no alarm.

    Without data for errors there is no result, which an alarm treats as not breaching. Errors are not filled with zeros,
    since a period whose errors have not arrived yet would appear healthy.
    """
    parts = [Part("errors", replace(base, name=rate.errors, statistic="Sum"))]
    if rate.requests is not None:
        parts.append(Part("requests", replace(base, name=rate.requests, statistic="Sum")))
        total = "requests"
    else:
        # Where every request fails there is no data for successes: it counts as zero.
        parts.append(Part("successes", replace(base, name=rate.successes or "", statistic="Sum")))
        total = "(errors + FILL(successes, 0))"
    text = f"IF({total} >= {rate.min_requests}, 100 * errors / {total}, 0)"
    return Expression(text, "error rate, percent", parts)


def dollars(prices: Mapping[str, float], base: Reference) -> Expression:
    """What is used, at dollars a million of each; a metric without data in the period costs nothing."""
    parts = [Part(f"m{index}", replace(base, name=name, statistic="Sum")) for index, name in enumerate(prices, 1)]
    terms = [f"FILL({part.id}, 0) * {number(price)}" for part, price in zip(parts, prices.values(), strict=True)]
    return Expression(f"({' + '.join(terms)}) / {MILLION}", "dollars", parts)


def metric(namespace: str, name: str, dimensions: Dimensions) -> dict[str, Value]:
    """A metric, as PutMetricAlarm names one."""
    pairs = [{"Name": key, "Value": value} for key, value in dimensions]
    return {"Namespace": namespace, "MetricName": name, **({"Dimensions": pairs} if pairs else {})}


def metric_stat(id_: str, named: dict[str, Value], period: int, statistic: str, *, returned: bool) -> Value:
    """An entry of `Metrics` that is a metric."""
    return {"Id": id_, "MetricStat": {"Metric": named, "Period": period, "Stat": statistic}, "ReturnData": returned}


def number(value: float) -> str:
    """A number without an exponent and without a point where it is whole."""
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text or "0"
