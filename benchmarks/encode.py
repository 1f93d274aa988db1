"""Encoding: milliseconds on the loop for the body of a full request, beside what the SDK's own serialiser takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from benchmarks.machine import RECEIVER_CORE, pinned
from benchmarks.table import Row, Section
from sidecar.batch.metrics import Packer, encode
from sidecar.model.batches import MetricBatch
from sidecar.model.samples import Measurement, Series, Statistics

DATUMS: Final = 1_000
_VALUES: Final = 150
_NAMESPACE: Final = "Shop"
_START: Final = 1_700_000_040
_SERIES: Final = [
    Series(
        _NAMESPACE,
        "shop.latency",
        tuple(
            {
                "customer": f"customer-{number}",
                "endpoint": f"/api/v1/resource/{number}",
                "env": "production",
                "region": "eu-west-1",
                "service": f"checkout-{number % 20}",
            }.items()
        ),
        "Milliseconds",
        60,
    )
    for number in range(DATUMS)
]


def measure(*, quick: bool) -> list[Section]:
    """Measure both kinds of datum."""
    rounds = 7 if quick else 25
    sets = [Measurement(1_000, Statistics(1_000.0, 41_234.5 + number, 3.1, 310.7 + number)) for number in range(DATUMS)]
    values = tuple(10.1 + number / 10 for number in range(_VALUES))
    spread = [
        Measurement(1_000, values=tuple(value + number for value in values), counts=(7.0,) * _VALUES)
        for number in range(DATUMS)
    ]
    rows: list[Row] = []
    with pinned(RECEIVER_CORE):
        for what, measurements in (("statistic sets", sets), (f"{_VALUES} values and counts", spread)):
            bodies = [batch.body() for batch in _batches(measurements)]
            taken = _milliseconds(lambda measurements=measurements: _bodies(measurements), rounds)  # type: ignore[misc]
            reference = _milliseconds(_by_the_sdk(measurements), max(3, rounds // 5))
            size = f"{sum(map(len, bodies)):,} bytes in {len(bodies)} requests"
            rows += [
                Row(f"SDK's serialiser, {what}", f"{reference:.1f} ms", 1.0, "", reference),
                Row(f"sidecar, {what}", f"{taken:.2f} ms", taken / reference, size, taken),
            ]
    return [Section(f"Encoding {DATUMS:,} datums of 5 dimensions, without compression (ratio: time)", rows)]


def _batches(measurements: list[Measurement]) -> list[MetricBatch]:
    packer = Packer()
    full: list[MetricBatch] = []
    for series, measurement in zip(_SERIES, measurements, strict=True):
        full += packer.add(series.namespace, encode(series, _START, measurement))
    return full + packer.close()


def _bodies(measurements: list[Measurement]) -> None:
    for batch in _batches(measurements):
        batch.body()


def _milliseconds(work: Callable[[], None], rounds: int) -> float:
    """CPU time of one call, median."""
    taken: list[float] = []
    work()
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return median(taken) * 1e3


def _by_the_sdk(measurements: list[Measurement]) -> Callable[[], None]:
    """The same request written by botocore."""
    import botocore.serialize
    import botocore.session

    model = botocore.session.get_session().get_service_model("cloudwatch")
    operation = model.operation_model("PutMetricData")
    serializer = botocore.serialize.create_serializer("json", include_validation=False)
    parameters = {
        "Namespace": _NAMESPACE,
        "MetricData": [_datum(series, one) for series, one in zip(_SERIES, measurements, strict=True)],
    }

    def work() -> None:
        serializer.serialize_to_request(parameters, operation)

    return work


def _datum(series: Series, measurement: Measurement) -> dict[str, Any]:
    datum: dict[str, Any] = {
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
        "Unit": series.unit,
        "StorageResolution": series.resolution,
        "Timestamp": _START,
    }
    if measurement.statistics is None:
        return datum | {"Values": list(measurement.values), "Counts": list(measurement.counts or ())}
    count, total, minimum, maximum = measurement.statistics
    return datum | {"StatisticValues": {"SampleCount": count, "Sum": total, "Minimum": minimum, "Maximum": maximum}}
