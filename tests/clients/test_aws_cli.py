"""The AWS command line, unmodified but for the endpoint, against the sidecar with the strict double behind it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.clients.arrivals import environment
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import AWS, Daemon, assert_balanced

RUN_SECONDS = 90  # a bound for a machine that is busy, not a measure


@pytest.fixture
def aws() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of a daemon's address and arguments."""
    if shutil.which("aws") is None or subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("the AWS command line is not installed")

    def run(one: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
        url = f"http://127.0.0.1:{one.http_port}"
        endpoints = {"AWS_ENDPOINT_URL_CLOUDWATCH": url, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": url}
        return subprocess.run(
            ["aws", *arguments],
            env=environment(**AWS, **endpoints, AWS_PAGER=""),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    return run


def test_commands_store_what_they_say(
    daemon: Callable[..., Daemon],
    double: ThreadedCloudWatchDouble,
    aws: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    deliver = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 10}
    one = daemon({"metrics": {"flush_seconds": 60}, "logs": {"flush_seconds": 60}, "deliver": deliver})
    metrics = ["cloudwatch", "put-metric-data", "--namespace", "Jobs"]
    events = [{"timestamp": int(time.time() * 1_000) + n, "message": f"line {n}"} for n in range(3)]
    stream = ["--log-group-name", "/jobs", "--log-stream-name", "nightly"]

    for value in ("3", "4.5"):
        done = aws(
            one, *metrics, "--metric-name", "Rows", "--value", value, "--unit", "Count", "--dimensions", "Job=mail"
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sets = "SampleCount=3,Sum=6,Minimum=1,Maximum=3"
    assert aws(one, *metrics, "--metric-name", "Batch", "--statistic-values", sets).returncode == 0
    refused = aws(one, *metrics, "--metric-name", "Rows", "--value", "1", "--unit", "Parsecs")
    assert aws(one, "logs", "create-log-group", "--log-group-name", "/jobs").returncode == 0
    assert aws(one, "logs", "create-log-stream", *stream).returncode == 0
    assert aws(one, "logs", "put-log-events", *stream, "--log-events", json.dumps(events)).returncode == 0
    listed = aws(one, "logs", "describe-log-streams", "--log-group-name", "/jobs")
    unknown = aws(one, "cloudwatch", "describe-alarms")

    assert refused.returncode not in (0, 1)
    assert "Parsecs" in refused.stderr
    assert "(InvalidParameterValue" in refused.stderr
    assert [one["logStreamName"] for one in json.loads(listed.stdout)["logStreams"]] == ["nightly"]
    assert "DescribeAlarms is not answered by the sidecar" in unknown.stderr
    assert_balanced(one.stop())
    assert double.metrics.statistics("Jobs", "Rows", {"Job": "mail"})[:2] == (2, 7.5)
    assert double.metrics.statistics("Jobs", "Batch")[:4] == (3, 6, 1, 3)
    assert [text for _, text in double.logs.events("/jobs", "nightly")] == ["line 0", "line 1", "line 2"]
    assert double.requests.total("PutMetricData") == 1
