"""Growth: what a line costs, and what a series costs in a flush and in memory, from a hundred series to 100,000.

A third each counters, gauges and timers of five values.  Where a column stays flat down the table, the cost is
linear in the number of series.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.daemon import CommandedDaemon, arrived, gained
from benchmarks.endpoint import Endpoint
from benchmarks.generator import Generator
from benchmarks.machine import wait_for_room
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import Traffic, grown_lines, packed

SIZES: Final = (100, 1_000, 10_000, 100_000)
_ROUNDS: Final = 5  # lines a series
_NEW_RATE: Final = 800  # packed datagrams a second, of series that are new
_RATE: Final = 5_000  # of values that are new
_TIMED_RATE: Final = 12_000  # of lines that are known: at lower ones waking up is most of the cost
_CLIENTS_SECONDS: Final = 3.0
_ROOM_SECONDS: Final = 24.0


@dataclass(frozen=True)
class _Grown:
    """What was measured with one number of series.

    Attributes:
        series: that were open.
        line_ns: CPU time to take a line of a known series.
        flush_us: CPU time to flush and deliver a series.
        series_bytes: of RAM.
        details: of the flush.
        lost: lines.
    """

    series: int
    line_ns: float
    flush_us: float
    series_bytes: float
    details: str
    lost: int


def measure(folder: Path, generator: Generator, *, quick: bool) -> list[Section]:
    """Measure each number of series with a daemon of its own."""
    sizes, seconds = (SIZES[:3], 1.0) if quick else (SIZES, 3.0)
    with Endpoint() as endpoint:
        grown = [_grown(folder, generator, endpoint, size, seconds) for size in sizes]
    first = grown[0]
    rows = [
        *(_row("line", one, f"{one.line_ns:,.0f} ns", one.line_ns, first.line_ns, _lost(one)) for one in grown),
        *(_row("flush", one, f"{one.flush_us:.1f} us", one.flush_us, first.flush_us, one.details) for one in grown),
        *(_row("memory", one, f"{one.series_bytes:,.0f} bytes", one.series_bytes, first.series_bytes) for one in grown),
    ]
    return [Section("Growth: CPU time a line; CPU time and RSS a series (ratio: to the fewest series)", rows)]


def _row(what: str, grown: _Grown, figure: str, number: float, first: float, details: str = "") -> Row:
    return Row(f"{what}, {grown.series:,} series", figure, number / first if first else None, details, number)


def _lost(grown: _Grown) -> str:
    return f"{grown.lost:,} lines LOST" if grown.lost else "nothing lost"


def _grown(folder: Path, generator: Generator, endpoint: Endpoint, size: int, seconds: float) -> _Grown:
    new = Traffic(f"{size} new", packed(grown_lines(size, 1)))
    known = Traffic(f"{size} known", packed(grown_lines(size, _ROUNDS)))
    config = {
        "metrics": {"max_series": max(20_000, size + 1), "flush_entries": 100_000_000},
        "deliver": endpoint.deliver() | {"memory_bytes": 536_870_912},
    }
    with CommandedDaemon(folder, config) as daemon:
        time.sleep(_CLIENTS_SECONDS)
        daemon.post("/ingest/metrics", b'{"name": "orders", "value": 1}')
        daemon.flush()
        endpoint.arrived()
        wait_for_room(_ROOM_SECONDS)
        first, idle = daemon.stats(), daemon.resident_bytes()
        sent = generator.send_all(new, daemon.statsd_port, _NEW_RATE)
        lines = new.lines(sent.datagrams)
        before = daemon.read(arrived(first) + sent.datagrams)
        sent = generator.send_all(known, daemon.statsd_port, _RATE)
        lines += known.lines(sent.datagrams)
        before = daemon.read(arrived(before) + sent.datagrams)
        used, series = daemon.resident_bytes() - idle, before["series"]["open"]
        spent = daemon.cpu_seconds()
        sent = generator.send(known, daemon.statsd_port, _TIMED_RATE, seconds)
        after = daemon.read(arrived(before) + sent.datagrams)
        spent = daemon.cpu_seconds() - spent
        lines += known.lines(sent.datagrams)
        told = daemon.flush()
        delivered = gained(first, daemon.stats(), "samples", "delivered")
        came = endpoint.arrived()
    return _Grown(
        series=series,
        line_ns=spent / gained(before, after, "samples", "received") * 1e9,
        flush_us=told["cpu_seconds"] / series * 1e6,
        series_bytes=used / series,
        details=(
            f"{told['seconds']:.2f} s, {told['cpu_seconds']:.2f} CPU s, {came.datums:,} datums in {came.requests}"
            f" requests, {megabytes(came.metric_bytes)}"
        ),
        lost=lines - min(delivered, round(came.samples)),
    )
