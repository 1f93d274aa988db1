"""Round trips through the real SDK: the daemon as a process, moto as CloudWatch, boto3 to read back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from moto.server import ThreadedMotoServer

from sidecar.config.load import load
from tests.support.daemon import AWS, Daemon, assert_balanced

AXONFLOW = Path(__file__).parents[2] / "config" / "axonflow.yaml"


@pytest.fixture
def aws() -> Iterator[str]:
    """A moto server in a thread: its URL. (moto's in-process mode does not work with aiobotocore.)"""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
    )


def statistics(url: str, namespace: str, name: str, dimensions: dict[str, str], unit: str) -> dict[str, float]:
    """All of one series over the last and the next hour, in one data point."""
    now = datetime.now(UTC)
    answer = client("cloudwatch", url).get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=7200,
        Statistics=["SampleCount", "Sum", "Minimum", "Maximum"],
        Unit=unit,
    )
    (point,) = answer["Datapoints"]
    assert point["Unit"] == unit
    return {key: point[key] for key in ("SampleCount", "Sum", "Minimum", "Maximum")}


def events(url: str, group: str) -> list[dict[str, Any]]:
    logs = client("logs", url)
    found: list[dict[str, Any]] = []
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        answer = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
        found += answer["events"]
    return found


def test_statsd_and_json_arrive_as_statistic_sets_and_values(daemon: Callable[..., Daemon], aws: str) -> None:
    one = daemon({"namespace": "Shop", "deliver": {"target": "cloudwatch", "endpoint_url": aws}})
    one.udp(
        b"Orders:1|c|#Env:prod\nOrders:2|c|@0.5|#Env:prod", b"Wait:10|ms", b"Wait:30|ms", b"Users:a|s", b"Users:b|s"
    )
    one.post("/ingest/metrics", {"name": "Load", "values": [1, 3], "counts": [2, 1], "unit": "Percent"})
    one.post("/ingest/metrics", {"name": "Pre", "statistics": {"count": 4, "sum": 10, "min": 1, "max": 5}})

    stats = one.settled(samples=9)

    assert_balanced(stats)
    assert statistics(aws, "Shop", "Orders", {"Env": "prod"}, "Count") == {
        "SampleCount": 3.0,
        "Sum": 5.0,
        "Minimum": 1.0,
        "Maximum": 2.0,
    }
    assert statistics(aws, "Shop", "Wait", {}, "Milliseconds") == {
        "SampleCount": 2.0,
        "Sum": 40.0,
        "Minimum": 10.0,
        "Maximum": 30.0,
    }
    assert statistics(aws, "Shop", "Load", {}, "Percent")["Sum"] == 5.0
    assert statistics(aws, "Shop", "Pre", {}, "None") == {
        "SampleCount": 4.0,
        "Sum": 10.0,
        "Minimum": 1.0,
        "Maximum": 5.0,
    }
    assert statistics(aws, "Shop", "Users", {}, "Count")["Maximum"] == 2.0


def test_log_groups_and_streams_are_made_and_events_arrive_in_time_order(
    daemon: Callable[..., Daemon], aws: str
) -> None:
    one = daemon(
        {
            "logs": {"group": "/shop/{service}", "stream": "s", "retention_days": 7, "flush_seconds": 0.5},
            "deliver": {"target": "cloudwatch", "endpoint_url": aws},
        }
    )
    now = time.time()
    late = {"message": "second", "service": "api", "timestamp": now}
    early = {"message": "first", "service": "api", "timestamp": now - 60}
    one.post("/ingest/logs", orjson.dumps(late) + b"\n" + orjson.dumps(early))
    one.post("/ingest/logs", b"plain one\r\nplain two\n", {"Content-Type": "text/plain"})

    stats = one.settled(log_events=4)

    assert_balanced(stats)
    assert [orjson.loads(event["message"])["message"] for event in events(aws, "/shop/api")] == ["first", "second"]
    assert [event["message"] for event in events(aws, "/shop/unknown")] == ["plain one", "plain two"]
    groups = client("logs", aws).describe_log_groups(logGroupNamePrefix="/shop/")["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {7}


def test_axonflow_events_arrive_with_their_numbers_units_dimensions_and_groups(
    daemon: Callable[..., Daemon], aws: str
) -> None:
    axonflow = load(AXONFLOW, {}).model_dump(by_alias=True, include={"namespace", "dimensions", "logs"})
    axonflow["logs"] = {key: axonflow["logs"][key] for key in ("group", "stream", "retention_days")}
    axonflow["logs"]["flush_seconds"] = 0.3
    one = daemon({**axonflow, "deliver": {"target": "cloudwatch", "endpoint_url": aws}})
    given = {"Environment": "production", "OrganizationId": "org-7", "Service": "agent", "Model": "claude"}
    datums = [
        {
            "MetricName": "Latency",
            "Dimensions": [{"Name": name, "Value": value} for name, value in given.items()],
            "Value": value,
            "Unit": "Milliseconds",
        }
        for value in (120.5, 80.25, 310.0)
    ]
    line = {
        "message": "policy evaluated",
        "service": "agent",
        "request_id": "r-1",
        "latency_ms": 120.5,
        "tokens_used": 412,
        "blocked": False,
    }
    curl(one.http_port, "/ingest/metrics", {"Namespace": "AxonFlow", "MetricData": datums})
    curl(one.http_port, "/ingest/logs", line)
    one.udp(b"RequestCount:1|c|#OrganizationId:org-7,Service:agent,Model:claude\n" * 5)
    one.udp(b"TokensUsed:412|h|#OrganizationId:org-7,Service:agent,Model:claude,cw_unit:Count")

    stats = one.settled(samples=9, log_events=1)

    assert_balanced(stats)
    assert stats["samples"]["dropped"] == 0
    assert statistics(aws, "AxonFlow", "Latency", given, "Milliseconds") == {
        "SampleCount": 3.0,
        "Sum": 510.75,
        "Minimum": 80.25,
        "Maximum": 310.0,
    }
    assert statistics(aws, "AxonFlow", "RequestCount", given, "Count") == {
        "SampleCount": 5.0,
        "Sum": 5.0,
        "Minimum": 1.0,
        "Maximum": 1.0,
    }
    assert statistics(aws, "AxonFlow", "TokensUsed", given, "Count")["Sum"] == 412.0
    (event,) = events(aws, "/axonflow/production/agent")
    assert orjson.loads(event["message"]) == line
    (group,) = client("logs", aws).describe_log_groups(logGroupNamePrefix="/axonflow")["logGroups"]
    assert group["logGroupName"] == "/axonflow/production/agent"
    assert group["retentionInDays"] == 30


def test_over_150_distinct_values_arrive_as_several_datums(daemon: Callable[..., Daemon], aws: str) -> None:
    one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": aws}})
    one.post("/ingest/metrics", {"name": "Wide", "values": [float(value) for value in range(1, 1_001)]})

    stats = one.settled(samples=1_000)

    assert stats["samples"]["delivered"] == 1_000
    numbers = statistics(aws, "Sidecar", "Wide", {}, "None")
    assert (numbers["Minimum"], numbers["Maximum"]) == (1.0, 1_000.0)
    assert numbers["Sum"] == pytest.approx(500_500.0, rel=1e-9)


def test_a_role_is_assumed_for_delivery(daemon: Callable[..., Daemon], aws: str) -> None:
    role = "arn:aws:iam::123456789012:role/sidecar"
    one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": aws, "role_arn": role}})
    one.udp(b"a:1|c")

    assert one.settled(samples=1)["samples"]["delivered"] == 1


def curl(port: int, path: str, event: dict[str, Any]) -> None:
    """Send as people do: curl's default content type is a form's."""
    url = f"http://localhost:{port}{path}"
    body = orjson.dumps(event).decode()
    done = subprocess.run(["curl", "-sS", "-w", "%{http_code}", "-d", body, url], capture_output=True, check=True)
    assert done.stdout.endswith(b"202"), done.stdout
