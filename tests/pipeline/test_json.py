"""JSON bodies and datagrams: what is broken is one error, what stands beside it arrives, and no item holds the loop."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson
import pytest

from sidecar.decode import documents, tolerant
from sidecar.decode.cut import TRUNCATED
from sidecar.decode.large import WHOLE_BYTES
from sidecar.model.errors import Reason, TooManyItemsError
from sidecar.model.events import Outcome
from sidecar.model.limits import ITEMS_PER_BODY, JSON_ITEMS_PER_DATAGRAM, LOG_MESSAGE_BYTES, VALUES_PER_ITEM
from tests.support.pipeline import MINUTE, Rig, done, run, total
from tests.support.strategies import NOW

BROKEN: Final = [
    b'{"name": "b", "value": NaN}',
    b'{"name": "b", "value": 1e999}',
    b'{"name": "\\ud800", "value": 1}',
    b'{"name": "\xff", "value": 1}',
    b'{"name": "b", "value": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
]
HUGE: Final = 2.0**360


def ingest(rig: Rig, body: bytes) -> Outcome:
    return done(rig.pipeline.ingest_metrics(body, "application/json"))


def stepped(rig: Rig, body: bytes) -> tuple[Outcome, int, float]:
    """Take a body; the outcome, the turns that were given, and the longest time without one (CPU seconds)."""
    work = rig.pipeline.ingest_metrics(body, "application/json")
    turns, longest = 0, 0.0
    while True:
        last = time.process_time()
        try:
            work.send(None)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome, turns, max(longest, time.process_time() - last)
        turns += 1
        longest = max(longest, time.process_time() - last)


def ingest_logs(rig: Rig, body: bytes, content_type: str = "application/json") -> Outcome:
    return done(rig.pipeline.ingest_logs(body, content_type))


def events(rig: Rig) -> list[str]:
    run(rig.pipeline.flush_logs("timer"))
    return rig.events()


def sums(rig: Rig) -> dict[str, float]:
    """What was added up of each metric."""
    rig.flush()
    found: dict[str, float] = {}
    for datum in rig.datums():
        values = datum.get("Values") or [datum["StatisticValues"]["Sum"]]
        counts = datum.get("Counts") or [1.0]
        added = sum(value * count for value, count in zip(values, counts, strict=True))
        found[datum["MetricName"]] = found.get(datum["MetricName"], 0.0) + added
    return found


# --- neighbours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [b"[%b]", b"[\n%b\n]", b'{"Namespace": "N", "MetricData": [%b]}', b"\xef\xbb\xbf[%b]"])
@pytest.mark.parametrize("broken", BROKEN, ids=["nan", "infinity", "surrogate", "utf-8", "deep"])
def test_one_broken_metric_costs_no_other(broken: bytes, form: bytes) -> None:
    good = [b'{"name": "%b", "value": 1}' % name for name in (b"a", b"c")]
    if b"MetricData" in form:
        good = [b'{"MetricName": "%b", "Value": 1}' % name for name in (b"a", b"c")]
    body = form % b",\n".join([good[0], broken, good[1]])
    rig = Rig()
    outcome = ingest(rig, body)
    rig.send(body)

    assert (outcome.accepted, [index for index, _ in outcome.rejected]) == (2, [1])
    assert sums(rig) == {"a": 2.0, "c": 2.0}
    assert rig.received == {"http": 3, "json_udp": 3}
    rig.assert_balanced()


def test_a_broken_log_event_over_several_lines_is_one_error_and_no_part_of_it_is_delivered() -> None:
    rig = Rig()
    body = b'{\n "message": "x",\n "v": NaN,\n "tags": [\n  "a",\n  1\n ],\n "o": [\n  {"message": "part"}\n ]\n}\n'
    outcome = ingest_logs(rig, body)
    rig.send(body)

    assert (outcome.accepted, outcome.rejected_total) == (0, 1)
    assert events(rig) == []


def test_the_datums_of_entity_metric_data_are_taken_and_the_entity_is_counted_as_ignored() -> None:
    """Neither part of a request may vanish because the other is there."""
    rig = Rig()
    entity = {"KeyAttributes": {"Type": "Service", "Name": "shop"}}
    body = orjson.dumps(
        {
            "Namespace": "N",
            "MetricData": [{"MetricName": "a", "Value": 1}],
            "EntityMetricData": [{"Entity": entity, "MetricData": [{"MetricName": "b", "Value": 2}] * 3}],
        }
    )
    for _ in range(2):  # the second time their like is known
        assert ingest(rig, body).accepted == 4
    rig.send(body)

    assert sums(rig) == {"a": 3.0, "b": 18.0}
    assert {batch.namespace for batch in rig.metrics.batches} == {"N"}
    assert rig.ledger.adjusted["unknown_field"] == 9


@pytest.mark.parametrize("given", [{}, "x", [{}], [3], [{"MetricData": 3}]])
def test_entity_metric_data_that_cannot_be_read_is_an_error(given: object) -> None:
    rig = Rig()
    outcome = ingest(rig, orjson.dumps({"EntityMetricData": given, "MetricData": [{"MetricName": "a", "Value": 1}]}))

    assert (outcome.accepted, outcome.rejected_total) == (1, 1)


def test_a_byte_order_mark_is_passed() -> None:
    rig = Rig()
    mark = b"\xef\xbb\xbf"
    assert ingest(rig, mark + b'{"name": "a", "value": 1}').accepted == 1
    assert ingest(rig, mark + b'{"name": "a", "value": 1}\n{"name": "a", "value": 1}').accepted == 2
    rig.send(mark + b'{"name": "a", "value": 1}', mark + b'[{"name": "a", "value": 1}]')
    ingest_logs(rig, mark + b'{"message": "m"}')
    ingest_logs(rig, mark + b"first\nsecond", "text/plain")

    assert sums(rig) == {"a": 5.0}
    assert events(rig) == ['{"message": "m"}', "first", "second"]


# --- log events as they came ----------------------------------------------------------------------------


def test_a_log_event_over_the_limit_is_cut_in_its_longest_text_and_nowhere_else() -> None:
    rig = Rig()
    deep = b"[" * 300 + b"]" * 300
    event = b'{"n": 123456789012345678901234567890, "x": 1.10, "deep": %b, "message": "%b"}' % (
        deep,
        b"caf\xc3\xa9 \\u00e9\\n" * 120_000,
    )
    for body in (event, b"[%b,%b]" % (event, event), event.replace(b'{"n"', b'{"log_stream": "s", "n"')):
        outcome = ingest_logs(rig, body)
        assert outcome.rejected == []

    for message in events(rig):
        assert len(message.encode()) <= LOG_MESSAGE_BYTES
        assert message.startswith(event[: event.index(b'"message"') + 12].decode())
        assert orjson.loads(message)["message"].endswith(TRUNCATED)
    assert len(rig.events()) == 4


# --- bounds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["values", "Values"])
def test_an_item_of_many_values_is_taken_in_slices(shape: str) -> None:
    counts, name, value = ("counts", "name", "values") if shape == "values" else ("Counts", "MetricName", "Values")
    rig = Rig()
    body = orjson.dumps({name: "a", value: [1, 2] * 20_000, counts: [2, 1] * 20_000})
    outcome, turns, _ = stepped(rig, body)

    assert outcome.accepted == 1
    assert turns >= 80
    assert sums(rig) == {"a": 80_000.0}
    assert rig.received == {"http": 40_000}
    rig.assert_balanced()


@pytest.mark.parametrize("bad", [None, "x", 1e200, True])
def test_an_item_of_many_values_is_taken_whole_or_not_at_all(bad: object) -> None:
    rig = Rig()
    outcome = ingest(rig, orjson.dumps({"name": "a", "values": [1] * 30_000 + [bad]}))

    assert outcome.accepted == 0
    assert "values[30000]" in outcome.rejected[0][1]
    assert sums(rig) == {}
    rig.assert_balanced()


@pytest.mark.parametrize("kind", ["timer", "set"])
def test_values_of_an_item_are_bounded(kind: str) -> None:
    rig = Rig()
    most = orjson.dumps({"name": "a", "type": kind, "values": [1] * VALUES_PER_ITEM})
    over = orjson.dumps({"name": "a", "type": kind, "values": [1] * (VALUES_PER_ITEM + 1)})

    assert ingest(rig, most).accepted == 1
    assert ingest(rig, over).rejected[0][1].startswith("too_many_items: values has 100001 elements, at most 100000")
    assert rig.dropped == {Reason.TOO_MANY_ITEMS: 1}
    rig.flush()
    rig.assert_balanced()


def test_a_large_array_is_never_parsed_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched:
        JSONDecodeError = orjson.JSONDecodeError
        longest = 0

        def loads(self, text: bytes) -> Any:
            self.longest = max(self.longest, len(text))
            return orjson.loads(text)

    watched = Watched()
    for reader in (documents, tolerant):
        monkeypatch.setattr(reader, "orjson", watched)
    metrics = [{"name": f"a{n % 100}", "value": n, "dimensions": {"},{": "[{},{}]"}} for n in range(20_000)]
    plain = [{"name": f"a{n % 100}", "value": n} for n in range(20_000)]
    datums = [
        {"MetricName": f"a{n % 100}", "Dimensions": [{"Name": "a", "Value": "b"}, {"Name": "c", "Value": "d"}]}
        for n in range(20_000)
    ]
    for body in (orjson.dumps(plain), orjson.dumps(metrics), orjson.dumps({"MetricData": datums, "Namespace": "N"})):
        rig = Rig()
        started = time.process_time()
        outcome, _, longest = stepped(rig, body)
        assert outcome.accepted + outcome.rejected_total == 20_000
        took = time.process_time() - started
        print(f"{len(body)} bytes: {took:.2f} s of CPU, {longest * 1_000:.1f} ms of it at most without a turn")
        rig.assert_balanced()

    assert watched.longest <= WHOLE_BYTES


@pytest.mark.parametrize("form", [b"[%b]", b'{"MetricData": [%b]}', b'{"EntityMetricData": [{"MetricData": [%b]}]}'])
@pytest.mark.parametrize("last", [b"{}", b"NaN"])
def test_too_many_items_are_refused_before_the_first_is_taken(form: bytes, last: bytes) -> None:
    rig = Rig()
    body = form % (b'{"name": "a", "value": 1},' * ITEMS_PER_BODY + last)
    with pytest.raises(TooManyItemsError):
        ingest(rig, body)

    assert rig.received == {}


@pytest.mark.parametrize("form", [b"[%b]", b'{"MetricData": [%b]}'])
def test_a_datagram_of_very_many_items_is_taken_in_slices_up_to_the_limit(form: bytes) -> None:
    rig = Rig()
    rig.send(b"b:1|c")
    more = rig.pipeline.datagrams([form % (b"1," * 32_000 + b"1"), b"b:1|c"])
    turns = 0
    while more:
        more = rig.pipeline.datagrams([b"b:1|c"] if turns == 3 else [])
        turns += 1

    assert turns >= 10
    assert sums(rig) == {"b": 3.0}
    assert rig.received == {"statsd": 3, "json_udp": 32_001}
    assert rig.dropped == {Reason.WRONG_TYPE: JSON_ITEMS_PER_DATAGRAM, Reason.TOO_MANY_ITEMS: 28_001}
    rig.assert_balanced()


# --- the range of sums ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["counter", "gauge"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_that_would_take_the_sum_out_of_range_is_refused_and_the_others_stay(kind: str, sign: int) -> None:
    rig = Rig()
    lines = {"counter": b"a:%b|c", "gauge": b"a:%b|g|#x:y"}
    text = repr(sign * 0.75 * HUGE).encode()
    for _ in range(2):
        ingest(rig, orjson.dumps({"name": "a", "type": kind, "value": 1}))
        ingest(rig, orjson.dumps({"name": "a", "type": kind, "value": sign * 0.75 * HUGE}))
        rig.send(lines[kind] % text, lines[kind] % b"1")
    rig.flush()

    assert rig.dropped == {Reason.VALUE_OUT_OF_RANGE: 3 if kind == "counter" else 2}
    for datum in rig.datums():
        assert abs(datum["StatisticValues"]["Sum"]) <= HUGE
    rig.assert_balanced()


@pytest.mark.parametrize(
    "metrics",
    [
        [{"statistics": {"count": 1, "sum": 0.75 * HUGE, "min": 1, "max": 2}}] * 2,
        [{"statistics": {"count": 0.75 * HUGE, "sum": 1, "min": 1, "max": 2}}] * 2,
        [{"type": "counter", "values": [0.75 * HUGE], "counts": [1]}, {"type": "counter", "values": [0.75 * HUGE]}],
        [{"type": "counter", "value": 1}, {"type": "counter", "values": [0.75 * HUGE], "counts": [2]}],
        [{"type": "timer", "values": [1], "counts": [0.75 * HUGE]}] * 2,
        [{"values": [1], "counts": [0.75 * HUGE]}] * 2,
    ],
)
def test_sums_and_counts_of_sets_and_weighted_values_stay_in_range(metrics: list[dict[str, Any]]) -> None:
    rig = Rig()
    outcome = ingest(rig, orjson.dumps([{"name": "a", **metric} for metric in metrics]))
    rig.flush()

    assert outcome.accepted == 1
    assert outcome.rejected[0][1].startswith("value_out_of_range")
    (datum,) = rig.datums()
    figures = [*datum.get("StatisticValues", {}).values(), *datum.get("Values", []), *datum.get("Counts", [])]
    assert max(map(abs, figures)) <= HUGE
    rig.assert_balanced()


def test_a_rate_counts_in_the_sum() -> None:
    rig = Rig()
    rig.send(b"a:1|c", b"a:%b|c|@0.5" % repr(0.75 * HUGE).encode())
    assert sums(rig) == {"a": 1.0}
    assert rig.dropped == {Reason.VALUE_OUT_OF_RANGE: 1}


# --- clocks, caps, caches -------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_has_open_windows_sent_where_only_http_comes_in() -> None:
    rig = Rig()
    ingest(rig, b'{"name": "a", "value": 1}')
    assert not rig.pipeline._flushes._early.is_set()
    rig.clock.now = NOW - 600.0
    ingest(rig, b'{"name": "a", "value": 1}')

    assert rig.pipeline._flushes._early.is_set()
    rig.flush()
    assert sorted(datum["Timestamp"] for datum in rig.datums()) == [MINUTE - 600, MINUTE]


def test_a_folded_document_has_a_series_of_its_own_as_soon_as_there_is_room() -> None:
    """The cap covers the last hour: what was folded is asked again in each window."""
    rig = Rig(metrics={"max_series": 2})
    for n in range(4):
        ingest(rig, orjson.dumps({"name": "a", "value": 1, "dimensions": {"n": str(n)}}))
    rig.flush()
    folded = orjson.dumps({"name": "a", "value": 1, "dimensions": {"n": "3"}})
    assert total(rig.ledger.adjusted) == 2

    for _ in range(40):  # two hours in which nothing else comes
        rig.clock.now += 180.0
        rig.clock.elapsed += 180.0
        ingest(rig, folded)
    rig.flush()
    dimensions = [{pair["Name"]: pair["Value"] for pair in datum["Dimensions"]}["n"] for datum in rig.datums()]

    assert dimensions[-1] == "3"
    assert "__other__" in dimensions


def test_caches_of_names_are_bounded_in_bytes() -> None:
    rig = Rig(metrics={"rules": [{"match": "a*", "unit": "Bytes"}]}, dimensions={})
    for n in range(200):
        name = f"a{n}" + "x" * 60_000
        many = {f"d{i}": f"{n}" + "v" * 1_000 for i in range(28)}
        rig.send(name.encode() + b":1|c")
        ingest(rig, orjson.dumps([{"name": name, "value": 1}, {"name": "a", "value": 1, "dimensions": many}]))

    naming = rig.pipeline.shape._naming
    held = [*naming._rules._cache, *(text for key in naming._cache for text in (key[0], *map(str, key[2:3])))]
    assert sum(map(len, map(str, held))) < 10_000
    assert sum(map(len, rig.pipeline._metrics._shortcuts.documents)) < 10_000
    assert rig.dropped == {Reason.NAME_TOO_LONG: 400}


def test_very_many_dimensions_or_fields_are_refused_or_counted_without_a_look_at_each() -> None:
    rig = Rig()
    many = {f"d{n}": "v" for n in range(100_000)}
    pairs = [{"Name": name, "Value": "v"} for name in many]
    body = orjson.dumps(
        [
            {"name": "a", "value": 1, "dimensions": many},
            {"MetricName": "a", "Value": 1, "Dimensions": pairs},
            {"name": "a", "value": 1, **many},
        ]
    )
    outcome = ingest(rig, body)

    assert outcome.accepted == 1
    assert rig.dropped == {Reason.TOO_MANY_DIMENSIONS: 2}
    assert rig.ledger.adjusted["unknown_field"] == 1
