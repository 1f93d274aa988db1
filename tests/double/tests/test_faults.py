"""Each scripted fault as an SDK meets it, through aiobotocore and boto3."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.double import fault_kinds as kinds
from tests.double.fault_kinds import hang, reset, reset_after_storing, reset_mid_body, served, slow, sometimes, throttle
from tests.double.faults import ANY, FOREVER, Fault, FaultPlan
from tests.double.sdk import ClientError, aiobotocore_client, boto3_client, code_of, headers_of, message_of, status_of
from tests.double.server import CloudWatchDouble
from tests.double.threaded import ThreadedCloudWatchDouble

DATUM = {"MetricName": "Orders", "Value": 1.0}
PLACE = {"logGroupName": "g", "logStreamName": "s"}


def put(cloudwatch: Any) -> Any:
    """Send one datum."""
    return cloudwatch.put_metric_data(Namespace="App", MetricData=[DATUM])


def orders(double: CloudWatchDouble | ThreadedCloudWatchDouble) -> float:
    """Count what is stored."""
    return double.metrics.statistics("App", "Orders").sample_count


METRIC_FAULTS: dict[str, tuple[Fault, str, int]] = {
    "throttle": (throttle(), "Throttling", 400),
    "500": (kinds.server_error(500), "InternalServiceError", 500),
    "502": (kinds.server_error(502), "502", 502),
    "503": (kinds.server_error(503), "ServiceUnavailable", 503),
    "access denied": (kinds.access_denied(), "AccessDenied", 403),
    "expired token": (kinds.expired_token(), "ExpiredToken", 400),
    "unrecognized client": (kinds.unrecognized_client(), "InvalidClientTokenId", 400),
    "clock skew": (kinds.clock_skew(), "SignatureDoesNotMatch", 403),
    "request expired": (kinds.request_expired(), "RequestExpired", 400),
    "too large": (kinds.too_large(), "RequestEntityTooLarge", 413),
    "any error": (kinds.error("Weird", "?", status=418), "Weird", 418),
}


@pytest.mark.parametrize("case", METRIC_FAULTS)
def test_metrics_are_answered_with_the_scripted_error_once(
    case: str,
    cloudwatch: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """SDKs show the names of the query protocol; nothing is stored; then all is well."""
    fault, code, status = METRIC_FAULTS[case]
    double.faults.add("PutMetricData", fault)

    with pytest.raises(ClientError) as caught:
        put(cloudwatch)
    put(cloudwatch)

    assert (code, status) == (code_of(caught.value), status_of(caught.value))
    assert [(each.status, each.fault, each.stored) for each in double.requests] == [
        (status, fault.kind, False),
        (200, None, True),
    ]
    assert orders(double) == 1


LOG_FAULTS: dict[str, tuple[Fault, str, int]] = {
    "throttle": (throttle(), "ThrottlingException", 400),
    "500": (kinds.server_error(500), "InternalFailure", 500),
    "503": (kinds.server_error(503), "ServiceUnavailableException", 503),
    "access denied": (kinds.access_denied(), "AccessDeniedException", 400),
    "expired token": (kinds.expired_token(), "ExpiredTokenException", 400),
    "unrecognized client": (kinds.unrecognized_client(), "UnrecognizedClientException", 400),
    "clock skew": (kinds.clock_skew(), "InvalidSignatureException", 403),
    "limit": (kinds.limit_exceeded(), "LimitExceededException", 400),
    "aborted": (kinds.operation_aborted(), "OperationAbortedException", 400),
}


@pytest.mark.parametrize("case", LOG_FAULTS)
def test_logs_are_answered_with_the_scripted_error(
    case: str,
    logs: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """Logs never had a query protocol: SDKs show the names of the JSON wire."""
    fault, code, status = LOG_FAULTS[case]
    double.faults.add("CreateLogGroup", fault)

    with pytest.raises(ClientError) as caught:
        logs.create_log_group(logGroupName="g")
    assert double.logs.groups() == []
    logs.create_log_group(logGroupName="g")

    assert (code, status) == (code_of(caught.value), status_of(caught.value))
    assert double.logs.groups() == ["g"]


def test_the_json_names_of_metric_errors_can_be_had(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """As a client sees them that does not ask for the old ones."""
    double.faults.add("PutMetricData", throttle())
    double.settings.legacy_codes = False
    try:
        with pytest.raises(ClientError) as caught:
            put(cloudwatch)
    finally:
        double.settings.legacy_codes = True

    assert code_of(caught.value) == "ThrottlingException"
    assert message_of(caught.value) == "Rate exceeded"


def test_a_hint_when_to_come_back_is_in_the_headers(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """In seconds, and in milliseconds for newer SDKs."""
    double.faults.add("PutMetricData", throttle(retry_after_seconds=3))

    with pytest.raises(ClientError) as caught:
        put(cloudwatch)

    headers = headers_of(caught.value)
    assert (headers["retry-after"], headers["x-amz-retry-after"]) == ("3", "3000")


def test_clock_skew_says_how_far_the_clock_is_off(logs: Any, double: ThreadedCloudWatchDouble) -> None:
    """The third stamp is the service's time."""
    double.faults.add("CreateLogGroup", kinds.clock_skew(behind_seconds=1_200))

    with pytest.raises(ClientError) as caught:
        logs.create_log_group(logGroupName="g")

    words = message_of(caught.value).split()
    assert words[:2] == ["Signature", "expired:"]
    assert message_of(caught.value).endswith("- 5 min.)")


def test_half_a_batch_can_be_rejected(logs: Any, double: ThreadedCloudWatchDouble) -> None:
    """A 200 that is not a full success."""
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(**PLACE)
    double.faults.add("PutLogEvents", kinds.reject_half())
    now = int(time.time() * 1_000)

    answer = logs.put_log_events(**PLACE, logEvents=[{"timestamp": now, "message": each} for each in "abcde"])

    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
    assert [message for _, message in double.logs.events("g")] == ["c", "d", "e"]


# --- the plan ---------------------------------------------------------------------------------


def test_faults_are_used_in_order_and_by_operation() -> None:
    """The operation's own come before those for any."""
    plan = FaultPlan()
    plan.add("A", throttle(times=2), reset())
    plan.add(ANY, slow(0, times=FOREVER))

    def kinds_taken(operation: str, requests: int) -> list[str | None]:
        return [None if fault is None else fault.kind for fault in (plan.take(operation) for _ in range(requests))]

    assert kinds_taken("B", 1) == ["slow"]
    assert plan.pending("A") == 2
    assert kinds_taken("A", 4) == ["ThrottlingException", "ThrottlingException", "reset", "slow"]
    plan.clear(ANY)
    assert kinds_taken("A", 1) == [None]
    assert plan.pending("A") == plan.pending("none") == 0


def test_a_fault_for_ever_lasts_until_it_is_cleared(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Requests let through on purpose come first."""
    double.faults.add("PutMetricData", served(times=2), throttle(times=FOREVER))
    outcomes = []
    for attempt in range(5):
        if attempt == 4:
            double.faults.clear("PutMetricData")
        try:
            put(cloudwatch)
            outcomes.append("stored")
        except ClientError as error:
            outcomes.append(code_of(error))

    assert outcomes == ["stored", "stored", "Throttling", "Throttling", "stored"]


def test_a_share_of_the_requests_can_fail_repeatably(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """The same seed, the same requests."""
    rounds = []
    for _ in range(2):
        double.faults.add("PutMetricData", sometimes(throttle(times=20), 0.5, seed=3))
        outcomes = []
        for _ in range(20):
            try:
                put(cloudwatch)
                outcomes.append(True)
            except ClientError:
                outcomes.append(False)
        rounds.append(outcomes)

    assert rounds[0] == rounds[1]
    assert 3 < sum(rounds[0]) < 17


# --- the connection ---------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "stored"), [(reset(), 0), (reset_mid_body(), 0), (reset_after_storing(), 1)])
async def test_a_reset_leaves_the_client_without_an_answer(fault: Fault, stored: int) -> None:
    """Only the records tell whether the request counted."""
    large = [{**DATUM, "Dimensions": [{"Name": "d", "Value": "v" * 900}]}] * 800
    async with (
        CloudWatchDouble() as double,
        aiobotocore_client("cloudwatch", double.url, disable_request_compression=True) as client,
    ):
        double.faults.add("PutMetricData", fault)
        # aiobotocore says it could not connect, whatever became of the request.
        with pytest.raises(Exception, match="Could not connect") as caught:
            await client.put_metric_data(Namespace="App", MetricData=large)
        await double.until(lambda: len(double.requests) == 1)
        (record,) = double.requests

        cause = caught.value.__context__
        assert isinstance(cause, aiohttp.ClientConnectionError)
        assert not isinstance(cause, aiohttp.ClientConnectorError)  # that one is a refusal
        assert (record.status, record.fault, record.stored) == (0, fault.kind, bool(stored))
        assert double.metrics.statistics("App", "Orders", {"d": "v" * 900}).sample_count == 800 * stored

        await client.put_metric_data(Namespace="App", MetricData=large)
        assert bool(double.requests.stored_twice("PutMetricData")) is bool(stored)


async def test_a_hanging_request_is_served_when_the_plan_is_cleared() -> None:
    """Unless its client has left."""
    async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
        double.faults.add("PutMetricData", hang(times=2))
        leaves, waits = (asyncio.create_task(put(client)) for _ in range(2))
        await double.until(lambda: double.requests.in_flight("PutMetricData") == 2)
        leaves.cancel()
        await double.until(lambda: len(double.requests) == 1)
        assert orders(double) == 0

        double.faults.clear()
        await waits

        assert orders(double) == 1
        assert [each.error for each in double.requests] == ["client left", None]


async def test_a_timeout_can_hit_a_request_that_was_stored() -> None:
    """The ambiguous case: the client sees a timeout, the data is there."""
    async with (
        CloudWatchDouble() as double,
        aiobotocore_client("cloudwatch", double.url, read_timeout=0.3) as client,
    ):
        double.faults.add("PutMetricData", hang(stored=True))
        with pytest.raises(Exception, match="Read timeout"):
            await put(client)
        await double.until(lambda: len(double.requests) == 1)

        assert orders(double) == 1
        assert [(each.stored, each.status) for each in double.requests] == [(True, 0)]


async def test_slow_requests_are_served_late() -> None:
    """With `stored` the data is there before the answer is."""
    async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
        double.faults.add("PutMetricData", slow(0.05), slow(0.3, stored=True))
        started = time.monotonic()
        await put(client)
        first = time.monotonic() - started
        task = asyncio.create_task(put(client))
        await double.until(lambda: orders(double) == 2)
        assert not task.done()
        await task

        assert first >= 0.05


async def test_a_paused_double_refuses_connections_and_comes_back_on_its_port() -> None:
    """Open connections are reset with it."""
    async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
        await put(client)
        port = double.port
        await double.pause()
        for _ in range(2):
            with pytest.raises(Exception, match="Could not connect"):
                await put(client)
        assert double.open_connections == 0
        await double.resume()
        await put(client)

        assert double.port == port
        assert orders(double) == 2


def test_a_double_in_a_thread_can_be_paused_too() -> None:
    """Blocking calls, the same behaviour."""
    with ThreadedCloudWatchDouble() as double:
        client = boto3_client("cloudwatch", double.url)
        put(client)
        double.pause()
        with pytest.raises(Exception, match="Could not connect"):
            put(client)
        double.resume()
        put(client)
        double.until(lambda: double.requests.total("PutMetricData") == 2)

        assert orders(double) == 2


async def test_idle_connections_are_closed_after_the_keepalive_time() -> None:
    """The services are said to do so after 6 s."""
    async with (
        CloudWatchDouble(keepalive_seconds=0.05) as double,
        aiobotocore_client("cloudwatch", double.url) as client,
    ):
        await put(client)
        await asyncio.sleep(0.5)  # aiohttp's timer and the client's reading of the end
        assert double.open_connections == 0
        await put(client)

        ports = [each.client_port for each in double.requests]
        assert len(set(ports)) == 2


async def test_connections_can_be_closed_at_any_moment() -> None:
    """In order, as an idle timeout does; the next request opens a new one."""
    async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
        await put(client)
        await put(client)
        double.drop_connections(reset=False)
        await asyncio.sleep(0.05)  # the client has to see it, or it may lose the race
        await put(client)

        first, second, third = (each.client_port for each in double.requests)
        assert first == second != third
