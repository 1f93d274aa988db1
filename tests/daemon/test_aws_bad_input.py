"""Calls that no SDK makes: an error in the protocol of the call, counted, and the connection stays usable."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.support.daemon import Daemon, assert_balanced

METRICS: Final = "GraniteServiceVersion20100801"
CBOR_PATH: Final = f"/service/{METRICS}/operation/PutMetricData"
JSON: Final = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{METRICS}.PutMetricData"}
LOGS: Final = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.PutLogEvents"}
CBOR: Final = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
GOOD: Final = json.dumps({"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1}]}).encode()
LIMIT: Final = 2_200_000


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for the whole module."""
    started = Daemon(tmp_path_factory.mktemp("aws"), {"listen": {"max_body_bytes": LIMIT}})
    started.start()
    yield started
    final = started.stop()
    assert_balanced(final)
    assert final["samples"]["pending"] == final["log_events"]["pending"] == 0


@pytest.fixture
def connection(one: Daemon) -> Iterator[http.client.HTTPConnection]:
    """A connection, which is still usable at the end."""
    made = http.client.HTTPConnection("127.0.0.1", one.http_port, timeout=40)
    made.connect()
    sock = made.sock
    yield made
    assert made.sock is sock, "it was closed"
    assert post(made, "/", GOOD, JSON)[0] == 200
    made.close()


def post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def form(**members: str) -> bytes:
    return urlencode({"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "N"} | members).encode()


GAP: Final = form(
    **{"MetricData.member.1.MetricName": "a", "MetricData.member.1.Value": "1"},
    **{"MetricData.member.7.MetricName": "b", "MetricData.member.7.Value": "2"},
)
BAD: Final[dict[str, tuple[str, bytes, dict[str, str], int, str]]] = {
    "truncated CBOR": (CBOR_PATH, b"\xbf\x69Namespace\x61", CBOR, 400, "SerializationException"),
    "CBOR that nests without end": (CBOR_PATH, b"\x9f" * 100_000, CBOR, 400, "SerializationException"),
    "CBOR that announces much": (CBOR_PATH, b"\xa1\x61a\x9b" + b"\x7f" * 8, CBOR, 400, "SerializationException"),
    "JSON where CBOR is meant": (CBOR_PATH, GOOD, CBOR, 400, "SerializationException"),
    "truncated JSON": ("/", GOOD[:-3], JSON, 400, "SerializationException"),
    "JSON that is no object": ("/", b"[1]", JSON, 400, "SerializationException"),
    "no JSON": ("/", b"\xff\x00", JSON, 400, "SerializationException"),
    "an empty body": ("/", b"", JSON, 400, "MissingRequiredParameter"),
    "no namespace": ("/", b'{"MetricData": []}', JSON, 400, "MissingRequiredParameter"),
    "datums that are none": ("/", b'{"Namespace": "N", "MetricData": [1, null]}', JSON, 400, "InvalidParameterValue"),
    "metric data that is no list": ("/", b'{"Namespace": "N", "MetricData": {}}', JSON, 400, "InvalidParameterValue"),
    "a namespace of AWS": ("/", GOOD.replace(b'"N"', b'"AWS/EC2"'), JSON, 400, "InvalidParameterValue"),
    "a form with a broken escape": ("/", form() + b"&MetricData.member.1.MetricName=%zz", FORM, 400, "M"),
    "a form with a gap in its numbers": ("/", GAP, FORM, 400, "MalformedInput"),
    "an unknown operation": ("/", b"{}", {**JSON, "X-Amz-Target": f"{METRICS}.Nothing"}, 400, "UnknownOperation"),
    "an unknown service": ("/", b"{}", {**JSON, "X-Amz-Target": "Other.PutMetricData"}, 400, "UnknownOperation"),
    "a target without a dot": ("/", b"{}", {**JSON, "X-Amz-Target": "PutMetricData"}, 400, "UnknownOperation"),
    "an unknown operation in CBOR": (CBOR_PATH + "s", b"\xbf\xff", CBOR, 404, "UnknownOperation"),
    "an unknown action": ("/", b"Action=Nothing&Version=2010-08-01", FORM, 400, "InvalidAction"),
    "over 1 MB of metrics": ("/", b"{" + b" " * 2_000_000 + b"}", JSON, 413, "RequestEntityTooLarge"),
    "gzip that is none": ("/", b"plain", {**JSON, "Content-Encoding": "gzip"}, 400, "SerializationException"),
    "an encoding that is not read": ("/", GOOD, {**JSON, "Content-Encoding": "br"}, 400, "SerializationException"),
    "no log events": ("/", b'{"logGroupName": "g", "logStreamName": "s"}', LOGS, 400, "InvalidParameterException"),
    "a group of other characters": (
        "/",
        b'{"logGroupName": "shop:1", "logStreamName": "s", "logEvents": [{}]}',
        LOGS,
        400,
        "InvalidParameterException",
    ),
}
CLOSES: Final = ("gzip that is none",)  # what follows in the connection may be its rest


@pytest.mark.parametrize("case", [case for case in BAD if case not in CLOSES])
def test_what_cannot_be_read_is_an_error_of_its_protocol(
    one: Daemon, connection: http.client.HTTPConnection, case: str
) -> None:
    check(one, connection, case)


@pytest.mark.parametrize("case", CLOSES)
def test_a_body_that_cannot_be_inflated_closes_the_connection(one: Daemon, case: str) -> None:
    closing = http.client.HTTPConnection("127.0.0.1", one.http_port, timeout=40)
    assert check(one, closing, case)["connection"] == "close"
    closing.close()


def check(one: Daemon, connection: http.client.HTTPConnection, case: str) -> dict[str, str]:
    path, body, headers, expected, code = BAD[case]
    before = sum(one.stats()["responses"].get(route, {}).get(str(expected), 0) for route in ROUTES)
    status, answered, text = post(connection, path, body, headers)

    assert (status, code in text.decode("utf-8", "replace")) == (expected, True), text
    protocol = {"application/cbor": "application/cbor", FORM["Content-Type"]: "text/xml"}
    assert answered["content-type"] == protocol.get(headers["Content-Type"], headers["Content-Type"])
    assert answered["x-amzn-requestid"]
    assert sum(one.stats()["responses"].get(route, {}).get(str(expected), 0) for route in ROUTES) == before + 1
    return answered


ROUTES: Final = ("PutMetricData", "PutLogEvents", "other")


def test_another_content_type_is_no_call(one: Daemon, connection: http.client.HTTPConnection) -> None:
    """Without a target, and with a body that is no form of a call: a path that is not ours."""
    for content_type in ("text/plain", "application/json", FORM["Content-Type"]):
        status, _, text = post(connection, "/", b"a=b", {"Content-Type": content_type})
        assert status == 404
        assert b"/ingest/metrics" in text
    del one


def test_a_call_of_json_is_read_whatever_its_content_type(connection: http.client.HTTPConnection) -> None:
    status, answered, _ = post(connection, "/", GOOD, {**JSON, "Content-Type": "text/plain"})
    assert (status, answered["content-type"]) == (200, "application/x-amz-json-1.1")


def test_a_body_over_the_limit_is_refused_before_it_is_read(one: Daemon) -> None:
    """As announced, as sent in chunks, and after inflating."""
    large = GOOD[:-1] + b" " * LIMIT + b"}"
    for body, headers in (
        (large, JSON),
        (gzip.compress(large), {**JSON, "Content-Encoding": "gzip"}),
        (large, {**CBOR}),
        (b"Action=PutMetricData&Version=2010-08-01&x=" + b"x" * LIMIT, FORM),
    ):
        path = CBOR_PATH if headers == CBOR else "/"
        status, answer, answered = one.post(path, body, headers)
        assert status == 413, answer
        assert answered["Content-Type"] in ("application/x-amz-json-1.0", "application/cbor", "text/xml")


def raw(one: Daemon, data: bytes, wait: float = 5.0) -> bytes:
    """Everything that is answered until the other side closes, or for so long."""
    with socket.create_connection(("127.0.0.1", one.http_port), timeout=wait) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer


def head(headers: dict[str, str], body: bytes, version: str = "1.1") -> bytes:
    lines = [f"POST / HTTP/{version}", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def test_http_1_0_is_answered_and_closed(one: Daemon) -> None:
    answer = raw(one, head(JSON, GOOD, "1.0"))
    assert answer.startswith(b"HTTP/1.0 200")
    assert answer.endswith(b"{}")


def test_pipelined_calls_are_answered_in_their_order(one: Daemon) -> None:
    before = one.stats()["samples"]["received"]
    bad = {**JSON, "X-Amz-Target": f"{METRICS}.Nothing"}
    answer = raw(one, head(JSON, GOOD) + head(bad, b"{}") + head(JSON, GOOD) * 8)
    statuses = re.findall(rb"HTTP/1\.1 ([0-9]+)", answer)
    assert statuses == [b"200", b"400", *[b"200"] * 8]
    assert one.stats()["samples"]["received"] == before + 9


def test_a_call_that_ends_too_soon_is_no_call(one: Daemon) -> None:
    before = one.stats()["samples"]["received"]
    answer = raw(one, head(JSON, GOOD)[:-5])
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert one.stats()["samples"]["received"] == before


def test_a_large_call_holds_the_loop_for_less_than_probes_notice(one: Daemon) -> None:
    """Bodies as large as they may be, of each protocol, while datagrams arrive: all are received."""
    datums: list[dict[str, Any]] = [
        {"MetricName": "m", "Value": n, "Dimensions": [{"Name": "Service", "Value": "shop"}]} for n in range(9_000)
    ]
    body = json.dumps({"Namespace": "N", "MetricData": datums}).encode()
    assert 500_000 < len(body) < 1_048_576
    before = one.stats()["samples"]["received"]
    assert one.post("/", body, JSON)[0] == 200
    now = int(time.time() * 1_000)
    events = [{"timestamp": now, "message": f"line {n}"} for n in range(30_000)]
    logs = json.dumps({"logGroupName": "g", "logStreamName": "s", "logEvents": events}).encode()
    assert one.post("/", logs, LOGS)[0] == 200
    assert one.stats()["samples"]["received"] == before + 9_000


def test_datums_beyond_what_a_request_may_have_are_accepted(
    one: Daemon, connection: http.client.HTTPConnection
) -> None:
    """AWS accepts 1,000 datums, 150 values each: here they are split at delivery."""
    datum = {"MetricName": "many", "Values": list(range(5_000)), "Unit": "Count"}
    body = json.dumps({"Namespace": "N", "MetricData": [datum]}).encode()
    assert post(connection, "/", body, JSON)[0] == 200
    del one
