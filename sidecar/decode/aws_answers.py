"""Answers to AWS calls, in the protocol of the call: a 200 with its output, or an error that SDKs raise typed. Pure.

Least that contents every SDK, and what breaks which: `{}` where CBOR is expected fails in Go, an empty body where XML is
expected fails in boto3. Source: answers of the services, and of AWS's SDKs given others, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

import orjson

from sidecar.decode import aws_cbor
from sidecar.decode.aws_faults import Fault, Service
from sidecar.decode.aws_request import Call, Protocol
from sidecar.model.exchange import Answer

_CONTENT_TYPES: Final = {
    Protocol.JSON_1_0: "application/x-amz-json-1.0",
    Protocol.JSON_1_1: "application/x-amz-json-1.1",
    Protocol.CBOR: "application/cbor",
    Protocol.QUERY: "text/xml",
}
_XML_NAMESPACE: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
# What `__type` has before the error's name; Logs has nothing there.
_ERROR_NAMESPACES: Final = {Service.METRICS: "com.amazonaws.cloudwatch.v2010_08_01#"}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def success(call: Call, output: Mapping[str, Any], request_id: str) -> Answer:
    """Make a 200.

    Args:
        call: what was asked; an operation that is answered.
        output: the members of the operation's output, empty where it has none. In the query protocol, in which only
            PutMetricData is answered, it is not written.
        request_id: for `x-amzn-RequestId`, which SDKs show.
    """
    if call.protocol is Protocol.QUERY:
        body = _xml(f"{call.operation}Response", _metadata(request_id))
    elif call.protocol is Protocol.CBOR:
        body = aws_cbor.encode(output)
    else:
        body = orjson.dumps(output)
    return Answer(200, _headers(call, request_id), body)


def failure(call: Call, fault: Fault, request_id: str) -> Answer:
    """Make the answer to a call that is refused."""
    headers = _headers(call, request_id)
    sender = "Sender" if fault.status < 500 else "Receiver"
    query_code = fault.query_code or fault.code
    if call.protocol is Protocol.QUERY:
        error = f"<Error><Type>{sender}</Type><Code>{query_code}</Code>{_element('Message', fault.message)}</Error>"
        return Answer(fault.status, headers, _xml("ErrorResponse", error + _element("RequestId", request_id)))
    headers["x-amzn-ErrorType"] = fault.code
    if call.query_mode:
        headers["x-amzn-query-error"] = f"{query_code};{sender}"
    namespace = "" if call.service is None else _ERROR_NAMESPACES.get(call.service, "")
    document = {"__type": namespace + fault.code, "message": fault.message}
    if call.protocol is Protocol.CBOR:
        unknown = fault.code == "UnknownOperationException"  # 404 in this protocol
        return Answer(404 if unknown else fault.status, headers, aws_cbor.encode(document))
    return Answer(fault.status, headers, orjson.dumps(document))


def _headers(call: Call, request_id: str) -> dict[str, str]:
    headers = {"Content-Type": _CONTENT_TYPES[call.protocol], "x-amzn-RequestId": request_id}
    if call.protocol is Protocol.CBOR:
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return headers


def _metadata(request_id: str) -> str:
    return f"<ResponseMetadata>{_element('RequestId', request_id)}</ResponseMetadata>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub('?', text))}</{name}>"


def _xml(root: str, content: str) -> bytes:
    return f'<{root} xmlns="{_XML_NAMESPACE}">{content}</{root}>'.encode()
