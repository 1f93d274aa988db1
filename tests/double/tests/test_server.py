"""The double as a server: protocols, signatures, records, and its two ways to run."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from tests.double.auth import SignedRequest, check_signature
from tests.double.errors import DoubleTimeoutError, ServiceError
from tests.double.fault_kinds import hang, reset, reset_after_storing
from tests.double.sdk import ClientError, aiobotocore_client, boto3_client, code_of
from tests.double.server import CloudWatchDouble
from tests.double.service import Settings
from tests.double.surface import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.double.threaded import ThreadedCloudWatchDouble

BODY = json.dumps({"Namespace": "App", "MetricData": [{"MetricName": "Orders", "Value": 1.0}]}).encode()
SIGNED = "host;x-amz-date;x-amz-target"


def headers(signed: str = SIGNED, service: str = "monitoring", **more: str) -> dict[str, str]:
    """Make the headers of a raw PutMetricData request; underscores stand for dashes."""
    return {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=KEY/20260101/eu-west-1/{service}/aws4_request, "
        f"SignedHeaders={signed}, Signature={'0' * 64}",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def post(
    double: ThreadedCloudWatchDouble,
    body: bytes,
    given: dict[str, str],
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send a raw request; return status, headers and the decoded body."""
    connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=40)
    try:
        connection.request("POST", "/", body, given)
        response = connection.getresponse()
        answer = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, json.loads(answer) if answer else {}
    finally:
        connection.close()


def without(given: dict[str, str], name: str) -> dict[str, str]:
    """Leave out a header."""
    return {key: value for key, value in given.items() if key != name}


# --- the wire ---------------------------------------------------------------------------------


def test_a_raw_request_needs_no_sdk(double: ThreadedCloudWatchDouble) -> None:
    """An operation without output answers with an empty body."""
    status, found, answer = post(double, BODY, headers())

    assert (status, answer, found["content-type"]) == (200, {}, "application/x-amz-json-1.0")
    assert len(found["x-amzn-requestid"]) == 36


def test_the_names_of_the_query_protocol_are_sent_to_those_who_ask(double: ThreadedCloudWatchDouble) -> None:
    """The body has those of the JSON wire in any case."""
    bad = json.dumps({"Namespace": "App", "MetricData": []}).encode()

    status, asked, answer = post(double, bad, headers(x_amzn_query_mode="true"))
    _, not_asked, _ = post(double, bad, headers())

    assert status == 400
    assert asked["x-amzn-query-error"] == "MissingParameter;Sender"
    assert answer["__type"].endswith("#MissingRequiredParameterException")
    assert "x-amzn-query-error" not in not_asked


def test_gzip_is_inflated_and_must_be_signed(double: ThreadedCloudWatchDouble) -> None:
    """A header that changes the meaning of the body is part of the signature."""
    signed = "content-encoding;" + SIGNED
    good, _, _ = post(double, gzip.compress(BODY), headers(signed, Content_Encoding="gzip"))
    unsigned, _, answer = post(double, gzip.compress(BODY), headers(Content_Encoding="gzip"))

    assert (good, unsigned) == (200, 403)
    assert "'content-encoding' must be a signed header" in answer["message"]
    first, second = double.requests
    assert (first.compressed, first.body_bytes, second.stored) == (True, len(BODY), False)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"not gzip", "gzip", 400, "SerializationException"),
        (gzip.compress(BODY, mtime=0)[:-4], "gzip", 400, "SerializationException"),
        (gzip.compress(b" " * 65 * 1_048_576, 1, mtime=0), "gzip", 413, "RequestEntityTooLarge"),
        (BODY, "br", 415, "UnsupportedMediaType"),
        (BODY[:-1], "identity", 400, "SerializationException"),
        (BODY.replace(b"1.0", b"NaN"), "identity", 400, "SerializationException"),
        (BODY.replace(b"1.0", b'"1.0"'), "identity", 400, "SerializationException"),
        (BODY.replace(b'"Orders"', b"7"), "identity", 400, "SerializationException"),
        (BODY.replace(b"Orders", b"\xff"), "identity", 400, "SerializationException"),
        (BODY.replace(b'"Value": 1.0', b'"Values": [1.0, null]'), "identity", 400, "SerializationException"),
        (b"[]", "identity", 400, "SerializationException"),
    ],
)
def test_what_cannot_be_decoded_is_refused(
    body: bytes,
    encoding: str,
    status: int,
    code: str,
    double: ThreadedCloudWatchDouble,
) -> None:
    """Before any rule of the operation is looked at."""
    given = headers("content-encoding;" + SIGNED, Content_Encoding=encoding)

    answered, _, answer = post(double, body, given)

    assert (status, code) == (answered, answer["__type"].rpartition("#")[2])
    assert double.metrics.series() == []


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (without(headers(), "Authorization"), 403, "MissingAuthenticationTokenException"),
        (headers(Authorization="AWS4-HMAC-SHA256 Credential=KEY"), 400, "IncompleteSignatureException"),
        (without(headers(), "X-Amz-Date"), 400, "IncompleteSignatureException"),
        (headers(service="logs"), 403, "InvalidSignatureException"),
        (headers("host;x-amz-date"), 403, "InvalidSignatureException"),
        (headers(X_Amz_Security_Token="t"), 403, "InvalidSignatureException"),
        (headers(X_Amz_Target="Other.PutMetricData"), 404, "UnknownOperationException"),
        (without(headers(), "X-Amz-Target"), 404, "UnknownOperationException"),
        (headers(Content_Type="application/json"), 404, "UnknownOperationException"),
        (headers(X_Amz_Target="GraniteServiceVersion20100801.ListMetrics"), 403, "AccessDeniedException"),
    ],
)
def test_requests_must_be_signed_and_addressed(
    given: dict[str, str],
    status: int,
    code: str,
    double: ThreadedCloudWatchDouble,
) -> None:
    """For the right service, with the headers that matter."""
    answered, _, answer = post(double, BODY, given)

    assert (status, code) == (answered, answer["__type"].rpartition("#")[2])
    assert [(each.status, each.stored) for each in double.requests] == [(status, False)]


def test_signatures_can_be_verified(double: ThreadedCloudWatchDouble, cloudwatch: Any, logs: Any) -> None:
    """Of what arrives, compressed bodies included."""
    datum = {"MetricName": "Orders", "Value": 1.0, "Dimensions": [{"Name": "a b", "Value": "c d"}]}
    double.settings.secret_access_key = SECRET_ACCESS_KEY
    try:
        cloudwatch.put_metric_data(Namespace="App", MetricData=[datum] * 300)
        logs.create_log_group(logGroupName="g")
        double.settings.secret_access_key = "another"
        with pytest.raises(ClientError) as caught:
            cloudwatch.put_metric_data(Namespace="App", MetricData=[datum])
    finally:
        double.settings.secret_access_key = None

    assert code_of(caught.value) == "SignatureDoesNotMatch"
    assert [each.compressed for each in double.requests] == [True, False, False]
    assert {each.access_key_id for each in double.requests if each.stored} == {ACCESS_KEY_ID}


def test_a_body_changed_after_signing_is_found_out() -> None:
    """The example of AWS's documentation: GET ListUsers, 20150830."""
    given = {
        "host": "iam.amazonaws.com",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    query = "Action=ListUsers&Version=2010-05-08"

    assert check_signature(SignedRequest("GET", "/", query, given, b""), "iam", secret) == "AKIDEXAMPLE"
    with pytest.raises(ServiceError, match="does not match"):
        check_signature(SignedRequest("GET", "/", query, given, b"x"), "iam", secret)


# --- records ----------------------------------------------------------------------------------


def test_every_request_is_recorded(double: ThreadedCloudWatchDouble, cloudwatch: Any, logs: Any) -> None:
    """With what it carried and where it was for."""
    place = {"logGroupName": "g", "logStreamName": "s"}
    now = int(time.time() * 1_000)
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(**place)
    logs.put_log_events(**place, logEvents=[{"timestamp": now, "message": "m"}] * 3)
    cloudwatch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 1.0}] * 2)

    double.until(lambda: len(double.requests) == 4)
    assert [(each.operation, each.target, each.items, each.status) for each in double.requests] == [
        ("CreateLogGroup", "g", 0, 200),
        ("CreateLogStream", "g:s", 0, 200),
        ("PutLogEvents", "g:s", 3, 200),
        ("PutMetricData", "App", 2, 200),
    ]
    assert double.requests.total() == 4
    assert double.requests.total("PutLogEvents") == len(double.requests.of("PutLogEvents")) == 1


def test_records_are_bounded_and_totals_are_not() -> None:
    """A soak test does not fill the memory."""
    with ThreadedCloudWatchDouble(remember_requests=2) as double:
        for _ in range(5):
            post(double, BODY, headers())

        assert (len(double.requests), double.requests.total()) == (2, 5)
        assert sum(double.requests.stored_twice().values()) == 2


async def test_requests_that_overlap_are_counted() -> None:
    """In all, and by where they are for."""
    async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
        double.faults.add("PutMetricData", hang(times=3))
        sends = [
            asyncio.create_task(client.put_metric_data(Namespace=name, MetricData=[{"MetricName": "m", "Value": 1.0}]))
            for name in ("A", "A", "B")
        ]
        await double.until(lambda: double.requests.in_flight() == 3)
        double.faults.clear()
        await asyncio.gather(*sends)
        await client.put_metric_data(Namespace="A", MetricData=[{"MetricName": "m", "Value": 1.0}])

        assert double.requests.in_flight() == 0
        assert double.requests.peak_in_flight("PutMetricData") == 3
        assert double.requests.peak_in_flight("PutMetricData", "A") == 2


# --- running ----------------------------------------------------------------------------------


def test_waiting_ends_with_an_error_if_nothing_comes() -> None:
    """In both forms."""

    async def wait() -> None:
        async with CloudWatchDouble() as double:
            await double.until(lambda: False, seconds=0.02)

    with ThreadedCloudWatchDouble() as double, pytest.raises(DoubleTimeoutError):
        double.until(lambda: False, seconds=0.02)
    with pytest.raises(DoubleTimeoutError):
        asyncio.run(wait())


def test_a_subprocess_finds_the_double_in_its_environment() -> None:
    """Nothing but environment variables."""
    program = (
        "import boto3; boto3.client('cloudwatch').put_metric_data("
        "Namespace='App', MetricData=[{'MetricName': 'Orders', 'Value': 3.0}])"
    )
    with ThreadedCloudWatchDouble() as double:
        subprocess.run([sys.executable, "-c", program], env=os.environ | double.environment(), check=True, timeout=30)

        assert double.metrics.statistics("App", "Orders").sum == 3.0


def test_stopping_frees_the_port_and_the_thread_and_keeps_the_data() -> None:
    """A double can be started again on its port, with requests hanging or not."""
    before = threading.active_count()
    double = ThreadedCloudWatchDouble()
    double.start()
    client = boto3_client("cloudwatch", double.url)
    client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "Orders", "Value": 1.0}])
    port = double.port
    double.stop()
    double.stop()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not running"):
        double.pause()
    with double:
        client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "Orders", "Value": 1.0}])

        assert double.port == port
        assert double.metrics.statistics("App", "Orders").sum == 2.0


def test_a_taken_port_is_an_error_at_once() -> None:
    """And leaves no thread behind."""
    before = threading.active_count()
    occupied = socket.create_server(("127.0.0.1", 0))
    try:
        with pytest.raises(OSError, match="in use"):
            ThreadedCloudWatchDouble(port=occupied.getsockname()[1]).start()
    finally:
        occupied.close()

    assert threading.active_count() == before


@pytest.fixture
def moved() -> Iterator[ThreadedCloudWatchDouble]:
    """A double whose clock stands in 2001."""
    with ThreadedCloudWatchDouble(Settings(clock=lambda: 1_000_000_000.0)) as double:
        yield double


def test_the_clock_is_the_doubles_own(moved: ThreadedCloudWatchDouble) -> None:
    """And so are the limits: what is too old or too large is decided by the settings."""
    client = boto3_client("cloudwatch", moved.url)
    client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 1.0, "Timestamp": 999_999_960}])
    with pytest.raises(ClientError):
        client.put_metric_data(
            Namespace="App", MetricData=[{"MetricName": "m", "Value": 1.0, "Timestamp": time.time()}]
        )
    moved.settings.max_metric_body_bytes = 10
    with pytest.raises(ClientError) as caught:
        client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 1.0}])

    assert list(moved.metrics.periods("App", "m")) == [999_999_960]
    assert code_of(caught.value) == "RequestEntityTooLarge"


def test_it_runs_on_uvloop() -> None:
    """Resets and pauses included."""

    async def run() -> tuple[float, list[str]]:
        failures = []
        datum = {"MetricName": "Orders", "Value": 1.0}
        async with CloudWatchDouble() as double, aiobotocore_client("cloudwatch", double.url) as client:
            double.faults.add("PutMetricData", reset(), reset_after_storing())
            for attempt in range(5):
                if attempt == 2:
                    await double.pause()
                if attempt == 3:
                    await double.resume()
                try:
                    await client.put_metric_data(Namespace="App", MetricData=[datum])
                except Exception as failure:  # noqa: BLE001 - any client error will do
                    failures.append(type(failure).__name__)
            return double.metrics.statistics("App", "Orders").sum, failures

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stored, failures = runner.run(run())

    assert stored == 3.0
    assert len(failures) == 3
