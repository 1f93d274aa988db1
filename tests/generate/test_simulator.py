"""The simulator of alarms: the tables of "Configuring how CloudWatch alarms treat missing data", read 2026-11-20."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.double.metrics import MetricStore
from tests.generate.simulator import Alarm, State, evaluated

NOW: Final = 1_790_000_100 // 300 * 300
TREATMENTS: Final = ("missing", "ignore", "breaching", "notBreaching")
KEEPS: Final[State] = "INSUFFICIENT_DATA"  # the state before, which shows where it is kept

# Data of five periods, the latest last: 0 is within the threshold, X breaches, - is missing.
THREE_OF_THREE: Final[list[tuple[str, tuple[State, ...]]]] = [
    ("0 - X - X", ("OK", "OK", "OK", "OK")),
    ("- - - - 0", ("OK", "OK", "OK", "OK")),
    ("- - - - -", ("INSUFFICIENT_DATA", KEEPS, "ALARM", "OK")),
    ("0 X X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("- - X - -", ("ALARM", KEEPS, "ALARM", "OK")),
]
TWO_OF_THREE: Final[list[tuple[str, tuple[State, ...]]]] = [
    ("0 - X - X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0 0 X 0 X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0 - X - -", ("OK", "OK", "ALARM", "OK")),
    ("- - - - 0", ("OK", "OK", "ALARM", "OK")),
    ("- - - X -", ("ALARM", KEEPS, "ALARM", "OK")),
]
CASES: Final = [
    *(
        (3, data, treatment, state)
        for data, row in THREE_OF_THREE
        for treatment, state in zip(TREATMENTS, row, strict=True)
    ),
    *(
        (2, data, treatment, state)
        for data, row in TWO_OF_THREE
        for treatment, state in zip(TREATMENTS, row, strict=True)
    ),
]


def stored(values: list[tuple[int, dict[str, Any]]]) -> MetricStore:
    """A store with datums of one metric: start of the period, and what is measured."""
    store = MetricStore()
    for at, measured in values:
        datum = {"MetricName": "M", "Timestamp": at, **measured}
        store.put({"Namespace": "App", "MetricData": [datum]}, NOW)
    return store


@pytest.mark.parametrize(("datapoints", "data", "treatment", "state"), CASES)
def test_the_tables_of_the_documentation(datapoints: int, data: str, treatment: str, state: State) -> None:
    marks = data.split()
    starts = [NOW - 300 * (len(marks) - number) for number in range(len(marks))]
    store = stored([(at, {"Value": float(mark == "X")}) for at, mark in zip(starts, marks, strict=True) if mark != "-"])
    alarm = Alarm(
        {
            "AlarmName": "a",
            "Namespace": "App",
            "MetricName": "M",
            "Statistic": "Maximum",
            "Period": 300,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": datapoints,
            "Threshold": 0.5,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": treatment,
        },
        store,
    )
    alarm.state = KEEPS

    assert alarm.evaluate(NOW) == state


def test_a_percentile_of_a_statistic_set_is_no_data() -> None:
    statistics = {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}
    given = {"AlarmName": "a", "Namespace": "App", "MetricName": "M", "Period": 300, "EvaluationPeriods": 1}
    sets, values = stored([(NOW - 300, {"StatisticValues": statistics})]), stored([(NOW - 300, {"Values": [1, 2]})])

    assert Alarm(given | {"ExtendedStatistic": "p95"}, sets).value(NOW - 300) is None
    assert Alarm(given | {"ExtendedStatistic": "p95"}, values).value(NOW - 300) == 2
    assert Alarm(given | {"Statistic": "Average"}, sets).value(NOW - 300) == 1.5
    assert (
        Alarm(given | {"Statistic": "Sum", "Dimensions": [{"Name": "a", "Value": "b"}]}, sets).value(NOW - 300) is None
    )


@pytest.mark.parametrize(
    ("expression", "errors", "requests", "result"),
    [
        ("IF(requests >= 20, 100 * errors / requests, 0)", 2.0, 40.0, 5.0),
        ("IF(requests >= 20, 100 * errors / requests, 0)", 2.0, 4.0, 0),
        ("IF(requests >= 20, 100 * errors / requests, 0)", None, 40.0, None),
        ("(FILL(errors, 0) * 3 + FILL(requests, 0) * 15) / 1000000", None, 2_000_000.0, 30.0),
        ("errors / requests", 1.0, 0.0, None),
    ],
)
def test_metric_math(expression: str, errors: float | None, requests: float | None, result: float | None) -> None:
    assert evaluated(expression, {"errors": errors, "requests": requests}) == result
