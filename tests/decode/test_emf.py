"""Embedded metric format: as a log event as it came, as samples without a loss, and a reason for whatever is wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.emf import EmfAs, decode, decode_parsed
from sidecar.decode.large import PART_BYTES, WHOLE_BYTES
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.limits import ITEMS_PER_BODY
from sidecar.model.samples import Kind, Sample, Statistics
from tests.support.strategies import NOW, json_values

NOW_MS = int(NOW * 1_000)

# Node 4.2, one line as it was sent; the time is that of the tests.
NODE = (
    b'{"LogGroup":"shop-metrics","ServiceName":"shop","ServiceType":"api","Operation":"store","request_id":"r0","_aws":'
    b'{"Timestamp":%d,"LogGroupName":"shop-metrics","CloudWatchMetrics":[{"Dimensions":[["LogGroup","ServiceName",'
    b'"ServiceType","Operation"]],"Metrics":[{"Name":"Latency","Unit":"Milliseconds"},{"Name":"Orders","Unit":"Count",'
    b'"StorageResolution":1}],"Namespace":"Seed/App"}]},"Latency":[12.5,7.5],"Orders":1}\n' % NOW_MS
)
NODE_DIMENSIONS = (
    ("LogGroup", "shop-metrics"),
    ("ServiceName", "shop"),
    ("ServiceType", "api"),
    ("Operation", "store"),
)


def document(directives: object, **members: Any) -> bytes:
    return orjson.dumps({"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": directives}, **members})


def directive(*metrics: object, sets: object = None, namespace: object = "N") -> dict[str, Any]:
    named = [{"Name": metric} if isinstance(metric, str) else metric for metric in metrics]
    return {"Namespace": namespace, "Dimensions": [["d"]] if sets is None else sets, "Metrics": named}


def samples(data: bytes) -> list[Sample]:
    found = [item for item in decode(data, NOW, "metrics") if item is not None]
    assert all(isinstance(item, Sample) for item in found), found
    return [item for item in found if isinstance(item, Sample)]


def metric(name: str, *values: float, **fields: Any) -> Sample:
    usual: dict[str, Any] = {"dimensions": (("d", "x"),), "namespace": "N", "timestamp": NOW}
    return Sample(name, Kind.SAMPLE, values, (1.0,) * len(values), **(usual | fields))


# --- as a log event -----------------------------------------------------------------------------------


def test_a_document_is_delivered_as_it_came_to_the_group_it_names() -> None:
    (event,) = decode(NODE, NOW)

    text = NODE.decode().rstrip("\n")
    assert event == LogEvent(NOW_MS, text, orjson.loads(NODE), "shop-metrics", None, from_emf=True)


@pytest.mark.parametrize(
    ("members", "group", "stream"),
    [
        ({"_aws": {"LogGroupName": "g", "LogStreamName": "s"}}, "g", "s"),
        ({"_aws": {"LogGroupName": "g", "LogStreamName": ""}}, "g", None),
        ({"_aws": {"LogGroupName": "shop:1.2"}}, "shop:1.2", None),
        ({"_aws": {"logGroupName": "g", "LOGSTREAMNAME": "s"}}, "g", "s"),
        ({"_aws": {"LogStreamName": "s"}}, None, "s"),
        ({"_aws": {}}, None, None),
        ({"_aws": 7}, None, None),
        ({"log_group_name": "g", "log_stream_name": "s"}, "g", "s"),
        ({"log_group_name": "old", "_aws": {"LogGroupName": "new"}}, "new", None),
        ({"request_id": "extraction is disabled"}, None, None),
    ],
)
def test_group_and_stream_are_read_in_every_form(
    members: dict[str, Any], group: str | None, stream: str | None
) -> None:
    (event,) = decode(orjson.dumps(members), NOW)

    assert isinstance(event, LogEvent)
    assert (event.group, event.stream) == (group, stream)
    assert event.message == orjson.dumps(members).decode()


@pytest.mark.parametrize(
    ("members", "timestamp_ms", "late"),
    [
        ({"_aws": {"Timestamp": NOW_MS - 5_001}}, NOW_MS - 5_001, False),
        ({"_aws": {}}, NOW_MS, False),
        ({"_aws": {"Timestamp": "soon"}}, NOW_MS, True),
        ({"_aws": {"Timestamp": True}}, NOW_MS, True),
        ({"CloudWatchMetrics": [], "Timestamp": str(NOW_MS - 7)}, NOW_MS - 7, False),
    ],
)
def test_the_time_is_the_documents_own(members: dict[str, Any], timestamp_ms: int, late: bool) -> None:  # noqa: FBT001
    (event,) = decode(orjson.dumps(members), NOW)

    assert isinstance(event, LogEvent)
    assert (event.timestamp_ms, event.unreadable_timestamp) == (timestamp_ms, late)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b"plain text", Reason.INVALID_JSON),
        (NODE[:-2], Reason.INVALID_JSON),
        (NODE + NODE, Reason.INVALID_JSON),
        (b"\xff", Reason.INVALID_UTF8),
        (b"[]", Reason.WRONG_TYPE),
        (b"{}", Reason.EMPTY_MESSAGE),
        (b'{"_aws": {"LogGroupName": 7}}', Reason.WRONG_TYPE),
        (b'{"log_stream_name": ["a"]}', Reason.WRONG_TYPE),
        (b'{"_aws": {"Timestamp": %d}}' % (NOW_MS - 15 * 86_400_000), Reason.TIMESTAMP_TOO_OLD),
        (b'{"_aws": {"Timestamp": %d}}' % (NOW_MS + 7_300_000), Reason.TIMESTAMP_TOO_NEW),
    ],
)
def test_a_document_that_is_no_log_event_has_a_reason(data: bytes, reason: Reason) -> None:
    (error,) = decode(data, NOW)

    assert isinstance(error, DecodeError)
    assert error.reason is reason
    assert error.__traceback__ is None


# --- as samples ---------------------------------------------------------------------------------------


def test_metrics_are_read_with_their_values_unit_and_resolution() -> None:
    fields: dict[str, Any] = {"dimensions": NODE_DIMENSIONS, "namespace": "Seed/App"}

    assert samples(NODE) == [
        metric("Latency", 12.5, 7.5, unit="Milliseconds", **fields),
        metric("Orders", 1.0, unit="Count", resolution=1, **fields),
    ]


def test_every_dimension_set_is_a_series_of_its_own() -> None:
    sets: list[list[str]] = [["d", "e"], ["d"], []]
    found = samples(document([directive("m", "n", sets=sets)], d="x", e="y", m=1, n=[2, 3]))

    expected = [(("d", "x"), ("e", "y")), (("d", "x"),), ()]
    assert found == [
        *(metric("m", 1.0, dimensions=dimensions) for dimensions in expected),
        *(metric("n", 2.0, 3.0, dimensions=dimensions) for dimensions in expected),
    ]


@pytest.mark.parametrize("sets", [[], [[]]])
def test_a_metric_without_dimensions_is_not_lost(sets: object) -> None:
    assert samples(document([directive("m", sets=sets)], m=1)) == [metric("m", 1.0, dimensions=())]
    data = orjson.dumps({"_aws": {"CloudWatchMetrics": [{"Namespace": "N", "Metrics": [{"Name": "m"}]}]}, "m": 1})
    assert samples(data) == [metric("m", 1.0, dimensions=(), timestamp=None)]


def test_several_directives_are_read() -> None:
    data = document([directive("m"), directive("m", "n", namespace="O", sets=[[]])], d="x", m=1, n=2)

    assert samples(data) == [
        metric("m", 1.0),
        metric("m", 1.0, namespace="O", dimensions=()),
        metric("n", 2.0, namespace="O", dimensions=()),
    ]


def test_over_a_hundred_metrics_and_values_are_read() -> None:
    names = [f"m{i}" for i in range(250)]
    values = [float(i) for i in range(230)]
    found = samples(document([directive(*names)], d="x", **dict.fromkeys(names, values)))

    assert found == [metric(name, *values) for name in names]


def test_an_older_document_without_aws_is_read() -> None:
    data = {"Version": "0", "Timestamp": str(NOW_MS), "CloudWatchMetrics": [directive("m")], "d": "x", "m": 1}

    assert samples(orjson.dumps(data)) == [metric("m", 1.0)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"Values": [1, 2], "Counts": [3, 4.5], "Min": 1, "Max": 2, "Sum": 12, "Count": 7.5},
            ((1.0, 2.0), (3.0, 4.5), None),
        ),
        ({"Values": [1, 2]}, ((1.0, 2.0), (1.0, 1.0), None)),
        ({"Min": 1, "Max": 2, "Sum": 3, "Count": 2}, ((), (), Statistics(2.0, 3.0, 1.0, 2.0))),
        (
            {"Values": [], "Counts": [], "Min": 1, "Max": 2, "Sum": 3, "Count": 2},
            ((), (), Statistics(2.0, 3.0, 1.0, 2.0)),
        ),
    ],
)
def test_a_histogram_of_the_agent_is_read(value: object, expected: tuple[Any, Any, Any]) -> None:
    (found,) = samples(document([directive("m")], d="x", m=value))

    assert (found.values, found.weights, found.statistics) == expected


def test_dimensions_that_are_numbers_become_text() -> None:
    (found,) = samples(document([directive("m", sets=[["a", "b", "c"]])], a=7, b=True, c=1.5, m=1))

    assert found.dimensions == (("a", "7"), ("b", "true"), ("c", "1.5"))


@pytest.mark.parametrize(
    ("wrong", "members", "reason"),
    [
        ("absent", {}, Reason.MISSING_FIELD),
        ("w", {"w": None}, Reason.MISSING_FIELD),
        ("w", {"w": "12"}, Reason.WRONG_TYPE),
        ("w", {"w": True}, Reason.WRONG_TYPE),
        ("w", {"w": []}, Reason.WRONG_TYPE),
        ("w", {"w": [1, "2"]}, Reason.WRONG_TYPE),
        ("w", {"w": [[1]]}, Reason.WRONG_TYPE),
        ("w", {"w": 1e200}, Reason.VALUE_OUT_OF_RANGE),
        ("w", {"w": [1, -1e200]}, Reason.VALUE_OUT_OF_RANGE),
        ("w", {"w": {}}, Reason.INVALID_STATISTICS),
        ("w", {"w": {"Min": 2, "Max": 1, "Sum": 3, "Count": 2}}, Reason.INVALID_STATISTICS),
        ("w", {"w": {"Min": 1, "Max": 1, "Sum": 1, "Count": 0}}, Reason.INVALID_STATISTICS),
        ("w", {"w": {"Values": [1], "Counts": [1, 2]}}, Reason.INVALID_COUNTS),
        ("w", {"w": {"Values": [1], "Counts": [0]}}, Reason.INVALID_COUNTS),
        ("w", {"w": {"Values": 1}}, Reason.WRONG_TYPE),
        ({"Name": "w", "Unit": 7}, {"w": 1}, Reason.WRONG_TYPE),
        ({"Name": "w", "StorageResolution": 5}, {"w": 1}, Reason.INVALID_RESOLUTION),
        ({"Name": "w", "StorageResolution": True}, {"w": 1}, Reason.INVALID_RESOLUTION),
        ({"Name": 7}, {}, Reason.WRONG_TYPE),
        ({}, {}, Reason.WRONG_TYPE),
        (7, {}, Reason.WRONG_TYPE),
    ],
)
def test_a_metric_that_cannot_be_used_harms_no_other(wrong: object, members: dict[str, Any], reason: Reason) -> None:
    before, error, after = decode(document([directive("m", wrong, "n")], d="x", m=1, n=2, **members), NOW, "metrics")

    assert (before, after) == (metric("m", 1.0), metric("n", 2.0))
    assert isinstance(error, DecodeError)
    assert error.reason is reason
    assert error.__traceback__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(("value", "reason"), [(None, Reason.INVALID_DIMENSION), ([], Reason.WRONG_TYPE)])
def test_a_dimension_without_a_field_costs_the_metrics_of_its_set(value: object, reason: Reason) -> None:
    found = list(
        decode(document([directive("m", "n", sets=[["d"], ["d", "w"]])], d="x", w=value, m=1, n=2), NOW, "metrics")
    )

    assert [metric("m", 1.0), metric("n", 2.0)] == [found[0], found[2]]
    for error, name in ((found[1], "m"), (found[3], "n")):
        assert isinstance(error, DecodeError)
        assert error.reason is reason
        assert f"'{name}'" in error.detail
        assert "'w'" in error.detail


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        {},
        directive("m", namespace=None),
        directive("m", namespace=7),
        directive("m", sets=["d"]),
        directive("m", sets="d"),
        {**directive("m"), "Metrics": {"Name": "m"}},
    ],
)
def test_a_directive_that_cannot_be_used_harms_no_other(wrong: object) -> None:
    error, found = decode(document([wrong, directive("m")], d="x", m=1), NOW, "metrics")

    assert found == metric("m", 1.0)
    assert isinstance(error, DecodeError)
    assert error.reason is Reason.WRONG_TYPE


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"m": 1}, Reason.MISSING_FIELD),
        ({"_aws": 7}, Reason.WRONG_TYPE),
        ({"_aws": {}}, Reason.WRONG_TYPE),
        ({"_aws": {"CloudWatchMetrics": []}}, Reason.WRONG_TYPE),
        ({"_aws": {"CloudWatchMetrics": {}}}, Reason.WRONG_TYPE),
        ({"_aws": {"CloudWatchMetrics": [directive("m")], "Timestamp": "soon"}}, Reason.INVALID_TIMESTAMP),
    ],
)
def test_a_document_without_metrics_has_a_reason(members: dict[str, Any], reason: Reason) -> None:
    (error,) = decode(orjson.dumps(members), NOW, "metrics")

    assert isinstance(error, DecodeError)
    assert error.reason is reason


def test_a_document_stands_for_no_more_than_100_000_values() -> None:
    names = [f"m{i}" for i in range(200)]
    data = document([directive(*names, sets=[["d"]] * 10)], d="x", **dict.fromkeys(names, [1] * 100))
    *found, error = decode(data, NOW, "metrics")

    assert sum(item.size for item in found if isinstance(item, Sample)) == ITEMS_PER_BODY
    assert isinstance(error, DecodeError)
    assert error.reason is Reason.TOO_MANY_ITEMS


def test_many_definitions_of_many_sets_end_at_the_same_bound() -> None:
    wrong = document([directive(*["w"] * 1_000, sets=[["w"]] * 1_000)])

    assert sum(1 for _ in decode(wrong, NOW, "metrics")) == 1_000
    wrong = document([directive(*["m"] * 1_000, sets=[["w"]] * 1_000)], m=1)
    assert sum(1 for _ in decode(wrong, NOW, "metrics")) == ITEMS_PER_BODY + 1


# --- as both ------------------------------------------------------------------------------------------


def test_as_both_the_log_event_brings_no_metric_a_second_time() -> None:
    event, *found = decode(NODE, NOW, "both")

    assert found == samples(NODE)
    assert isinstance(event, LogEvent)
    assert event.group == "shop-metrics"
    rest = orjson.loads(NODE)
    del rest["_aws"]
    assert orjson.loads(event.message) == rest


def test_as_both_a_document_of_metrics_alone_is_no_log_event_and_one_without_is_nothing_else() -> None:
    data = document([directive("m", sets=[[]])])

    assert [type(item) for item in decode(data, NOW, "both")] == [DecodeError]
    assert [type(item) for item in decode(b'{"a": 1}', NOW, "both")] == [LogEvent]


def test_as_both_a_number_beyond_64_bits_stays_as_it_came() -> None:
    data = b'{"n": 123456789012345678901234567890, "CloudWatchMetrics": [], "_aws": {"CloudWatchMetrics": []}}'
    event = next(decode(data, NOW, "both"))

    assert isinstance(event, LogEvent)
    assert '"n": 123456789012345678901234567890' in event.message
    assert "CloudWatchMetrics" not in event.message


# --- anything -----------------------------------------------------------------------------------------

_names = st.sampled_from(["m", "d", "w", "_aws", "Timestamp", "log_group_name", "CloudWatchMetrics"])
_directives = st.fixed_dictionaries(
    {},
    optional={
        "Namespace": st.just("N") | json_values,
        "Dimensions": st.lists(st.lists(_names | json_values, max_size=2), max_size=2) | json_values,
        "Metrics": st.lists(
            st.fixed_dictionaries(
                {}, optional={"Name": _names | json_values, "Unit": json_values, "StorageResolution": json_values}
            )
            | json_values,
            max_size=3,
        )
        | json_values,
    },
)
_documents = st.dictionaries(_names, json_values).flatmap(
    lambda members: st.fixed_dictionaries(
        {},
        optional={
            "CloudWatchMetrics": st.lists(_directives | json_values, max_size=3) | json_values,
            "Timestamp": st.just(NOW_MS) | json_values,
            "LogGroupName": json_values,
        },
    ).map(lambda aws: {**members, "_aws": aws})
)


@given(_documents.map(orjson.dumps) | st.binary(max_size=60), st.sampled_from(["logs", "metrics", "both"]))
def test_any_bytes_are_events_or_reasons(data: bytes, as_: EmfAs) -> None:
    found = [item for item in decode(data, NOW, as_) if item is not None]

    for item in found:
        if isinstance(item, Sample):
            assert as_ != "logs"
            assert len(item.values) == len(item.weights)
        elif isinstance(item, DecodeError):
            assert len(item.detail) < 400
            assert item.__traceback__ is None
        else:
            assert as_ != "metrics"
            assert item.message
    assert found or as_ == "both"


def test_a_large_document_is_read_member_by_member_with_pauses() -> None:
    names = [f"m{i}" for i in range(100)]
    values = [float(i) for i in range(300)]
    members = {name: values for name in names}  # noqa: C420  # they are not changed
    data = document([directive(*names)], d="x", **members)
    assert len(data) > 2 * WHOLE_BYTES

    for as_ in ("logs", "metrics"):
        # Copies: what a log event has of a large document is released after it.
        found = [deepcopy(item) for item in decode(b"  " + data + b"\n", NOW, as_)]
        assert found.count(None) >= len(data) // PART_BYTES
        whole = [item for item in decode_parsed(orjson.loads(data), data.decode(), NOW, as_) if item is not None]
        assert [item for item in found if item is not None] == whole


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"]", Reason.INVALID_JSON),
        (b'{"a": 1', Reason.INVALID_JSON),
        (b'"a": 1}', Reason.INVALID_JSON),
        (b'{"a": 1} x', Reason.INVALID_JSON),
        (b'{"a": 1e}', Reason.INVALID_JSON),
        (b'{"a": [1,,2]}', Reason.INVALID_JSON),
        (b'{"a": "\xff"}', Reason.INVALID_UTF8),
    ],
)
def test_a_large_document_that_is_not_json_is_one_error(broken: bytes, reason: Reason) -> None:
    large = b'{"padding": "' + b"x" * WHOLE_BYTES + b'", '
    data = large + broken.removeprefix(b"{") if broken.startswith(b"{") else b'{"p": 1,' + b" " * WHOLE_BYTES + broken
    if broken == b'"a": 1}':
        data = data.replace(b'"p": 1,', b'"p" 1,')

    for as_ in ("logs", "metrics", "both"):
        found = [item for item in decode(data, NOW, as_) if item is not None]
        assert [item.reason for item in found if isinstance(item, DecodeError)] == [reason]
        assert len(found) == 1


def test_values_beyond_what_one_slice_takes_become_several_samples() -> None:
    values = [float(i) for i in range(1_200)]
    found = samples(document([directive("m")], d="x", m=values))

    assert [value for sample in found for value in sample.values] == values
    assert [len(sample.values) for sample in found] == [250, 250, 250, 250, 200]
    assert all(len(sample.weights) == len(sample.values) for sample in found)
