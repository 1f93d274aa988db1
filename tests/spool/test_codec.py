"""Rows of the spool: whatever is written comes back, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.batches import Datum, LogBatch, MetricBatch
from sidecar.spool.codec import LogCodec, MetricCodec
from tests.support.batches import EncodedEvent, datum_columns, encoded, event_columns
from tests.support.strategies import encoded_events

texts = st.text(st.characters(codec="utf-8"), max_size=20)
datums = st.builds(Datum, st.binary(max_size=40), st.integers(0, 2**40))
raw_events = st.builds(EncodedEvent, st.integers(0, 2**50), st.binary(max_size=40), st.integers(26, 2**21))


@given(texts, st.lists(datums, max_size=20))
def test_a_metric_batch_comes_back_as_it_was(namespace: str, given_datums: list[Datum]) -> None:
    batch = MetricBatch(namespace, datum_columns(given_datums))

    assert MetricCodec().decode(*MetricCodec().encode(batch)) == batch


@given(texts, texts, st.lists(st.one_of(encoded_events(), raw_events), max_size=20))
def test_a_log_batch_comes_back_as_it_was(group: str, stream: str, events: list[EncodedEvent]) -> None:
    batch = LogBatch(group, stream, event_columns(events))
    back = LogCodec().decode(*LogCodec().encode(batch))

    assert back == batch
    assert (back.lane, back.units, back.size_bytes, back.body()) == (
        batch.lane,
        batch.units,
        batch.size_bytes,
        batch.body(),
    )


def test_the_lane_of_a_row_is_that_of_its_batch() -> None:
    logs = LogBatch("/a", 'b"é', event_columns([encoded(1, "x")]))
    metrics = MetricBatch("App", datum_columns([Datum(b"{}", 1)]))

    assert LogCodec().lane(LogCodec().encode(logs)[0]) == logs.lane
    assert MetricCodec().lane(MetricCodec().encode(metrics)[0]) == metrics.lane


@pytest.mark.parametrize("head", ["", "[", '["a"]', '["a", 1]', "{}"])
def test_a_damaged_head_is_a_lane_of_its_own(head: str) -> None:
    assert LogCodec().lane(head) == head


@pytest.mark.parametrize("parts", [b"\x01", b"\x00" * 8, b"\x00" * 23])
def test_parts_that_are_no_pairs_of_integers_are_a_value_error(parts: bytes) -> None:
    with pytest.raises(ValueError):
        MetricCodec().decode("App", b"{}", parts)
