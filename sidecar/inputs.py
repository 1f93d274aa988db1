"""Every way in, one row each: its name and keys, the transport, where its bytes go, and its labels in the ledger.

A new input is a row here and its keys in config/schema.py; a new transport is a file in receive/, a new dialect one
in decode/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from sidecar.config.schema import Listen
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import UdpReceiver
from sidecar.receive.http import HttpReceiver

Receiver: TypeAlias = UdpReceiver | HttpReceiver


@dataclass(frozen=True, slots=True)
class Parts:
    """What receivers are made with.

    Attributes:
        listen: the section of the configuration.
        pipeline: takes what arrives.
        ledger: counts datagrams and responses.
        limiter: for log lines about refused requests.
        failed: called with a bug that was raised in a callback.
        connections: the most that are open at a time at one HTTP listener.
    """

    listen: Listen
    pipeline: Pipeline
    ledger: Ledger
    limiter: Limiter
    failed: Callable[[Exception], None]
    connections: int


@dataclass(frozen=True, slots=True)
class Row:
    """One way in.

    Attributes:
        name: of the listener, in `/ready`, `/stats` and the log.
        address: returns host and port; a port of None turns the input off.
        labels: the values of the label `input` under which the ledger counts what arrives here.
        make: makes the receiver of a host and port.
    """

    name: str
    address: Callable[[Listen], tuple[str, int | None]]
    labels: tuple[str, ...]
    make: Callable[[str, int, ListenerHealth, Parts], Receiver]


def _statsd(host: str, port: int, listener: ListenerHealth, parts: Parts) -> UdpReceiver:
    return UdpReceiver(
        host,
        port,
        receive_buffer_bytes=parts.listen.receive_buffer_bytes,
        handle=parts.pipeline.datagrams,
        datagrams=parts.ledger.datagrams,
        listener=listener,
        failed=parts.failed,
    )


def _ingest(host: str, port: int, listener: ListenerHealth, parts: Parts) -> HttpReceiver:
    return HttpReceiver(
        host,
        port,
        max_body_bytes=parts.listen.max_body_bytes,
        routes={
            "/ingest/metrics": parts.pipeline.ingest_metrics,
            "/ingest/logs": parts.pipeline.ingest_logs,
        },
        refuse=parts.pipeline.close,
        responses=parts.ledger.responses,
        listener=listener,
        limiter=parts.limiter,
        allowed_hosts=parts.listen.allowed_hosts,
        connections=parts.connections,
    )


ROWS: Final = (
    Row("statsd", lambda listen: (listen.statsd_host, listen.statsd_port), ("statsd", "json_udp"), _statsd),
    Row("http", lambda listen: (listen.http_host, listen.http_port), ("http",), _ingest),
)


def make_inputs(parts: Parts, health: Health) -> list[Receiver]:
    """The receivers of all inputs that are on, none of them open; each has its entry in `health.listeners`."""
    receivers: list[Receiver] = []
    for row in ROWS:
        host, port = row.address(parts.listen)
        if port is not None:
            listener = ListenerHealth(row.name)
            health.listeners.append(listener)
            receivers.append(row.make(host, port, listener, parts))
    return receivers
