"""The protocols that SDKs speak: bytes to a document, an answer or a refusal to bytes.

AWS JSON 1.0 (CloudWatch) and 1.1 (Logs); Smithy RPC v2 CBOR and the query protocol, both of PutMetricData alone. CBOR is
read with botocore's own parser. Sources: the Smithy pages of these protocols and of "awsQueryCompatible"; the API
reference, "Making API requests" with the query API, version 2010-08-01.
"""

from __future__ import annotations

import io
import struct
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import orjson
from botocore.parsers import ResponseParserError, RpcV2CBORParser

from .errors import ServiceError
from .fields import JsonObject, as_structure

METRICS_NAMESPACE: Final = "com.amazonaws.cloudwatch.v2010_08_01#"
_XML_NAMESPACE: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
_NUMBERS: Final = ("Value", "Values", "Counts", "SampleCount", "Sum", "Minimum", "Maximum", "StorageResolution")
_LISTS: Final = ("MetricData", "Dimensions", "Values", "Counts")


class Reply(NamedTuple):
    """The body of an answer, and its headers."""

    body: bytes
    headers: dict[str, str]


class Wire(Protocol):
    """One protocol."""

    def decode(self, body: bytes) -> JsonObject:
        """Decode a request.

        Raises:
            ServiceError: `SerializationException`.
        """
        ...

    def success(self, operation: str, answer: JsonObject | None, request_id: str) -> Reply:
        """The answer of an operation; None is one without output."""
        ...

    def failure(self, error: ServiceError, request_id: str) -> Reply:
        """The answer to a refused request."""
        ...


class Json:
    """AWS JSON.

    Args:
        content_type: of requests and answers.
        error_namespace: put before an error's name.
    """

    def __init__(self, content_type: str, error_namespace: str) -> None:
        self.content_type = content_type
        self._error_namespace = error_namespace

    def decode(self, body: bytes) -> JsonObject:
        """NaN, invalid UTF-8 and anything but an object are refused."""
        try:
            return as_structure(orjson.loads(body or b"{}"))
        except orjson.JSONDecodeError as problem:
            raise ServiceError("SerializationException", str(problem)) from problem

    def success(self, operation: str, answer: JsonObject | None, request_id: str) -> Reply:
        """An operation without output has an empty body."""
        return Reply(b"" if answer is None else orjson.dumps(answer), {"Content-Type": self.content_type})

    def failure(self, error: ServiceError, request_id: str) -> Reply:
        document = {"__type": f"{self._error_namespace}{error.code}", "message": error.message}
        return Reply(orjson.dumps(document), {"Content-Type": self.content_type})


class Cbor:
    """Smithy RPC v2 CBOR."""

    _headers: Final = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}

    def decode(self, body: bytes) -> JsonObject:
        """Timestamps become seconds since the epoch, as in JSON."""
        parser = RpcV2CBORParser()
        stream = parser.get_peekable_stream_from_bytes(body)
        try:
            document = parser.parse_data_item(stream) if body else {}
        except (ResponseParserError, ValueError, struct.error, OverflowError, io.UnsupportedOperation) as problem:
            raise ServiceError("SerializationException", str(problem)) from problem
        if stream.read(1):
            raise ServiceError("SerializationException", "there is more behind the document")
        return as_structure(_plain(document))

    def success(self, operation: str, answer: JsonObject | None, request_id: str) -> Reply:
        if answer:
            raise NotImplementedError("the double answers in CBOR only where an operation has no output")
        return Reply(b"\xbf\xff", self._headers)

    def failure(self, error: ServiceError, request_id: str) -> Reply:
        pairs = {"__type": METRICS_NAMESPACE + error.code, "message": error.message}
        return Reply(
            b"\xa2" + b"".join(map(_cbor_text, [part for pair in pairs.items() for part in pair])), self._headers
        )


class Query:
    """The query protocol: a form in, XML out; errors have the names it has for them."""

    def decode(self, body: bytes) -> JsonObject:
        """`MetricData.member.1.Values.member.2=3` becomes an element of nested lists, numbers become numbers."""
        document: dict[str, Any] = {}
        for name, value in operation_form(body).items():
            if name not in ("Action", "Version"):
                _put(document, name.split("."), value)
        return as_structure(_listed(document))

    def success(self, operation: str, answer: JsonObject | None, request_id: str) -> Reply:
        if answer:
            raise NotImplementedError("the double answers in XML only where an operation has no output")
        return _xml(f"<{operation}Response", _request_id(request_id), f"</{operation}Response>")

    def failure(self, error: ServiceError, request_id: str) -> Reply:
        said = f"<Type>{error.blame}</Type><Code>{error.legacy_code}</Code><Message>{escape(error.message)}</Message>"
        return _xml("<ErrorResponse", f"<Error>{said}</Error><RequestId>{request_id}</RequestId>", "</ErrorResponse>")


def operation_form(body: bytes) -> dict[str, str]:
    """The fields of a form.

    Raises:
        ServiceError: it is none.
    """
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    except ValueError as problem:
        raise ServiceError("SerializationException", str(problem)) from problem


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _cbor_text(text: str) -> bytes:
    encoded = text.encode()
    return b"\x79" + struct.pack(">H", len(encoded)) + encoded


def _put(document: dict[str, Any], steps: list[str], value: str) -> None:
    for step in steps[:-1]:
        document = document.setdefault(step, {})
    document[steps[-1]] = value


def _listed(document: dict[str, Any], name: str = "") -> Any:
    if name in _LISTS:
        members = document.get("member", {})
        listed = [members[number] for number in sorted(members, key=int)]
        # The Value of a dimension is text.
        return listed if name == "Dimensions" else [_value(item, name) for item in listed]
    return {key: _value(item, key) for key, item in document.items()}


def _value(item: Any, name: str) -> Any:
    if isinstance(item, dict):
        # A member of a list has the list's name here, and is no list itself.
        return _listed(item, name if "member" in item else "")
    try:
        if name in _NUMBERS:
            number = float(item)
            return int(number) if name == "StorageResolution" else number
        return datetime.fromisoformat(item).timestamp() if name == "Timestamp" else item
    except ValueError as problem:
        raise ServiceError("MalformedInput", f"{name}: {problem}") from problem


def _request_id(request_id: str) -> str:
    return f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"


def _xml(start: str, content: str, end: str) -> Reply:
    return Reply(f'{start} xmlns="{_XML_NAMESPACE}">{content}{end}'.encode(), {"Content-Type": "text/xml"})
