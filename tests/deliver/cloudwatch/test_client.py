"""The AWS client: one request at a time, finished bodies, one attempt, and errors in our words."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from sidecar.config.load import load
from sidecar.deliver.cloudwatch.client import AwsClient
from sidecar.deliver.cloudwatch.session import AwsSession
from sidecar.deliver.retry import Failure, classify
from sidecar.model.errors import DeliveryError
from sidecar.observe.log import Limiter
from tests.double import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    CloudWatchDouble,
    Fault,
    RequestRecord,
    Settings,
    access_denied,
    clock_skew,
    error,
    expired_token,
    hang,
    limit_exceeded,
    operation_aborted,
    request_expired,
    reset,
    reset_after_storing,
    reset_mid_body,
    server_error,
    throttle,
    too_large,
    unrecognized_client,
)

REGION: Final = "eu-central-1"
EMPTY: Final[dict[str, Any]] = {"Namespace": "-", "MetricData": []}
BODY: Final = orjson.dumps(
    {"Namespace": "App", "MetricData": [{"MetricName": f"m{n}", "Value": float(n)} for n in range(100)]}
)
ROLE: Final = "arn:aws:iam::123456789012:role/sidecar"

# Making a client takes 200 ms of the SDK: most tests share one, in one loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The SDK finds the double's credentials, and nothing that is this machine's."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[CloudWatchDouble]:
    """The double of this module, with whatever the last test left in it."""
    async with CloudWatchDouble(Settings(secret_access_key=SECRET_ACCESS_KEY)) as one:
        yield one


@pytest.fixture
def double(running: CloudWatchDouble) -> CloudWatchDouble:
    """The double of this module, empty."""
    running.faults.clear()
    running.metrics.clear()
    running.logs.clear()
    running.requests.clear()
    running.settings.legacy_codes = True
    return running


def client_for(url: str | None, service: str = "cloudwatch", **changed: Any) -> AwsClient:
    session = AwsSession(
        region=changed.pop("region", REGION),
        endpoint_url=url,
        role_arn=changed.pop("role_arn", None),
        reread_seconds=changed.pop("reread_seconds", 0.0),
    )
    given: dict[str, Any] = {
        "session": session,
        "limiter": Limiter(time.monotonic),
        "request_seconds": 10.0,
        "finished_operations": ("PutMetricData", "PutLogEvents"),
    }
    return AwsClient(service, **(given | changed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(running: CloudWatchDouble) -> AsyncIterator[AwsClient]:
    one = client_for(running.url)
    yield one
    await one.close()
    await one._session.close()


@pytest.fixture
def client(shared: AwsClient, double: CloudWatchDouble) -> AwsClient:
    """The client of this module, for an empty double."""
    return shared


Make = Callable[..., AwsClient]


@pytest_asyncio.fixture(loop_scope="module")
async def make(double: CloudWatchDouble) -> AsyncIterator[Make]:
    """Make clients of a test's own, for the double unless told otherwise; they are closed at the end."""
    made: list[AwsClient] = []

    def one(service: str = "cloudwatch", **changed: Any) -> AwsClient:
        made.append(client_for(changed.pop("endpoint_url", double.url), service, **changed))
        return made[-1]

    yield one
    for client in made:
        await client.close()
        await client._session.close()


async def put(client: AwsClient, body: bytes = BODY) -> dict[str, Any]:
    return await client.call("put_metric_data", EMPTY, lambda: body)


async def refused(call: Awaitable[Any]) -> DeliveryError:
    """What a call that has to fail fails with."""
    with pytest.raises(DeliveryError) as raised:
        await call
    return raised.value


def puts(double: CloudWatchDouble) -> list[RequestRecord]:
    return double.requests.of("PutMetricData")


# --- what goes out --------------------------------------------------------------------------------


async def test_a_finished_body_arrives_as_it_is_compressed_and_signed(
    client: AwsClient, double: CloudWatchDouble
) -> None:
    """The double verifies the signature over what came, and the content type and target of the service."""
    await put(client)

    (record,) = puts(double)
    assert record.status == 200
    assert record.compressed
    assert record.wire_bytes < record.body_bytes == len(BODY)
    assert record.fingerprint == hashlib.sha256(BODY).hexdigest()
    assert record.access_key_id == ACCESS_KEY_ID
    assert len(double.metrics.series()) == 100


async def test_log_events_go_the_same_way_under_their_own_protocol(make: Make, double: CloudWatchDouble) -> None:
    logs = make("logs")
    names = {"logGroupName": "/app", "logStreamName": "s"}
    await logs.call("create_log_group", {"logGroupName": "/app"})
    await logs.call("create_log_stream", names)
    now_ms = int(time.time() * 1_000)
    body = orjson.dumps(names | {"logEvents": [{"timestamp": now_ms, "message": "grüezi"}]})
    answer = await logs.call("put_log_events", names | {"logEvents": []}, lambda: body)

    assert double.logs.events("/app", "s") == [(now_ms, "grüezi")]
    assert "rejectedLogEventsInfo" not in answer
    assert [(record.operation, record.compressed) for record in double.requests] == [
        ("CreateLogGroup", False),
        ("CreateLogStream", False),
        ("PutLogEvents", True),
    ]


async def test_what_the_service_says_of_an_accepted_request_comes_back(make: Make, double: CloudWatchDouble) -> None:
    logs = make("logs")
    double.logs.create_log_group({"logGroupName": "/app"}, time.time())
    double.logs.create_log_stream({"logGroupName": "/app", "logStreamName": "s"})
    names = {"logGroupName": "/app", "logStreamName": "s"}
    old_ms = int((time.time() - 15 * 86_400) * 1_000)
    body = orjson.dumps(names | {"logEvents": [{"timestamp": old_ms, "message": "old"}]})

    answer = await logs.call("put_log_events", names | {"logEvents": []}, lambda: body)

    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}


async def test_requests_made_at_once_keep_their_own_bodies(client: AwsClient, double: CloudWatchDouble) -> None:
    bodies = [
        orjson.dumps({"Namespace": "App", "MetricData": [{"MetricName": f"own{n}", "Value": 1.0}] * (n + 1)})
        for n in range(8)
    ]
    await asyncio.gather(*(put(client, body) for body in bodies))

    expected = {hashlib.sha256(body).hexdigest() for body in bodies}
    assert {record.fingerprint for record in puts(double)} == expected


async def test_one_connection_serves_one_request_after_another(make: Make, double: CloudWatchDouble) -> None:
    client = make()
    for _ in range(3):
        await put(client)

    assert len({record.client_port for record in puts(double)}) == 1


async def test_opening_ahead_sends_nothing(make: Make, double: CloudWatchDouble) -> None:
    connections = double.open_connections
    await make().open()

    assert double.requests.total() == 0
    assert double.open_connections == connections


async def test_a_client_that_was_closed_is_made_anew(make: Make, double: CloudWatchDouble) -> None:
    client = make()
    await put(client)
    await client.close()
    await client.close()
    await put(client)

    assert len(puts(double)) == 2


# --- one attempt ----------------------------------------------------------------------------------

FAULTS: Final = [
    *(throttle(), server_error(500), server_error(502), server_error(503), access_denied()),
    *(expired_token(), clock_skew(), reset(), reset_after_storing(), reset_mid_body()),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_the_sdk_makes_exactly_one_attempt(client: AwsClient, double: CloudWatchDouble, fault: Fault) -> None:
    """Retries are the worker's: two layers of them would multiply, and hide what the first attempt said."""
    double.faults.add("PutMetricData", fault)

    await refused(put(client))

    assert double.requests.total("PutMetricData") == 1
    await put(client)
    assert double.requests.total("PutMetricData") == 2


# --- what comes back ------------------------------------------------------------------------------

ANSWERS: Final = [
    (throttle(), "Throttling", 400, Failure.THROTTLE),
    (limit_exceeded(), "LimitExceededException", 400, Failure.THROTTLE),
    (server_error(500), "InternalServiceError", 500, Failure.SERVER),
    (server_error(502), "502", 502, Failure.SERVER),
    (server_error(503), "ServiceUnavailable", 503, Failure.SERVER),
    (operation_aborted(), "OperationAbortedException", 400, Failure.SERVER),
    (access_denied(), "AccessDenied", 403, Failure.ACCESS_DENIED),
    (expired_token(), "ExpiredToken", 400, Failure.CREDENTIALS),
    (unrecognized_client(), "InvalidClientTokenId", 400, Failure.CREDENTIALS),
    (clock_skew(), "SignatureDoesNotMatch", 403, Failure.CLOCK_SKEW),
    (request_expired(), "RequestExpired", 400, Failure.CLOCK_SKEW),
    (too_large(), "RequestEntityTooLarge", 413, Failure.TOO_LARGE),
    (error("NeverHeardOf", "a new one"), "NeverHeardOf", 400, Failure.UNKNOWN),
]


@pytest.mark.parametrize("legacy", [True, False], ids=["query-names", "json-names"])
@pytest.mark.parametrize(("fault", "code", "status", "failure"), ANSWERS, ids=[row[0].kind for row in ANSWERS])
async def test_an_error_of_the_service_keeps_its_code_status_and_meaning(
    client: AwsClient, double: CloudWatchDouble, fault: Fault, code: str, status: int, failure: Failure, *, legacy: bool
) -> None:
    """Under either of the two names the service has for it."""
    double.settings.legacy_codes = legacy
    double.faults.add("PutMetricData", fault)

    told = await refused(put(client))

    assert (told.status, classify(told)) == (status, failure)
    assert not told.ambiguous
    assert told.retry_after is None
    if legacy:
        assert told.code == code


async def test_a_datum_at_fault_is_named_in_the_detail(client: AwsClient) -> None:
    wrong = {"Namespace": "App", "MetricData": [{"MetricName": "a", "Value": 1.0}, {"MetricName": "b", "Unit": "x"}]}

    told = await refused(put(client, orjson.dumps(wrong)))

    assert classify(told) is Failure.INVALID
    assert "MetricData.member.2" in told.detail


@pytest.mark.parametrize(("hint", "expected"), [(None, None), (7.0, 7.0), (0.0, 0.0), (86_400.0, 3_600.0)])
async def test_the_services_hint_when_to_come_back_is_told(
    client: AwsClient, double: CloudWatchDouble, hint: float | None, expected: float | None
) -> None:
    """An hour at most: a mistaken hint must not silence a daemon for a day."""
    double.faults.add("PutMetricData", throttle(retry_after_seconds=hint))

    assert (await refused(put(client))).retry_after == expected


async def test_a_hint_that_is_no_number_is_no_hint(client: AwsClient, double: CloudWatchDouble) -> None:
    date = {"Retry-After": "Fri, 20 Nov 2026 10:00:00 GMT"}
    double.faults.add("PutMetricData", error("ThrottlingException", "Rate exceeded", headers=date))

    assert (await refused(put(client))).retry_after is None


# --- the network ----------------------------------------------------------------------------------


async def test_a_request_that_hangs_ends_in_time_and_may_have_been_stored(make: Make, double: CloudWatchDouble) -> None:
    client = make()
    await put(client)
    client._request_seconds = 0.3  # only now: making the client is part of the first request's time
    double.faults.add("PutMetricData", hang(stored=True))
    started = time.monotonic()

    told = await refused(put(client))

    assert 0.25 < time.monotonic() - started < 8.0  # of the 10 s that is configured
    assert (told.code, told.status, told.ambiguous) == ("Timeout", 0, True)
    assert classify(told) is Failure.TIMEOUT
    assert "0.3 s" in told.detail
    await put(client)


async def test_an_answer_that_trickles_ends_in_time_too(make: Make) -> None:
    """A byte now and then resets the SDK's own timeout, so that there has to be a total one."""

    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "10000"})
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            await asyncio.sleep(0.05)

    async with Server(trickle) as url:
        client = make(endpoint_url=url)
        await client.open()
        client._request_seconds = 0.3
        started = time.monotonic()
        told = await refused(put(client))

    assert time.monotonic() - started < 8.0
    assert (told.code, told.ambiguous) == ("Timeout", True)


async def test_a_refused_connection_stored_nothing_for_certain(client: AwsClient, double: CloudWatchDouble) -> None:
    await put(client)
    await double.pause()

    told = await refused(put(client))
    told_again = await refused(put(client))

    assert told.code == told_again.code == "Network"
    assert not told_again.ambiguous
    assert classify(told) is Failure.NETWORK
    await double.resume()
    await put(client)


async def test_a_host_that_has_no_address_stored_nothing_for_certain(make: Make) -> None:
    told = await refused(put(make(endpoint_url="http://nowhere.invalid")))

    assert (told.code, told.ambiguous) == ("Network", False)


@pytest.mark.parametrize("fault", [reset(), reset_after_storing(), reset_mid_body()], ids=lambda fault: fault.kind)
async def test_a_connection_that_broke_leaves_it_open_whether_it_was_stored(
    client: AwsClient, double: CloudWatchDouble, fault: Fault
) -> None:
    double.faults.add("PutMetricData", fault)

    told = await refused(put(client))

    assert (told.code, told.status, told.ambiguous) == ("Network", 0, True)
    assert classify(told) is Failure.NETWORK


async def test_a_connection_closed_while_idle_costs_no_request(double: CloudWatchDouble, make: Make) -> None:
    client = make()
    await put(client)
    double.drop_connections(reset=False)
    await asyncio.sleep(0.05)
    await put(client)

    assert [record.status for record in puts(double)] == [200, 200]


async def test_cancelling_a_request_is_no_delivery_error(client: AwsClient, double: CloudWatchDouble) -> None:
    double.faults.add("PutMetricData", hang())
    task = asyncio.create_task(put(client))
    await double.until(lambda: double.requests.in_flight("PutMetricData") == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    double.faults.clear()
    await put(client)


# --- credentials, region, role --------------------------------------------------------------------


async def test_a_client_without_credentials_works_once_there_are_some(
    make: Make, double: CloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK remembers for ever that it found none: the client has to be made anew."""
    client = make()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for _ in range(2):
        told = await refused(put(client))
        assert (told.code, told.ambiguous) == ("NoCredentials", False)
        assert classify(told) is Failure.CREDENTIALS
    assert double.requests.total() == 0
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)

    await put(client)

    assert len(puts(double)) == 1


async def test_half_a_pair_of_credentials_is_none(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    told = await refused(put(client))

    assert told.code == "NoCredentials"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    await put(client)


async def test_a_profile_that_is_not_there_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    told = await refused(make().open())

    assert told.code == "NoCredentials"
    assert "nobody" in told.detail


async def test_without_a_region_it_is_told_what_to_set(make: Make) -> None:
    told = await refused(put(make(region=None, endpoint_url=None)))

    assert told.code == "NoCredentials"
    assert "AWS_REGION" in told.detail


async def test_aws_region_is_honoured_though_the_sdk_ignores_it(
    make: Make, double: CloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert (await refused(put(make(region=None)))).code == "NoCredentials"

    assert load(None, {"AWS_REGION": "ap-south-1", "AWS_DEFAULT_REGION": "eu-west-1"}).region == "ap-south-1"
    assert load(None, {"AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"
    await put(make(region=load(None, os.environ).region))
    assert len(puts(double)) == 1


async def test_the_region_is_what_requests_are_signed_for(make: Make) -> None:
    seen: list[str] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.Response(body=b"{}", content_type="application/x-amz-json-1.0")

    async with Server(note) as url:
        await put(make(endpoint_url=url, region="ap-south-1"))

    assert "/ap-south-1/monitoring/aws4_request" in seen[0]


DENIED: Final = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>User: arn:aws:iam::123456789012:user/u is not authorized to perform: sts:AssumeRole
on resource: arn:aws:iam::123456789012:role/sidecar</Message></Error><RequestId>r</RequestId></ErrorResponse>"""
ASSUMED: Final = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAASSUMEDROLE00000</AccessKeyId><SecretAccessKey>assumed</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleResponse>"""


async def test_a_role_that_may_not_be_assumed_is_told_and_works_once_it_may(make: Make) -> None:
    """Which role, and which permission is missing, is in the detail; nothing is sent with other credentials."""
    allowed = asyncio.Event()
    signed_by: list[str] = []

    async def sts_and_cloudwatch(request: web.BaseRequest) -> web.StreamResponse:
        if b"AssumeRole" in await request.read():
            status, body = (200, ASSUMED) if allowed.is_set() else (403, DENIED)
            return web.Response(status=status, body=body, content_type="text/xml")
        signed_by.append(request.headers["Authorization"])
        return web.Response(body=b"{}", content_type="application/x-amz-json-1.0")

    async with Server(sts_and_cloudwatch) as url:
        client = make(endpoint_url=url, role_arn=ROLE)
        told = await refused(put(client))
        assert classify(told) is Failure.ACCESS_DENIED
        assert "sts:AssumeRole" in told.detail
        assert signed_by == []
        allowed.set()
        await put(client)

    assert len(signed_by) == 1
    assert "Credential=ASIAASSUMEDROLE00000/" in signed_by[0]


async def test_a_role_without_credentials_to_assume_it_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    told = await refused(put(make(role_arn=ROLE)))

    assert told.code == "NoCredentials"
    assert "role_arn" in told.detail


class Server:
    """An HTTP server of one handler, for answers the double has no reason to give."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        self._server = web.Server(handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
