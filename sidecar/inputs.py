"""Every way in, one row each: listener, transport, configuration keys, dialect, and its labels in the ledger.

A new input is a row here and its keys in config/schema.py; a new dialect a file in decode/, a new transport one in
receive/. Rows of the transport HTTP with the same listener share its port.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias
from uuid import uuid4

from sidecar.config.schema import Config
from sidecar.decode import json_bodies
from sidecar.decode.aws import AwsCalls
from sidecar.model.exchange import Decode, Dialect, Signal
from sidecar.model.log_groups import LogGroups
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import UdpReceiver
from sidecar.receive.http import HttpReceiver, Way

Receiver: TypeAlias = UdpReceiver | HttpReceiver


@dataclass(frozen=True, slots=True)
class Parts:
    """What receivers are made with.

    Attributes:
        config: the configuration.
        pipeline: processes what arrives.
        groups: log groups, streams and retention that senders asked for.
        ledger: counts datagrams and responses.
        limiter: for log lines about refused requests.
        failed: called with a bug that was raised in a callback.
        connections: the most that are open at a time at one HTTP listener.
    """

    config: Config
    pipeline: Pipeline
    groups: LogGroups
    ledger: Ledger
    limiter: Limiter
    failed: Callable[[Exception], None]
    connections: int


@dataclass(frozen=True, slots=True)
class Row:
    """A way in for datagrams, or for frames of a stream.

    Attributes:
        listener: its name in `/ready`, `/stats` and the log.
        keys: of the section `listen`: host and port; a port of null turns the input off.
        transport: makes the receiver.
        dialect: makes what datagrams or frames are handed to.
        labels: the values of the label `input` under which the ledger counts what arrives: of JSON the last.
    """

    listener: str
    keys: tuple[str, str]
    transport: Transport
    dialect: Callable[[Parts, tuple[str, ...]], Handle]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HttpRow:
    """A way in for bodies over HTTP.

    Attributes:
        listener, keys: as of `Row`; rows of the same listener share it.
        path: of its requests; None: any other path, where the dialect claims the request.
        dialect: makes what reads and answers them.
        label: the value of the label `input` under which the ledger counts what arrives.
    """

    listener: str
    keys: tuple[str, str]
    path: str | None
    dialect: Callable[[Parts], Dialect]
    label: str


Handle: TypeAlias = Callable[[list[bytes]], bool]
"""Processes datagrams or frames; True if something is put off: call again, with nothing."""

Address: TypeAlias = tuple[str, int]
Transport: TypeAlias = Callable[[Address, Handle, ListenerHealth, Parts], Receiver]


# --- dialects of datagrams and frames -----------------------------------------------------------------


def statsd_lines(parts: Parts, labels: tuple[str, ...]) -> Handle:
    """StatsD and DogStatsD lines, and JSON; labels of lines and of JSON."""
    input_, json_input = labels
    return parts.pipeline.lines(input_, json_input).take


def elements(decode: Decode, signal: Signal) -> Callable[[Parts, tuple[str, ...]], Handle]:
    """Datagrams or frames that are one element each.

    Args:
        decode: decodes one.
        signal: where one is counted that cannot be decoded.
    """
    return lambda parts, labels: parts.pipeline.elements(decode, signal, labels[0]).take


# --- dialects of bodies ------------------------------------------------------------------------------


def aws_calls(parts: Parts) -> AwsCalls:
    """Calls of AWS SDKs, at any path: endpoints may have one of their own, and one protocol has the operation there."""
    return AwsCalls(parts.groups, strict=parts.config.aws.strict, new_id=lambda: str(uuid4()))


# --- transports ---------------------------------------------------------------------------------------


def udp(address: Address, handle: Handle, listener: ListenerHealth, parts: Parts) -> UdpReceiver:
    """Datagrams over UDP."""
    return UdpReceiver(
        *address,
        receive_buffer_bytes=parts.config.listen.receive_buffer_bytes,
        handle=handle,
        datagrams=parts.ledger.datagrams,
        listener=listener,
        failed=parts.failed,
    )


def http(address: Address, ways: Sequence[Way], listener: ListenerHealth, parts: Parts) -> HttpReceiver:
    """Bodies over HTTP."""
    listen = parts.config.listen
    return HttpReceiver(
        *address,
        max_body_bytes=listen.max_body_bytes,
        ways=ways,
        refuse=parts.pipeline.close,
        responses=parts.ledger.responses,
        listener=listener,
        limiter=parts.limiter,
        allowed_hosts=listen.allowed_hosts,
        connections=parts.connections,
    )


_HTTP: Final = ("http", ("http_host", "http_port"))
ROWS: Final[tuple[Row | HttpRow, ...]] = (
    Row("statsd", ("statsd_host", "statsd_port"), udp, statsd_lines, ("statsd", "json_udp")),
    HttpRow(*_HTTP, "/ingest/metrics", lambda _: json_bodies.metrics(), "http"),
    HttpRow(*_HTTP, "/ingest/logs", lambda _: json_bodies.logs(), "http"),
    HttpRow(*_HTTP, None, aws_calls, "aws"),
)


def make_inputs(parts: Parts, health: Health) -> list[Receiver]:
    """The receivers of all inputs that are on, none of them open; each has its entry in `health.listeners`."""
    receivers: list[Receiver] = []
    ways: dict[tuple[str, Address], list[Way]] = {}
    for row in ROWS:
        host, port = (getattr(parts.config.listen, key) for key in row.keys)
        if port is None:
            continue
        if isinstance(row, HttpRow):
            dialect = row.dialect(parts)
            ingest = partial(parts.pipeline.bodies.ingest, dialect, row.label)
            ways.setdefault((row.listener, (host, port)), []).append(Way(row.path, dialect, ingest))
        else:
            handle = row.dialect(parts, row.labels)
            receivers.append(row.transport((host, port), handle, _listener(row.listener, health), parts))
    for (name, address), listed in ways.items():
        receivers.append(http(address, listed, _listener(name, health), parts))
    return receivers


def _listener(name: str, health: Health) -> ListenerHealth:
    listener = ListenerHealth(name)
    health.listeners.append(listener)
    return listener
