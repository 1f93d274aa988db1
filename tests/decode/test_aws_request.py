"""Which call a request is, and that nothing sent to it raises; requests as the SDKs put them on the wire."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import aws_json, json_metrics, large
from sidecar.decode.aws_events import datums, log_events, rejected_info
from sidecar.decode.aws_faults import Service
from sidecar.decode.aws_operations import PutLogEvents, PutMetricData
from sidecar.decode.aws_request import Call, Protocol, recognise
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.samples import Kind, Sample, Statistics
from tests.decode.aws_endpoint import Endpoint, read
from tests.decode.test_aws_cbor import written
from tests.support.strategies import NOW, json_values, metric_items, spoiled_items

CBOR_PATH = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
JSON_METRICS = {
    "content-type": "application/x-amz-json-1.0",
    "x-amz-target": "GraniteServiceVersion20100801.PutMetricData",
    "x-amzn-query-mode": "true",
}
JSON_LOGS = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Logs_20140328.PutLogEvents"}
CBOR = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor", "x-amzn-query-mode": "true"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
ACTION = b"Action=PutMetricData&Version=2010-08-01"
METRICS = Service.METRICS


@pytest.mark.parametrize(
    ("path", "headers", "body", "expected"),
    [
        ("/", JSON_METRICS, b"", Call(Protocol.JSON_1_0, METRICS, "PutMetricData", True)),
        ("/base/", JSON_METRICS, b"", Call(Protocol.JSON_1_0, METRICS, "PutMetricData", True)),
        ("/", JSON_LOGS, b"", Call(Protocol.JSON_1_1, Service.LOGS, "PutLogEvents", False)),
        (
            "/",
            JSON_LOGS | {"content-type": "text/plain"},
            b"",
            Call(Protocol.JSON_1_1, Service.LOGS, "PutLogEvents", False),
        ),
        (CBOR_PATH, CBOR, b"", Call(Protocol.CBOR, METRICS, "PutMetricData", True)),
        ("/base" + CBOR_PATH, CBOR, b"", Call(Protocol.CBOR, METRICS, "PutMetricData", True)),
        (CBOR_PATH, {}, b"", Call(Protocol.CBOR, METRICS, "PutMetricData", False)),
        ("/service/X/operation/Do", CBOR, b"", Call(Protocol.CBOR, None, "X.Do", False)),
        ("/", FORM, ACTION, Call(Protocol.QUERY, METRICS, "PutMetricData", False)),
        (
            "/",
            {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            b"Namespace=N&Version=2010-08-01&Action=ListMetrics",
            Call(Protocol.QUERY, METRICS, "ListMetrics", False),
        ),
        ("/", FORM, b"Action=Get&Version=2011-06-15", Call(Protocol.QUERY, None, "Get", False)),
        (
            "/",
            {"x-amz-target": "DynamoDB_20120810.GetItem"},
            b"",
            Call(Protocol.JSON_1_1, None, "DynamoDB_20120810.GetItem", False),
        ),
        ("/", {"x-amz-target": "nonsense"}, b"", Call(Protocol.JSON_1_1, None, "nonsense.", False)),
        ("/", FORM, b'{"message": "curl sends this as a form"}', None),
        ("/", FORM, b"Action=x", None),
        ("/", {}, b"", None),
        ("/", {"content-type": "application/json"}, b"{}", None),
        ("/ingest/metrics", {"content-type": "application/cbor"}, b"\xa0", None),
    ],
)
def test_a_call_is_told_by_its_target_path_or_action(
    path: str, headers: dict[str, str], body: bytes, expected: Call | None
) -> None:
    assert recognise("POST", path, headers, body) == expected
    assert recognise("GET", path, headers, body) is None


# --- as SDKs put it on the wire -----------------------------------------------------------------------

STAMP = 1_795_271_558.252
LATENCY: dict[str, Any] = {
    "MetricName": "Latency",
    "Dimensions": [{"Name": "Service", "Value": "shop & co"}],
    "Timestamp": STAMP,
    "Value": 245.5,
    "Unit": "Milliseconds",
    "StorageResolution": 1,
}
SAMPLES = [
    Sample(
        "Latency",
        Kind.SAMPLE,
        (245.5,),
        (1.0,),
        dimensions=(("Service", "shop & co"),),
        unit="Milliseconds",
        namespace="Seed/App",
        resolution=1,
        timestamp=STAMP,
    ),
    Sample("Stats", Kind.SAMPLE, statistics=Statistics(3.0, 6.0, 1.0, 3.0), namespace="Seed/App"),
    Sample("Dist", Kind.SAMPLE, (1.0, 2.5), (3.0, 4.0), namespace="Seed/App"),
]


def indefinite(members: dict[str, bytes]) -> bytes:
    """A CBOR map of indefinite length, of members that are written already."""
    return b"\xbf" + b"".join(written(key) + value for key, value in members.items()) + b"\xff"


def go_body() -> bytes:
    """Go: everything of indefinite length, keys in order, every number a float64."""
    dimensions = b"\x9f" + indefinite({"Name": written("Service"), "Value": written("shop & co")}) + b"\xff"
    latency = indefinite(
        {
            "Dimensions": dimensions,
            "MetricName": written("Latency"),
            "StorageResolution": b"\x01",
            "Timestamp": b"\xc1" + written(STAMP),
            "Unit": written("Milliseconds"),
            "Value": written(245.5),
        }
    )
    statistics = {"Maximum": 3.0, "Minimum": 1.0, "SampleCount": 3.0, "Sum": 6.0}
    stats = {"MetricName": "Stats", "StatisticValues": statistics}
    dist = {"Counts": [3.0, 4.0], "MetricName": "Dist", "Values": [1.0, 2.5]}
    rest = b"".join(written(datum, indefinite=True) for datum in (stats, dist))
    return indefinite({"MetricData": b"\x9f" + latency + rest + b"\xff", "Namespace": written("Seed/App")})


def java_body() -> bytes:
    """Java: maps of indefinite length, lists of definite, numbers as short as they can be."""
    dimensions = b"\x81" + indefinite({"Name": written("Service"), "Value": written("shop & co")})
    latency = indefinite(
        {
            "MetricName": written("Latency"),
            "Dimensions": dimensions,
            "Timestamp": b"\xc1" + written(STAMP),
            "Value": b"\xfa\x43\x75\x80\x00",
            "Unit": written("Milliseconds"),
            "StorageResolution": b"\x01",
        }
    )
    statistics = indefinite({"SampleCount": b"\x03", "Sum": b"\x06", "Minimum": b"\x01", "Maximum": b"\x03"})
    stats = indefinite({"MetricName": written("Stats"), "StatisticValues": statistics})
    values, counts = b"\x82\x01\xfa\x40\x20\x00\x00", b"\x82\x03\x04"
    dist = indefinite({"MetricName": written("Dist"), "Values": values, "Counts": counts})
    return indefinite({"Namespace": written("Seed/App"), "MetricData": b"\x83" + latency + stats + dist})


JSON_BODY = orjson.dumps(
    {
        "Namespace": "Seed/App",
        "MetricData": [
            LATENCY,
            {"MetricName": "Stats", "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 3}},
            {"MetricName": "Dist", "Values": [1, 2.5], "Counts": [3, 4]},
        ],
    }
)
# SDK for JavaScript v3: the action at the end, blanks as %20.
JS_FORM = (
    b"Namespace=Seed%2FApp&MetricData.member.1.MetricName=Latency&MetricData.member.1.Dimensions.member.1.Name=Service"
    b"&MetricData.member.1.Dimensions.member.1.Value=shop%20%26%20co&MetricData.member.1.Timestamp="
    b"2026-11-21T14%3A32%3A38.252Z&MetricData.member.1.Value=245.5&MetricData.member.1.Unit=Milliseconds"
    b"&MetricData.member.1.StorageResolution=1&MetricData.member.2.MetricName=Stats"
    b"&MetricData.member.2.StatisticValues.SampleCount=3&MetricData.member.2.StatisticValues.Sum=6"
    b"&MetricData.member.2.StatisticValues.Minimum=1&MetricData.member.2.StatisticValues.Maximum=3"
    b"&MetricData.member.3.MetricName=Dist&MetricData.member.3.Values.member.1=1&MetricData.member.3.Values.member.2=2.5"
    b"&MetricData.member.3.Counts.member.1=3&MetricData.member.3.Counts.member.2=4"
    b"&Action=PutMetricData&Version=2010-08-01"
)
WIRE = {
    "boto3 and JavaScript": ("/", JSON_METRICS, JSON_BODY),
    "Go": (CBOR_PATH, CBOR, go_body()),
    "Java": (CBOR_PATH, CBOR, java_body()),
    "JavaScript, query": ("/", FORM, JS_FORM),
    "JavaScript v2, query": ("/", FORM, b"&".join(sorted(JS_FORM.split(b"&")))),
}


@pytest.mark.parametrize("sdk", WIRE)
def test_every_sdk_is_understood(sdk: str) -> None:
    endpoint = Endpoint()
    answer = endpoint.take("POST", *WIRE[sdk])

    assert answer is not None
    assert answer.status == 200
    assert endpoint.samples == SAMPLES


def test_java_starts_its_body_as_recorded() -> None:
    start = "bf 69 4e616d657370616365 68 536565642f417070 6a 4d657472696344617461 83 bf 6a 4d65747269634e616d65 67 4c6174656e6379"

    assert java_body().startswith(bytes.fromhex(start))


def test_go_logs_are_understood() -> None:
    endpoint = Endpoint()
    body = b'{"logEvents":[{"message":"line 0","timestamp":%d}],"logGroupName":"/g","logStreamName":"s"}' % (
        NOW * 1_000
    )
    answer = endpoint.take("POST", "/", JSON_LOGS, body)

    assert answer is not None
    assert orjson.loads(answer.body) == {"nextSequenceToken": "1"}
    assert endpoint.events == [LogEvent(int(NOW * 1_000), "line 0", {}, "/g", "s")]


# --- what cannot be used ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "body", "code"),
    [
        ("/", JSON_METRICS, b"", "MissingRequiredParameterException"),
        ("/", JSON_METRICS, b"{", "SerializationException"),
        ("/", JSON_METRICS, b"[]", "SerializationException"),
        ("/", JSON_METRICS, b"\xff", "SerializationException"),
        ("/", JSON_METRICS, ACTION, "SerializationException"),
        ("/", JSON_METRICS, b'{"Namespace": 7, "MetricData": [{}]}', "InvalidParameterValueException"),
        ("/", JSON_METRICS, b'{"Namespace": "N", "MetricData": {}}', "InvalidParameterValueException"),
        ("/", JSON_METRICS, b'{"Namespace": "N", "MetricData": [7, null, {}]}', "InvalidParameterValueException"),
        ("/", JSON_METRICS, b'{"Namespace": "N", "EntityMetricData": [7]}', "InvalidParameterValueException"),
        (
            "/",
            JSON_METRICS,
            b'{"Namespace": "N", "MetricData": [' + b"0," * 500_000 + b"0]}",
            "InvalidParameterValueException",
        ),
        ("/", JSON_METRICS, b"x" * 2_000_000, "RequestEntityTooLarge"),
        ("/", JSON_LOGS, b"{}", "InvalidParameterException"),
        (
            "/",
            JSON_LOGS,
            b'{"logGroupName": "/g", "logStreamName": "s", "logEvents": [7, {}]}',
            "InvalidParameterException",
        ),
        ("/", {"x-amz-target": "Logs_20140328.Nonsense"}, b"", "UnknownOperationException"),
        ("/", {"x-amz-target": "\x00\x01" * 1_000}, b"", "UnknownOperationException"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_the_protocol(
    path: str, headers: dict[str, str], body: bytes, code: str
) -> None:
    answer = Endpoint().take("POST", path, headers, body)

    assert answer is not None
    document = orjson.loads(answer.body)
    assert document["__type"].rpartition("#")[2] == code == answer.headers["x-amzn-ErrorType"]
    assert document["message"]
    assert len(answer.body) < 2_000


def test_an_error_in_cbor_and_in_xml() -> None:
    cbor = Endpoint().take("POST", CBOR_PATH, CBOR, b"{}")
    form = Endpoint().take("POST", "/", FORM, ACTION + b"&MetricData.member.2.Value=<1>")

    assert cbor is not None
    assert form is not None
    assert (cbor.headers["Content-Type"], cbor.headers["smithy-protocol"]) == ("application/cbor", "rpc-v2-cbor")
    assert b"SerializationException" in cbor.body
    assert cbor.headers["x-amzn-query-error"] == "MalformedInput;Sender"
    assert form.headers["Content-Type"] == "text/xml"
    assert b"<Type>Sender</Type><Code>MalformedInput</Code><Message>MetricData.member.1 is missing" in form.body


_requests = st.sampled_from(
    [
        ("/", JSON_METRICS),
        ("/", JSON_LOGS),
        *(("/", {"x-amz-target": f"Logs_20140328.{name}"}) for name in ("CreateLogGroup", "DescribeLogStreams")),
        *(("/", {"x-amz-target": f"Logs_20140328.{name}"}) for name in ("PutRetentionPolicy", "DescribeLogGroups")),
        (CBOR_PATH, CBOR),
        ("/", FORM),
    ]
)
_parameters = st.dictionaries(
    st.sampled_from(
        [
            *("Namespace", "MetricData", "EntityMetricData", "logGroupName", "logStreamName", "logEvents"),
            *("retentionInDays", "limit", "nextToken", "logGroupNamePrefix", "logGroupIdentifier"),
        ]
    ),
    st.one_of(
        json_values,
        st.just("/g"),
        st.lists(st.one_of(metric_items(), spoiled_items()), max_size=3),
        st.lists(st.fixed_dictionaries({"timestamp": json_values, "message": json_values}), max_size=3),
        st.lists(st.fixed_dictionaries({"MetricData": st.lists(spoiled_items(), max_size=2)}), max_size=2),
    ),
)


@given(
    _requests, st.one_of(_parameters.map(orjson.dumps), st.binary(max_size=80).map(lambda rest: ACTION + b"&" + rest))
)
def test_any_request_is_answered(request: tuple[str, dict[str, str]], body: bytes) -> None:
    path, headers = request
    endpoint = Endpoint()
    answer = endpoint.take("POST", path, headers, body)

    assert answer is None or 200 <= answer.status < 500
    assert all(isinstance(error.reason, Reason) and len(error.detail) < 400 for error in endpoint.errors)


@given(_parameters)
def test_any_cbor_is_answered_as_the_same_in_json(given_: dict[str, Any]) -> None:
    given_ = {key: value for key, value in given_.items() if orjson.loads(orjson.dumps(value)) == value}
    in_json, in_cbor = Endpoint(), Endpoint()
    json_answer = in_json.take("POST", "/", JSON_METRICS, orjson.dumps(given_))
    cbor_answer = in_cbor.take("POST", CBOR_PATH, CBOR, written(given_))

    assert json_answer is not None
    assert cbor_answer is not None
    assert json_answer.status == cbor_answer.status
    assert in_json.samples == in_cbor.samples


# --- parts --------------------------------------------------------------------------------------------


def test_values_beside_a_statistic_set_are_taken_as_the_agent_sends_them() -> None:
    statistics = {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}
    datum = {"MetricName": "m", "Values": [1, 2], "Counts": [1, 1], "StatisticValues": statistics, "Extra": 1}
    (item,) = datums(PutMetricData("N", [("MetricData", [datum])], ("Entity",)))
    sample = json_metrics.decode(item)

    assert isinstance(sample, Sample)
    assert (sample.name, sample.values, sample.weights, sample.namespace) == ("m", (1.0, 2.0), (1.0, 1.0), "N")
    assert set(sample.ignored) == {"Entity", "StatisticValues", "Extra"}


def test_a_datum_is_named_by_its_path() -> None:
    put = PutMetricData("N", [("MetricData", [1, 2]), ("EntityMetricData.member.1.MetricData", [3])], ())

    assert [put.path(index) for index in range(len(put))] == [
        "MetricData.member.1",
        "MetricData.member.2",
        "EntityMetricData.member.1.MetricData.member.1",
    ]
    with pytest.raises(IndexError):
        put.path(3)


def test_a_metric_in_our_own_shape_is_no_datum() -> None:
    (item,) = datums(PutMetricData("N", [("MetricData", [{"name": "m", "value": 1}])], ()))

    assert item.error is not None
    assert item.error.reason is Reason.MISSING_FIELD


def test_what_was_rejected_is_told_by_index() -> None:
    old, new = Reason.TIMESTAMP_TOO_OLD, Reason.TIMESTAMP_TOO_NEW

    assert rejected_info([]) == {}
    assert rejected_info([(3, Reason.EMPTY_MESSAGE)]) == {}
    assert rejected_info([(0, old), (1, old), (8, new), (9, new)]) == {
        "tooOldLogEventEndIndex": 2,
        "tooNewLogEventStartIndex": 8,
    }


# --- large JSON ---------------------------------------------------------------------------------------

PADDING = {"padding": ["x" * 1_000] * 100}  # over the size that is parsed in one call


@given(_parameters)
def test_a_large_body_is_read_as_a_small_one(given_: dict[str, Any]) -> None:
    body = orjson.dumps({**given_, **PADDING})

    assert len(body) > large.WHOLE_BYTES
    assert read(aws_json.decode(body)) == orjson.loads(body)


def test_an_element_of_a_large_body_that_cannot_be_read_harms_no_other() -> None:
    body = orjson.dumps(PADDING)[:-1] + b', "MetricData": [{"a": 1}, {"a": }, {"a": 2}]}'
    value = read(aws_json.decode(body))

    assert isinstance(value, dict)
    first, wrong, last = value["MetricData"]
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(wrong, DecodeError)


@pytest.mark.parametrize(
    "ending",
    [b"", b', "a": [1}', b', "a": [1} }', b', "a": 1', b', "a": [1', b', "a": }', b"} x", b", a: 1}", b', "a": [1] 2}'],
)
def test_a_large_body_that_is_broken_is_an_error(ending: bytes) -> None:
    value = read(aws_json.decode(orjson.dumps(PADDING)[:-1] + ending))

    assert isinstance(value, DecodeError)
    assert value.reason is Reason.INVALID_JSON


def test_a_log_event_that_is_not_json_is_refused_as_such() -> None:
    broken = DecodeError(Reason.INVALID_JSON, "not JSON")
    request = PutLogEvents("g", "s", [broken, {"timestamp": int(NOW * 1_000), "message": "m"}])
    first, second = log_events(request, NOW)

    assert first is broken
    assert isinstance(second, LogEvent)


@pytest.mark.parametrize("element", [b"", b"1", b"[]", b"x"])
def test_a_list_of_over_100_000_elements_is_refused_with_pauses(element: bytes) -> None:
    """Each that is broken is an error with its text: 5 MB of commas would take gigabytes."""
    body = b'{"logEvents":[' + (element + b",") * 100_001 + b"1]}"
    value = read(aws_json.decode(body))

    assert isinstance(value, DecodeError)
    assert value.reason is Reason.TOO_MANY_ITEMS
    assert sum(1 for _ in aws_json.decode(body)) >= 1_000


def test_a_large_body_is_read_with_pauses() -> None:
    body = orjson.dumps({"logEvents": [{"timestamp": 1, "message": "m" * 100}] * 8_000})

    assert sum(1 for _ in aws_json.decode(body)) >= 50
