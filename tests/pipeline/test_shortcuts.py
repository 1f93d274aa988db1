"""The table of documents gives what reading each of them in full gives."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decode import json_metrics
from sidecar.decode.json_metrics import decode_metric
from sidecar.model.errors import Reason
from sidecar.model.samples import Sample
from sidecar.pipeline.shortcuts import KEY_BYTES, Shortcuts
from tests.support.pipeline import Rig, done
from tests.support.strategies import NOW

LATENCY: Final[dict[str, Any]] = {"name": "Latency", "unit": "Milliseconds", "dimensions": {"Service": "api"}}

_values: Final[st.SearchStrategy[Any]] = st.sampled_from([1, 2.5, -3, 0, True, None, "1", 1e300, [1], {}])
_times: Final = st.sampled_from(
    [None, NOW, NOW - 61, (NOW + 1) * 1_000, NOW - 15 * 86_400, NOW + 9_000, "2026-09-21T14:13:20Z", "yesterday", True]
)
_kinds: Final = st.sampled_from([None, "counter", "gauge", "timer", "set", "meter"])
_extras: Final[st.SearchStrategy[dict[str, Any]]] = st.sampled_from(
    [{}, {"counts": [1]}, {"values": [1, 2]}, {"tags": 1}, {"resolution": 1}, {"resolution": 7}, {"namespace": "N"}]
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Metrics of few series, right and wrong, in both shapes."""
    value, time = draw(_values), draw(_times)
    if draw(st.booleans()):
        document: dict[str, Any] = {"MetricName": draw(st.sampled_from("ab")), "Value": value}
        document |= {"Timestamp": time} if time is not None else {}
        return document
    document = {"name": draw(st.sampled_from("ab")), "value": value}
    document |= {"timestamp": time} if time is not None else {}
    kind = draw(_kinds)
    document |= {"type": kind} if kind is not None else {}
    return document | draw(_extras)


@settings(max_examples=150)
@given(st.lists(st.tuples(documents(), st.integers(0, 40)), max_size=25))
def test_a_known_document_goes_where_reading_it_would_send_it(steps: list[tuple[dict[str, Any], int]]) -> None:
    """Two pipelines get the same documents, over several windows; one of them knows no document."""
    quick, plain = Rig(), Rig()
    plain.pipeline._dispatch._shortcuts = _Forgetful(plain)

    for document, seconds in steps:
        body = orjson.dumps([document])
        outcomes = [done(rig.pipeline.ingest_metrics(body, "application/json")) for rig in (quick, plain)]
        assert outcomes[0] == outcomes[1]
        for rig in (quick, plain):
            rig.clock.now += seconds
            rig.assert_balanced()

    assert quick.ledger.samples.summary() == plain.ledger.samples.summary()
    assert quick.ledger.adjusted == plain.ledger.adjusted
    for rig in (quick, plain):
        rig.flush()
    assert quick.datums() == plain.datums()


class _Forgetful(Shortcuts):
    """Knows no document."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.pipeline.shape, rig.pipeline.windows, 1, rig.observer)

    def add_document(self, document: dict[str, Any], now: float, input_: str) -> bytes | None:
        return b""

    def learn_document(self, *_: object) -> None:
        return None


def ingest(rig: Rig, **changed: Any) -> None:
    outcome = done(rig.pipeline.ingest_metrics(orjson.dumps({**LATENCY, **changed}), "application/json"))
    assert outcome.accepted == 1, outcome.rejected


def read_in_full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """From now on, what is read field by field."""
    read: list[Any] = []

    def noted(item: object, unknown: set[str]) -> Sample:
        read.append(item)
        return decode_metric(item, unknown)

    monkeypatch.setattr(json_metrics, "decode_metric", noted)
    return read


def test_the_like_of_a_document_is_read_in_full_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    read = read_in_full(rig, monkeypatch)

    for second in range(200):  # over three windows, with times and without
        rig.clock.now = NOW + second
        ingest(rig, value=second)
        ingest(rig, value=second + 0.5, timestamp=NOW + second)

    assert len(read) == 1
    rig.flush()
    assert sum(sum(datum["Counts"]) for datum in rig.datums()) == 400
    rig.assert_balanced()


@pytest.mark.parametrize(
    "changed",
    [
        {"dimensions": {f"d{number}": "v" * 100 for number in range(KEY_BYTES // 100 + 1)}},
        {"type": "set"},
        {"whatever": 1},
        {"value": None, "values": [1, 2]},
    ],
)
def test_what_is_no_single_value_of_a_short_document_is_read_each_time(
    changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    read = read_in_full(rig, monkeypatch)
    for _ in range(3):
        ingest(rig, **{"value": 1, **changed})
    assert len(read) == 3


def test_the_table_is_bounded() -> None:
    rig = Rig(metrics={"max_series": 50})
    for number in range(500):
        ingest(rig, value=1, dimensions={"n": str(number)})
    assert len(rig.pipeline._metrics._shortcuts.documents) <= 50
    rig.assert_balanced()


def test_a_refused_time_of_a_known_document_is_told() -> None:
    rig = Rig()
    ingest(rig, value=1)
    old = orjson.dumps({**LATENCY, "value": 1, "timestamp": NOW - 15 * 86_400})
    outcome = done(rig.pipeline.ingest_metrics(old, "application/json"))
    assert outcome.rejected[0][1].startswith("timestamp_too_old")
    assert rig.dropped == {Reason.TIMESTAMP_TOO_OLD: 1}


def test_a_deeply_nested_document_is_refused_by_itself() -> None:
    rig = Rig()
    deep = b'{"name": "a", "value": 1, "x": ' + b"[" * 600 + b"]" * 600 + b"}"
    outcome = done(rig.pipeline.ingest_metrics(deep, "application/json"))
    assert outcome.accepted + outcome.rejected_total == 1
    rig.assert_balanced()


def test_lines_of_one_tail_share_their_place_when_it_is_decoded_anew() -> None:
    """A line that is adjusted is decoded once a window; its likes follow it, whole lines included."""
    rig = Rig(metrics={"replace_invalid": "_"})
    shortcuts = rig.pipeline._metrics._shortcuts
    lines = [b"caf\xc3\xa9:1|c", b"caf\xc3\xa9:2|c"]
    rig.send(lines[0])
    shortcuts.clear()
    rig.send(lines[1])
    rig.send(lines[0])
    rig.clock.now += 60
    rig.send(lines[0], lines[1], lines[0])

    (place,) = shortcuts.lines.values()
    assert [whole for whole, _ in shortcuts.whole_lines.values()] == [place] * len(shortcuts.whole_lines)
    assert place.accumulator.until > rig.clock.now
    rig.flush()
    assert sum(datum["StatisticValues"]["Sum"] for datum in rig.datums()) == 8.0
    assert rig.ledger.adjusted == {"name_repaired": 6}
    rig.assert_balanced()


def test_a_clock_that_is_set_back_clears_every_table() -> None:
    rig = Rig()
    rig.send(b"a:1|c")
    ingest(rig, value=1)
    shortcuts = rig.pipeline._metrics._shortcuts
    tables = (shortcuts.lines, shortcuts.whole_lines, shortcuts.documents)
    assert [len(table) for table in tables] == [1, 1, 1]

    rig.clock.now -= 0.5
    rig.send()

    assert [len(table) for table in tables] == [0, 0, 0]
