"""An application that calls PutMetricData and CloudWatch Logs with boto3; prints what it saw as one line of JSON."""

import json
import os
import sys
import time
from typing import Any

import boto3

ROUNDS, MANY = int(os.environ.get("ROUNDS", "50")), 200
NAMESPACE, GROUP = os.environ["NAMESPACE"], os.environ["GROUP"]
cloudwatch, logs = boto3.client("cloudwatch"), boto3.client("logs")
seconds: list[float] = []
errors: list[str] = []


def put(datums: list[dict[str, Any]]) -> None:
    began = time.perf_counter()
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=datums)
    seconds.append(time.perf_counter() - began)


for n in range(ROUNDS):
    put(
        [
            {
                "MetricName": "Latency",
                "Dimensions": [{"Name": "Service", "Value": "shop & co"}],
                "Value": 245.5 + n,
                "Unit": "Milliseconds",
                "Timestamp": time.time(),
                "StorageResolution": 1,
            },
            {"MetricName": "Stats", "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 3}},
            {"MetricName": "Dist", "Values": [1.0, 2.5], "Counts": [3.0, 4.0]},
        ]
    )
put(
    [
        {"MetricName": "Many", "Dimensions": [{"Name": "Number", "Value": f"number-{n}"}], "Value": n, "Unit": "Count"}
        for n in range(MANY)
    ]
)
try:
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[{"MetricName": "Bad", "Value": 1, "Unit": "Parsecs"}])
except cloudwatch.exceptions.InvalidParameterValueException as error:
    errors.append(type(error).__name__)

logs.create_log_group(logGroupName=GROUP)
logs.put_retention_policy(logGroupName=GROUP, retentionInDays=30)
logs.create_log_stream(logGroupName=GROUP, logStreamName="app")
try:
    logs.create_log_group(logGroupName=GROUP)
except logs.exceptions.ResourceAlreadyExistsException as error:
    errors.append(type(error).__name__)
now = int(time.time() * 1_000)
logs.put_log_events(
    logGroupName=GROUP,
    logStreamName="app",
    logEvents=[{"timestamp": now + n, "message": f"line {n} ü"} for n in range(10)],
)
json.dump(
    {"calls": len(seconds), "milliseconds": sorted(seconds)[len(seconds) // 2] * 1_000, "errors": errors}, sys.stdout
)
