"""Memory: in RAM while idle, with both clients of AWS made and used, and what a series and an entry take.

An entry is one distinct value of a distribution.  What is told of series holds everything a series takes: its place
in the tables, the accumulator and its name.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from benchmarks.daemon import CommandedDaemon, arrived
from benchmarks.endpoint import Endpoint
from benchmarks.generator import Generator
from benchmarks.machine import wait_for_room
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import Traffic, packed, series_lines

SERIES: Final = 10_000
DISTRIBUTIONS: Final = 1_000
VALUES: Final = 150
_CONFIG: Final[dict[str, Any]] = {"metrics": {"flush_entries": 100_000_000}}
_RATE: Final = 2_000  # packed datagrams a second, of lines that are all new
_CLIENTS_SECONDS: Final = 3.0  # after which the clients, made in the background, are there
_ROOM_SECONDS: Final = 8.0


def measure(folder: Path, generator: Generator, *, quick: bool) -> list[Section]:
    """Measure each with a daemon of its own."""
    with Endpoint() as endpoint:
        rows = [_idle(folder, endpoint)]
        series = SERIES // 2 if quick else SERIES
        for what, kind in (("counter", "c"), ("gauge", "g")):
            traffic = Traffic(f"{what} series", packed(series_lines(kind, series, 1)))
            used, details = _taken(folder, generator, endpoint, [traffic])
            rows.append(_row(f"{what} series", used, series, details))
        first = Traffic("distributions", packed(series_lines("d", DISTRIBUTIONS, 1)))
        rest = Traffic("entries", packed(series_lines("d", DISTRIBUTIONS, VALUES)))
        used, details = _taken(folder, generator, endpoint, [first, rest])
        rows.append(_row("distribution entry", used, DISTRIBUTIONS * (VALUES - 1), details))
    return [Section("Memory: RSS", rows)]


def _row(what: str, used: float, count: int, details: str) -> Row:
    return Row(
        what, f"{used / count:,.0f} bytes", None, f"{count:,} of them take {megabytes(used)}; {details}", used / count
    )


def _idle(folder: Path, endpoint: Endpoint) -> Row:
    with CommandedDaemon(folder, _CONFIG | {"deliver": endpoint.deliver()}) as daemon:
        ready = daemon.resident_bytes()
        time.sleep(_CLIENTS_SECONDS)
        made = daemon.resident_bytes()
        daemon.post("/ingest/metrics", b'{"name": "orders", "value": 1}')
        daemon.post("/ingest/logs", b'{"message": "order placed"}')
        daemon.flush()
        used = daemon.resident_bytes()
    details = (
        f"{megabytes(ready)} when ready, {megabytes(made)} with both clients, {megabytes(used)} after a request each"
    )
    return Row("idle", megabytes(used), None, details, used)


def _taken(folder: Path, generator: Generator, endpoint: Endpoint, traffics: list[Traffic]) -> tuple[int, str]:
    """By how much the last of some traffic makes a daemon grow, and what became of it."""
    with CommandedDaemon(folder, _CONFIG | {"deliver": endpoint.deliver()}) as daemon:
        time.sleep(_CLIENTS_SECONDS)
        daemon.post("/ingest/metrics", b'{"name": "orders", "value": 1}')
        daemon.flush()
        wait_for_room(_ROOM_SECONDS)
        used = 0
        for traffic in traffics:
            before, size = arrived(daemon.stats()), daemon.resident_bytes()
            sent = generator.send_all(traffic, daemon.statsd_port, _RATE)
            stats = daemon.read(before + sent.datagrams)
            used = daemon.resident_bytes() - size
        details = f"{stats['series']['open']:,} accumulators open"
        full = daemon.resident_bytes()
        daemon.flush()
        return used, f"{details}; {megabytes(full)} in all, {megabytes(daemon.resident_bytes())} once delivered"
