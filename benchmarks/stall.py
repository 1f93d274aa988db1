"""Flush stall: does a flush of 10,000 series with Values and Counts make a small socket buffer overflow?

Steady single-line datagrams at rates the daemon can take, with the receive buffer most container hosts grant, for
as long as two or more flushes take.  The bare loop under the same load and buffer shows what the machine loses.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.daemon import MeasuredDaemon, arrived
from benchmarks.generator import Generator
from benchmarks.table import Row, Section
from benchmarks.traffic import Traffic, timer_lines

BUFFER_BYTES: Final = 212_992  # net.core.rmem_max of a default Linux; the kernel books twice as much
SERIES: Final = 10_000
_ROUNDS: Final = 26  # distinct lines a series
_BARE_SECONDS: Final = 3.0


def measure(folder: Path, generator: Generator, *, quick: bool) -> list[Section]:
    """Measure the loss at steady rates while flushes go on."""
    traffic = Traffic("timers", timer_lines(SERIES, _ROUNDS))
    rates, seconds, flush_seconds = ((50_000,), 4.0, 1.5) if quick else ((50_000, 100_000), 12.0, 5.0)
    rows: list[Row] = []
    for rate in rates:
        rows.append(_bare(generator, traffic, rate))
        rows.append(_daemon(folder, generator, traffic, rate, seconds, flush_seconds))
    return [Section(f"Flush stall: {SERIES:,} series of timers, receive buffer {BUFFER_BYTES:,} bytes", rows)]


def _bare(generator: Generator, traffic: Traffic, rate: float) -> Row:
    with Bare("udp", BUFFER_BYTES) as bare:
        waited = bare.waited_seconds()
        sent = generator.send(traffic, bare.port, rate, _BARE_SECONDS)
        waited = (bare.waited_seconds() - waited) / sent.seconds
        time.sleep(0.2)
        read, dropped = bare.counts()
    lost = max(sent.datagrams - read, dropped)
    details = f"{lost:,} datagrams lost; {sent.rate:,.0f}/s reached; waited {waited:.0%}"
    return Row(f"bare loop at {rate:,}/s", f"{lost / sent.datagrams:.4%} lost", None, details)


def _daemon(
    folder: Path, generator: Generator, traffic: Traffic, rate: float, seconds: float, flush_seconds: float
) -> Row:
    config = {"listen": {"receive_buffer_bytes": BUFFER_BYTES}, "metrics": {"flush_seconds": flush_seconds}}
    with MeasuredDaemon(folder, config) as daemon:
        generator.send(traffic, daemon.statsd_port, 20_000, 1.0)  # makes the series, and is not counted
        before = daemon.settled()
        spent, waited = daemon.cpu_seconds(), daemon.waited_seconds()
        sent = generator.send(traffic, daemon.statsd_port, rate, seconds)
        waited = (daemon.waited_seconds() - waited) / sent.seconds
        busy = (daemon.cpu_seconds() - spent) / sent.seconds
        stall = daemon.stats()["loop_stall_seconds"]
        after = daemon.settled(arrived(before) + sent.datagrams)
    lost = sent.datagrams - (after["samples"]["delivered"] - before["samples"]["delivered"])
    dropped = after["datagrams"]["kernel_dropped"] - before["datagrams"]["kernel_dropped"]
    flushes = _flushes(after) - _flushes(before)
    details = (
        f"{lost:,} lines lost, {dropped:,} of them by the kernel; loop stall {stall * 1e3:.1f} ms at most;"
        f" {flushes} flushes, {after['local']['datums'] - before['local']['datums']:,} datums; {busy:.0%} of a core;"
        f" {sent.rate:,.0f}/s reached; waited {waited:.0%}"
    )
    return Row(f"sidecar at {rate:,}/s", f"{lost / sent.datagrams:.4%} lost", None, details)


def _flushes(stats: dict[str, Any]) -> int:
    """Of metrics, whatever the cause."""
    return sum(count for cause, count in stats["flushes"].items() if cause.startswith("metrics"))
