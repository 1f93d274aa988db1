"""boto3's own client against the decoders, without a socket: all three protocols, its parsers and its exceptions."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import botocore.awsrequest
import botocore.config
import botocore.loaders
import botocore.session
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import aws_faults
from sidecar.decode.aws_faults import Fault, Service
from sidecar.decode.aws_request import Protocol
from sidecar.model.errors import Reason
from sidecar.model.events import LogEvent
from sidecar.model.samples import Kind, Sample, Statistics
from tests.decode.aws_endpoint import REQUEST_ID, Endpoint
from tests.support.sdk import ProtocolLoader
from tests.support.strategies import NOW, plain_names, values

NOW_MS = int(NOW * 1_000)
PROTOCOLS = {
    "json": Protocol.JSON_1_0,
    "smithy-rpc-v2-cbor": Protocol.CBOR,
    "query": Protocol.QUERY,
}


class _Raw(BytesIO):
    def stream(self, **_options: Any) -> Any:
        yield self.read()


def client(service: str, endpoint: Endpoint, protocol: str = "json", *, path: str = "") -> Any:
    """A client of an SDK whose requests go to the endpoint."""
    session = botocore.session.Session()
    loader = ProtocolLoader(include_default_search_paths=True)
    loader.protocol = protocol
    session.register_component("data_loader", loader)
    config = botocore.config.Config(
        retries={"total_max_attempts": 1}, parameter_validation=False, request_min_compression_size_bytes=10_240
    )
    made = session.create_client(
        service,
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:8127{path}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )

    def send(request: botocore.awsrequest.AWSPreparedRequest, **_: Any) -> botocore.awsrequest.AWSResponse:
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else bytes(body)
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = endpoint.take(request.method, urlsplit(request.url).path, headers, body)
        assert answer is not None
        answered = botocore.awsrequest.HeadersDict(answer.headers)
        return botocore.awsrequest.AWSResponse(request.url, answer.status, answered, _Raw(answer.body))

    made.meta.events.register("before-send", send)
    return made


_CLIENTS: dict[tuple[str, str], tuple[Any, Endpoint]] = {}


def cached_client(protocol: str) -> tuple[Any, Endpoint]:
    """A client of CloudWatch for many examples; its endpoint is emptied."""
    if ("cloudwatch", protocol) not in _CLIENTS:
        endpoint = Endpoint()
        _CLIENTS["cloudwatch", protocol] = client("cloudwatch", endpoint, protocol), endpoint
    made, endpoint = _CLIENTS["cloudwatch", protocol]
    endpoint.samples.clear()
    endpoint.errors.clear()
    return made, endpoint


# --- PutMetricData ------------------------------------------------------------------------------------

DATUM = {
    "MetricName": "Latency",
    "Dimensions": [{"Name": "Service", "Value": "shop & co"}, {"Name": "Zone", "Value": "eu=1+2%"}],
    "Timestamp": datetime.fromtimestamp(NOW - 60.25, UTC),
    "Value": 245.5,
    "Unit": "Milliseconds",
    "StorageResolution": 1,
}
SAMPLE = Sample(
    "Latency",
    Kind.SAMPLE,
    (245.5,),
    (1.0,),
    dimensions=(("Service", "shop & co"), ("Zone", "eu=1+2%")),
    unit="Milliseconds",
    namespace="Seed/App",
    resolution=1,
    timestamp=NOW - 60.25,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("path", ["", "/general", "/base/"])
def test_a_metric_is_taken_in_every_protocol(protocol: str, path: str) -> None:
    endpoint = Endpoint()
    answer = client("cloudwatch", endpoint, protocol, path=path).put_metric_data(
        Namespace="Seed/App",
        MetricData=[
            DATUM,
            {"MetricName": "Stats", "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 3}},
            {"MetricName": "Dist", "Values": [1.0, 2.5], "Counts": [3.0, 4.0], "Dimensions": []},
            {"MetricName": "No counts", "Values": [7, -0.125]},
        ],
    )

    assert [
        SAMPLE,
        Sample("Stats", Kind.SAMPLE, statistics=Statistics(3.0, 6.0, 1.0, 3.0), namespace="Seed/App"),
        Sample("Dist", Kind.SAMPLE, (1.0, 2.5), (3.0, 4.0), namespace="Seed/App"),
        Sample("No counts", Kind.SAMPLE, (7.0, -0.125), (1.0, 1.0), namespace="Seed/App"),
    ] == endpoint.samples
    assert endpoint.protocols == [PROTOCOLS[protocol]]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"] == REQUEST_ID


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_datums_are_taken_in_their_order(protocol: str) -> None:
    endpoint = Endpoint()
    data = [DATUM | {"MetricName": f"m{i}", "Value": float(i)} for i in range(1_000)]
    client("cloudwatch", endpoint, protocol).put_metric_data(Namespace="N", MetricData=data)

    assert [(f"m{i}", (float(i),)) for i in range(1_000)] == [(s.name, s.values) for s in endpoint.samples]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_datums_of_entities_are_taken_behind_the_others(protocol: str) -> None:
    endpoint = Endpoint()
    entity = {"KeyAttributes": {"Type": "Service", "Name": "shop"}, "Attributes": {"Platform": "ECS"}}
    client("cloudwatch", endpoint, protocol).put_metric_data(
        Namespace="N",
        MetricData=[{"MetricName": "a", "Value": 1}],
        EntityMetricData=[
            {"Entity": entity, "MetricData": [{"MetricName": "b", "Value": 2}, {"MetricName": "c", "Value": 3}]},
            {"Entity": entity, "MetricData": [{"MetricName": "d", "Value": 4}]},
        ],
        StrictEntityValidation=False,
    )

    assert [(s.name, s.values[0]) for s in endpoint.samples] == [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]


_datums = st.builds(
    lambda name, dimensions, measured, unit, resolution, stamp: {
        key: value
        for key, value in {
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Unit": unit,
            "StorageResolution": resolution,
            "Timestamp": None if stamp is None else datetime.fromtimestamp(stamp, UTC),
            **measured,
        }.items()
        if value is not None
    },
    plain_names | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.dictionaries(plain_names, st.text(st.characters(codec="utf-8"), max_size=30), max_size=4),
    st.one_of(
        st.builds(lambda value: {"Value": value}, values),
        st.builds(
            lambda pairs: {"Values": [value for value, _ in pairs], "Counts": [count for _, count in pairs]},
            st.lists(st.tuples(values, st.floats(0.5, 1e6)), min_size=1, max_size=20),
        ),
        st.builds(
            lambda count, low, span: {
                "StatisticValues": {"SampleCount": count, "Sum": low, "Minimum": low, "Maximum": low + span}
            },
            st.floats(1, 100),
            st.floats(-100, 100),
            st.floats(0, 100),
        ),
    ),
    st.sampled_from([None, "Bytes", "Count/Second", "None"]),
    st.sampled_from([None, 1, 60]),
    st.none() | st.integers(int(NOW) - 86_400, int(NOW)) | st.integers(0, 1_000).map(lambda ms: NOW + ms / 1_000),
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(st.lists(_datums, min_size=1, max_size=12))
def test_what_an_sdk_writes_is_read_as_it_was_meant(protocol: str, data: list[dict[str, Any]]) -> None:
    made, endpoint = cached_client(protocol)
    made.put_metric_data(Namespace="N", MetricData=data)

    assert not endpoint.errors
    assert [datum["MetricName"] for datum in data] == [sample.name for sample in endpoint.samples]
    for datum, sample in zip(data, endpoint.samples, strict=True):
        assert tuple((pair["Name"], pair["Value"]) for pair in datum["Dimensions"]) == sample.dimensions
        assert datum.get("Unit") == sample.unit
        assert datum.get("StorageResolution") == sample.resolution
        if "Timestamp" in datum:
            assert sample.timestamp == pytest.approx(datum["Timestamp"].timestamp(), abs=1e-5)
        if "StatisticValues" in datum:
            given_ = datum["StatisticValues"]
            assert tuple(given_.values()) == sample.statistics
        else:
            assert tuple(datum.get("Values", [datum.get("Value")])) == sample.values
            assert tuple(datum.get("Counts", [1.0])) == sample.weights


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_bad_datum_does_not_refuse_the_others(protocol: str) -> None:
    endpoint = Endpoint()
    made = client("cloudwatch", endpoint, protocol)
    made.put_metric_data(
        Namespace="N",
        MetricData=[
            {"MetricName": "a", "Value": 1},
            {"MetricName": "b", "Value": math.nan},
            {"MetricName": "c", "Value": 1, "Values": [1.0]},
            {"MetricName": "d"},
            {"MetricName": "e", "Value": 2},
        ],
    )

    assert [sample.name for sample in endpoint.samples] == ["a", "e"]
    assert len(endpoint.errors) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_no_datum_is_right_the_sdk_raises_and_names_each(protocol: str) -> None:
    made = client("cloudwatch", Endpoint(), protocol)
    with pytest.raises(made.exceptions.InvalidParameterValueException) as error:
        made.put_metric_data(Namespace="N", MetricData=[{"MetricName": "a"}, {"MetricName": "b", "Value": math.inf}])

    assert error.value.response["Error"]["Code"] == "InvalidParameterValue"
    assert "MetricData.member.1 " in str(error.value)
    assert "MetricData.member.2 " in str(error.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_missing_parameter_is_raised_as_one(protocol: str) -> None:
    made = client("cloudwatch", Endpoint(), protocol)
    with pytest.raises(made.exceptions.MissingRequiredParameterException) as error:
        made.put_metric_data(Namespace="N", MetricData=[])

    assert error.value.response["Error"]["Code"] == "MissingParameter"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        (aws_faults.throttled(), "Throttling", 400),
        (aws_faults.unavailable("draining"), "ServiceUnavailable", 503),
        (aws_faults.too_large("Request size 3 exceeded 2 bytes"), "RequestEntityTooLarge", 413),
        (aws_faults.invalid(Service.METRICS, "<&> \x00 é"), "InvalidParameterValue", 400),
    ],
)
def test_errors_of_cloudwatch_have_the_code_sdks_look_for(protocol: str, fault: Fault, code: str, status: int) -> None:
    made = client("cloudwatch", Endpoint(fault=fault), protocol)
    with pytest.raises(ClientError) as error:
        made.put_metric_data(Namespace="N", MetricData=[DATUM])

    response = error.value.response
    assert response["Error"]["Code"] == code
    assert response["Error"]["Message"] == (
        fault.message.replace("\x00", "?") if protocol == "query" else fault.message
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["ResponseMetadata"]["RequestId"] == REQUEST_ID


@pytest.mark.parametrize(("protocol", "status"), [("json", 400), ("smithy-rpc-v2-cbor", 404), ("query", 400)])
def test_an_operation_that_is_not_answered_is_named_with_what_to_do(protocol: str, status: int) -> None:
    made = client("cloudwatch", Endpoint(), protocol)
    with pytest.raises(ClientError) as error:
        made.describe_alarms()

    response = error.value.response
    assert response["Error"]["Code"] == "InvalidAction"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    for part in ("DescribeAlarms", "PutMetricData", "aws.pass_through"):
        assert part in response["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("dynamodb", lambda made: made.get_item(TableName="t", Key={})),
        ("sts", lambda made: made.get_caller_identity()),
        ("sqs", lambda made: made.list_queues()),
    ],
)
def test_the_call_of_another_service_is_told_which_variable_sent_it_here(
    service: str, call: Callable[[Any], None]
) -> None:
    with pytest.raises(ClientError, match="AWS_ENDPOINT_URL_CLOUDWATCH"):
        call(client(service, Endpoint()))


def test_a_body_over_a_megabyte_is_too_large() -> None:
    made = client("cloudwatch", Endpoint())
    data = [{"MetricName": "m" * 250, "Value": 1.0, "Dimensions": [{"Name": "d" * 250, "Value": "v" * 1_000}]}] * 1_000
    with pytest.raises(ClientError) as error:
        made.put_metric_data(Namespace="N", MetricData=data)

    assert error.value.response["Error"]["Code"] == "RequestEntityTooLarge"


# --- logs ---------------------------------------------------------------------------------------------


def put(made: Any, *events: tuple[int, str]) -> Any:
    return made.put_log_events(
        logGroupName="/g",
        logStreamName="s",
        sequenceToken="1",
        logEvents=[{"timestamp": timestamp, "message": message} for timestamp, message in events],
    )


def test_log_events_come_with_their_group_stream_time_and_message() -> None:
    endpoint = Endpoint()
    answer = put(
        client("logs", endpoint), (NOW_MS, "line é\n"), (NOW_MS - 5, '{"level": "info", "n": 1}'), (NOW_MS, "{")
    )

    assert [
        LogEvent(NOW_MS, "line é\n", {}, "/g", "s"),
        LogEvent(NOW_MS - 5, '{"level": "info", "n": 1}', {"level": "info", "n": 1}, "/g", "s"),
        LogEvent(NOW_MS, "{", {}, "/g", "s"),
    ] == endpoint.events
    assert answer["nextSequenceToken"] == "1"
    assert "rejectedLogEventsInfo" not in answer


def test_log_events_out_of_time_are_told_in_the_answer_as_the_service_does() -> None:
    endpoint = Endpoint()
    day = 86_400_000
    answer = put(
        client("logs", endpoint),
        (NOW_MS - 15 * day, "a"),
        (NOW_MS - 14 * day - 1, "b"),
        (NOW_MS, "c"),
        (NOW_MS + day, "d"),
    )

    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 3, "tooOldLogEventEndIndex": 2}
    assert [event.message for event in endpoint.events] == ["c"]


def test_one_bad_log_event_does_not_refuse_the_others() -> None:
    endpoint = Endpoint()
    made = client("logs", endpoint)
    put(made, (NOW_MS, "a"), (NOW_MS, "b"), (-1, "c"))

    assert [event.message for event in endpoint.events] == ["a", "b"]
    assert [error.reason for error in endpoint.errors] == [Reason.INVALID_TIMESTAMP]
    with pytest.raises(made.exceptions.InvalidParameterException, match=r"logEvents\.1\.member"):
        put(made, (-1, "c"))


def test_handlers_find_the_groups_and_streams_they_created() -> None:
    made = client("logs", Endpoint())
    for name in ("/b", "/a/2", "/a/1"):
        made.create_log_group(logGroupName=name)
    made.put_retention_policy(logGroupName="/b", retentionInDays=30)
    made.create_log_stream(logGroupName="/b", logStreamName="one")

    groups = made.describe_log_groups(logGroupNamePrefix="/")["logGroups"]
    assert [(g["logGroupName"], g.get("retentionInDays")) for g in groups] == [
        ("/a/1", None),
        ("/a/2", None),
        ("/b", 30),
    ]
    pages = made.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1})
    assert [group["logGroupName"] for page in pages for group in page["logGroups"]] == ["/a/1", "/a/2", "/b"]
    assert [g["logGroupName"] for g in made.describe_log_groups(logGroupNamePattern="b")["logGroups"]] == ["/b"]
    identifier = "arn:aws:logs:eu-west-1:123456789012:log-group:/b:*"
    for named in ({"logGroupName": "/b"}, {"logGroupIdentifier": "/b"}, {"logGroupIdentifier": identifier}):
        (stream,) = made.describe_log_streams(**named, logStreamNamePrefix="on")["logStreams"]
        assert stream["logStreamName"] == "one"


def test_errors_of_logs_are_raised_typed() -> None:
    endpoint = Endpoint()
    made = client("logs", endpoint)
    made.create_log_group(logGroupName="/g")
    with pytest.raises(made.exceptions.ResourceAlreadyExistsException):
        made.create_log_group(logGroupName="/g")
    made.create_log_stream(logGroupName="/h", logStreamName="s")
    with pytest.raises(made.exceptions.ResourceAlreadyExistsException):
        made.create_log_stream(logGroupName="/h", logStreamName="s")
    for call in (
        lambda: made.create_log_group(logGroupName="shop:1.2"),
        lambda: made.create_log_group(logGroupName="aws/x"),
        lambda: made.create_log_group(logGroupName="g" * 513),
        lambda: made.create_log_stream(logGroupName="/g", logStreamName="a:b"),
        lambda: made.put_retention_policy(logGroupName="/g", retentionInDays=31),
        lambda: made.describe_log_groups(limit=51),
        lambda: made.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[]),
    ):
        with pytest.raises(made.exceptions.InvalidParameterException):
            call()  # type: ignore[no-untyped-call]
    endpoint.fault = aws_faults.throttled()
    with pytest.raises(made.exceptions.ThrottlingException):
        put(made, (NOW_MS, "a"))
    endpoint.fault = aws_faults.unavailable("draining")
    with pytest.raises(made.exceptions.ServiceUnavailableException):
        put(made, (NOW_MS, "a"))
    endpoint.fault = None
    with pytest.raises(ClientError) as error:
        made.filter_log_events(logGroupName="/g")
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "PutLogEvents" in str(error.value)
