"""Calls of AWS SDKs: which protocol, service and operation a request is, and its parameters. Pure.

Three protocols give the same parameters, those of the JSON one: AWS JSON 1.0 and 1.1 (`aws_json`), Smithy RPC v2 CBOR (`aws_cbor`)
and AWS query (`aws_form`). `aws_operations` makes samples, log events and other requests of them, `aws_answers` writes
what the sender waits for. Signatures are not checked, and no header that carries one is read.
Source: Smithy's pages of the protocols; requests of AWS's SDKs as they are on the wire, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple, TypeAlias

from sidecar.decode import aws_cbor, aws_form, aws_json
from sidecar.decode.aws_faults import Service
from sidecar.decode.aws_known import Known
from sidecar.model.errors import DecodeError, Reason

Parameters: TypeAlias = dict[str, Any]
"""The members of an operation's input. An element that could not be read alone is a DecodeError in its place."""

PUT_METRIC_DATA_BYTES: Final = 1_048_576  # PutMetricData: "1 MB", inflated
OPERATIONS: Final = {
    Service.METRICS: ("PutMetricData",),
    Service.LOGS: (
        "PutLogEvents",
        "CreateLogGroup",
        "CreateLogStream",
        "PutRetentionPolicy",
        "DescribeLogGroups",
        "DescribeLogStreams",
    ),
}

METRICS_TARGET: Final = "GraniteServiceVersion20100801"
_SERVICES: Final = {METRICS_TARGET: Service.METRICS, "Logs_20140328": Service.LOGS}
_QUERY_VERSION: Final = "2010-08-01"
_FORM: Final = "application/x-www-form-urlencoded"
# A path in the endpoint's URL comes before it.
_CBOR_PATH: Final = re.compile(r"/service/([^/]{1,128})/operation/([^/]{1,128})\Z")


class Protocol(Enum):
    """How parameters, outputs and errors are written."""

    JSON_1_0 = auto()
    JSON_1_1 = auto()
    CBOR = auto()
    QUERY = auto()


class Call(NamedTuple):
    """What a request asks for.

    Attributes:
        protocol: in which it is to be answered.
        service: None where it is neither of the two.
        operation: its name; with the name of its service where that is neither of the two.
        query_mode: the caller wants the error names of the older query protocol, too.
    """

    protocol: Protocol
    service: Service | None
    operation: str
    query_mode: bool

    @property
    def answered(self) -> bool:
        """Whether it is one of `OPERATIONS`."""
        return self.service is not None and self.operation in OPERATIONS[self.service]


def recognise(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call | None:
    """Tell which call a request is.

    Args:
        method: HTTP.
        path: HTTP, without its query.
        headers: looked up with names in lower case.
        body: inflated; read only where it is a form.

    Returns:
        The call; None where it is no call of an AWS SDK.
    """
    if method != "POST":
        return None
    query_mode = headers.get("x-amzn-query-mode", "").lower() == "true"
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if target := headers.get("x-amz-target"):
        name, _, operation = target.partition(".")
        old = content_type == "application/x-amz-json-1.0"
        protocol = Protocol.JSON_1_0 if old else Protocol.JSON_1_1
        return _call(protocol, name, operation, query_mode=query_mode)
    if found := _CBOR_PATH.search(path):
        return _call(Protocol.CBOR, found[1], found[2], query_mode=query_mode)
    if content_type != _FORM:
        return None
    operation, version = aws_form.action(body)
    if not operation or not version:
        return None
    service = Service.METRICS if version == _QUERY_VERSION else None
    return Call(Protocol.QUERY, service, operation, query_mode=False)


def parameters(call: Call, body: bytes, known: Known | None = None) -> Generator[None, None, Parameters | DecodeError]:
    """Read the parameters of a call that is answered.

    Args:
        call: as recognised.
        body: inflated.
        known: of earlier calls; see `aws_cbor.decode`.

    Yields:
        None now and then: a moment to let others run.

    Returns:
        The parameters, or why nothing of them could be read.
    """
    if call.operation == "PutMetricData" and len(body) > PUT_METRIC_DATA_BYTES:
        detail = f"Request size {len(body)} exceeded {PUT_METRIC_DATA_BYTES} bytes"
        return DecodeError(Reason.REQUEST_TOO_LARGE, detail)
    if call.protocol is Protocol.CBOR:
        return (yield from aws_cbor.decode(body, None if known is None else known.cbor))
    if call.protocol is Protocol.QUERY:
        return (yield from aws_form.decode(body, None if known is None else known.forms))
    return (yield from aws_json.decode(body))


def _call(protocol: Protocol, name: str, operation: str, *, query_mode: bool) -> Call:
    service = _SERVICES.get(name)
    operation = operation if service is not None else f"{name}.{operation}"
    return Call(protocol, service, operation[:128], query_mode and service is Service.METRICS)
