"""JSON metrics and log events: both shapes in, and a stable reason for whatever is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import json_logs
from sidecar.decode.documents import documents
from sidecar.decode.items import Item
from sidecar.decode.json_metrics import decode_metric
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.limits import VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Sample, Statistics
from tests.support.strategies import NOW, json_values, log_items, metric_items, spoiled_items

T = TypeVar("T")
NOW_MS = int(NOW * 1_000)


def taken_or_why_not(decode: Callable[[], T]) -> T | DecodeError:
    """What decoding gives; an error has a reason of the fixed set and fits an answer."""
    try:
        return decode()
    except DecodeError as error:
        why = error
    assert isinstance(why.reason, Reason)
    assert len(why.detail) < 400
    return why


def refused(item: object) -> DecodeError:
    with pytest.raises(DecodeError) as error:
        decode_metric(item)
    assert error.value.detail
    return error.value


# --- metrics ------------------------------------------------------------------------------------------


@given(st.one_of(spoiled_items(), json_values))
def test_any_json_is_a_sample_or_has_a_reason(item: object) -> None:
    sample = taken_or_why_not(lambda: decode_metric(item, set()))
    if isinstance(sample, DecodeError):
        return
    assert isinstance(sample, Sample)
    assert len(sample.values) == len(sample.weights)
    assert all(abs(value) <= VALUE_MAGNITUDE for value in sample.values)
    assert all(weight > 0.0 for weight in sample.weights)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in sample.dimensions)


@given(metric_items())
def test_metrics_that_are_right_are_taken(item: dict[str, Any]) -> None:
    unknown: set[str] = set()
    sample = decode_metric(orjson.loads(orjson.dumps(item)), unknown)

    assert sample.name == item.get("name", item.get("MetricName"))
    assert sample.size == len(item.get("values", item.get("Values", [1])))
    assert not unknown


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"name": "n", "value": 1}, Sample("n", Kind.SAMPLE, (1.0,), (1.0,))),
        ({"name": "n", "value": -0.5, "type": "counter"}, Sample("n", Kind.COUNTER, (-0.5,), (1.0,))),
        ({"name": "n", "value": 1, "type": "gauge"}, Sample("n", Kind.GAUGE, (1.0,), (1.0,))),
        ({"name": "n", "values": [1, 2], "type": "timer"}, Sample("n", Kind.TIMER, (1.0, 2.0), (1.0, 1.0))),
        (
            {"name": "n", "values": [1, 2], "counts": [3, 0.5], "type": "histogram"},
            Sample("n", Kind.HISTOGRAM, (1.0, 2.0), (3.0, 0.5)),
        ),
        (
            {"name": "n", "statistics": {"count": 2, "sum": 3, "min": 1, "max": 2}},
            Sample("n", Kind.SAMPLE, statistics=Statistics(2.0, 3.0, 1.0, 2.0)),
        ),
        ({"name": "n", "value": "ann", "type": "set"}, Sample("n", Kind.SET, members=("ann",))),
        ({"name": "n", "values": ["a", 7], "type": "set"}, Sample("n", Kind.SET, members=("a", "7"))),
        (
            {"name": "n", "value": 1, "dimensions": {"a": "x", "b": True, "c": 3, "d": 1.5}},
            Sample("n", Kind.SAMPLE, (1.0,), (1.0,), dimensions=(("a", "x"), ("b", "true"), ("c", "3"), ("d", "1.5"))),
        ),
        (
            {"name": "n", "value": 1, "unit": "Bytes", "namespace": "N", "resolution": 1, "timestamp": NOW_MS + 5},
            Sample("n", Kind.SAMPLE, (1.0,), (1.0,), unit="Bytes", namespace="N", resolution=1, timestamp=NOW + 0.005),
        ),
        (
            {
                "MetricName": "n",
                "Value": 1,
                "Unit": "Count",
                "StorageResolution": 60,
                "Dimensions": [{"Name": "a", "Value": "x"}],
                "Namespace": "N",
                "Timestamp": "2026-09-21T14:13:20Z",
            },
            Sample("n", Kind.SAMPLE, (1.0,), (1.0,), (), None, False, (("a", "x"),), "Count", "N", 60, NOW),
        ),
        ({"MetricName": "n", "Values": [1], "Counts": [2]}, Sample("n", Kind.SAMPLE, (1.0,), (2.0,))),
        (
            {"MetricName": "n", "StatisticValues": {"SampleCount": 1, "Sum": 2, "Minimum": 2, "Maximum": 2}},
            Sample("n", Kind.SAMPLE, statistics=Statistics(1.0, 2.0, 2.0, 2.0)),
        ),
        ({"name": "n", "value": 1, "unit": None, "dimensions": None}, Sample("n", Kind.SAMPLE, (1.0,), (1.0,))),
    ],
)
def test_a_metric_becomes_a_sample(item: dict[str, Any], expected: Sample) -> None:
    assert expected == decode_metric(item)


def with_(**fields: object) -> dict[str, object]:
    return {"name": "n", "value": 1, **fields}


REFUSED: list[tuple[object, Reason]] = [
    (7, Reason.WRONG_TYPE),
    ("n", Reason.WRONG_TYPE),
    (None, Reason.WRONG_TYPE),
    ([], Reason.WRONG_TYPE),
    ({}, Reason.MISSING_FIELD),
    ({"name": "n"}, Reason.MISSING_FIELD),
    ({"value": 1}, Reason.MISSING_FIELD),
    ({"name": "n", "value": None}, Reason.MISSING_FIELD),
    ({"name": 7, "value": 1}, Reason.WRONG_TYPE),
    (with_(value="1"), Reason.WRONG_TYPE),
    (with_(value=True), Reason.WRONG_TYPE),
    (with_(value=[1]), Reason.WRONG_TYPE),
    (with_(value=1e200), Reason.VALUE_OUT_OF_RANGE),
    (with_(values=[1]), Reason.INVALID_VALUE),
    ({"name": "n", "values": []}, Reason.WRONG_TYPE),
    ({"name": "n", "values": 1}, Reason.WRONG_TYPE),
    ({"name": "n", "values": [1, "2"]}, Reason.WRONG_TYPE),
    ({"name": "n", "values": [1], "counts": [1, 2]}, Reason.INVALID_COUNTS),
    ({"name": "n", "values": [1], "counts": 1}, Reason.INVALID_COUNTS),
    ({"name": "n", "values": [1], "counts": [0]}, Reason.INVALID_COUNTS),
    ({"name": "n", "values": [1], "counts": [-1]}, Reason.INVALID_COUNTS),
    (with_(counts=[1]), Reason.INVALID_COUNTS),
    ({"name": "n", "statistics": 1}, Reason.WRONG_TYPE),
    ({"name": "n", "statistics": {"count": 1, "sum": 1, "min": 1}}, Reason.INVALID_STATISTICS),
    ({"name": "n", "statistics": {"count": 0, "sum": 0, "min": 0, "max": 0}}, Reason.INVALID_STATISTICS),
    ({"name": "n", "statistics": {"count": 1, "sum": 1, "min": 2, "max": 1}}, Reason.INVALID_STATISTICS),
    ({"name": "n", "statistics": {"count": "1", "sum": 1, "min": 1, "max": 1}}, Reason.WRONG_TYPE),
    ({"name": "n", "type": "set", "statistics": {}}, Reason.INVALID_STATISTICS),
    ({"name": "n", "type": "set", "value": ""}, Reason.WRONG_TYPE),
    ({"name": "n", "type": "set", "value": []}, Reason.WRONG_TYPE),
    ({"name": "n", "type": "set", "values": []}, Reason.WRONG_TYPE),
    (with_(type="count"), Reason.UNKNOWN_TYPE),
    (with_(type="sample"), Reason.UNKNOWN_TYPE),
    (with_(type=1), Reason.UNKNOWN_TYPE),
    (with_(type=["gauge"]), Reason.UNKNOWN_TYPE),
    (with_(unit=1), Reason.WRONG_TYPE),
    (with_(namespace=1), Reason.WRONG_TYPE),
    (with_(resolution=30), Reason.INVALID_RESOLUTION),
    (with_(resolution="60"), Reason.INVALID_RESOLUTION),
    (with_(resolution=True), Reason.INVALID_RESOLUTION),
    (with_(resolution=[1]), Reason.INVALID_RESOLUTION),
    (with_(timestamp="yesterday"), Reason.INVALID_TIMESTAMP),
    (with_(timestamp=True), Reason.INVALID_TIMESTAMP),
    (with_(dimensions=[["a", "b"]]), Reason.WRONG_TYPE),
    (with_(dimensions="a:b"), Reason.WRONG_TYPE),
    (with_(dimensions=""), Reason.WRONG_TYPE),
    (with_(dimensions=0), Reason.WRONG_TYPE),
    (with_(dimensions={"a": None}), Reason.WRONG_TYPE),
    (with_(dimensions={"a": {"b": 1}}), Reason.WRONG_TYPE),
    ({"MetricName": "n"}, Reason.MISSING_FIELD),
    ({"MetricName": "n", "Value": 1, "Values": [1]}, Reason.INVALID_VALUE),
    ({"MetricName": "n", "Value": 1, "Dimensions": {"a": "b"}}, Reason.WRONG_TYPE),
    ({"MetricName": "n", "Value": 1, "Dimensions": [{"Name": "a"}]}, Reason.WRONG_TYPE),
    ({"MetricName": "n", "Value": 1, "Dimensions": [{"Name": 1, "Value": "b"}]}, Reason.WRONG_TYPE),
    ({"MetricName": "n", "Value": 1, "StorageResolution": 5}, Reason.INVALID_RESOLUTION),
    ({"MetricName": "n", "StatisticValues": {"Sum": 1}}, Reason.INVALID_STATISTICS),
]


@pytest.mark.parametrize(("item", "reason"), REFUSED, ids=[str(item)[:70] for item, _ in REFUSED])
def test_a_metric_that_cannot_be_used_has_a_stable_reason(item: object, reason: Reason) -> None:
    assert refused(item).reason is reason


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (with_(value="1"), "value"),
        ({"name": "n", "values": [1, "2"]}, "values[1]"),
        (with_(dimensions={"Service": None}), "Service"),
        ({"MetricName": "n", "Value": 1, "Dimensions": [{"Name": "a", "Value": "b"}, 7]}, "Dimensions[1]"),
        ({"name": "n", "statistics": {"count": 1, "sum": 1}}, "min, max"),
        ({"MetricName": "n"}, "Value, Values, StatisticValues"),
    ],
)
def test_a_refusal_names_the_field(item: object, named: str) -> None:
    assert named in refused(item).detail


def test_fields_nobody_knows_are_named_and_harm_nothing() -> None:
    unknown: set[str] = set()

    assert decode_metric({"name": "n", "value": 1, "tags": {"a": "b"}, "Unit": "Bytes"}, unknown).unit is None
    assert unknown == {"tags", "Unit"}


# --- log events ---------------------------------------------------------------------------------------


def decode_log(item: Item) -> LogEvent:
    event = json_logs.decode(item)
    assert isinstance(event, LogEvent)
    return event


@given(st.one_of(spoiled_items(), json_values), st.booleans())
def test_any_item_is_a_log_event_or_has_a_reason(value: object, with_text: bool) -> None:  # noqa: FBT001
    event = taken_or_why_not(lambda: decode_log(Item(value, orjson.dumps(value).decode() if with_text else None)))
    if isinstance(event, DecodeError):
        return
    assert event.message
    assert event.timestamp_ms is None or isinstance(event.timestamp_ms, int)


@given(log_items())
def test_a_log_event_arrives_as_the_document_it_came_as(item: dict[str, Any]) -> None:
    text = orjson.dumps(item, option=orjson.OPT_INDENT_2).decode()
    event = decode_log(Item(item, text))
    left = {key: value for key, value in item.items() if key not in ("log_group", "log_stream")}

    assert orjson.loads(event.message) == left
    assert (event.group, event.stream) == (item.get("log_group"), item.get("log_stream"))
    assert event.fields == item
    if left == item:
        assert event.message == text


@given(st.integers(NOW_MS - 14 * 86_400_000, NOW_MS + 7_200_000))
def test_a_time_in_milliseconds_is_kept_to_the_millisecond(timestamp_ms: int) -> None:
    assert decode_log(Item({"m": 1, "timestamp": timestamp_ms})).timestamp_ms == timestamp_ms


@given(st.integers(NOW_MS - 14 * 86_400_000, NOW_MS + 7_200_000))
def test_a_time_as_text_or_in_seconds_is_kept_to_the_millisecond(timestamp_ms: int) -> None:
    seconds, rest = divmod(timestamp_ms, 1_000)
    text = orjson.loads(orjson.dumps(f"{seconds}.{rest:03}"))
    day, of_day = divmod(seconds - (NOW_MS // 1_000 - 51_200), 86_400)
    iso = f"2026-09-{21 + day:02}T{of_day // 3600:02}:{of_day % 3600 // 60:02}:{of_day % 60:02}.{rest:03}Z"

    assert decode_log(Item({"m": 1, "timestamp": float(text)})).timestamp_ms == timestamp_ms
    assert decode_log(Item({"m": 1, "timestamp": iso})).timestamp_ms == timestamp_ms


def test_a_line_of_text_has_no_time_of_its_own() -> None:
    assert decode_log(Item("hello", "hello")) == LogEvent(None, "hello", {})


@pytest.mark.parametrize("timestamp", ["yesterday", True, -5, [], {}, "1790.0.1"])
def test_a_time_that_cannot_be_read_is_marked(timestamp: object) -> None:
    event = decode_log(Item({"message": "m", "timestamp": timestamp}))

    assert (event.timestamp_ms, event.unreadable_timestamp) == (None, True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", Reason.EMPTY_MESSAGE),
        (" \t", Reason.EMPTY_MESSAGE),
        ({}, Reason.EMPTY_MESSAGE),
        ({"log_group": "/a"}, Reason.EMPTY_MESSAGE),
        (7, Reason.WRONG_TYPE),
        (None, Reason.WRONG_TYPE),
        (["a"], Reason.WRONG_TYPE),
        ({"m": 1, "log_group": 7}, Reason.WRONG_TYPE),
        ({"m": 1, "log_stream": ["a"]}, Reason.WRONG_TYPE),
    ],
)
def test_a_log_event_that_cannot_be_used_has_a_stable_reason(value: object, reason: Reason) -> None:
    with pytest.raises(DecodeError) as error:
        decode_log(Item(value))

    assert error.value.reason is reason


HUGE: Final = '{"n": 123456789012345678901234567890, "x": 1.10, "e": 1E3, "s": "caf\\u00e9", "message": "m"'


@pytest.mark.parametrize("around", ["[@]", "[ @ , @ ]", '[@, {"a": [{}, {}]}]', '[{"},{": [{},{}]},@]', "@"])
def test_a_log_event_is_delivered_as_it_came(around: str) -> None:
    """Numbers beyond 64 bits, the way a number or a character is written, blanks: nothing is rewritten."""
    event = HUGE + "}"
    items = [item for item in documents(around.replace("@", event).encode()) if item is not None]

    assert event in [decode_log(item).message for item in items]


@pytest.mark.parametrize(
    "routing",
    [
        '"log_group": "/g"',
        '"log_group": "/g", "log_stream" : "s"',
        '"log_group": "/g", "log_group": "/h"',
        '"log_\\u0067roup": "/g"',
        '"log_group": "/\\u0067"',
        '"log_group": "/g", "log_stream": null',
    ],
)
@pytest.mark.parametrize(
    ("form", "left"),
    [
        ("{%, @}", "{@}"),
        ("{@, %}", "{@}"),
        ("{ @ , % }", "{@ }"),
        ("{@, %, @}", "{@, @}"),
        ('{"nested": {"log_group": "stays"}, %, @}', '{"nested": {"log_group": "stays"}, @}'),
        ('{"text": "\\"log_group\\": \\"stays\\"", @, %}', '{"text": "\\"log_group\\": \\"stays\\"", @}'),
        ('{"text": "log_group", %, @}', '{"text": "log_group", @}'),
    ],
)
def test_routing_is_taken_out_of_a_log_event_whose_text_stays_as_it_came(form: str, left: str, routing: str) -> None:
    body = form.replace("%", routing).replace("@", HUGE[1:])
    (item,) = documents(body.encode())
    assert item is not None
    event = decode_log(item)

    assert event.group in ("/g", "/h")
    blanks = str.maketrans("", "", " ")
    assert event.message.translate(blanks) == left.replace("@", HUGE[1:]).translate(blanks)
    assert HUGE[1:] in event.message


def test_a_log_event_of_many_levels_is_delivered_as_it_came() -> None:
    deep = '{"message": "m", "log_stream": "s", "a": ' + "[" * 300 + "1.50" + "]" * 300 + "}"
    for body in (deep, f"[{deep}]", f"[{deep}, {deep}]"):
        for item in documents(body.encode()):
            assert item is not None
            assert decode_log(item).message == deep.replace(' "log_stream": "s",', "")
