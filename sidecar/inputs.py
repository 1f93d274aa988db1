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
from sidecar.decode.emf import Decoder
from sidecar.model.errors import DecodeError
from sidecar.model.exchange import Decode, Dialect, Forward, Signal
from sidecar.model.limits import DATAGRAM_BYTES, LOG_MESSAGE_BYTES
from sidecar.model.log_groups import LogGroups
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import DatagramReceiver
from sidecar.receive.frames import Framing, Lines, Packets
from sidecar.receive.http import HttpReceiver, Way
from sidecar.receive.streams import StreamReceiver
from sidecar.runtime.sockets import Address, HostAddress, PathAddress

Receiver: TypeAlias = DatagramReceiver | StreamReceiver | HttpReceiver


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
        connections: the most that are open at a time at one listener.
        forward: sends calls of SDKs to AWS; None: none is sent.
    """

    config: Config
    pipeline: Pipeline
    groups: LogGroups
    ledger: Ledger
    limiter: Limiter
    failed: Callable[[Exception], None]
    connections: int
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """What datagrams or frames are handed to.

    Attributes:
        handle: processes them; returns True if something is deferred: call again, with nothing.
        refuse: counts one that did not arrive whole.
    """

    handle: Callable[[list[bytes]], bool]
    refuse: Callable[[DecodeError], None]


Transport: TypeAlias = Callable[[Address, Element, ListenerHealth, Parts], Receiver]
"""Makes a receiver; nothing is open yet."""

Labels: TypeAlias = tuple[str, ...]
Keys: TypeAlias = tuple[str, ...]
"""Of the section `listen`: host and port, or a path. Where the last is null, the input is off."""


@dataclass(frozen=True, slots=True)
class Row:
    """A way in for datagrams, or for frames of a stream.

    Attributes:
        listener: its name in `/ready`, `/stats` and the log.
        keys: where it listens.
        transport: makes the receiver.
        dialect: makes what datagrams or frames are handed to.
        labels: the values of the label `input` under which the ledger counts what arrives: of JSON the last.
    """

    listener: str
    keys: Keys
    transport: Transport
    dialect: Callable[[Parts, Labels], Element]
    labels: Labels


@dataclass(frozen=True, slots=True)
class HttpRow:
    """A way in for bodies over HTTP.

    Attributes:
        listener: as of `Row`; rows of the same listener share it.
        keys: as of `Row`.
        path: of its requests; None: any other path, where the dialect claims the request.
        dialect: makes what reads and answers them.
        label: the value of the label `input` under which the ledger counts what arrives.
    """

    listener: str
    keys: Keys
    path: str | None
    dialect: Callable[[Parts], Dialect]
    label: str


# --- dialects of datagrams and frames -----------------------------------------------------------------


def statsd_lines(parts: Parts, labels: Labels) -> Element:
    """StatsD and DogStatsD lines, and JSON; labels of lines and of JSON."""
    input_, json_input = labels
    pipeline = parts.pipeline
    path = pipeline.lines(input_, json_input, emf_decoder(parts.config).decode_item)
    return Element(path.ingest, partial(pipeline.refuse, "samples", input_))


def elements(decode: Decode, signal: Signal) -> Callable[[Parts, Labels], Element]:
    """Datagrams or frames that are one element each.

    Args:
        decode: decodes one.
        signal: where one is counted that cannot be decoded.
    """

    def make(parts: Parts, labels: Labels) -> Element:
        pipeline = parts.pipeline
        handle = pipeline.elements(decode, signal, labels[0]).ingest
        return Element(handle, partial(pipeline.refuse, signal, labels[0]))

    return make


def emf_documents(parts: Parts, labels: Labels) -> Element:
    """Documents in embedded metric format."""
    decoder = emf_decoder(parts.config)
    return elements(decoder.decode, decoder.signal)(parts, labels)


def emf_decoder(config: Config) -> Decoder:
    """What reads documents in embedded metric format as the section `emf` says."""
    return Decoder(config.emf.as_)


# --- dialects of bodies ------------------------------------------------------------------------------


def aws_calls(parts: Parts) -> AwsCalls:
    """Calls of AWS SDKs, at any path: endpoints may have one of their own, and one protocol has the operation there."""
    aws = parts.config.aws
    return AwsCalls(
        parts.groups,
        strict=aws.strict,
        new_id=lambda: str(uuid4()),
        pass_through=aws.pass_through,
        forward=parts.forward,
    )


def emf_bodies(parts: Parts) -> Dialect:
    """`POST /ingest/emf`."""
    return json_bodies.emf_documents(emf_decoder(parts.config))


# --- transports ---------------------------------------------------------------------------------------


def datagrams(address: Address, element: Element, listener: ListenerHealth, parts: Parts) -> DatagramReceiver:
    """Datagrams over UDP or over a Unix socket."""
    return DatagramReceiver(
        address,
        receive_buffer_bytes=parts.config.listen.receive_buffer_bytes,
        handle=element.handle,
        refuse=element.refuse,
        datagrams=parts.ledger.datagrams,
        listener=listener,
        failed=parts.failed,
    )


def streams(framing: Callable[[], Framing]) -> Transport:
    """Frames of connections over TCP or over a Unix socket."""

    def make(address: Address, element: Element, listener: ListenerHealth, parts: Parts) -> StreamReceiver:
        return StreamReceiver(
            address,
            framing=framing,
            handle=element.handle,
            refuse=element.refuse,
            connections=parts.connections,
            listener=listener,
            limiter=parts.limiter,
            failed=parts.failed,
        )

    return make


def http(address: tuple[str, int], ways: Sequence[Way], listener: ListenerHealth, parts: Parts) -> HttpReceiver:
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


lines: Final = streams(partial(Lines, LOG_MESSAGE_BYTES))
packets: Final = streams(partial(Packets, DATAGRAM_BYTES))

_STATSD: Final = ("statsd", "json_udp")
_EMF: Final = ("emf_host", "emf_port")
_HTTP: Final = ("http", ("http_host", "http_port"))
ROWS: Final[tuple[Row | HttpRow, ...]] = (
    Row("statsd", ("statsd_host", "statsd_port"), datagrams, statsd_lines, _STATSD),
    Row("statsd_socket", ("statsd_socket",), datagrams, statsd_lines, _STATSD),
    Row("statsd_stream_socket", ("statsd_stream_socket",), packets, statsd_lines, _STATSD),
    Row("emf_tcp", _EMF, lines, emf_documents, ("emf",)),
    Row("emf_udp", _EMF, datagrams, emf_documents, ("emf",)),
    HttpRow(*_HTTP, "/ingest/metrics", lambda _: json_bodies.metrics(), "http"),
    HttpRow(*_HTTP, "/ingest/logs", lambda _: json_bodies.logs(), "http"),
    HttpRow(*_HTTP, "/ingest/emf", emf_bodies, "emf"),
    HttpRow(*_HTTP, None, aws_calls, "aws"),
)


def make_inputs(parts: Parts, health: Health) -> list[Receiver]:
    """The receivers of all inputs that are on, none of them open; each has its entry in `health.listeners`."""
    listen = parts.config.listen
    receivers: list[Receiver] = []
    ways: dict[tuple[str, tuple[str, int]], list[Way]] = {}
    for row in ROWS:
        at = tuple(getattr(listen, key) for key in row.keys)
        if at[-1] is None:
            continue
        if isinstance(row, HttpRow):
            dialect = row.dialect(parts)
            ingest = partial(parts.pipeline.bodies.ingest, dialect, row.label)
            ways.setdefault((row.listener, at), []).append(Way(row.path, dialect, ingest))
        else:
            address = PathAddress(*at, listen.socket_mode) if len(at) == 1 else HostAddress(*at)
            element = row.dialect(parts, row.labels)
            receivers.append(row.transport(address, element, _listener(row.listener, health), parts))
    for (name, at), listed in ways.items():
        receivers.append(http(at, listed, _listener(name, health), parts))
    return receivers


def _listener(name: str, health: Health) -> ListenerHealth:
    listener = ListenerHealth(name)
    health.listeners.append(listener)
    return listener
