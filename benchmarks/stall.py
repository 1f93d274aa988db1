"""Flush stall: while 10,000 series of values and 20 MB of log events go out, does the loop come round, and is anything lost?

Both flushes are started at the same moment, on command; timers of their own are out of the way.  The length of the
stalls is what datagrams of `benchmarks.delays` waited, beside a loop that does nothing but read those; garbage
collections, compression threads and all else that holds the loop are in it.  The loss is that of single-line
datagrams at a steady rate, with the receive buffer most container hosts grant, beside the bare loop under the same
load and buffer.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.daemon import CommandedDaemon, arrived, gained
from benchmarks.delays import Delays, Prober
from benchmarks.endpoint import Arrived, Endpoint
from benchmarks.generator import Generator
from benchmarks.machine import wait_for_room
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import EVENTS_PER_BODY, Traffic, log_bodies, packed, timer_lines

BUFFER_BYTES: Final = 212_992  # net.core.rmem_max of a default Linux; the kernel books twice as much
SERIES: Final = 10_000
LOG_BYTES: Final = 20_000_000
RATE: Final = 100_000
_VALUES: Final = 125  # lines a series, of which some 117 have values of their own: no more than fit a datum
_LOAD_ROUNDS: Final = 26  # distinct lines a series
_STREAMS: Final = 30  # each holds less than a request
_BODIES: Final = 240
_FILL_RATE: Final = 9_000  # packed datagrams a second
_LOAD_SECONDS: Final = 7.0
_QUIET_SECONDS: Final = 0.3
_ROOM_SECONDS: Final = 14.0  # of the minute, for what must go into one window
_CONFIG: Final[dict[str, Any]] = {
    "metrics": {"flush_entries": 100_000_000},
    "logs": {"stream": "{service}"},
}
_MEMORY_BYTES: Final = 134_217_728  # a quarter of which open log buffers may hold


@dataclass
class _Flushes:
    """What went out in the flushes of one kind of trial."""

    delays_ns: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waited: float = 0.0  # seconds the loop waited for its core, for threads of its own or for others
    came: Arrived = field(default_factory=Arrived)

    def add(self, told: dict[str, Any], came: Arrived) -> None:
        self.delays_ns += told["delays_ns"]
        self.seconds.append(told["seconds"])
        self.came += came

    def __str__(self) -> str:
        count, came = len(self.seconds), self.came
        return (
            f"{count} flushes of {max(self.seconds):.1f} s at most, each {came.datums / count:,.0f} datums"
            f" ({megabytes(came.metric_bytes / count)}) and {came.log_events / count:,.0f} log events"
            f" ({megabytes(came.log_bytes / count)}) in {came.requests / count:.0f} requests"
        )


def measure(folder: Path, generator: Generator, *, quick: bool) -> list[Section]:
    """Measure the stalls, then the loss."""
    filling = Traffic("filling", packed(timer_lines(SERIES, _VALUES)))
    load = Traffic("timers", timer_lines(SERIES, _LOAD_ROUNDS))
    bodies = [
        body.replace(b'"checkout"', b'"checkout-%d"' % (number % _STREAMS))
        for number, body in enumerate(log_bodies(_BODIES, EVENTS_PER_BODY))
    ]
    scene = _Scene(folder, generator, filling, bodies)
    waits, losses = (1, 1) if quick else (4, 2)
    return [
        Section(
            f"Flush stall: waiting time of a datagram while {SERIES:,} series and {megabytes(LOG_BYTES)} of log events"
            " go out",
            _stalls(scene, waits),
        ),
        Section(
            f"Flush loss: {RATE:,} datagrams/s, receive buffer {BUFFER_BYTES:,} bytes, the same flush",
            _losses(scene, load, losses),
        ),
    ]


class _Scene:
    """What fills a daemon for a flush."""

    def __init__(self, folder: Path, generator: Generator, filling: Traffic, bodies: list[bytes]) -> None:
        self.generator = generator
        self._folder = folder
        self._filling = filling
        self._bodies = bodies

    def daemon(self, endpoint: Endpoint, **listen: int) -> CommandedDaemon:
        deliver = endpoint.deliver() | {"memory_bytes": _MEMORY_BYTES}
        return CommandedDaemon(self._folder, _CONFIG | {"listen": listen, "deliver": deliver})

    def connect(self, daemon: CommandedDaemon) -> None:
        """Have clients and connections made."""
        daemon.post("/ingest/metrics", b'{"name": "orders", "value": 1}')
        daemon.post("/ingest/logs", b'{"message": "order placed"}')
        daemon.flush()

    def fill(self, daemon: CommandedDaemon) -> None:
        """Open the series and the log buffers."""
        wait_for_room(_ROOM_SECONDS)
        before = arrived(daemon.stats())
        sent = self.generator.send_all(self._filling, daemon.statsd_port, _FILL_RATE)
        daemon.read(before + sent.datagrams)
        size = 0
        for body in self._bodies:
            if size >= LOG_BYTES:
                break
            daemon.post("/ingest/logs", body)
            size += len(body)


def _stalls(scene: _Scene, rounds: int) -> list[Row]:
    flushes = _Flushes()
    idle: list[int] = []
    gaps: list[float] = []
    with Endpoint() as endpoint, scene.daemon(endpoint) as daemon:
        scene.connect(daemon)
        endpoint.arrived()
        for _ in range(rounds):
            scene.fill(daemon)
            with Prober(daemon.probe_port) as prober:
                time.sleep(_QUIET_SECONDS)
                daemon.delays_ns()
                time.sleep(1.0)
                idle += daemon.delays_ns()
                waited = daemon.waited_seconds()
                told = daemon.flush()
                flushes.waited += daemon.waited_seconds() - waited
            gaps.append(prober.longest_gap_ms)
            flushes.add(told, endpoint.arrived())
    with Bare("probe") as bare, Prober(bare.port) as prober:
        time.sleep(_QUIET_SECONDS)
        bare.ask()
        waited = bare.waited_seconds()
        time.sleep(sum(flushes.seconds))
        plain = Delays.of(bare.ask()["delays_ns"])
        waited = (bare.waited_seconds() - waited) / sum(flushes.seconds)
    flushing = Delays.of(flushes.delays_ns)
    beyond = (
        f"beyond bare: p99.9 {flushing.p999_ms - plain.p999_ms:.2f} ms, max {flushing.max_ms - plain.max_ms:.2f} ms"
    )
    return [
        _stall_row(
            "bare loop", plain, f"waited {waited:.0%}; sender kept from its core {prober.longest_gap_ms:.1f} ms at most"
        ),
        _stall_row("sidecar, idle", Delays.of(idle), "10,000 series open"),
        _stall_row(
            "sidecar, flushing",
            flushing,
            f"{beyond}; {flushes}; waited {flushes.waited / sum(flushes.seconds):.0%}; sender kept from its core {max(gaps):.1f} ms at most",
        ),
    ]


def _stall_row(what: str, delays: Delays, details: str) -> Row:
    told = f"p99.9 {delays.p999_ms:.2f} ms; {delays.count:,} datagrams; {details}"
    return Row(what, f"max {delays.max_ms:.2f} ms", None, told, delays.max_ms)


def _losses(scene: _Scene, load: Traffic, rounds: int) -> list[Row]:
    with Endpoint() as endpoint, scene.daemon(endpoint, receive_buffer_bytes=BUFFER_BYTES) as daemon:
        scene.connect(daemon)
        endpoint.arrived()
        trials = [_loss(scene, load, daemon, endpoint) for _ in range(rounds)]
    seconds = sum(one.sending_seconds for one in trials) / rounds
    rows = [_bare_loss(scene.generator, load, seconds)]
    for number, one in enumerate(trials, start=1):
        details = (
            f"{one.lost:,} of {one.sent:,} lines lost, {one.kernel_dropped:,} datagrams dropped by the kernel;"
            f" {one.flushes}; {one.busy:.0%} of a core; {one.reached:,.0f}/s reached; waited {one.waited:.0%}"
            f"{one.doubt}"
        )
        rows.append(Row(f"sidecar, flush {number}", f"{one.lost / one.sent:.4%} lost", None, details, one.lost))
    return rows


@dataclass(frozen=True)
class _Loss:
    """One flush under load."""

    sent: int
    lost: int
    kernel_dropped: int
    sending_seconds: float
    reached: float
    busy: float
    waited: float
    flushes: _Flushes
    doubt: str


def _loss(scene: _Scene, load: Traffic, daemon: CommandedDaemon, endpoint: Endpoint) -> _Loss:
    scene.fill(daemon)
    before = daemon.stats()
    pending = before["samples"]["pending"]
    spent, waited = daemon.cpu_seconds(), daemon.waited_seconds()
    flushes = _Flushes()
    with ThreadPoolExecutor(1) as beside:
        sending = beside.submit(scene.generator.send, load, daemon.statsd_port, RATE, _LOAD_SECONDS)
        time.sleep(0.5)
        told = daemon.flush()
        waited, spent = daemon.waited_seconds() - waited, daemon.cpu_seconds() - spent
        still = not sending.done()
        sent = sending.result()
    after = daemon.read(arrived(before) + sent.datagrams)
    flushes.add(told, endpoint.arrived())
    daemon.flush()
    delivered = gained(before, daemon.stats(), "samples", "delivered")
    came = flushes.came.samples + endpoint.arrived().samples
    lost = sent.datagrams - (delivered - pending)
    doubts = "" if still else "; THE LOAD ENDED BEFORE THE FLUSH"
    if came != delivered:
        doubts += f"; of {delivered:,} delivered {came:,.0f} ARRIVED"
    elapsed = told["seconds"] + 0.5
    return _Loss(
        sent=sent.datagrams,
        lost=lost,
        kernel_dropped=gained(before, after, "datagrams", "kernel_dropped"),
        sending_seconds=sent.seconds,
        reached=sent.rate,
        busy=spent / elapsed,
        waited=waited / elapsed,
        flushes=flushes,
        doubt=doubts,
    )


def _bare_loss(generator: Generator, traffic: Traffic, seconds: float) -> Row:
    with Bare("udp", BUFFER_BYTES) as bare:
        waited = bare.waited_seconds()
        sent = generator.send(traffic, bare.port, RATE, seconds)
        waited = (bare.waited_seconds() - waited) / sent.seconds
        time.sleep(0.2)
        read, dropped = bare.counts()
    lost = max(sent.datagrams - read, dropped)
    details = f"{lost:,} datagrams lost; {sent.rate:,.0f}/s reached; waited {waited:.0%}"
    return Row("bare loop", f"{lost / sent.datagrams:.4%} lost", None, details, lost)
