"""`python -m benchmarks [--quick] [--only NAME]`: measure, and print one table.

Everything is measured in one run, side by side: a ratio means something on any machine, a figure only on this one.
The receiver has the first core; the generator, and the endpoint that stands for CloudWatch, have the last.  About
twelve minutes; with --quick, two or three.

"waited" is the share of time in which the receiver could have run and its core was taken: where it is more than a
few percent, something else ran on the machine, rates are too low and losses too high.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import drop_in, encode, growth, http, memory, receive, soak, spool, stall, startup
from benchmarks.generator import Generator
from benchmarks.machine import SENDER_CORE, describe
from benchmarks.table import Section, as_json, render

PARTS: Final = (
    "receive",
    "http",
    "drop_in",
    "rules",
    "turns",
    "stall",
    "encode",
    "memory",
    "soak",
    "growth",
    "spool",
    "startup",
)


class _Run:
    """One run, with what later parts take over from earlier ones."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self._folder = folder
        self._quick = quick
        self._generator = Generator(folder)
        self._without_spool: list[receive.Measured] | None = None

    def measure(self, part: str) -> list[Section]:
        folder, generator, quick = self._folder, self._generator, self._quick
        match part:
            case "receive":
                sections, self._without_spool = receive.measure(
                    folder, generator, receive.QUICK if quick else receive.FULL
                )
                return sections
            case "http":
                return http.measure(folder, quick=quick)
            case "drop_in":
                return drop_in.measure(folder, quick=quick)
            case "rules":
                from benchmarks import rules  # of this commit's pipeline: earlier ones have none of its rules

                return rules.measure(quick=quick)
            case "turns":
                from benchmarks import turns  # earlier commits have not the application it measures

                return turns.measure(folder)
            case "stall":
                return stall.measure(folder, generator, quick=quick)
            case "encode":
                return encode.measure(quick=quick)
            case "memory":
                return memory.measure(folder, generator, quick=quick)
            case "soak":
                return soak.measure(folder, generator, quick=quick)
            case "growth":
                return growth.measure(folder, generator, quick=quick)
            case "spool":
                return spool.measure(folder, generator, self._without_spool, quick=quick)
            case _:
                return startup.measure(folder, quick=quick)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--json", action="store_true", help="the numbers alone, for a program")
    chosen = parser.parse_args()
    # Whatever was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    started = time.monotonic()
    machine = describe()  # with the load before ours
    os.sched_setaffinity(0, {SENDER_CORE})
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-") as name:
        run = _Run(Path(name), quick=chosen.quick)
        for part in PARTS:
            if chosen.only in (None, part):
                began = time.monotonic()
                sections += run.measure(part)
                sys.stderr.write(f"measured: {part}, {time.monotonic() - began:.0f} s\n")
    if chosen.json:
        print(as_json(sections))
    else:
        print(f"machine: {machine}; {time.monotonic() - started:.0f} s\n")
        print(render(sections))


if __name__ == "__main__":
    main()
