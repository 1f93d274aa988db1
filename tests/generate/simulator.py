"""What CloudWatch's evaluation makes of an alarm and of the datums that the double has.

Period, statistic, metric math, M of N and missing data, as "Using Amazon CloudWatch alarms" says (read 2026-11-20): an
alarm looks at more periods than it is configured with, and where enough of them have data it uses the latest of these;
only where fewer have data are missing ones filled in as `TreatMissingData` says.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from tests.double import periods
from tests.double.errors import PercentileUnavailableError
from tests.double.metrics import MetricStore
from tests.double.periods import Period

State: TypeAlias = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
EXTRA_PERIODS: Final = 2  # of the documentation's example: 5 are looked at for an alarm of 3
BAND_PERIODS: Final = 12  # of history, from which what is usual is learned here; the service has up to two weeks

_BASIC: Final[Mapping[str, Callable[[periods.Statistics], float]]] = {
    "SampleCount": lambda one: one.sample_count,
    "Sum": lambda one: one.sum,
    "Average": lambda one: one.average,
    "Minimum": lambda one: one.minimum,
    "Maximum": lambda one: one.maximum,
}
_OPERATORS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
    ast.LtE: operator.le,
    ast.Lt: operator.lt,
    ast.Eq: operator.eq,
}


class Alarm:
    """One alarm, by the parameters of PutMetricAlarm."""

    def __init__(self, parameters: Mapping[str, Any], store: MetricStore) -> None:
        self.name = str(parameters["AlarmName"])
        self._given = parameters
        self._store = store
        self.state: State = "OK"

    @property
    def period(self) -> int:
        """Seconds; of an expression, that of its metrics, which all have the same."""
        if "Period" in self._given:
            return int(self._given["Period"])
        (period,) = {one["MetricStat"]["Period"] for one in self._given["Metrics"] if "MetricStat" in one}
        return int(period)

    def run(self, start: int, end: int) -> set[State]:
        """Evaluate every minute from the end of the first period; returns each state that it was in."""
        self.state = "OK"
        return (
            {self.evaluate(at) for at in range(start + self.period, end + 60, 60)}
            if self.period < 86_400
            else {self.evaluate(at) for at in range(start, end + 600, 600)}
        )

    def evaluate(self, at: int) -> State:
        """Evaluate at a time, epoch seconds; the last period ends there."""
        count = self._given["EvaluationPeriods"]
        starts = [at - self.period * (number + 1) for number in range(count + EXTRA_PERIODS)]  # the latest first
        points = [self._breaching(start) for start in starts]
        found = [point for point in points if point is not None]
        self.state = self._state(found[:count], count)
        return self.state

    def _state(self, used: list[bool], count: int) -> State:
        """The state by the periods that have data, which may be fewer than the alarm has."""
        treat = self._given.get("TreatMissingData", "missing")
        needed = self._given.get("DatapointsToAlarm", count)
        if treat == "missing":
            if not used:
                return "INSUFFICIENT_DATA"
            needed = min(needed, len(used))
        if treat == "breaching":
            used = used + [True] * (count - len(used))
        if sum(used) >= needed:
            return "ALARM"
        return self.state if treat == "ignore" and all(used) else "OK"

    def value(self, start: int) -> float | None:
        """What is compared with the threshold, of the period that starts then; None without data."""
        if "Metrics" not in self._given:
            statistic = self._given.get("Statistic") or self._given["ExtendedStatistic"]
            return self._read(self._given, statistic, start)
        (returned,) = [one for one in self._given["Metrics"] if one["ReturnData"] and not self._is_band(one)]
        if "MetricStat" in returned:
            return self._stat(returned, start)
        read = {one["Id"]: self._stat(one, start) for one in self._given["Metrics"] if "MetricStat" in one}
        return evaluated(str(returned["Expression"]), read)

    def _is_band(self, entry: Mapping[str, Any]) -> bool:
        return bool(entry["Id"] == self._given.get("ThresholdMetricId"))

    def _stat(self, entry: Mapping[str, Any], start: int) -> float | None:
        return self._read(entry["MetricStat"]["Metric"], entry["MetricStat"]["Stat"], start)

    def _breaching(self, start: int) -> bool | None:
        value = self.value(start)
        if value is None:
            return None
        if "ThresholdMetricId" in self._given:
            low, high = self._band(start)
            return not low <= value <= high
        compare = {
            "GreaterThanThreshold": operator.gt,
            "LessThanThreshold": operator.lt,
        }[self._given["ComparisonOperator"]]
        return bool(compare(value, self._given["Threshold"]))

    def _band(self, start: int) -> tuple[float, float]:
        """Mean and so many standard deviations of the periods before those that are evaluated."""
        (band,) = [one for one in self._given["Metrics"] if self._is_band(one)]
        width = float(re.fullmatch(r"ANOMALY_DETECTION_BAND\(m1, ([0-9.]+)\)", band["Expression"])[1])  # type: ignore[index]
        before = [
            start - self.period * (number + 1 + self._given["EvaluationPeriods"]) for number in range(BAND_PERIODS)
        ]
        usual = [value for at in before if (value := self.value(at)) is not None]
        if len(usual) < 3:
            return -math.inf, math.inf
        mean, deviation = statistics.fmean(usual), max(statistics.pstdev(usual), 0.1 * statistics.fmean(usual))
        return mean - width * deviation, mean + width * deviation

    def _read(self, metric: Mapping[str, Any], statistic: str, start: int) -> float | None:
        dimensions = tuple(sorted((one["Name"], one["Value"]) for one in metric.get("Dimensions", ())))
        return read(self._store, metric["Namespace"], metric["MetricName"], dimensions, statistic, start, self.period)


def read(
    store: MetricStore,
    namespace: str,
    name: str,
    dimensions: tuple[tuple[str, str], ...],
    statistic: str,
    start: int,
    seconds: int,
) -> float | None:
    """A statistic of a metric over a period, as CloudWatch has it; None where it has none."""
    streams = store.select(namespace, name, dimensions, None).values()
    found: Sequence[Period] = [one for held in streams for at, one in held.items() if start <= at < start + seconds]
    if not found:
        return None
    if statistic in _BASIC:
        return _BASIC[statistic](periods.merge(found))
    try:
        return periods.percentile(found, float(statistic.removeprefix("p")))
    except PercentileUnavailableError:
        return None


def evaluated(expression: str, values: Mapping[str, float | None]) -> float | None:
    """Metric math over one period; a metric without data makes no result, unless it is filled in."""
    value: float | None = _value(ast.parse(expression, mode="eval").body, values)
    return value


def _value(node: ast.expr, values: Mapping[str, float | None]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp | ast.Compare):
        sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.left, node.comparators[0])
        left, right = (_value(one, values) for one in sides)
        act = _OPERATORS[type(node.op if isinstance(node, ast.BinOp) else node.ops[0])]
        if left is None or right is None:
            return None
        return None if act is operator.truediv and right == 0 else act(left, right)
    assert isinstance(node, ast.Call), ast.dump(node)
    assert isinstance(node.func, ast.Name)
    arguments = [_value(one, values) for one in node.args]
    if node.func.id == "FILL":
        return arguments[1] if arguments[0] is None else arguments[0]
    assert node.func.id == "IF"
    if arguments[0] is None:
        return None
    return arguments[1] if arguments[0] else arguments[2]
