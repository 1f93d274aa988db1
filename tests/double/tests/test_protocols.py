"""The double in the protocols of other SDKs: what each decodes to, and how it refuses."""

from __future__ import annotations

import http.client
import struct
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from tests.double.errors import ServiceError
from tests.double.protocols import Cbor, Query
from tests.double.tests.test_server import SIGNED, headers
from tests.double.threaded import ThreadedCloudWatchDouble

DATUM = {"MetricName": "Latency", "Values": [1.5, 2.0], "Counts": [1.0, 3.0], "Timestamp": 1767225600.0}
FORM = {
    "Action": "PutMetricData",
    "Version": "2010-08-01",
    "Namespace": "App",
    "MetricData.member.1.MetricName": "Latency",
    "MetricData.member.1.Values.member.1": "1.5",
    "MetricData.member.1.Values.member.2": "2",
    "MetricData.member.1.Counts.member.1": "1",
    "MetricData.member.1.Counts.member.2": "3",
    "MetricData.member.1.Dimensions.member.1.Name": "Value",
    "MetricData.member.1.Dimensions.member.1.Value": "7",
    "MetricData.member.1.Timestamp": "2026-01-01T00:00:00Z",
}


def cbor(value: object) -> bytes:
    """As the SDKs of Rust and Java write it: lengths known, doubles of 8 bytes, a tag before a time."""
    if isinstance(value, str):
        return bytes([0x60 + len(value)]) + value.encode()
    if isinstance(value, dict):
        pairs = [cbor(key) + (b"\xc1" if key == "Timestamp" else b"") + cbor(item) for key, item in value.items()]
        return bytes([0xA0 + len(value)]) + b"".join(pairs)
    if isinstance(value, list):
        return bytes([0x80 + len(value)]) + b"".join(map(cbor, value))
    return b"\xfb" + struct.pack(">d", value)


def test_cbor_is_the_same_document() -> None:
    document = {"Namespace": "App", "MetricData": [DATUM]}

    assert Cbor().decode(cbor(document)) == document


@pytest.mark.parametrize("body", [cbor({"a": "b"})[:-1], b"\xff", b"\x61\x61", cbor({}) + b"x", b"\xa1\x61"])
def test_what_is_no_cbor_document_is_refused(body: bytes) -> None:
    with pytest.raises(ServiceError, match="SerializationException"):
        Cbor().decode(body)


def test_a_form_is_the_same_document() -> None:
    datum = {**DATUM, "Dimensions": [{"Name": "Value", "Value": "7"}]}

    assert Query().decode(urlencode(FORM).encode()) == {"Namespace": "App", "MetricData": [datum]}


def send(double: ThreadedCloudWatchDouble, path: str, body: bytes, **more: str) -> tuple[int, bytes]:
    given = {name: value for name, value in headers(SIGNED).items() if name != "X-Amz-Target"}
    connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=40)
    try:
        connection.request(
            "POST", path, body, {**given, **{name.replace("_", "-"): value for name, value in more.items()}}
        )
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_refusal_in_xml(double: ThreadedCloudWatchDouble) -> None:
    form = {name: value for name, value in FORM.items() if "Timestamp" not in name}
    form["MetricData.member.1.Unit"] = "Furlongs"
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    status, body = send(double, "/", urlencode(form).encode(), Content_Type=content_type)

    assert status == 400
    assert ET.fromstring(body).findtext(".//{*}Code") == "InvalidParameterValue"


def test_a_refusal_in_cbor(double: ThreadedCloudWatchDouble) -> None:
    body = cbor({"Namespace": "App", "MetricData": [{"MetricName": "x", "Value": 1.0, "Unit": "Furlongs"}]})
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    status, answer = send(double, path, body, Content_Type="application/cbor", smithy_protocol="rpc-v2-cbor")

    assert status == 400
    assert b"#InvalidParameterValueException" in answer
