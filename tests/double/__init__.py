"""A CloudWatch that refuses what CloudWatch refuses: a test double for metrics and Logs.

A real HTTP server on the loopback that speaks the protocols of the SDKs, enforces every documented limit
with AWS's own error codes and words, merges what it is sent as CloudWatch does, reads it
back, and misbehaves on request.

    async with CloudWatchDouble() as double:             # in the loop of the test
        double.faults.add("PutMetricData", throttle(times=2))
        ...                                              # a client with endpoint_url=double.url
        await double.until(lambda: double.metrics.statistics("App", "Orders").sum == 3.0)

    with ThreadedCloudWatchDouble() as double:           # in a thread of its own
        subprocess.run(command, env=os.environ | double.environment())
"""

from .datum import Datum, StatisticSet
from .errors import ConnectionCut, DoubleError, DoubleTimeoutError, PercentileUnavailableError, ServiceError
from .fault_kinds import (
    access_denied,
    clock_skew,
    error,
    expired_token,
    hang,
    limit_exceeded,
    operation_aborted,
    reject_half,
    request_expired,
    reset,
    reset_after_storing,
    reset_mid_body,
    served,
    server_error,
    slow,
    sometimes,
    throttle,
    too_large,
    unrecognized_client,
)
from .faults import ANY, FOREVER, Exchange, Fault, FaultPlan, Stage
from .logs import LogStore, StoredEvent
from .metrics import MetricStore, Series
from .periods import NO_DATA, Statistics
from .records import RequestLog, RequestRecord
from .server import CloudWatchDouble
from .service import Settings
from .surface import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from .threaded import ThreadedCloudWatchDouble

__all__ = [
    "ACCESS_KEY_ID",
    "ANY",
    "FOREVER",
    "NO_DATA",
    "SECRET_ACCESS_KEY",
    "CloudWatchDouble",
    "ConnectionCut",
    "Datum",
    "DoubleError",
    "DoubleTimeoutError",
    "Exchange",
    "Fault",
    "FaultPlan",
    "LogStore",
    "MetricStore",
    "PercentileUnavailableError",
    "RequestLog",
    "RequestRecord",
    "Series",
    "ServiceError",
    "Settings",
    "Stage",
    "StatisticSet",
    "Statistics",
    "StoredEvent",
    "ThreadedCloudWatchDouble",
    "access_denied",
    "clock_skew",
    "error",
    "expired_token",
    "hang",
    "limit_exceeded",
    "operation_aborted",
    "reject_half",
    "request_expired",
    "reset",
    "reset_after_storing",
    "reset_mid_body",
    "served",
    "server_error",
    "slow",
    "sometimes",
    "throttle",
    "too_large",
    "unrecognized_client",
]
