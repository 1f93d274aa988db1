"""Soak: a hundred million lines, mixed and counters in turn, packed, with a flush every few seconds: is memory flat?

The rate is one at which the daemon leaves a third of its core free, found beforehand.  RSS is read when all that came
so far is delivered.
"""

from __future__ import annotations

import time
from itertools import chain, zip_longest
from math import ceil
from pathlib import Path
from typing import Final

from benchmarks.daemon import MeasuredDaemon, arrived, gained
from benchmarks.endpoint import Arrived, Endpoint
from benchmarks.generator import Generator
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import Traffic, counter_lines, mixed_lines, packed

LINES: Final = 100_000_000
QUICK_LINES: Final = 2_000_000
_PARTS: Final = 10
_TOLD: Final = (1, 5, 10)  # parts after which RSS is told
_BUSY: Final = 0.65  # share of the core
_TRIED_RATE: Final = 8_000  # packed datagrams a second, to see what one costs
_FLUSH_SECONDS: Final = 3.0
_MIXED_LINES: Final = 65_536


def measure(folder: Path, generator: Generator, *, quick: bool) -> list[Section]:
    """Send in ten parts, and look at memory after some of them."""
    pairs = zip_longest(packed(mixed_lines(_MIXED_LINES)), packed(counter_lines(_MIXED_LINES)), fillvalue=b"")
    traffic = Traffic("mixed and counters", [datagram for datagram in chain.from_iterable(pairs) if datagram])
    wanted = QUICK_LINES if quick else LINES
    part_datagrams = ceil(wanted / _PARTS / traffic.lines_per_datagram)
    rows: list[Row] = []
    started = time.monotonic()
    with Endpoint() as endpoint:
        config = {"metrics": {"flush_seconds": 1.0 if quick else _FLUSH_SECONDS}, "deliver": endpoint.deliver()}
        with MeasuredDaemon(folder, config) as daemon:
            rate = _rate(generator, traffic, daemon)
            endpoint.arrived()
            first = before = daemon.stats()
            lines, came, size = 0, Arrived(), 0
            for part in range(1, _PARTS + 1):
                sent = generator.send_all(traffic, daemon.statsd_port, rate, part_datagrams)
                lines += traffic.lines(sent.datagrams)
                datagrams = arrived(before) + sent.datagrams
                before = daemon.settled(datagrams) if part in _TOLD else daemon.read(datagrams)
                came += endpoint.arrived()
                if part in _TOLD:
                    resident = daemon.resident_bytes()
                    size = size or resident
                    details = f"{lines:,} lines; {resident - size:+,} bytes since the first tenth"
                    rows.append(
                        Row(f"RSS after {part * 10} %", megabytes(resident), resident / size, details, resident)
                    )
    delivered = gained(first, before, "samples", "delivered")
    lost = lines - min(delivered, round(came.samples))
    causes = before["flushes"].get("metrics")
    if causes is None:  # in older commits
        causes = {cause: count for cause, count in before["flushes"].items() if cause.startswith("metrics")}
    flushes = sum(causes.values())
    details = (
        f"{lines:,} lines sent, {delivered:,} delivered, {came.samples:,.0f} arrived;"
        f" {gained(first, before, 'datagrams', 'kernel_dropped'):,} datagrams dropped by the kernel; {flushes} flushes,"
        f" {came.datums:,} datums; {rate * traffic.lines_per_datagram:,.0f} lines/s; {time.monotonic() - started:.0f} s"
    )
    rows.append(Row("lines lost", f"{lost:,}", None, details, lost))
    return [Section(f"Soak: {wanted:,} lines (ratio: to the first tenth)", rows)]


def _rate(generator: Generator, traffic: Traffic, daemon: MeasuredDaemon) -> float:
    """Datagrams a second that keep the daemon as busy as wanted."""
    for _ in range(2):  # the first makes the series
        before, spent = arrived(daemon.stats()), daemon.cpu_seconds()
        sent = generator.send(traffic, daemon.statsd_port, _TRIED_RATE, 1.5)
        daemon.settled(before + sent.datagrams)
        spent = daemon.cpu_seconds() - spent
    return _BUSY * sent.datagrams / spent
