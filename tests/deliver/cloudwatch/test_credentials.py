"""Credentials that fail are read again, at a limited rate, and cost no memory however often they fail."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from aiohttp import web

from sidecar.deliver.cloudwatch.client import AwsClient
from sidecar.deliver.retry import Failure, advice, classify
from sidecar.model.errors import DeliveryError
from tests.deliver.cloudwatch.test_client import ASSUMED, DENIED, ROLE, Server, client_for, put, refused
from tests.double import (
    FOREVER,
    SECRET_ACCESS_KEY,
    CloudWatchDouble,
    Fault,
    Settings,
    ThreadedCloudWatchDouble,
    access_denied,
    error,
    expired_token,
    hang,
    reset,
    server_error,
    throttle,
    unrecognized_client,
)

AWAY: Final = "http://127.0.0.1:9"  # nobody listens there
MEGABYTE: Final = 1_048_576
FLAT_BYTES: Final = 10 * MEGABYTE


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's, and none of the double's."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
async def double() -> AsyncIterator[CloudWatchDouble]:
    async with CloudWatchDouble(Settings(secret_access_key=SECRET_ACCESS_KEY)) as one:
        yield one


class File:
    """A shared credentials file that the SDK finds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = folder / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(self._path))

    def write(self, key: str, secret: str = SECRET_ACCESS_KEY) -> None:
        self._path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> File:
    return File(tmp_path, monkeypatch)


async def close(client: AwsClient) -> None:
    await client.close()
    await client._session.close()


# --- read again -----------------------------------------------------------------------------------


async def test_a_wrong_secret_is_read_again_from_the_rewritten_file(double: CloudWatchDouble, file: File) -> None:
    file.write("AKIDFIRST", "wrong")
    client = client_for(double.url)
    for _ in range(3):
        assert classify(await refused(put(client))) is Failure.CREDENTIALS
    file.write("AKIDSECOND")

    await put(client)

    assert [(record.status, record.access_key_id) for record in double.requests][3:] == [(200, "AKIDSECOND")]
    await close(client)


REREAD: Final = [
    *(expired_token(), unrecognized_client(), access_denied()),
    error("InvalidClientTokenId", "told", status=403),
    error("InvalidSignatureException", "told", status=403),
    error("SignatureDoesNotMatch", "told", status=403),
    error("MissingAuthenticationTokenException", "told", status=403),
    error("ExpiredTokenException", "told", status=400),
    error("NotAuthorized", "told", status=401),
]


@pytest.mark.parametrize("fault", REREAD, ids=lambda fault: fault.kind)
async def test_every_failure_of_credentials_reads_them_again(
    double: CloudWatchDouble, file: File, fault: Fault
) -> None:
    file.write("AKIDFIRST")
    client = client_for(double.url)
    double.faults.add("PutMetricData", fault)
    await refused(put(client))
    file.write("AKIDSECOND")

    await put(client)

    assert [record.access_key_id for record in double.requests] == ["AKIDFIRST", "AKIDSECOND"]
    await close(client)


@pytest.mark.parametrize("fault", [throttle(), server_error(500), reset()], ids=lambda fault: fault.kind)
async def test_another_failure_keeps_credentials_that_work(double: CloudWatchDouble, file: File, fault: Fault) -> None:
    file.write("AKIDFIRST")
    client = client_for(double.url)
    double.faults.add("PutMetricData", fault)
    await refused(put(client))
    file.write("AKIDSECOND")

    await put(client)

    assert {record.access_key_id for record in double.requests} == {"AKIDFIRST"}
    await close(client)


async def test_a_file_that_appears_is_read(double: CloudWatchDouble, file: File) -> None:
    client = client_for(double.url)
    assert (await refused(put(client))).code == "NoCredentials"
    file.write("AKIDLATE")

    await put(client)

    await close(client)


async def test_a_profile_that_appears_is_read(
    double: CloudWatchDouble, file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "late")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    file.write("AKIDFIRST")
    client = client_for(double.url)
    assert "late" in (await refused(put(client))).detail
    (tmp_path / "config").write_text(
        f"[profile late]\naws_access_key_id = AKIDLATE\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
    )

    await put(client)

    assert [record.access_key_id for record in double.requests] == ["AKIDLATE"]
    await close(client)


INVALID_TOKEN: Final = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>%s</Code><Message>told</Message></Error><RequestId>r</RequestId></ErrorResponse>"""
BY_TOKEN: Final = ASSUMED.replace(b"AssumeRoleRes", b"AssumeRoleWithWebIdentityRes").replace(b"assumed", b"%s")


class Sts:
    """STS that assumes a role for one web identity token, and refuses others with a code."""

    def __init__(self, token: str, code: bytes) -> None:
        self._token = token
        self._code = code
        self.calls = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls += 1
        body = (await request.read()).decode()
        if f"WebIdentityToken={self._token}" in body:
            return web.Response(body=BY_TOKEN % SECRET_ACCESS_KEY.encode(), content_type="text/xml")
        return web.Response(status=400, body=INVALID_TOKEN % self._code, content_type="text/xml")


@pytest.mark.parametrize("code", [b"InvalidIdentityToken", b"ExpiredTokenException", b"ValidationError"])
async def test_a_web_identity_token_is_read_again_from_the_rewritten_file(
    double: CloudWatchDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: bytes
) -> None:
    """No code of STS is taken for one about the request: events would be dropped for a wrong role."""
    sts, token = Sts("valid-token", code), tmp_path / "token"
    async with Server(sts) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        client = client_for(double.url)
        missing = await refused(put(client))
        token.write_text("expired-token")
        wrong = await refused(put(client))
        token.write_text("valid-token")
        await put(client)
        await close(client)

    assert (missing.code, missing.ambiguous) == ("NoCredentials", False)
    assert classify(wrong) is Failure.CREDENTIALS
    assert not wrong.ambiguous
    assert [record.access_key_id for record in double.requests] == ["ASIAASSUMEDROLE00000"]


async def test_credentials_are_read_again_at_a_limited_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred log streams that fail ask five hundred times; STS is asked once in `reread_seconds`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    calls: list[bytes] = []

    async def sts(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(await request.read())
        return web.Response(status=403, body=DENIED, content_type="text/xml")

    async with Server(sts) as url:
        client = client_for(url, role_arn=ROLE, reread_seconds=60.0)
        told = await asyncio.gather(*(refused(put(client)) for _ in range(50)))
        await close(client)

    assert len(calls) == 1
    assert {classify(one) for one in told} == {Failure.ACCESS_DENIED}


async def test_each_kind_of_failure_is_logged_once_a_minute_with_what_to_fix(
    double: CloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_for(double.url)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            await refused(put(client))
        await refused(client.open())
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        for _ in range(5):
            await refused(put(client))
    await close(client)

    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == ["no AWS credentials, will retry"] * 2
    assert "no credentials were found" in warnings[0]["error"]
    assert "/nowhere" in warnings[1]["error"]
    assert all(line["fix"] for line in warnings)
    assert [line["event"] for line in lines if line["log_level"] == "info"] == ["client ready"]


async def test_a_name_that_is_no_regions_is_told_before_anything_is_sent(double: CloudWatchDouble) -> None:
    client = client_for(double.url, region="Europe (Ireland)")

    told = await refused(client.open())

    assert classify(told) is Failure.CREDENTIALS
    assert "Europe (Ireland)" in told.detail
    assert "AWS_REGION" in str(advice(classify(told), told))
    await close(client)


async def test_a_region_that_does_not_exist_says_so(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its endpoint's name has no address; the name server is not asked here."""

    def nobody(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    file.write("AKID")
    client = client_for(None, region="eu-nowhere-9")

    told = await refused(put(client))

    assert (classify(told), told.ambiguous) == (Failure.NETWORK, False)
    assert "monitoring.eu-nowhere-9." in told.detail
    assert "region exists" in str(advice(classify(told), told))
    await close(client)


# --- memory ---------------------------------------------------------------------------------------


FAILURES: Final = ["no credentials", "wrong secret", "denied", "throttled", "no answer", "reset", "away", "wrong role"]


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failed_attempt_leaves_nothing_for_the_garbage_collector(
    double: CloudWatchDouble, file: File, kind: str
) -> None:
    """No client, no error and no frame, which would hold the batch: full collections hardly ever come."""

    async def deny(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(status=403, body=DENIED, content_type="text/xml")

    faults = {"denied": access_denied(FOREVER), "throttled": throttle(FOREVER), "reset": reset(FOREVER)}
    faults["no answer"] = hang(FOREVER)
    if kind != "no credentials":
        file.write("AKID", "wrong" if kind == "wrong secret" else SECRET_ACCESS_KEY)
    if kind in faults:
        double.faults.add("PutMetricData", faults[kind])
    async with Server(deny) as sts:
        url = {"away": AWAY, "wrong role": sts}.get(kind, double.url)
        client = client_for(url, role_arn=ROLE if kind == "wrong role" else None)
        await client.open() if kind not in ("no credentials", "wrong role") else await refused(client.open())
        client._request_seconds = 0.1 if kind == "no answer" else 10.0
        with suppress(DeliveryError):
            await put(client)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                with suppress(DeliveryError):  # pytest.raises makes cycles of its own
                    await put(client)
            await asyncio.sleep(0.05)  # for connections to be closed
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
        finally:
            gc.enable()
            gc.set_debug(0)
            garbage, gc.garbage[:] = list(gc.garbage), []
        double.faults.clear()
        await close(client)

    kinds = Counter(type(one).__name__ for one in garbage)
    print(f"{kind}: {len(garbage) / 10:g} objects an attempt are left in cycles: {kinds.most_common(5)}")
    assert not [one for one in garbage if isinstance(one, BaseException | type)]
    assert not kinds["frame"] + kinds["traceback"] + kinds["coroutine"]
    assert len(garbage) < 10 * 120


SCRIPT: Final = textwrap.dedent("""
    import asyncio, gc, json, logging, sys
    from tests.deliver.cloudwatch.test_client import client_for, put, refused
    logging.disable()
    import structlog
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    def rss():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    async def main(url, role_arn, attempts):
        gc.set_threshold(1_000, 5, 50_000)  # the daemon's
        client = client_for(url, role_arn=role_arn)
        for _ in range(10):
            await refused(put(client))
        before = rss()
        for _ in range(attempts):
            await refused(put(client))
        print(json.dumps([before, rss()]))

    asyncio.run(main(sys.argv[1], sys.argv[2] or None, int(sys.argv[3])))
""")


@pytest.mark.parametrize("kind", ["no credentials", "wrong role", "endpoint away", "access denied"])
def test_memory_is_flat_over_more_failed_attempts_than_ten_minutes_hold(kind: str) -> None:
    """At 10 s or more between two attempts of a lane, ten minutes hold 60; here each reads credentials again."""
    attempts = 300
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    with ThreadedCloudWatchDouble() as double:
        double.faults.add("PutMetricData", access_denied(FOREVER))
        run = subprocess.run(
            [
                *(sys.executable, "-c", SCRIPT),
                AWAY if kind == "endpoint away" else double.url,
                ROLE if kind == "wrong role" else "",  # the double is no STS, and refuses
                str(attempts),
            ],
            env=os.environ | ({} if kind == "no credentials" else keys),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    before, after = json.loads(run.stdout)

    print(f"{kind}: {before / MEGABYTE:.1f} MB, after {attempts} more attempts {after / MEGABYTE:.1f} MB")
    assert after - before < FLAT_BYTES


# --- file descriptors -----------------------------------------------------------------------------


NO_DESCRIPTORS: Final = textwrap.dedent("""
    import asyncio, resource, sys, time
    from sidecar.deliver.cloudwatch.client import AwsClient
    from sidecar.deliver.retry import advice, classify
    from sidecar.deliver.cloudwatch.session import AwsSession
    from sidecar.model.errors import DeliveryError
    from sidecar.observe.log import Limiter

    assert "botocore" not in sys.modules
    BODY = b'{"Namespace": "App", "MetricData": [{"MetricName": "m", "Value": 1.0}]}'

    def put(client):
        return client.call("put_metric_data", {"Namespace": "-", "MetricData": []}, lambda: BODY)

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main():
        session = AwsSession(region="eu-west-1", endpoint_url=sys.argv[1], role_arn=None, reread_seconds=0.0)
        client = AwsClient("cloudwatch", session=session, limiter=Limiter(time.monotonic), request_seconds=10.0,
            finished_operations=("PutMetricData",))
        if sys.argv[2] == "later":
            await client.open()
        await asyncio.sleep(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # what is open stays open
        for _ in range(3):
            try:
                await put(client)
            except DeliveryError as error:
                print(error, "|", advice(classify(error), error))
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
        await put(client)
        await client.close()
        await session.close()

    asyncio.run(main())
""")


@pytest.mark.parametrize("when", ["before the SDK is imported", "later"])
def test_without_file_descriptors_an_attempt_fails_and_the_next_works(when: str) -> None:
    """Translating the error must open nothing: the worker takes any other error for a bug and the daemon exits."""
    with ThreadedCloudWatchDouble() as double:
        run = subprocess.run(
            [sys.executable, "-c", NO_DESCRIPTORS, double.url, when],
            env=os.environ | double.environment(),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("| raise the limit") == 3
    assert [record.status for record in double.requests] == [200]
