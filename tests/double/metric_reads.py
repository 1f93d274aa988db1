"""GetMetricStatistics, so that an SDK can read back what was stored.

Source: CloudWatch service model 2010-08-01, `GetMetricStatisticsInput`: StartTime is
inclusive, EndTime exclusive; dimensions select exactly; units are separate datapoints; at
most 1,440 datapoints a call.  Periods are aligned to the clock.
"""

from __future__ import annotations

import re
from typing import Final

from . import fields, periods
from .errors import PercentileUnavailableError, ServiceError
from .fields import JsonObject
from .metric_rules import COMBINATION, INVALID, MISSING
from .metrics import MetricStore
from .periods import Period, Statistics

MAX_DATAPOINTS: Final = 1_440
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_SHORT_PERIODS: Final = (1, 5, 10, 30)  # seconds; others are multiples of 60


def get_metric_statistics(store: MetricStore, body: JsonObject) -> JsonObject:
    """Answer a GetMetricStatistics request.

    Args:
        store: where the periods are.
        body: the decoded request; times are epoch seconds.

    Returns:
        `{"Label": ..., "Datapoints": [{"Timestamp", "Unit", one key a statistic}]}`.

    Raises:
        ServiceError: the request breaks a rule.
    """
    namespace, name = _required_text(body, "Namespace"), _required_text(body, "MetricName")
    start, end, period = _window(body)
    wanted = fields.texts(body, "Statistics") or ()
    extended = fields.texts(body, "ExtendedStatistics") or ()
    if not wanted and not extended:
        raise ServiceError(MISSING, "The parameter Statistics or ExtendedStatistics is required.")
    pairs = tuple(
        sorted(
            (fields.text(pair, "Name") or "", fields.text(pair, "Value") or "")
            for pair in fields.structures(body, "Dimensions") or []
        ),
    )
    datapoints: list[object] = []
    for unit, held in store.select(namespace, name, pairs, fields.text(body, "Unit")).items():
        buckets: dict[int, list[Period]] = {}
        for at in sorted(held):
            if start <= at < end:
                buckets.setdefault(at // period * period, []).append(held[at])
        for at, found in buckets.items():
            datapoint: JsonObject = {"Timestamp": at, "Unit": unit}
            datapoint.update(_named(periods.merge(found), wanted))
            if extended:
                datapoint["ExtendedStatistics"] = _percentiles(found, extended)
            datapoints.append(datapoint)
    return {"Label": name, "Datapoints": datapoints}


def _required_text(body: JsonObject, key: str) -> str:
    found = fields.text(body, key)
    if not found:
        raise ServiceError(MISSING, f"The parameter {key} is required.")
    return found


def _window(body: JsonObject) -> tuple[float, float, int]:
    start, end = fields.number(body, "StartTime"), fields.number(body, "EndTime")
    period = fields.integer(body, "Period")
    if start is None or end is None or period is None:
        raise ServiceError(MISSING, "The parameters StartTime, EndTime and Period are required.")
    if start >= end:
        raise ServiceError(COMBINATION, "The parameter StartTime must be less than the parameter EndTime.")
    if period < 1 or (period % 60 and period not in _SHORT_PERIODS):
        raise ServiceError(INVALID, f"The parameter Period must be a multiple of 60, but was {period}.")
    if (end - start) / period > MAX_DATAPOINTS:
        raise ServiceError(
            COMBINATION,
            f"You have requested up to {int((end - start) / period)} datapoints, which exceeds the limit of "
            f"{MAX_DATAPOINTS}. You may reduce the datapoints requested by increasing Period, or "
            "decreasing the time range.",
        )
    return start, end, period


def _named(statistics: Statistics, wanted: tuple[str, ...]) -> JsonObject:
    known = {
        "SampleCount": statistics.sample_count,
        "Sum": statistics.sum,
        "Minimum": statistics.minimum,
        "Maximum": statistics.maximum,
        "Average": statistics.average,
    }
    for name in wanted:
        if name not in known:
            raise ServiceError(INVALID, f"The value {name} for parameter Statistics is invalid.")
    return {name: known[name] for name in wanted}


def _percentiles(found: list[Period], wanted: tuple[str, ...]) -> JsonObject:
    answered: JsonObject = {}
    for name in wanted:
        match = _PERCENTILE.fullmatch(name)
        if match is None:
            raise ServiceError(INVALID, f"The value {name} for parameter ExtendedStatistics is invalid.")
        try:
            answered[name] = periods.percentile(found, float(match[1]))
        except PercentileUnavailableError:
            continue  # the service leaves it out
    return answered
