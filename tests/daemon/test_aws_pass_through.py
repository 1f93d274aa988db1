"""Operations that the sidecar does not answer, sent to AWS with its own credentials where they are listed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.double import FOREVER, ThreadedCloudWatchDouble, hang, throttle
from tests.support.daemon import AWS, Daemon, assert_balanced
from tests.support.sdk import sdk_client

Start = Callable[..., Daemon]


@pytest.fixture
def start(daemon: Start, double: ThreadedCloudWatchDouble) -> Start:
    """A daemon that delivers to the double."""

    def begin(*operations: str) -> Daemon:
        deliver = {"target": "cloudwatch", "endpoint_url": double.url, "request_seconds": 1, "drain_seconds": 5}
        return daemon({"aws": {"pass_through": list(operations)}, "deliver": deliver})

    return begin


def statistics(client: Any) -> Any:
    now = datetime.now(UTC)
    return client.get_metric_statistics(
        Namespace="Shop",
        MetricName="Orders",
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Sum"],
    )


def client_of(one: Daemon) -> Any:
    return sdk_client("cloudwatch", f"http://127.0.0.1:{one.http_port}/base")


def test_an_operation_that_is_listed_is_answered_by_aws(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The application's own credentials are not used: they may be made up."""
    double.settings.secret_access_key = AWS["AWS_SECRET_ACCESS_KEY"]
    seeded = sdk_client("cloudwatch", double.url, secret=AWS["AWS_SECRET_ACCESS_KEY"])
    seeded.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Orders", "Value": 3}])
    one = start("GetMetricStatistics")

    answer = statistics(client_of(one))

    assert [point["Sum"] for point in answer["Datapoints"]] == [3.0]
    (record,) = double.requests.of("GetMetricStatistics")
    assert record.access_key_id == AWS["AWS_ACCESS_KEY_ID"]
    assert one.stats()["responses"] == {"GetMetricStatistics": {"200": 1}}
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["received"] == 0


def test_one_that_is_not_listed_is_refused(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start("DescribeAlarms")
    with pytest.raises(ClientError, match=r"list it in aws\.pass_through"):
        statistics(client_of(one))
    assert double.requests.total() == 0
    one.stop()


def test_the_errors_of_aws_come_through(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start("GetMetricStatistics", "FilterLogEvents")
    double.faults.add("GetMetricStatistics", throttle(times=1))
    with pytest.raises(ClientError) as caught:
        statistics(client_of(one))
    assert caught.value.response["Error"]["Code"].startswith("Throttling")
    with pytest.raises(ClientError) as caught:
        sdk_client("logs", f"http://127.0.0.1:{one.http_port}").filter_log_events(logGroupName="g")
    assert "not answered by the sidecar" not in str(caught.value)
    one.stop()


def test_without_an_answer_the_sdk_is_told_to_try_again(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The sidecar goes on meanwhile, and more calls than it passes at a time are throttled."""
    one = start("GetMetricStatistics")
    double.faults.add("GetMetricStatistics", hang(times=FOREVER))
    began = time.monotonic()
    with pytest.raises(ClientError) as caught:
        statistics(client_of(one))
    assert caught.value.response["Error"]["Code"].startswith("ServiceUnavailable")
    assert "no answer within 1 s" in caught.value.response["Error"]["Message"]
    assert time.monotonic() - began < 8
    assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
    double.faults.clear()
    one.stop()
