"""`python -m benchmarks.micro`: nanoseconds a line of `Pipeline.datagrams`, without sockets.

For comparing a change with what was there before: bursts as the receiver hands them over, CPU time rather than wall
time, the mixes of the whole benchmark.  The flush is timed apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.machine import describe
from benchmarks.table import Row, Section, render
from benchmarks.traffic import counter_lines, mixed_lines, packed, timer_lines
from sidecar.app import App, tune_process
from sidecar.config import Config, Deliver
from sidecar.receive.udp import MOST_IN_A_BURST

_ROUNDS: Final = 9
_LINES: Final = 131_072


def _time(what: str, datagrams: list[bytes]) -> tuple[Row, Row]:
    """CPU time a line, and of a flush a series."""
    lines = sum(datagram.count(b"\n") + 1 for datagram in datagrams)
    bursts = [datagrams[first : first + MOST_IN_A_BURST] for first in range(0, len(datagrams), MOST_IN_A_BURST)]
    taken: list[float] = []
    flushed: list[float] = []
    for _ in range(_ROUNDS):
        pipeline = App(Config(deliver=Deliver(target="local")))._pipeline  # noqa: SLF001  # as it is put together
        take = pipeline.datagrams
        for burst in bursts:  # makes the series
            _seconds(take, burst)
        spent = sum(_seconds(take, burst) for burst in bursts)
        taken.append(spent / lines * 1e9)
        series = pipeline.series
        started = time.process_time()
        asyncio.run(pipeline.flush_metrics("drain", unfinished=True))
        flushed.append((time.process_time() - started) / series * 1e6)
    return (
        Row(what, f"{median(taken):,.0f} ns a line", None, f"best {min(taken):,.0f}, worst {max(taken):,.0f}"),
        Row(f"flush of {what}", f"{median(flushed):,.1f} us a series", None, f"{series:,} series"),
    )


def _seconds(take: Callable[[list[bytes]], bool], burst: list[bytes]) -> float:
    """CPU seconds to take a burst of datagrams that are fresh in the cache, as those from a socket are."""
    fresh = [bytes(bytearray(datagram)) for datagram in burst]
    started = time.process_time()
    more = take(fresh)
    while more:
        more = take([])
    return time.process_time() - started


def main() -> None:
    tune_process()
    mixed = mixed_lines(_LINES)
    cases = {
        "mixed, one line a datagram": mixed,
        "mixed, 1,432-byte datagrams": packed(mixed),
        "counters, 1,432-byte datagrams": packed(counter_lines(_LINES // 2)),
        "10,000 timers, 1,432 bytes": packed(timer_lines(10_000, 10)),
    }
    rows = [_time(what, datagrams) for what, datagrams in cases.items()]
    print(f"machine: {describe()}\n")
    print(render([Section("taking", [first for first, _ in rows]), Section("flushing", [last for _, last in rows])]))


if __name__ == "__main__":
    main()
