"""HTTP: events a second, beside an aiohttp handler that only reads the body.

Closed loop: eight keep-alive connections with a request each in flight.  Rounds of the bare handler and the daemon
alternate, and medians are told.  What is accepted must be delivered: the row says so where it was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.client import Answered, load
from benchmarks.daemon import MeasuredDaemon
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import EVENTS_PER_BODY, log_bodies, metric_bodies

_CONNECTIONS: Final = 8
_BODIES: Final = 40


@dataclass(frozen=True)
class _Case:
    """One kind of request."""

    what: str
    path: str
    account: str  # in /stats
    bodies: list[bytes]
    events: int  # a body


def measure(folder: Path, *, quick: bool) -> list[Section]:
    """Measure the three kinds of request."""
    cases = [
        _Case("metrics", "/ingest/metrics", "samples", metric_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        _Case("log events", "/ingest/logs", "log_events", log_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        _Case("metric a request", "/ingest/metrics", "samples", metric_bodies(500, 1), 1),
    ]
    rounds, seconds = (1, 0.7) if quick else (3, 2.0)
    rows: list[Row] = []
    for case in cases:
        rows += _rows(folder, case, rounds, seconds)
    return [Section("HTTP: 500 events a body as NDJSON, or one event a request (ratio: requests/s)", rows)]


def _rows(folder: Path, case: _Case, rounds: int, seconds: float) -> list[Row]:
    bare_rounds: list[Answered] = []
    daemon_rounds: list[Answered] = []
    bare_cpu: list[float] = []
    daemon_cpu: list[float] = []
    with Bare("http") as bare, MeasuredDaemon(folder, {"metrics": {"flush_seconds": 1}}) as daemon:
        for port in (bare.port, daemon.http_port):
            load(folder, port, case.path, case.bodies, _CONNECTIONS, 0.3)  # warms up, and is not counted
        before = daemon.settled()
        for _ in range(rounds):
            spent = bare.cpu_seconds()
            bare_rounds.append(load(folder, bare.port, case.path, case.bodies, _CONNECTIONS, seconds))
            bare_cpu.append(bare.cpu_seconds() - spent)
            spent = daemon.cpu_seconds()
            daemon_rounds.append(load(folder, daemon.http_port, case.path, case.bodies, _CONNECTIONS, seconds))
            after = daemon.settled()
            daemon_cpu.append(daemon.cpu_seconds() - spent)
        doubt = _doubt(case, before, after, sum(one.accepted for one in daemon_rounds))
        resident = daemon.resident_bytes()
    bare_rate, daemon_rate = (
        median(one.accepted / one.seconds for one in answered) for answered in (bare_rounds, daemon_rounds)
    )
    return [
        Row(
            f"bare handler, {case.what}",
            f"{bare_rate * case.events:,.0f} events/s",
            1.0,
            f"{bare_rate:,.0f} requests/s; {_per_cpu(case, bare_rounds, bare_cpu)}",
        ),
        Row(
            f"sidecar, {case.what}",
            f"{daemon_rate * case.events:,.0f} events/s",
            daemon_rate / bare_rate,
            f"{daemon_rate:,.0f} requests/s; {_per_cpu(case, daemon_rounds, daemon_cpu)}; {doubt};"
            f" RSS {megabytes(resident)} after; client busy {_busy(daemon_rounds):.0%}",
        ),
    ]


def _per_cpu(case: _Case, rounds: list[Answered], cpu: list[float]) -> str:
    rate = median(one.accepted * case.events / max(spent, 0.01) for one, spent in zip(rounds, cpu, strict=True))
    return f"{rate:,.0f} events per CPU second"


def _busy(rounds: list[Answered]) -> float:
    return median(one.cpu_seconds / one.seconds for one in rounds)


def _doubt(case: _Case, before: dict[str, Any], after: dict[str, Any], accepted_bodies: int) -> str:
    """Whether what was accepted was delivered, and what was not accepted."""
    accepted = accepted_bodies * case.events
    delivered = after[case.account]["delivered"] - before[case.account]["delivered"]
    refused = sum(row["answers"] for row in after["http"] if row["status"] != 202)
    told = "all delivered" if delivered == accepted else f"{accepted - delivered:,} of {accepted:,} NOT DELIVERED"
    return f"{told}, {refused} requests refused" if refused else told
