"""Requests on HTTP: which service and operation is meant, in which protocol, and the answer; see `protocols`."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from aiohttp import web

from .errors import ServiceError
from .fields import JsonObject
from .protocols import METRICS_NAMESPACE, Cbor, Json, Query, Wire, operation_form

MAX_INFLATED_BYTES: Final = 64 * 1_048_576  # ours: a bomb ends here, far above every limit of AWS

Service = Literal["monitoring", "logs"]

_JSON: Final[Mapping[str, tuple[Service, Json]]] = {
    "GraniteServiceVersion20100801": ("monitoring", Json("application/x-amz-json-1.0", METRICS_NAMESPACE)),
    "Logs_20140328": ("logs", Json("application/x-amz-json-1.1", "")),
}
_CBOR: Final = Cbor()
_QUERY: Final = Query()
_RPC_PATH: Final = re.compile(r"(?:/.*)?/service/GraniteServiceVersion20100801/operation/(\w+)")


class Target(NamedTuple):
    """Where a request is addressed.

    Attributes:
        service: the name it must be signed for.
        operation: e.g. `PutMetricData`.
        wire: of the request and of its answer.
        query_mode: the client wants the error names of the old query protocol.
    """

    service: Service
    operation: str
    wire: Wire
    query_mode: bool


async def read_target(request: web.BaseRequest) -> tuple[Target, bytes | None]:
    """Read which operation is meant; in the query protocol the body says so, and is returned as well.

    Raises:
        ServiceError: `UnknownOperationException`; not a call of either service.
    """
    content_type = request.headers.get("Content-Type", "").split(";")[0].strip()
    query_mode = request.headers.get("x-amzn-query-mode") == "true"
    path = _RPC_PATH.fullmatch(request.path)
    if request.method == "POST" and path is not None and request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return Target("monitoring", path[1], _CBOR, query_mode), None
    if request.method != "POST" or request.path != "/":
        raise ServiceError("UnknownOperationException", "", status=404)
    if content_type == "application/x-www-form-urlencoded":
        body = await request.content.read()
        operation = operation_form(inflate(body, request.headers.get("Content-Encoding"))).get("Action", "")
        return Target("monitoring", operation, _QUERY, query_mode=False), body
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if prefix not in _JSON or not operation:
        raise ServiceError("UnknownOperationException", "", status=404)
    service, wire = _JSON[prefix]
    if content_type != wire.content_type:
        raise ServiceError("UnknownOperationException", f"expected {wire.content_type}", status=404)
    return Target(service, operation, wire, service == "monitoring" and query_mode), None


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


def success(answer: JsonObject | None, target: Target) -> web.Response:
    """Make a 200; None is an operation without output."""
    request_id = str(uuid.uuid4())
    reply = target.wire.success(target.operation, answer, request_id)
    return web.Response(body=reply.body, headers={**reply.headers, "x-amzn-RequestId": request_id})


def failure(error: ServiceError, target: Target | None) -> web.Response:
    """Make the answer to a refused request; `target` is None if it could not be read."""
    request_id = str(uuid.uuid4())
    reply = (_JSON["Logs_20140328"][1] if target is None else target.wire).failure(error, request_id)
    headers = {**reply.headers, "x-amzn-RequestId": request_id, **error.headers}
    if error.body is not None:
        return web.Response(status=error.status, body=error.body, headers={**headers, "Content-Type": "text/html"})
    if target is not None and target.query_mode:
        headers["x-amzn-query-error"] = f"{error.legacy_code};{error.blame}"
    return web.Response(status=error.status, body=reply.body, headers=headers)
