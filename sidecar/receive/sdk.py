"""Calls of AWS SDKs that came to us by mistake: recognised, and refused in a form that the SDK shows to its user.

Forms of the errors: the AWS JSON 1.0 and 1.1, Query and Smithy RPC v2 CBOR protocols, as the SDKs read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson
from aiohttp import web

NAME_CHARACTERS: Final = 100
_ACTION: Final = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]{1,64})(?:&|$)")
_CBOR_PATH: Final = re.compile(r"/operation/([A-Za-z0-9]{1,64})$")


class SdkCall(NamedTuple):
    """A call of an AWS SDK.

    Attributes:
        protocol: json, query or cbor.
        operation: what it calls, such as PutMetricData, with its service in front where the protocol says it.
        content_type: of a JSON request, for the answer.
    """

    protocol: str
    operation: str
    content_type: str


def sdk_call(headers: Mapping[str, str], path: str, body: bytes) -> SdkCall | None:
    """The call that a request is, or None; `body` is asked of forms only."""
    type_ = headers.get("Content-Type", "").partition(";")[0].strip()
    target = headers.get("X-Amz-Target")
    if target is not None:
        # An SDK compares the type without looking at it; anything printable and short goes back.
        json_type = type_ if re.fullmatch(r"application/x-amz-json-1\.[01]", type_) else "application/x-amz-json-1.1"
        return SdkCall("json", target[:NAME_CHARACTERS], json_type)
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        found = _CBOR_PATH.search(path)
        return SdkCall("cbor", found[1] if found else "unknown", "application/cbor")
    action = _ACTION.search(body)
    return SdkCall("query", action[1].decode(), "text/xml") if action else None


def sdk_error(call: SdkCall, message: str) -> web.Response:
    """An error of the kind that is not retried and whose message reaches the SDK's user."""
    if call.protocol == "json":
        body = orjson.dumps({"__type": "UnknownOperationException", "message": message})
        return web.Response(body=body, status=400, content_type=call.content_type)
    if call.protocol == "cbor":
        pairs = ("__type", "UnknownOperationException", "message", message)
        body = b"\xa2" + b"".join(map(_cbor_text, pairs))  # a map of two pairs
        headers = {"smithy-protocol": "rpc-v2-cbor"}
        return web.Response(body=body, status=404, content_type=call.content_type, headers=headers)
    text = (
        '<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><Error><Type>Sender</Type>'
        f"<Code>InvalidAction</Code><Message>{message}</Message></Error><RequestId>sidecar</RequestId></ErrorResponse>"
    )
    return web.Response(body=text.encode(), status=400, content_type=call.content_type)


def _cbor_text(text: str) -> bytes:
    """A text string of CBOR (RFC 8949, major type 3), with a length of two bytes."""
    data = text.encode()
    return b"\x79" + len(data).to_bytes(2, "big") + data
