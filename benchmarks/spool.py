"""Spool: what keeping everything on disk costs, over UDP and over HTTP (ratio: to the same without a spool).

The spool is under /var/tmp, which is a disk where /tmp may be memory.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import http, receive
from benchmarks.endpoint import Endpoint
from benchmarks.generator import Generator
from benchmarks.table import Row, Section

DISK: Final = Path("/var/tmp")
_PACE: Final = receive.Pace(1.6, 1.1, 1.2)


def measure(
    folder: Path, generator: Generator, without: list[receive.Measured] | None, *, quick: bool
) -> list[Section]:
    """Measure with a spool; what was measured without one in the same run is taken over, else measured here."""
    pace = receive.QUICK if quick else _PACE
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-", dir=DISK) as name:
        spool = Path(name)
        rows: list[Row] = []
        for number, traffic in enumerate(receive.traffics()):
            start = 150_000.0 if number == 0 else 20_000.0
            off = without[number] if without else receive.daemon(folder, generator, traffic, pace, start)
            on = receive.daemon(folder, generator, traffic, pace, off.found.rate or start, spool / f"udp-{number}")
            rows.append(_udp_row(traffic.name, off, on))
        rounds, seconds = (1, 0.7) if quick else (3, 1.5)
        for number, case in enumerate(http.cases()[:2]):
            rows.append(_http_row(folder, case, spool / f"http-{number}", rounds, seconds))
    return [Section(f"Spool on {_file_system(DISK)} (ratio: to the same without)", rows)]


def _udp_row(what: str, off: receive.Measured, on: receive.Measured) -> Row:
    cpu = on.found.units_per_cpu_second / off.found.units_per_cpu_second if off.found.units_per_cpu_second else 0.0
    details = (
        f"without {off.figure}; {cpu:.2f} by CPU time; {on.found.first_loss or 'never lost'};"
        f" waited {on.found.waited:.0%}; {on.found.trials} trials"
    )
    return Row(what, on.figure, on.lines / off.lines if off.lines else None, details, on.lines)


def _http_row(folder: Path, case: http.Case, spool: Path, rounds: int, seconds: float) -> Row:
    with ExitStack() as stack:
        off = http.Loaded(folder, case, stack.enter_context(Endpoint()))
        stack.enter_context(off.daemon)
        on = http.Loaded(folder, case, stack.enter_context(Endpoint()), spool)
        stack.enter_context(on.daemon)
        for one in (off, on):
            one.warm_up()
        for _ in range(rounds):
            for one in (off, on):
                one.round(seconds)
        doubt = on.doubt()
    rate, plain = on.rounds.rate * case.events, off.rounds.rate * case.events
    details = (
        f"without {plain:,.0f} events/s;"
        f" {on.rounds.per_cpu_second(case.events) / off.rounds.per_cpu_second(case.events):.2f} by CPU time; {doubt}"
    )
    return Row(f"HTTP, {case.what}", f"{rate:,.0f} events/s", rate / plain, details, rate)


def _file_system(path: Path) -> str:
    """The kind of file system a path is on."""
    best, kind = "", "?"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, name, *_ = line.split()
        if path.is_relative_to(mount) and len(mount) > len(best):
            best, kind = mount, name
    return kind
