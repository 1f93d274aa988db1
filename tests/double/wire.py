"""The AWS JSON protocols 1.0 and 1.1 on HTTP: bytes to a request, an answer to bytes.

CloudWatch speaks JSON 1.0 (`GraniteServiceVersion20100801.*`), Logs JSON 1.1
(`Logs_20140328.*`); both inflate `Content-Encoding: gzip`.  Not spoken here: the query
protocol and CBOR.  Source: Smithy, "AWS JSON 1.0/1.1 protocol" and "awsQueryCompatible".
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import orjson
from aiohttp import web

from .errors import ServiceError
from .fields import JsonObject, as_structure

MAX_INFLATED_BYTES: Final = 64 * 1_048_576  # ours: a bomb ends here, far above every limit of AWS

Service = Literal["monitoring", "logs"]


class _Protocol(NamedTuple):
    service: Service
    content_type: str
    error_namespace: str  # put before the error's name in `__type`


_PROTOCOLS: Final[Mapping[str, _Protocol]] = {
    "GraniteServiceVersion20100801": _Protocol(
        "monitoring",
        "application/x-amz-json-1.0",
        "com.amazonaws.cloudwatch.v2010_08_01#",
    ),
    "Logs_20140328": _Protocol("logs", "application/x-amz-json-1.1", ""),
}


class Target(NamedTuple):
    """Where a request is addressed.

    Attributes:
        service: the name it must be signed for.
        operation: e.g. `PutMetricData`.
        content_type: of the request and of its answer.
        error_namespace: goes before an error's name.
        query_mode: the client wants the error names of the old query protocol.
    """

    service: Service
    operation: str
    content_type: str
    error_namespace: str
    query_mode: bool


def read_target(request: web.BaseRequest) -> Target:
    """Read which operation is meant.

    Raises:
        ServiceError: `UnknownOperationException`; not a call of either service.
    """
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    protocol = _PROTOCOLS.get(prefix)
    if protocol is None or request.method != "POST" or request.path != "/" or not operation:
        raise ServiceError("UnknownOperationException", "", status=404)
    if request.headers.get("Content-Type", "").split(";")[0].strip() != protocol.content_type:
        raise ServiceError("UnknownOperationException", f"expected {protocol.content_type}", status=404)
    query_mode = protocol.service == "monitoring" and request.headers.get("x-amzn-query-mode") == "true"
    return Target(protocol.service, operation, protocol.content_type, protocol.error_namespace, query_mode)


def inflate(body: bytes, encoding: str | None) -> bytes:
    """Undo the content encoding of a body.

    Raises:
        ServiceError: `SerializationException` (not gzip), 415 (another encoding) or 413.
    """
    if encoding is None or encoding.lower() == "identity":
        return body
    if encoding.lower() != "gzip":
        raise ServiceError("UnsupportedMediaType", f"Content-Encoding {encoding} is not supported", status=415)
    inflater = zlib.decompressobj(wbits=31)  # 31: gzip framing only
    try:
        inflated = inflater.decompress(body, MAX_INFLATED_BYTES)
    except zlib.error as problem:
        raise ServiceError("SerializationException", f"not gzip: {problem}") from problem
    if inflater.unconsumed_tail:
        raise ServiceError("RequestEntityTooLarge", f"over {MAX_INFLATED_BYTES} bytes inflated", status=413)
    if not inflater.eof or inflater.unused_data:
        raise ServiceError("SerializationException", "gzip: truncated, or followed by something else")
    return inflated


def decode(body: bytes) -> JsonObject:
    """Decode a JSON document; NaN, invalid UTF-8 and anything but an object are refused.

    Raises:
        ServiceError: `SerializationException`.
    """
    try:
        return as_structure(orjson.loads(body or b"{}"))
    except orjson.JSONDecodeError as problem:
        raise ServiceError("SerializationException", str(problem)) from problem


def success(answer: JsonObject | None, target: Target) -> web.Response:
    """Make a 200; None is an operation without output, which has an empty body."""
    body = b"" if answer is None else orjson.dumps(answer)
    return web.Response(body=body, headers={"Content-Type": target.content_type, **_identity()})


def failure(error: ServiceError, target: Target | None) -> web.Response:
    """Make the answer to a refused request; `target` is None if it could not be read."""
    headers = {"Content-Type": "application/x-amz-json-1.1", **_identity(), **error.headers}
    if error.body is not None:
        headers["Content-Type"] = "text/html"
        return web.Response(status=error.status, body=error.body, headers=headers)
    namespace = ""
    if target is not None:
        headers["Content-Type"], namespace = target.content_type, target.error_namespace
        if target.query_mode:
            headers["x-amzn-query-error"] = f"{error.legacy_code};{error.blame}"
    document = {"__type": f"{namespace}{error.code}", "message": error.message}
    return web.Response(status=error.status, body=orjson.dumps(document), headers=headers)


def _identity() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}
