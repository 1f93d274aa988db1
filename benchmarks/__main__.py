"""`python -m benchmarks [--quick] [--only NAME]`: measure, and print one table.

Everything is measured in one run, side by side: a ratio means something on any machine, a figure only on this one.
The receiver has the first core, the generator the last.  Under five minutes; with --quick, about one.

"waited" is the share of time in which the receiver could have run and its core was taken: where it is more than a
few percent, something else ran on the machine, rates are too low and losses too high.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import http, receive, stall, startup
from benchmarks.generator import Generator
from benchmarks.machine import describe
from benchmarks.table import Section, render


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and coarser")
    parser.add_argument("--only", choices=("receive", "http", "stall", "startup"), help="one part alone")
    chosen = parser.parse_args()
    started = time.monotonic()
    machine = describe()  # with the load before ours
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-") as name:
        folder = Path(name)
        generator = Generator(folder)
        parts: dict[str, Callable[[], list[Section]]] = {
            "receive": lambda: receive.measure(folder, generator, receive.QUICK if chosen.quick else receive.FULL),
            "http": lambda: http.measure(folder, quick=chosen.quick),
            "stall": lambda: stall.measure(folder, generator, quick=chosen.quick),
            "startup": lambda: startup.measure(folder, quick=chosen.quick),
        }
        sections: list[Section] = []
        for part, measure in parts.items():
            if chosen.only in (None, part):
                print(f"measuring: {part}", file=sys.stderr, flush=True)
                sections += measure()
    print(f"machine: {machine}; {time.monotonic() - started:.0f} s\n")
    print(render(sections))


if __name__ == "__main__":
    main()
