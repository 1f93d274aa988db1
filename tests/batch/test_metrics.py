"""Datums and their batches: nothing lost, no limit of PutMetricData broken."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.batch.metrics import Packer, encode
from sidecar.model.batches import Datum, MetricBatch
from sidecar.model.limits import DATUMS_PER_REQUEST, METRIC_REQUEST_BYTES, VALUES_PER_DATUM
from sidecar.model.samples import Measurement, Series, Statistics
from tests.support.batches import datum_columns, datum_rows
from tests.support.strategies import measurements, series

START: Final = 1_789_999_980
LATENCY: Final = Series("App", "Latency", (("Service", "api"),), "Milliseconds", 60)


def read(datum: Datum) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(datum.body)
    return loaded


def packed(items: list[tuple[str, list[Datum]]]) -> list[MetricBatch]:
    """Every batch that comes of these datums by namespace."""
    packer = Packer()
    batches = [batch for namespace, datums in items for batch in packer.add(namespace, datums)]
    return batches + packer.close()


def test_a_statistic_set_becomes_one_datum() -> None:
    (datum,) = encode(LATENCY, START, Measurement(7, Statistics(2.5, 10.0, 1.0, 9.0)))

    assert datum.samples == 7
    assert read(datum) == {
        "MetricName": "Latency",
        "Dimensions": [{"Name": "Service", "Value": "api"}],
        "Unit": "Milliseconds",
        "StorageResolution": 60,
        "Timestamp": START,
        "StatisticValues": {"SampleCount": 2.5, "Sum": 10.0, "Minimum": 1.0, "Maximum": 9.0},
    }


def test_a_single_value_becomes_a_value() -> None:
    (datum,) = encode(LATENCY, START, Measurement(7, values=(3.0,)))

    assert read(datum)["Value"] == 3.0
    assert not read(datum).keys() & {"Values", "Counts", "StatisticValues"}


@given(series, measurements())
def test_a_datum_carries_exactly_one_form_and_at_most_150_values(one: Series, measurement: Measurement) -> None:
    for datum in map(read, encode(one, START, measurement)):
        assert len(datum.keys() & {"Value", "Values", "StatisticValues"}) == 1
        assert ("Values" in datum) == ("Counts" in datum)
        assert len(datum.get("Values", [])) == len(datum.get("Counts", [])) <= VALUES_PER_DATUM
        assert datum["Timestamp"] == START


@given(measurements())
def test_splitting_loses_no_value_and_no_sample(measurement: Measurement) -> None:
    """The samples of a split distribution are apportioned, and add up."""
    datums = encode(LATENCY, START, measurement)

    assert sum(datum.samples for datum in datums) == measurement.samples
    assert all(datum.samples >= 0 for datum in datums)
    if measurement.counts is not None:
        loaded = [read(datum) for datum in datums]
        assert tuple(value for datum in loaded for value in datum["Values"]) == measurement.values
        assert tuple(count for datum in loaded for count in datum["Counts"]) == measurement.counts


@pytest.mark.parametrize(("values", "expected"), [(1, 1), (150, 1), (151, 2), (300, 2), (301, 3), (2_050, 14)])
def test_a_distribution_becomes_as_few_datums_as_possible(values: int, expected: int) -> None:
    measurement = Measurement(values, values=tuple(map(float, range(values))), counts=(1.0,) * values)

    assert len(encode(LATENCY, START, measurement)) == expected


@given(st.lists(st.tuples(series, measurements()), max_size=20))
def test_packing_loses_nothing_and_keeps_the_order_within_a_namespace(
    items: list[tuple[Series, Measurement]],
) -> None:
    encoded = [(one.namespace, encode(one, START, measurement)) for one, measurement in items]
    batches = packed(encoded)
    offered: dict[str, list[Datum]] = defaultdict(list)
    arrived: dict[str, list[Datum]] = defaultdict(list)
    for namespace, datums in encoded:
        offered[namespace] += datums
    for batch in batches:
        arrived[batch.namespace] += datum_rows(batch.datums)

    assert offered == arrived
    assert sum(batch.units for batch in batches) == sum(measurement.samples for _, measurement in items)


def sized(size: int) -> Datum:
    """A datum whose JSON has exactly so many bytes."""
    return Datum(b'"' + b"x" * (size - 2) + b'"', 1)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(2, 60_000), st.integers(1, 300)), max_size=12),
    st.sampled_from(["App", 'A"b\\c', "n" * 255]),
)
def test_no_batch_breaks_a_limit(runs: list[tuple[int, int]], namespace: str) -> None:
    datums = [sized(size) for size, count in runs for _ in range(min(count, 3_000_000 // size + 1))]
    batches = packed([(namespace, datums)])

    assert [datum for batch in batches for datum in datum_rows(batch.datums)] == datums
    for batch in batches:
        assert 1 <= len(batch) <= DATUMS_PER_REQUEST
        assert len(batch.body()) == batch.size_bytes <= METRIC_REQUEST_BYTES
        assert orjson.loads(batch.body())["Namespace"] == namespace


def test_a_batch_is_full_at_a_thousand_datums() -> None:
    packer = Packer()
    full = packer.add("App", [sized(10)] * 2_500)

    assert [len(batch) for batch in full] == [1_000, 1_000]
    assert [len(batch) for batch in packer.close()] == [500]
    assert packer.close() == []


def test_batches_are_filled_before_another_is_opened() -> None:
    batches = packed([("App", [sized(1_000)] * 2_000)])

    assert [len(batch) for batch in batches] == [998, 998, 4]


def test_namespaces_never_share_a_batch() -> None:
    batches = packed([("A", [sized(10)]), ("B", [sized(10)]), ("A", [sized(20)])])

    assert [(batch.namespace, len(batch)) for batch in batches] == [("A", 2), ("B", 1)]


@given(st.lists(st.tuples(series, measurements()), min_size=1, max_size=4), st.data())
def test_a_part_of_a_batch_measures_itself(items: list[tuple[Series, Measurement]], data: st.DataObject) -> None:
    datums = tuple(datum for one, measurement in items for datum in encode(one, START, measurement))
    batch = MetricBatch("App", datum_columns(datums))
    indices = data.draw(st.lists(st.integers(0, len(datums) - 1), min_size=1, unique=True).map(sorted))
    part = batch.part(indices)

    assert part.size_bytes == len(part.body())
    assert part.units == sum(batch.units_of(i) for i in indices)
    assert datum_rows(part.datums) == [datums[i] for i in indices]
    assert all(isinstance(batch.describe(i), str) for i in indices)
