"""An imitation of CloudWatch and CloudWatch Logs that costs next to nothing: every request is answered with success.

A process on the sender's core.  It keeps the compressed bodies, and only when asked, between trials, inflates and
counts what came: a sample has arrived when a datum that counts it has.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.helper import Helper, answer
from benchmarks.machine import SENDER_CORE

_HELD_BYTES: Final = 268_435_456  # compressed; beyond, they are counted at once, which costs time then
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OPERATION: Final = re.compile(rb"\r\nx-amz-target: *[^.\r]*\.(\w+)", re.IGNORECASE)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nx-amzn-requestid: 00000000-0000-0000-0000-000000000000\r\n"
    b"Content-Type: application/x-amz-json-%b\r\nContent-Length: 2\r\n\r\n{}"
)
_METRICS_ANSWER: Final = _ANSWER % b"1.0"
_LOGS_ANSWER: Final = _ANSWER % b"1.1"


@dataclass
class Arrived:
    """What came in some time.

    Attributes:
        requests: of any kind.
        wire_bytes: of their bodies, as they came.
        metric_bytes: of the bodies of PutMetricData, inflated.
        log_bytes: of those of PutLogEvents, inflated.
        datums: elements of MetricData.
        samples: the measurements they count: SampleCount, the sum of Counts, or 1 for a Value.
        log_events: elements of logEvents.
    """

    requests: int = 0
    wire_bytes: int = 0
    metric_bytes: int = 0
    log_bytes: int = 0
    datums: int = 0
    samples: float = 0.0
    log_events: int = 0

    def __add__(self, other: Arrived) -> Arrived:
        return Arrived(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class Endpoint(Helper):
    """The endpoint, as those who measure see it."""

    def __init__(self) -> None:
        """Start one."""
        super().__init__("benchmarks.endpoint", core=SENDER_CORE)

    def deliver(self, spool: Path | None = None) -> dict[str, Any]:
        """The daemon's section `deliver` that leads here."""
        section = {"target": "cloudwatch", "endpoint_url": f"http://127.0.0.1:{self.port}"}
        return section if spool is None else section | {"spool_dir": str(spool)}

    def arrived(self) -> Arrived:
        """What came since the last call."""
        return Arrived(**self.ask())


class _Store:
    """Bodies that are not counted yet, and what was counted since somebody asked."""

    def __init__(self) -> None:
        self._bodies: list[tuple[bytes, bytes]] = []  # (operation, body)
        self._held = 0
        self._arrived = Arrived()

    def add(self, operation: bytes, body: bytes) -> None:
        self._bodies.append((operation, body))
        self._held += len(body)
        if self._held > _HELD_BYTES:
            self._count()

    def told(self, _line: str) -> dict[str, Any]:
        self._count()
        arrived, self._arrived = self._arrived, Arrived()
        return vars(arrived)

    def _count(self) -> None:
        bodies, self._bodies, self._held = self._bodies, [], 0
        for operation, body in bodies:
            self._arrived += _counted(operation, body)


def _counted(operation: bytes, body: bytes) -> Arrived:
    arrived = Arrived(requests=1, wire_bytes=len(body))
    plain = zlib.decompress(body, wbits=16 + zlib.MAX_WBITS) if body.startswith(_GZIP_MAGIC) else body
    if operation == b"PutMetricData":
        datums = orjson.loads(plain)["MetricData"]
        arrived.metric_bytes, arrived.datums = len(plain), len(datums)
        arrived.samples = sum(map(_samples, datums))
    elif operation == b"PutLogEvents":
        arrived.log_bytes, arrived.log_events = len(plain), len(orjson.loads(plain)["logEvents"])
    return arrived


def _samples(datum: dict[str, Any]) -> float:
    if "StatisticValues" in datum:
        return float(datum["StatisticValues"]["SampleCount"])
    if "Values" in datum:
        return float(sum(datum.get("Counts", [1] * len(datum["Values"]))))
    return 1.0


class _Connection(asyncio.Protocol):
    """One connection: requests one after another, each answered as soon as it is whole."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._pieces: list[bytes] = []
        self._missing = 0  # bytes until it is worth looking again
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        held = b"".join(self._pieces)
        while True:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                break
            head = held[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length.group(1)) if length else 0)
            if len(held) < whole:
                self._missing = whole - len(held)
                break
            self._answer(head, held[end + 4 : whole])
            held = held[whole:]
        self._pieces = [held] if held else []

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        found = _OPERATION.search(head)
        operation = found.group(1) if found else b""
        self._transport.write(_METRICS_ANSWER if operation == b"PutMetricData" else _LOGS_ANSWER)
        self._store.add(operation, body)


async def _serve() -> None:
    store = _Store()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(store), "127.0.0.1", 0)
    await answer(server.sockets[0].getsockname()[1], store.told)
    server.close()


def main() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
