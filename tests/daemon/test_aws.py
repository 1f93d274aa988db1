"""AWS SDK calls to the ingest port of a real daemon that delivers to the strict double."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.double import FOREVER, ThreadedCloudWatchDouble, access_denied, server_error
from tests.support.daemon import Daemon, assert_balanced, free_ports
from tests.support.sdk import METRIC_PROTOCOLS, sdk_client

Start = Callable[..., Daemon]
JSON = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData"}
LOGS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.PutLogEvents"}


def settings(double: ThreadedCloudWatchDouble, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """A configuration that delivers to the double, with short waits; `config` is laid over it."""
    deliver = {
        "target": "cloudwatch",
        "endpoint_url": double.url,
        "retry_base_seconds": 0.05,
        "retry_max_seconds": 0.2,
        "drain_seconds": 5,
    }
    given = dict(config or {})
    return {**given, "deliver": deliver | given.get("deliver", {})}


def url_of(one: Daemon) -> str:
    return f"http://127.0.0.1:{one.http_port}"


DATUMS: list[dict[str, Any]] = [
    {"MetricName": "Latency", "Value": 245.5, "Unit": "Milliseconds", "Dimensions": [{"Name": "S", "Value": "a & b"}]},
    {"MetricName": "Latency", "Value": 4.5, "Unit": "Milliseconds", "Dimensions": [{"Name": "S", "Value": "a & b"}]},
    {"MetricName": "Dist", "Values": [1.0, 2.5, -3.0], "Counts": [3.0, 4.0, 1.0], "Unit": "Bytes/Second"},
    {"MetricName": "Stats", "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 3}},
    {"MetricName": "Fine", "Value": 7, "StorageResolution": 1},
]


def call(client: Any) -> None:
    """What an application does, several times over, with a body that SDKs compress among it."""
    for round_ in range(3):
        client.put_metric_data(Namespace="Shop", MetricData=DATUMS)
        many = [
            {"MetricName": f"m{n}", "Value": n + round_, "Dimensions": [{"Name": "n", "Value": str(n)}]}
            for n in range(200)
        ]
        client.put_metric_data(Namespace="Shop", MetricData=many)


def totals(double: ThreadedCloudWatchDouble) -> dict[str, tuple[float, float, float, float]]:
    """Count, sum, minimum and maximum of every series, whatever the windows."""
    found = {}
    for series in double.metrics.series():
        stats = double.metrics.statistics(series.namespace, series.name, dict(series.dimensions))
        key = f"{series.namespace} {series.name} {series.dimensions}"
        found[key] = (stats.sample_count, stats.sum, stats.minimum, stats.maximum)
    return found


@pytest.mark.parametrize("protocol", METRIC_PROTOCOLS)
def test_the_same_calls_give_the_same_totals_directly_and_through_the_sidecar(
    daemon: Start, double: ThreadedCloudWatchDouble, protocol: str
) -> None:
    with ThreadedCloudWatchDouble() as direct:
        call(sdk_client("cloudwatch", direct.url))
        expected = totals(direct)
    one = daemon(settings(double, {"metrics": {"flush_seconds": 60}}))

    call(sdk_client("cloudwatch", url_of(one), protocol))

    stats = one.stats()
    final = one.stop()
    assert_balanced(final)
    assert totals(double) == expected
    assert len(expected) == 204
    assert stats["samples"]["received_by_input"] == {"aws": 3 * (2 + 3 + 1 + 1 + 200)}
    assert stats["responses"] == {"PutMetricData": {"200": 6}}
    assert double.requests.total("PutMetricData") <= 3


def test_what_a_log_handler_asks_for_at_its_start_is_honoured_at_delivery(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """Group, stream and retention: listed at once, created when events are delivered."""
    one = daemon(settings(double))
    logs = sdk_client("logs", url_of(one))
    now = int(time.time() * 1_000)

    assert logs.describe_log_groups(logGroupNamePrefix="axon")["logGroups"] == []
    logs.create_log_group(logGroupName="axon-production")
    logs.put_retention_policy(logGroupName="axon-production", retentionInDays=30)
    (group,) = logs.describe_log_groups(logGroupNamePrefix="axon")["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("axon-production", 30)
    assert logs.describe_log_streams(logGroupName="axon-production")["logStreams"] == []
    logs.create_log_stream(logGroupName="axon-production", logStreamName="app-logs")
    (stream,) = logs.describe_log_streams(logGroupName="axon-production", logStreamNamePrefix="app")["logStreams"]
    assert stream["logStreamName"] == "app-logs"
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="axon-production")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName="axon-production", logStreamName="app-logs")
    assert double.logs.groups() == []  # nothing is created before there is an event
    events = [{"timestamp": now + n, "message": f"line {n}"} for n in range(30)]
    answer = logs.put_log_events(
        logGroupName="axon-production", logStreamName="app-logs", logEvents=events, sequenceToken="7"
    )

    assert "rejectedLogEventsInfo" not in answer
    assert_balanced(one.stop())
    assert double.logs.events("axon-production", "app-logs") == [(now + n, f"line {n}") for n in range(30)]
    assert double.logs.retention("axon-production") == 30


def test_the_retention_asked_for_is_set_on_a_group_that_existed(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    direct = sdk_client("logs", double.url)
    direct.create_log_group(logGroupName="old")
    one = daemon(settings(double, {"logs": {"retention_days": 7, "flush_seconds": 0.2}}))
    logs = sdk_client("logs", url_of(one))
    logs.put_retention_policy(logGroupName="old", retentionInDays=14)
    now = int(time.time() * 1_000)
    for group in ("old", "new"):
        logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now, "message": "m"}])

    one.settled(log_events=2)
    assert_balanced(one.stop())
    assert (double.logs.retention("old"), double.logs.retention("new")) == (14, 7)


@pytest.mark.parametrize("protocol", METRIC_PROTOCOLS)
def test_one_bad_datum_does_not_refuse_the_rest(daemon: Start, double: ThreadedCloudWatchDouble, protocol: str) -> None:
    one = daemon(settings(double))
    client = sdk_client("cloudwatch", url_of(one), protocol)
    bad = {"MetricName": "bad", "Value": 1, "Unit": "Parsecs"}

    client.put_metric_data(Namespace="Shop", MetricData=[DATUMS[0], bad, DATUMS[1]])

    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        client.put_metric_data(Namespace="Shop", MetricData=[bad])
    error = caught.value.response
    assert error["Error"]["Code"] in ("InvalidParameterValue", "InvalidParameterValueException")
    assert "MetricData.member.1" in error["Error"]["Message"]
    assert "Parsecs" in error["Error"]["Message"]
    assert error["ResponseMetadata"]["RequestId"]
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 2
    assert final["samples"]["dropped_by_reason"] == {"unknown_unit": 2}


@pytest.mark.parametrize("protocol", METRIC_PROTOCOLS)
def test_strict_refuses_all_for_one(daemon: Start, double: ThreadedCloudWatchDouble, protocol: str) -> None:
    """aws.strict: CloudWatch's all or nothing; every element is counted with a reason."""
    one = daemon(settings(double, {"aws": {"strict": True}}))
    client = sdk_client("cloudwatch", url_of(one), protocol)
    bad = {"MetricName": "bad", "Value": 1, "Dimensions": [{"Name": "d", "Value": ""}]}

    with pytest.raises(client.exceptions.InvalidParameterValueException, match=r"member\.2"):
        client.put_metric_data(Namespace="Shop", MetricData=[DATUMS[0], bad, DATUMS[1]])
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=r"member\.1"):
        client.put_metric_data(
            Namespace="Shop", MetricData=[{"MetricName": "m", "Values": list(map(float, range(151)))}]
        )
    client.put_metric_data(Namespace="Shop", MetricData=[DATUMS[0], DATUMS[1], DATUMS[2]])

    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 5
    reasons = final["samples"]["dropped_by_reason"]
    assert reasons == {"invalid_dimension": 1, "request_refused": 2, "too_many_items": 1}


def test_log_events_too_old_or_too_new_are_named_in_the_answer(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    for strict in (False, True):
        one = daemon(settings(double, {"aws": {"strict": strict}}))
        logs = sdk_client("logs", url_of(one))
        now = int(time.time() * 1_000)
        stamps = [now - 15 * 86_400_000, now - 15 * 86_400_000, now, now + 3 * 3_600_000]
        events = [{"timestamp": stamp, "message": "m"} for stamp in stamps]

        answer = logs.put_log_events(logGroupName="g", logStreamName=f"s{strict}", logEvents=events)
        all_late = logs.put_log_events(logGroupName="g", logStreamName=f"s{strict}", logEvents=events[:2])

        assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3}
        assert all_late["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
        with pytest.raises(logs.exceptions.InvalidParameterException):
            logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": now, "message": ""}])
        final = one.stop()
        assert_balanced(final)
        assert len(double.logs.events("g", f"s{strict}")) == 1
        assert final["log_events"]["dropped_by_reason"]["timestamp_too_old"] == 4


@pytest.mark.parametrize("protocol", METRIC_PROTOCOLS)
def test_full_buffers_are_throttling_and_the_sdk_backs_off_by_itself(
    daemon: Start, double: ThreadedCloudWatchDouble, protocol: str
) -> None:
    double.faults.add("PutMetricData", server_error(times=FOREVER))
    small = {"metrics": {"flush_seconds": 1, "flush_entries": 100}, "deliver": {"memory_bytes": 8_388_608}}
    one = daemon(settings(double, small))
    client = sdk_client("cloudwatch", url_of(one), protocol)
    codes: list[str] = []
    for round_ in range(80):
        if len(codes) == 3:
            break
        datums = [
            {"MetricName": f"m{round_}-{n}", "Value": 1, "Dimensions": [{"Name": "d", "Value": "v" * 1_000}]}
            for n in range(500)
        ]
        try:
            client.put_metric_data(Namespace="Shop", MetricData=datums)
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
            retried = error.response["ResponseMetadata"]["HTTPHeaders"].get("retry-after")
            assert retried == "2"
    assert codes
    assert set(codes) <= {"Throttling", "ThrottlingException"}
    double.faults.clear()
    patient = sdk_client("cloudwatch", url_of(one), protocol, retries={"total_max_attempts": 8})
    patient.put_metric_data(Namespace="Shop", MetricData=DATUMS)
    assert_balanced(one.stop())


def test_other_operations_are_named_with_what_to_do(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon(settings(double))
    for protocol in METRIC_PROTOCOLS:
        client = sdk_client("cloudwatch", url_of(one), protocol)
        with pytest.raises(ClientError) as caught:
            client.describe_alarms()
        code, message = caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]
        assert code in ("UnknownOperationException", "InvalidAction")
        assert "DescribeAlarms is not answered by the sidecar, which takes PutMetricData" in message
    with pytest.raises(ClientError, match="FilterLogEvents is not answered"):
        sdk_client("logs", url_of(one)).filter_log_events(logGroupName="g")
    with pytest.raises(ClientError, match="AWS_ENDPOINT_URL_CLOUDWATCH"):
        sdk_client("dynamodb", url_of(one)).list_tables()
    # The console has a thread of its own: the line may follow the answer.
    one.wait_until(lambda: "DescribeAlarms is not answered" in one.log(), "logged")
    one.stop()
    assert "AKIDEXAMPLE" not in one.log()
    assert "Signature=" not in one.log()


def test_a_web_page_cannot_call(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon(settings(double))
    body = json.dumps({"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1}]}).encode()

    assert one.post("/", body, JSON | {"Origin": "https://example.com"})[0] == 403
    assert one.post("/", body, JSON | {"Host": "example.com:8127"})[0] == 403
    assert one.post("/", body, JSON)[0] == 200
    final = one.stop()
    assert final["samples"]["received"] == 1


def test_during_the_drain_a_call_is_told_to_try_again(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    double.faults.add("PutMetricData", access_denied(times=FOREVER))
    one = daemon(settings(double, {"deliver": {"drain_seconds": 6}}))
    client = sdk_client("cloudwatch", url_of(one))
    client.put_metric_data(Namespace="Shop", MetricData=DATUMS)
    one.signal()

    codes: list[str] = []

    def told() -> bool:
        try:
            client.put_metric_data(Namespace="Shop", MetricData=DATUMS)
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
        except HTTPClientError:  # it is over
            codes.append("ServiceUnavailable")
        return bool(codes)

    one.wait_until(told, "told")
    assert codes[0] in ("ServiceUnavailable", "ServiceUnavailableException")
    assert one.exit_status() == 0


def test_variables_of_the_application_do_not_make_the_sidecar_deliver_to_itself(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """A pod or task that sets them for all its containers: those that lead back are ignored, others hold."""
    (port,) = free_ports(1)
    own = f"http://127.0.0.1:{port}"
    environ = {"AWS_ENDPOINT_URL_CLOUDWATCH": own, "AWS_ENDPOINT_URL": double.url}
    one = daemon({"listen": {"http_port": port}, "deliver": {"target": "cloudwatch"}}, environ=environ)
    sdk_client("cloudwatch", own).put_metric_data(Namespace="Shop", MetricData=DATUMS)

    final = one.stop()

    assert_balanced(final)
    assert final["samples"]["received"] == final["samples"]["delivered"] == 7
    assert double.metrics.statistics("Shop", "Fine").sum == 7
    (warning,) = [line for line in one.log_lines() if line["event"] == "endpoint variable ignored"]
    assert warning["variable"] == "AWS_ENDPOINT_URL_CLOUDWATCH"


def test_what_a_sidecar_delivers_is_not_accepted_by_a_sidecar(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon(settings(double))
    for protocol in METRIC_PROTOCOLS:
        client = sdk_client("cloudwatch", url_of(one), protocol, user_agent_extra="cloudwatch-sidecar")
        with pytest.raises(ClientError, match="comes from a sidecar"):
            client.put_metric_data(Namespace="Shop", MetricData=DATUMS)
    assert one.stop()["samples"]["received"] == 0
