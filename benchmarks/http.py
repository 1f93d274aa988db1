"""HTTP: events a second, beside an aiohttp handler that only reads the body.

Closed loop: eight keep-alive connections with a request each in flight.  Rounds of the bare handler and the daemon
alternate, and medians are told.  What is accepted must be delivered: the row says so where it was not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.bare import Bare
from benchmarks.client import NDJSON, Answered, load
from benchmarks.daemon import MeasuredDaemon, gained
from benchmarks.endpoint import Arrived, Endpoint
from benchmarks.table import Row, Section, megabytes
from benchmarks.traffic import EVENTS_PER_BODY, log_bodies, metric_bodies

_CONNECTIONS: Final = 8
_BODIES: Final = 40


@dataclass(frozen=True)
class Case:
    """One kind of request.

    Attributes:
        what: for the table.
        path: of the route.
        account: its signal in /stats.
        bodies: sent in turn.
        events: in each body.
        headers: of each request, lines.
    """

    what: str
    path: str
    account: str
    bodies: list[bytes]
    events: int
    headers: str = NDJSON


@dataclass
class Rounds:
    """What came of the rounds of one server.

    Attributes:
        answered: by round.
        cpu_seconds: of the server, by round, delivery included.
        settling_seconds: by round, from the last answer until all was delivered.
    """

    answered: list[Answered] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    settling_seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return median(one.accepted / one.seconds for one in self.answered)

    @property
    def accepted(self) -> int:
        """Accepted requests, over all rounds."""
        return sum(one.accepted for one in self.answered)

    def per_cpu_second(self, events: int) -> float:
        """Events a CPU second of the server."""
        pairs = zip(self.answered, self.cpu_seconds, strict=True)
        return median(one.accepted * events / max(spent, 1e-6) for one, spent in pairs)


def cases() -> list[Case]:
    """The three kinds of request."""
    return [
        Case("metrics", "/ingest/metrics", "samples", metric_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        Case("log events", "/ingest/logs", "log_events", log_bodies(_BODIES, EVENTS_PER_BODY), EVENTS_PER_BODY),
        Case("metric a request", "/ingest/metrics", "samples", metric_bodies(500, 1), 1),
    ]


def measure(folder: Path, *, quick: bool) -> list[Section]:
    """Measure the three kinds of request."""
    rounds, seconds = (1, 0.7) if quick else (3, 2.0)
    rows: list[Row] = []
    for case in cases():
        rows += _rows(folder, case, rounds, seconds)
    return [Section("HTTP: 500 events a body as NDJSON, or one event a request (ratio: requests/s)", rows)]


class Loaded:
    """A daemon and the endpoint it delivers to, under rounds of load."""

    def __init__(
        self,
        folder: Path,
        case: Case,
        endpoint: Endpoint,
        spool: Path | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        """Start a daemon that delivers to the endpoint; `config` has sections besides its own."""
        self._folder, self._case, self._endpoint = folder, case, endpoint
        config = (config or {}) | {
            "metrics": {"flush_seconds": 1},
            "logs": {"flush_seconds": 1},
            "deliver": endpoint.deliver(spool),
        }
        self.daemon = MeasuredDaemon(folder, config)
        self.rounds = Rounds()
        self._came = Arrived()
        self._before: dict[str, Any] = {}

    def warm_up(self) -> None:
        """Send a little, which is not counted."""
        self.send(0.3)
        self._before = self.daemon.settled()
        self._endpoint.arrived()

    def round(self, seconds: float) -> None:
        """Send for so many seconds, and wait until all of it is delivered."""
        spent = self.daemon.cpu_seconds()
        self.rounds.answered.append(self.send(seconds))
        answered_at = time.monotonic()
        self.daemon.settled()
        self.rounds.settling_seconds.append(time.monotonic() - answered_at)
        self.rounds.cpu_seconds.append(self.daemon.cpu_seconds() - spent)
        self._came += self._endpoint.arrived()

    def send(self, seconds: float) -> Answered:
        """Send for so many seconds."""
        case = self._case
        port = self.daemon.http_port
        return load(self._folder, port, case.path, case.bodies, _CONNECTIONS, seconds, case.headers)

    def doubt(self) -> str:
        """Whether what was accepted was delivered and arrived, and what was not accepted."""
        after, case = self.daemon.stats(), self._case
        accepted = self.rounds.accepted * case.events
        delivered = gained(self._before, after, case.account, "delivered")
        came = self._came.log_events if case.account == "log_events" else self._came.samples
        if "responses" in after:
            refused = sum(n for codes in after["responses"].values() for code, n in codes.items() if code[0] != "2")
        else:  # in older commits
            refused = sum(row["answers"] for row in after["http"] if row["status"] != 202)
        told = "all delivered"
        if not delivered == came == accepted:
            told = f"of {accepted:,} {delivered:,} DELIVERED, {came:,.0f} ARRIVED"
        return f"{told}, {refused} requests refused" if refused else told


def _rows(folder: Path, case: Case, rounds: int, seconds: float) -> list[Row]:
    plain = Rounds()
    with Bare("http") as bare, Endpoint() as endpoint:
        loaded = Loaded(folder, case, endpoint)
        with loaded.daemon as daemon:
            load(folder, bare.port, case.path, case.bodies, _CONNECTIONS, 0.3)
            loaded.warm_up()
            for _ in range(rounds):
                spent = bare.cpu_seconds()
                plain.answered.append(load(folder, bare.port, case.path, case.bodies, _CONNECTIONS, seconds))
                plain.cpu_seconds.append(bare.cpu_seconds() - spent)
                loaded.round(seconds)
            doubt = loaded.doubt()
            resident = daemon.resident_bytes()
    taken = loaded.rounds
    busy = median(one.cpu_seconds / one.seconds for one in taken.answered)
    return [
        Row(
            f"bare handler, {case.what}",
            f"{plain.rate * case.events:,.0f} events/s",
            1.0,
            f"{plain.rate:,.0f} requests/s; {plain.per_cpu_second(case.events):,.0f} events per CPU second",
            plain.rate * case.events,
            plain.per_cpu_second(case.events),
        ),
        Row(
            f"sidecar, {case.what}",
            f"{taken.rate * case.events:,.0f} events/s",
            taken.rate / plain.rate,
            f"{taken.rate:,.0f} requests/s; {taken.per_cpu_second(case.events):,.0f} events per CPU second; {doubt},"
            f" {median(taken.settling_seconds):.1f} s after the last answer; RSS {megabytes(resident)} after;"
            f" client busy {busy:.0%}",
            taken.rate * case.events,
            taken.per_cpu_second(case.events),
        ),
    ]
