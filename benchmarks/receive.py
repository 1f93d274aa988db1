"""UDP: the highest rate without loss, of the bare loop and of the daemon end to end.

For the daemon, no loss means: lines sent = samples received = samples delivered according to /stats, nothing
dropped by the kernel or by the daemon, and as many measurements counted by what arrived at the endpoint.  Every
trial has at least one flush in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.daemon import MeasuredDaemon, arrived, gained
from benchmarks.endpoint import Arrived, Endpoint
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


@dataclass(frozen=True)
class Measured:
    """The daemon under one kind of traffic.

    Attributes:
        found: in datagrams.
        lines_per_datagram: on average.
        idle_bytes: in RAM before.
        loaded_bytes: in RAM after.
    """

    found: Found
    lines_per_datagram: float
    idle_bytes: int
    loaded_bytes: int

    @property
    def lines(self) -> float:
        """Lines a second."""
        return self.found.rate * self.lines_per_datagram

    @property
    def figure(self) -> str:
        """For the table."""
        return f"{self.lines:,.0f} lines/s" if self.found.rate else "no rate held"


def traffics() -> list[Traffic]:
    """What the daemon is measured with."""
    lines = mixed_lines()
    return [
        Traffic("mixed", lines),
        Traffic("mixed packed", packed(lines)),
        Traffic("counters packed", packed(counter_lines())),
    ]


def measure(folder: Path, generator: Generator, pace: Pace) -> tuple[list[Section], list[Measured]]:
    """Measure everything that comes over UDP; also returns the daemon's figures, in the order of `traffics`."""
    single_blank, packed_blank = blank(SINGLE_BYTES), blank(PACKED_BYTES)
    ceilings = {traffic.name: generator.ceiling(traffic, 1.0) for traffic in (single_blank, packed_blank)}
    mixed, mixed_packed, counters_packed = traffics()
    # Side by side: each daemon right after the loop it is compared with.
    bare_single = _bare(generator, single_blank, pace)
    single = daemon(folder, generator, mixed, pace, start=150_000)
    bare_packed = _bare(generator, packed_blank, pace)
    many = daemon(folder, generator, mixed_packed, pace, start=20_000)
    counters = daemon(folder, generator, counters_packed, pace, start=20_000)
    rows = [
        _bare_row("bare loop, one line a datagram", bare_single, ceilings[single_blank.name], generator),
        _bare_row("bare loop, 1,432-byte datagrams", bare_packed, ceilings[packed_blank.name], generator),
        _daemon_row("sidecar, one line a datagram", single, bare_single, bare_single),
        _daemon_row("sidecar, 1,432-byte datagrams", many, bare_packed, bare_single),
        _daemon_row("sidecar, counters, 1,432 bytes", counters, bare_packed, bare_single),
    ]
    title = "UDP: highest rate with no loss, counted end to end (ratio: datagrams/s)"
    return [Section(title, rows)], [single, many, counters]


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


def daemon(
    folder: Path, generator: Generator, traffic: Traffic, pace: Pace, start: float, spool: Path | None = None
) -> Measured:
    """Find the daemon's highest rate with this traffic, with a spool or without."""
    with Endpoint() as endpoint:
        config = {"metrics": {"flush_seconds": pace.flush_seconds}, "deliver": endpoint.deliver(spool)}
        with MeasuredDaemon(folder, config) as sidecar:
            idle = sidecar.resident_bytes()
            state = {"stats": sidecar.stats()}

            def trial(rate: float) -> Trial:
                before, spent, waited = state["stats"], sidecar.cpu_seconds(), sidecar.waited_seconds()
                sent = generator.send(traffic, sidecar.statsd_port, rate, pace.seconds)
                waited = (sidecar.waited_seconds() - waited) / sent.seconds
                after = sidecar.settled(arrived(before) + sent.datagrams)
                state["stats"] = after
                lines = traffic.lines(sent.datagrams)
                lost = lines - gained(before, after, "samples", "delivered")
                doubt = _doubt(before, after, lines, endpoint.arrived())
                return Trial(rate, sent.rate, lost, lines, sidecar.cpu_seconds() - spent, waited, doubt)

            trial(start / 10)  # makes the series, and is not counted
            found = highest(trial, start, pace.precision)
            return Measured(found, traffic.lines_per_datagram, idle, sidecar.resident_bytes())


def _doubt(before: dict[str, Any], after: dict[str, Any], lines: int, came: Arrived) -> str:
    """What keeps a trial from being without loss; empty where nothing does."""
    expected = {
        ("samples", "received"): lines,
        ("samples", "dropped"): 0,
        ("datagrams", "kernel_dropped"): 0,
    }
    doubts = [name for (part, name), count in expected.items() if gained(before, after, part, name) != count]
    if came.samples != lines:
        doubts.append("arrived")
    return ", ".join(doubts)


def _bare_row(what: str, found: Found, ceiling: float, generator: Generator) -> Row:
    details = [f"{found.units_per_cpu_second:,.0f} datagrams per CPU second"]
    if found.bound:
        details.append("limited by the generator")
    details.append(f"generator ({generator.language}) alone {ceiling:,.0f}/s")
    details.append(f"waited {found.waited:.0%}")
    details.append(f"{found.trials} trials")
    figure = f"{found.rate:,.0f} datagrams/s" if found.rate else "no rate held"
    return Row(what, figure, 1.0 if found.rate else None, "; ".join(details), found.rate, found.units_per_cpu_second)


def _daemon_row(what: str, measured: Measured, bare: Found, bare_single: Found) -> Row:
    found = measured.found
    details = [f"{found.rate:,.0f} datagrams/s"]
    if measured.lines_per_datagram > 1.0 and bare_single.rate:
        details.append(f"{measured.lines / bare_single.rate:.2f} lines per bare single datagram")
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
    ratio = found.rate / bare.rate if bare.rate else None
    return Row(what, measured.figure, ratio, "; ".join(details), measured.lines, found.units_per_cpu_second)
