"""`python -m benchmarks.micro [--json]`: nanoseconds a line or event of the pipeline, without sockets.

For comparing a change with what was there before: bursts and bodies as the receivers hand them over, CPU time rather
than wall time, the mixes of the whole benchmark.  The flush is timed apart.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from typing import Final, TypeAlias

from benchmarks.machine import describe
from benchmarks.table import Row, Section, as_json, render
from benchmarks.traffic import (
    EVENTS_PER_BODY,
    counter_lines,
    log_bodies,
    metric_bodies,
    mixed_lines,
    packed,
    timer_lines,
)
from sidecar.app import App
from sidecar.config.schema import Config, Deliver
from sidecar.decode import json_bodies
from sidecar.model.exchange import Answer, Request
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import MOST_IN_A_BURST
from sidecar.runtime.process import tune_process

_ROUNDS: Final = 9
_LINES: Final = 131_072
_BODIES: Final = 20
_SMALL_BODIES: Final = 2_000

Ingest: TypeAlias = Callable[[Request], Awaitable[Answer | Awaitable[Answer] | None]]


def _pipeline() -> Pipeline:
    return App(Config(deliver=Deliver(target="local")))._pipeline  # noqa: SLF001  # as it is put together


def _time(what: str, datagrams: list[bytes]) -> tuple[Row, Row]:
    """CPU time a line, and of a flush a series."""
    lines = sum(datagram.count(b"\n") + 1 for datagram in datagrams)
    bursts = [datagrams[first : first + MOST_IN_A_BURST] for first in range(0, len(datagrams), MOST_IN_A_BURST)]
    taken: list[float] = []
    flushed: list[float] = []
    series = 0
    for _ in range(_ROUNDS):
        pipeline = _pipeline()
        take = pipeline.lines("statsd", "json_udp").ingest
        for burst in bursts:  # makes the series
            cpu_seconds(take, burst)
        spent = sum(cpu_seconds(take, burst) for burst in bursts)
        taken.append(spent / lines * 1e9)
        series = pipeline.series
        started = time.process_time()
        asyncio.run(pipeline.flush_metrics("drain", unfinished=True))
        flushed.append((time.process_time() - started) / series * 1e6)
    flush = Row(f"flush of {what}", f"{median(flushed):,.1f} us a series", None, f"{series:,} series", median(flushed))
    return _row(what, "line", taken), flush


def _time_bodies(what: str, path: str, bodies: list[bytes], events: int) -> Row:
    """CPU time an event of bodies as they come over HTTP."""
    taken: list[float] = []
    for _ in range(_ROUNDS):
        ingest = partial(
            _pipeline().bodies.ingest, json_bodies.logs() if path == "logs" else json_bodies.metrics(), "http"
        )
        asyncio.run(ingest_all(ingest, bodies))  # makes the series
        taken.append(asyncio.run(ingest_all(ingest, bodies)) / (len(bodies) * events) * 1e9)
    return _row(what, "event", taken)


def _row(what: str, unit: str, taken: list[float]) -> Row:
    figure = f"{median(taken):,.0f} ns a {unit}".replace("a event", "an event")
    return Row(what, figure, None, f"best {min(taken):,.0f}, worst {max(taken):,.0f}", median(taken))


async def ingest_all(ingest: Ingest, bodies: list[bytes]) -> float:
    """CPU seconds to take bodies one after another."""
    fresh = [bytes(bytearray(body)) for body in bodies]
    started = time.process_time()
    for body in fresh:
        await ingest(Request("POST", "/", {}, "application/x-ndjson", body))
    return time.process_time() - started


def cpu_seconds(take: Callable[[list[bytes]], bool], burst: list[bytes]) -> float:
    """CPU seconds to take a burst of datagrams that are fresh in the cache, as those from a socket are."""
    fresh = [bytes(bytearray(datagram)) for datagram in burst]
    started = time.process_time()
    more = take(fresh)
    while more:
        more = take([])
    return time.process_time() - started


def main(arguments: list[str]) -> None:
    tune_process()
    mixed = mixed_lines(_LINES)
    cases = {
        "mixed, one line a datagram": mixed,
        "mixed, 1,432-byte datagrams": packed(mixed),
        "counters, 1,432-byte datagrams": packed(counter_lines(_LINES // 2)),
        "10,000 timers, 1,432 bytes": packed(timer_lines(10_000, 10)),
    }
    rows = [_time(what, datagrams) for what, datagrams in cases.items()]
    taking = [first for first, _ in rows] + [
        _time_bodies("metrics, 500 a body", "metrics", metric_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        _time_bodies("metrics, one a body", "metrics", metric_bodies(_SMALL_BODIES, 1), 1),
        _time_bodies("log events, 500 a body", "logs", log_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        _time_bodies("log events, one a body", "logs", log_bodies(_SMALL_BODIES, 1), 1),
    ]
    sections = [Section("taking", taking), Section("flushing", [last for _, last in rows])]
    if arguments == ["--json"]:
        print(as_json(sections))
    else:
        print(f"machine: {describe()}\n")
        print(render(sections))


if __name__ == "__main__":
    main(sys.argv[1:])
