"""What rules cost: lines and bodies with twenty rules beside the same without, and log events with rules of theirs.

In one process, without sockets, by turns, so that both sides meet the same machine. Series are known: a rule is decided
once for a series. CPU time; the ratio is that of the time without rules to the time with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Final

from benchmarks.micro import cpu_seconds, ingest_all
from benchmarks.table import Row, Section
from benchmarks.traffic import EVENTS_PER_BODY, counter_lines, log_bodies, metric_bodies, mixed_lines, packed
from sidecar.app import App
from sidecar.config.schema import Config
from sidecar.decode import json_bodies
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import MOST_IN_A_BURST

_LINES: Final = 65_536
_BODIES: Final = 20
# Every one applies to every metric, or is compared with it.
TWENTY_RULES: Final[list[dict[str, Any]]] = [
    {"match": "*", "drop_dimensions": ["pod", "aws:*"]},
    {"match": "*", "rename_dimensions": {"env": "Environment"}},
    {"match": "*", "rollups": [["Environment"], []]},
    *({"match": f"job{number}.*.duration", "unit": "Milliseconds"} for number in range(8)),
    *({"match": "*", "when": {f"tag{number}": "x*"}, "max_series": 500} for number in range(8)),
    {"match": "debug.*", "drop": True},
]
REDACTIONS: Final[list[dict[str, Any]]] = [
    {"find": ["email"]},
    {"find": ["card"]},
    {"find": ["aws_key", "jwt", "bearer", "private_key"]},
    {"fields": ["password", "*_token"]},
    {"pattern": "cust-[0-9]{8}"},
]
LOG_METRICS: Final[list[dict[str, Any]]] = [
    {"name": "RequestCount", "dimensions": {"Service": "{service}"}},
    {"when": "{ $.status >= 500 }", "name": "Errors", "dimensions": {"Service": "{service}"}},
    {"name": "Latency", "value": "latency_ms", "type": "timer", "dimensions": {"Service": "{service}"}},
]

Round = Callable[[], float]
"""Ingests everything once; returns CPU seconds."""


def measure(*, quick: bool) -> list[Section]:
    """Measure lines, metric bodies and log bodies."""
    rounds = 5 if quick else 15
    mixed, counters = packed(mixed_lines(_LINES)), packed(counter_lines(_LINES))
    metrics, logs = metric_bodies(_BODIES, EVENTS_PER_BODY), log_bodies(_BODIES, EVENTS_PER_BODY)
    events = _BODIES * EVENTS_PER_BODY
    none: dict[str, Any] = {}
    rules = {"metrics": {"rules": TWENTY_RULES}}
    known = [
        _pair("mixed lines", "line", _LINES, [_lines(config, mixed) for config in (none, rules)], rounds),
        _pair("counters", "line", _LINES, [_lines(config, counters) for config in (none, rules)], rounds),
        _pair(
            "JSON metrics", "event", events, [_bodies(config, "metrics", metrics) for config in (none, rules)], rounds
        ),
    ]
    of_logs = [
        _pair(what, "event", events, [_bodies(config, "logs", logs) for config in (none, {"logs": given})], rounds)
        for what, given in (
            ("five redactions", {"redact": REDACTIONS}),
            ("three metrics", {"metrics": LOG_METRICS}),
            ("five redactions and three metrics", {"redact": REDACTIONS, "metrics": LOG_METRICS}),
        )
    ]
    return [
        Section("Twenty rules on metrics of known series (ratio: time without them to time with them)", known),
        Section("Rules of log events (ratio: the same)", of_logs),
    ]


def _pair(what: str, unit: str, number: int, sides: list[Round], rounds: int) -> Row:
    """Both sides by turns: without rules and with them."""
    spent: list[list[float]] = [[], []]
    for _ in range(rounds):
        for times, side in zip(spent, sides, strict=True):
            times.append(side() / number * 1e6)
    without, with_rules = map(median, spent)
    figure = f"{with_rules - without:+.2f} us a {unit}".replace("a event", "an event")
    ratio = median(one / other for one, other in zip(*spent, strict=True))
    return Row(what, figure, ratio, f"{without:.2f} us without, {with_rules:.2f} with", with_rules - without)


def _pipeline(sections: dict[str, Any]) -> Pipeline:
    config = Config.model_validate({"deliver": {"target": "local"}, **sections})
    return App(config)._pipeline  # noqa: SLF001  # as it is put together


def _lines(sections: dict[str, Any], datagrams: list[bytes]) -> Round:
    bursts = [datagrams[first : first + MOST_IN_A_BURST] for first in range(0, len(datagrams), MOST_IN_A_BURST)]
    ingest = _pipeline(sections).lines("statsd", "json_udp").ingest

    def spend() -> float:
        return sum(cpu_seconds(ingest, burst) for burst in bursts)

    spend()  # makes the series
    return spend


def _bodies(sections: dict[str, Any], path: str, bodies: list[bytes]) -> Round:
    dialect = json_bodies.logs() if path == "logs" else json_bodies.metrics()

    def spend() -> float:
        # A new pipeline each time: nothing is delivered, and memory would be full after some rounds.
        ingest = partial(_pipeline(sections).bodies.ingest, dialect, "http")
        asyncio.run(ingest_all(ingest, bodies))  # makes the series
        return asyncio.run(ingest_all(ingest, bodies))

    return spend
