"""One HTTP request at a time: read, check, apply the scripted fault, store, answer, record."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from . import wire
from .auth import SignedRequest, check_signature
from .errors import ConnectionCut, ServiceError
from .fault_kinds import access_denied_error, too_large_error
from .faults import Exchange, Fault, FaultPlan, Stage
from .fields import JsonObject
from .logs import LogStore
from .metric_reads import get_metric_statistics
from .metrics import MetricStore
from .records import RequestLog, RequestRecord
from .wire import Target

MAX_METRIC_BODY_BYTES: Final = 1_000_000  # PutMetricData: "1 MB"; taken as decimal, before gzip


@dataclass(slots=True)
class Settings:
    """What may be changed while the double runs.

    Attributes:
        clock: epoch seconds; decides which timestamps are too old or too new.
        max_metric_body_bytes: limit of a PutMetricData body, inflated.
        secret_access_key: verify signatures with it; None takes any.
        legacy_codes: False leaves out `x-amzn-query-error`, so that clients see the names
            of the JSON wire although they asked for those of the query protocol.
    """

    clock: Callable[[], float] = time.time
    max_metric_body_bytes: int = MAX_METRIC_BODY_BYTES
    secret_access_key: str | None = None
    legacy_codes: bool = True


@dataclass(slots=True)
class _Call:
    """A request under way: what its record will say."""

    client_port: int
    target: Target | None = None
    fault: Fault | None = None
    status: int = 0
    error: str | None = None
    wire_body: bytes = b""
    body: bytes = b""
    compressed: bool = False
    document: JsonObject = field(default_factory=dict)
    stored: bool = False
    access_key_id: str = ""
    started_at: float = field(default_factory=time.monotonic)

    @property
    def operation(self) -> str:
        return "" if self.target is None else self.target.operation

    def record(self) -> RequestRecord:
        document = self.document
        where = (document.get("Namespace"), document.get("logGroupName"), document.get("logStreamName"))
        items = document.get("MetricData", document.get("logEvents"))
        return RequestRecord(
            operation=self.operation,
            target=":".join(part for part in where if isinstance(part, str)),
            status=self.status,
            error=self.error,
            items=len(items) if isinstance(items, list) else 0,
            stored=self.stored,
            wire_bytes=len(self.wire_body),
            body_bytes=len(self.body),
            compressed=self.compressed,
            fingerprint=hashlib.sha256(self.body).hexdigest(),
            fault=None if self.fault is None else self.fault.kind,
            access_key_id=self.access_key_id,
            client_port=self.client_port,
            started_at=self.started_at,
            ended_at=time.monotonic(),
        )


class CloudWatchService:
    """Both services behind one endpoint; `handle` is an aiohttp request handler."""

    def __init__(self, settings: Settings, remember_requests: int = 10_000) -> None:
        self.settings = settings
        self.metrics = MetricStore()
        self.logs = LogStore()
        self.faults = FaultPlan()
        self.requests = RequestLog(remember_requests)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request and record it."""
        call = _Call(_client_port(request.transport))
        try:
            call.target, given = await wire.read_target(request)
            call.wire_body = given or b""
            if not self.settings.legacy_codes:
                call.target = call.target._replace(query_mode=False)
            self.requests.begin(call.operation)
        except ServiceError as error:
            self.requests.begin("")
            call.status, call.error = error.status, error.code
            self.requests.end(call.record())
            return wire.failure(error, None)
        try:
            answer = wire.success(await self._serve(request, call, call.target), call.target)
            call.status = answer.status
        except ServiceError as error:
            call.status, call.error = error.status, error.code
            answer = wire.failure(error, call.target)
        except ConnectionCut:
            call.error = "connection reset"
            cut(request.transport)
            answer = web.Response()  # goes nowhere
        except (asyncio.CancelledError, ConnectionError, web.RequestPayloadError):
            call.error = "client left"
            raise
        except Exception as bug:  # ours: let it be seen in the records, and by aiohttp
            call.status, call.error = 500, repr(bug)
            raise
        finally:
            self.requests.end(call.record())
        return answer

    async def _serve(self, request: web.BaseRequest, call: _Call, target: Target) -> JsonObject | None:
        call.fault = self.faults.take(target.operation)
        exchange = Exchange(target.operation, target.service)
        if call.fault is not None and call.fault.stage is Stage.ARRIVED:
            await request.content.readany()
        await self._act(call, exchange, Stage.ARRIVED)
        await self._read(request, call, target)
        await self._act(call, exchange, Stage.READ)
        answer = self._dispatch(target, call, exchange)
        call.stored = target.operation.startswith(("Put", "Create"))
        self.requests.changed()
        await self._act(call, exchange, Stage.STORED)
        return answer

    async def _act(self, call: _Call, exchange: Exchange, stage: Stage) -> None:
        if call.fault is not None and call.fault.stage is stage:
            await call.fault.act(exchange)

    async def _read(self, request: web.BaseRequest, call: _Call, target: Target) -> None:
        """Read and check everything that is the same for all operations."""
        call.wire_body = call.body = call.wire_body or await request.content.read()
        encoding = request.headers.get("Content-Encoding")
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = SignedRequest(request.method, request.path, request.query_string, headers, call.wire_body)
        call.access_key_id = check_signature(signed, target.service, self.settings.secret_access_key)
        call.body = wire.inflate(call.wire_body, encoding)
        call.compressed = encoding == "gzip"
        limit = self.settings.max_metric_body_bytes
        if target.service == "monitoring" and len(call.body) > limit:
            raise too_large_error(len(call.body), limit)
        call.document = target.wire.decode(call.body)

    def _dispatch(self, target: Target, call: _Call, exchange: Exchange) -> JsonObject | None:
        now = self.settings.clock()
        logs, metrics, body = self.logs, self.metrics, call.document
        operations: Mapping[tuple[str, str], Callable[[], object]] = {
            ("monitoring", "PutMetricData"): lambda: metrics.put(body, now),
            ("monitoring", "GetMetricStatistics"): lambda: get_metric_statistics(metrics, body),
            ("logs", "PutLogEvents"): lambda: logs.put_log_events(body, now, exchange.reject),
            ("logs", "CreateLogGroup"): lambda: logs.create_log_group(body, now),
            ("logs", "CreateLogStream"): lambda: logs.create_log_stream(body),
            ("logs", "PutRetentionPolicy"): lambda: logs.put_retention_policy(body),
            ("logs", "GetLogEvents"): lambda: logs.get_log_events(body),
        }
        operation = operations.get((target.service, target.operation))
        if operation is None:  # a shipper needs no other permission
            raise access_denied_error(target.operation, target.service)
        answer = operation()
        return answer if isinstance(answer, dict) else None


def _client_port(transport: asyncio.BaseTransport | None) -> int:
    peer = None if transport is None else transport.get_extra_info("peername")
    return int(peer[1]) if peer else 0


def cut(transport: asyncio.Transport | None) -> None:
    """End a connection with a TCP reset."""
    if transport is None:
        return
    connected = transport.get_extra_info("socket")
    if connected is not None:
        # Linger on for 0 s: closing discards what is unsent and resets (socket(7)).
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
