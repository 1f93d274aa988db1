"""Datums, and batches of them the size of one PutMetricData request. Pure.

A datum is encoded once, here; what is sent is these bytes joined. A batch never breaks a limit of the
service: 1,000 datums, 1,000,000 bytes of finished body, 150 values a datum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from sidecar.model.batches import Datum, Datums, MetricBatch
from sidecar.model.limits import DATUMS_PER_REQUEST, METRIC_REQUEST_BYTES, VALUES_PER_DATUM
from sidecar.model.samples import Measurement, Series

_STATISTICS: Final = ("SampleCount", "Sum", "Minimum", "Maximum")


def encode(series: Series, start: int, measurement: Measurement) -> list[Datum]:
    """Encode what one accumulator collected.

    Args:
        series: whose measurement it is.
        start: the window's start, seconds since the epoch: the datum's Timestamp.
        measurement: a statistic set or values; over 150 values become several datums of the same Timestamp,
            which CloudWatch merges, with the samples apportioned so that they add up.
    """
    # What orjson gives is the front of a block of some kilobytes, the rest of which nothing else fits into: kept by the
    # thousand, such bytes took 3.9 kB each. These are put together anew, as long as they are.
    identity = orjson.dumps(
        {
            "MetricName": series.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
            "Unit": series.unit,
            "StorageResolution": series.resolution,
            "Timestamp": start,
        }
    )[:-1]
    statistics = measurement.statistics
    if statistics is not None:
        body = b'%b,"StatisticValues":%b}' % (identity, orjson.dumps(dict(zip(_STATISTICS, statistics, strict=True))))
        return [Datum(body, measurement.samples)]
    values, counts = measurement.values, measurement.counts
    if counts is None:
        return [Datum(b'%b,"Value":%b}' % (identity, orjson.dumps(values[0])), measurement.samples)]
    datums: list[Datum] = []
    apportioned = 0
    for first in range(0, len(values), VALUES_PER_DATUM):
        last = min(first + VALUES_PER_DATUM, len(values))
        upto = measurement.samples * last // len(values)
        parts = orjson.dumps(values[first:last]), orjson.dumps(counts[first:last])
        datums.append(Datum(b'%b,"Values":%b,"Counts":%b}' % (identity, *parts), upto - apportioned))
        apportioned = upto
    return datums


class Packer:
    """Packs datums into batches, one open batch a namespace."""

    def __init__(self) -> None:
        """Start with none."""
        self._open: dict[str, tuple[Datums, int]] = {}

    def add(self, namespace: str, datums: Sequence[Datum]) -> list[MetricBatch]:
        """Add datums; returns the batches that became full."""
        full: list[MetricBatch] = []
        held, size = self._open.get(namespace) or (Datums(), MetricBatch.frame_bytes(namespace))
        for body, samples in datums:
            cost = len(body) + 1  # and its comma
            if held and (len(held) >= DATUMS_PER_REQUEST or size + cost > METRIC_REQUEST_BYTES):
                full.append(MetricBatch(namespace, held))
                held, size = Datums(), MetricBatch.frame_bytes(namespace)
            held.add(body, samples)
            size += cost
        self._open[namespace] = (held, size)
        return full

    def close(self) -> list[MetricBatch]:
        """The batches that are not full."""
        rest = [MetricBatch(name, held) for name, (held, _) in self._open.items() if held]
        self._open.clear()
        return rest
