"""UDP: the highest rate without loss, of the bare loop and of the daemon end to end.

For the daemon, no loss means: lines sent = samples received = samples delivered according to /stats, nothing
dropped by the kernel or by the daemon, and as many measurements more in the local store.  Every trial has at least
one flush in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.daemon import MeasuredDaemon, arrived, stored
from benchmarks.generator import Generator
from benchmarks.search import Found, Trial, highest
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import PACKED_BYTES, Traffic, blank, counter_lines, mixed_lines, packed

SINGLE_BYTES: Final = 75  # what a mixed line has
_QUIET_SECONDS: Final = 10.0  # that the bare loop may take to read what has arrived


@dataclass(frozen=True)
class Pace:
    """How long and how finely to measure.

    Attributes:
        seconds: of sending, a trial.
        precision: ratio of the rates between which a search ends.
        flush_seconds: of the daemon; shorter than a trial.
    """

    seconds: float
    precision: float
    flush_seconds: float


FULL: Final = Pace(2.5, 1.08, 2.0)
QUICK: Final = Pace(0.8, 1.65, 0.7)


def measure(folder: Path, generator: Generator, pace: Pace) -> list[Section]:
    """Measure everything that comes over UDP."""
    lines = mixed_lines()
    single_blank, packed_blank = blank(SINGLE_BYTES), blank(PACKED_BYTES)
    ceilings = {traffic.name: generator.ceiling(traffic, 1.0) for traffic in (single_blank, packed_blank)}
    # Side by side: each daemon right after the loop it is compared with.
    bare_single = _bare(generator, single_blank, pace)
    mixed = _daemon(folder, generator, Traffic("mixed", lines), pace, start=150_000)
    bare_packed = _bare(generator, packed_blank, pace)
    mixed_packed = _daemon(folder, generator, Traffic("mixed packed", packed(lines)), pace, start=20_000)
    counters = _daemon(folder, generator, Traffic("counters packed", packed(counter_lines())), pace, start=20_000)
    rows = [
        _bare_row("bare loop, one line a datagram", bare_single, ceilings[single_blank.name], generator),
        _bare_row("bare loop, 1,432-byte datagrams", bare_packed, ceilings[packed_blank.name], generator),
        _daemon_row("sidecar, one line a datagram", mixed, bare_single, bare_single),
        _daemon_row("sidecar, 1,432-byte datagrams", mixed_packed, bare_packed, bare_single),
        _daemon_row("sidecar, counters, 1,432 bytes", counters, bare_packed, bare_single),
    ]
    return [Section("UDP: highest rate with no loss, counted end to end (ratio: datagrams/s)", rows)]


def _bare(generator: Generator, traffic: Traffic, pace: Pace) -> Found:
    with Bare("udp") as bare:

        def trial(rate: float) -> Trial:
            before, spent, waited = bare.counts(), bare.cpu_seconds(), bare.waited_seconds()
            sent = generator.send(traffic, bare.port, rate, pace.seconds)
            waited = (bare.waited_seconds() - waited) / sent.seconds
            read, dropped = _come(bare, before, sent.datagrams)
            lost = max(sent.datagrams - read, dropped)
            return Trial(rate, sent.rate, lost, sent.datagrams, bare.cpu_seconds() - spent, waited)

        return highest(trial, start=300_000, precision=pace.precision)


def _come(bare: Bare, before: tuple[int, int], datagrams: int) -> tuple[int, int]:
    """Wait until what was sent is read or dropped; how many of each."""
    ends = time.monotonic() + _QUIET_SECONDS
    while True:
        read, dropped = (now - then for now, then in zip(bare.counts(), before, strict=True))
        if read + dropped >= datagrams or time.monotonic() >= ends:
            return read, dropped
        time.sleep(0.02)


@dataclass(frozen=True)
class _Measured:
    """The daemon under one kind of traffic."""

    found: Found
    lines_per_datagram: float
    idle_bytes: int
    loaded_bytes: int


def _daemon(folder: Path, generator: Generator, traffic: Traffic, pace: Pace, start: float) -> _Measured:
    with MeasuredDaemon(folder, {"metrics": {"flush_seconds": pace.flush_seconds}}) as daemon:
        idle = daemon.resident_bytes()
        state = {"stats": daemon.stats()}

        def trial(rate: float) -> Trial:
            before, spent, waited = state["stats"], daemon.cpu_seconds(), daemon.waited_seconds()
            sent = generator.send(traffic, daemon.statsd_port, rate, pace.seconds)
            waited = (daemon.waited_seconds() - waited) / sent.seconds
            after = daemon.settled(arrived(before) + sent.datagrams)
            state["stats"] = after
            lines = traffic.lines(sent.datagrams)
            lost = lines - int(_delta(before, after, "samples", "delivered"))
            doubt = _doubt(before, after, lines)
            return Trial(rate, sent.rate, lost, lines, daemon.cpu_seconds() - spent, waited, doubt)

        trial(start / 10)  # makes the series, and is not counted
        found = highest(trial, start, pace.precision)
        return _Measured(found, traffic.lines_per_datagram, idle, daemon.resident_bytes())


def _doubt(before: dict[str, Any], after: dict[str, Any], lines: int) -> str:
    """What keeps a trial from being without loss; empty where nothing does."""
    expected = {
        ("samples", "received"): lines,
        ("samples", "dropped"): 0,
        ("datagrams", "kernel_dropped"): 0,
    }
    doubts = [name for (part, name), count in expected.items() if _delta(before, after, part, name) != count]
    if stored(after) - stored(before) != lines:
        doubts.append("stored")
    return ", ".join(doubts)


def _delta(before: dict[str, Any], after: dict[str, Any], part: str, name: str) -> float:
    return float((after[part][name] or 0) - (before[part][name] or 0))


def _bare_row(what: str, found: Found, ceiling: float, generator: Generator) -> Row:
    details = [f"{found.units_per_cpu_second:,.0f} datagrams per CPU second"]
    if found.bound:
        details.append("limited by the generator")
    details.append(f"generator ({generator.language}) alone {ceiling:,.0f}/s")
    details.append(f"waited {found.waited:.0%}")
    details.append(f"{found.trials} trials")
    figure = f"{found.rate:,.0f} datagrams/s" if found.rate else "no rate held"
    return Row(what, figure, 1.0 if found.rate else None, "; ".join(details))


def _daemon_row(what: str, measured: _Measured, bare: Found, bare_single: Found) -> Row:
    found = measured.found
    lines = found.rate * measured.lines_per_datagram
    details = [f"{found.rate:,.0f} datagrams/s"]
    if measured.lines_per_datagram > 1.0 and bare_single.rate:
        details.append(f"{lines / bare_single.rate:.2f} lines per bare single datagram")
    details.append(f"{found.units_per_cpu_second:,.0f} lines per CPU second")
    if bare.units_per_cpu_second:
        datagrams = found.units_per_cpu_second / measured.lines_per_datagram
        details.append(f"{datagrams / bare.units_per_cpu_second:.2f} of bare by CPU time")
    details.append(f"RSS {megabytes(measured.idle_bytes)} idle, {megabytes(measured.loaded_bytes)} after")
    if found.bound:
        details.append("limited by the generator")
    details.append(found.first_loss or "never lost")
    details.append(f"waited {found.waited:.0%}")
    details.append(f"{found.trials} trials")
    figure = f"{lines:,.0f} lines/s" if found.rate else "no rate held"
    return Row(what, figure, found.rate / bare.rate if bare.rate else None, "; ".join(details))
