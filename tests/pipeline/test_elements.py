"""Datagrams and frames that are one element each: slices of work, their order, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from sidecar.decode.emf import Decoder
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.exchange import Events
from sidecar.model.samples import Kind, Sample
from tests.support.pipeline import Rig, done, run
from tests.support.strategies import NOW


def document(number: int, metrics: int = 1) -> bytes:
    names = [f"m{n}" for n in range(metrics)]
    directive = {"Namespace": "N", "Dimensions": [["d"]], "Metrics": [{"Name": name} for name in names]}
    aws = {"Timestamp": int(NOW * 1_000), "CloudWatchMetrics": [directive]}
    return orjson.dumps({"_aws": aws, "d": "x", "number": number, **dict.fromkeys(names, number)})


def test_elements_are_processed_in_slices_and_in_their_order() -> None:
    rig = Rig()  # its clock ticks: a slice is over after each look at it
    elements = rig.pipeline.elements(Decoder("logs").decode, "log_events", "emf")
    more = elements.ingest([document(number) for number in range(10)])
    calls = 1
    while more:
        more = elements.ingest([document(10)] if calls == 3 else [])
        calls += 1

    run(rig.pipeline.flush_logs("timer"))
    assert calls > 5
    assert [orjson.loads(text)["number"] for text in rig.events()] == list(range(11))
    assert rig.ledger.log_events.received["emf"] == 11
    rig.assert_balanced()


def test_an_element_of_many_events_is_processed_in_slices() -> None:
    rig = Rig()
    elements = rig.pipeline.elements(Decoder("metrics").decode, "samples", "emf")
    more = elements.ingest([document(1, metrics=50), document(2, metrics=1)])
    calls = 1
    while more:
        more = elements.ingest([])
        calls += 1

    assert calls > 20
    assert rig.received == {"emf": 51}
    rig.flush()
    rig.assert_balanced()


def test_a_long_log_event_is_processed_in_slices() -> None:
    rig = Rig()
    elements = rig.pipeline.elements(Decoder("logs").decode, "log_events", "emf")
    long = orjson.dumps({"_aws": {}, "text": 'a "quoted" text ' * 50_000})
    more = elements.ingest([long, document(1)])
    calls = 1
    while more:
        more = elements.ingest([])
        calls += 1

    assert calls > 50
    run(rig.pipeline.flush_logs("timer"))
    assert [text.encode() for text in rig.events()] == [long, document(1)]
    assert rig.ledger.log_events.received["emf"] == 2
    rig.assert_balanced()


def test_a_long_log_event_that_is_refused_or_met_a_bug_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    old = orjson.dumps({"timestamp": 1_000, "message": "x" * 100_000})
    outcome = done(rig.pipeline.ingest_logs(old + b"\n" + document(1), "json"))
    assert [index for index, _ in outcome.rejected] == [0]
    assert rig.ledger.log_events.dropped[Reason.TIMESTAMP_TOO_OLD] == 1

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sidecar.pipeline.logs.encode_in_turns", broken)
    outcome = done(rig.pipeline.ingest_logs(orjson.dumps({"message": "x" * 100_000}), "json"))
    assert outcome.rejected_total == 1
    assert rig.ledger.log_events.dropped[Reason.INTERNAL_ERROR] == 1
    assert rig.ledger.log_events.received["http"] == 3
    run(rig.pipeline.flush_logs("timer"))
    rig.assert_balanced()


def test_blank_elements_are_nothing_and_broken_ones_are_counted_alone() -> None:
    rig = Rig()
    elements = rig.pipeline.elements(Decoder("metrics").decode, "samples", "emf")
    more = elements.ingest([b"", b" \t", b"{broken", document(1), b"\xff", b"[]"])
    while more:
        more = elements.ingest([])

    assert rig.received == {"emf": 4}
    assert rig.dropped == {Reason.INVALID_JSON: 1, Reason.INVALID_UTF8: 1, Reason.WRONG_TYPE: 1}
    rig.flush()
    rig.assert_balanced()


def test_a_bug_in_decoding_costs_one_element() -> None:
    rig = Rig()

    def buggy(element: bytes, now: float) -> Sample:
        if element == b"bug":
            raise ZeroDivisionError
        return Sample(element.decode(), Kind.COUNTER, (1.0,), (1.0,))

    elements = rig.pipeline.elements(buggy, "samples", "toy")
    more = elements.ingest([b"a", b"bug", b"b"])
    while more:
        more = elements.ingest([])

    assert rig.received == {"toy": 3}
    assert rig.dropped == {Reason.INTERNAL_ERROR: 1}


def test_a_bug_between_the_events_of_an_element_costs_its_rest() -> None:
    rig = Rig()

    def buggy(element: bytes, now: float) -> Events:
        def events() -> Iterator[Sample | DecodeError]:
            yield Sample("a", Kind.COUNTER, (1.0,), (1.0,))
            raise ZeroDivisionError

        return events()

    elements = rig.pipeline.elements(buggy, "samples", "toy")
    more = elements.ingest([b"1", b"2"])
    while more:
        more = elements.ingest([])

    assert rig.received == {"toy": 4}
    assert rig.dropped == {Reason.INTERNAL_ERROR: 2}


def test_what_did_not_arrive_whole_is_counted_by_its_signal() -> None:
    rig = Rig()
    error = DecodeError(Reason.LINE_TOO_LONG, "a line does not end")
    rig.pipeline.refuse("samples", "statsd", error)
    rig.pipeline.refuse("log_events", "emf", error)

    assert rig.dropped == {Reason.LINE_TOO_LONG: 1}
    assert rig.ledger.log_events.received == {"emf": 1}
    assert rig.ledger.log_events.dropped == {Reason.LINE_TOO_LONG: 1}
    rig.assert_balanced()
