"""What an event costs, counted: calls while it is taken, and memory blocks that stay. Times are in `benchmarks/`.

A bound here is what was counted when it was written: a change that goes over it makes the hot path dearer.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, Final

import orjson
import pytest

from tests.support import counting
from tests.support.pipeline import Rig, done

EVENTS: Final = 1_000


def calls(work: Callable[[], Any]) -> float:
    """Calls of Python and C functions for each event."""
    return counting.calls(work) / EVENTS


def blocks(work: Callable[[], Any]) -> float:
    """Memory blocks that stay allocated for an event."""
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return (sys.getallocatedblocks() - before) / EVENTS


def lines_of(kind: bytes, values: int) -> list[bytes]:
    """Lines of a hundred series, of so many values each."""
    form = b"shop.requests:%d|%b|#env:production,kind:%d"
    return [form % (1 + number // 100 % values, kind, number % 100) for number in range(EVENTS)]


INCREMENTS: Final = lines_of(b"c", 1)
COUNTERS: Final = lines_of(b"c", 10)
GAUGES: Final = lines_of(b"g", 10)
TIMERS: Final = lines_of(b"ms", 10)
METRICS: Final = b"\n".join(
    orjson.dumps({"name": "Latency", "value": n % 7, "dimensions": {"Service": "api", "Kind": str(n % 100)}})
    for n in range(EVENTS)
)
LOGS: Final = b"\n".join(orjson.dumps({"message": f"number {n}", "service": "api"}) for n in range(EVENTS))


@pytest.mark.parametrize(
    ("lines", "most"),
    # Of a repeated line a look-up and `add`; of others two cuts and `add`, which is one look-up more for a timer.
    [(INCREMENTS, 2.1), (COUNTERS, 3.2), (GAUGES, 3.1), (TIMERS, 4.1)],
    ids=["increments", "counters", "gauges", "timers"],
)
def test_calls_of_a_line_that_is_known(lines: list[bytes], most: float) -> None:
    rig = Rig()
    rig.send(*lines)
    rig.send(*lines)
    assert calls(lambda: rig.pipeline.datagrams(lines)) <= most
    assert calls(lambda: rig.pipeline.datagrams([b"\n".join(lines)])) <= most
    assert rig.ledger.samples.received["statsd"] == 4 * EVENTS


def test_calls_of_a_json_metric_that_is_known() -> None:
    rig = Rig()
    done(rig.pipeline.ingest_metrics(METRICS, "json"))
    assert calls(lambda: done(rig.pipeline.ingest_metrics(METRICS, "json"))) <= 31.1
    assert rig.ledger.samples.received["http"] == 2 * EVENTS


def test_calls_of_a_log_event() -> None:
    rig = Rig()
    assert calls(lambda: done(rig.pipeline.ingest_logs(LOGS, "json"))) <= 53.1
    assert rig.ledger.log_events.received["http"] == EVENTS


FIVE_REDACTIONS: Final = [
    *({"find": [finder]} for finder in ("email", "card", "jwt", "bearer")),
    {"fields": ["password", "*_token"]},
]
THREE_METRICS: Final = [
    {"name": "Requests", "dimensions": {"Level": "{level}"}},
    {"name": "Latency", "value": "ms", "type": "timer", "dimensions": {"Level": "{level}"}},
    {"when": "{ $.ms > 2 }", "name": "Slow", "dimensions": {"Level": "{level}"}},
]


def test_calls_of_a_log_event_through_rules() -> None:
    """Five redactions and three metrics: in time about 15 us more, of which a third is looking for the five."""
    rig = Rig(logs={"redact": FIVE_REDACTIONS, "metrics": THREE_METRICS})
    logs = b"\n".join(
        orjson.dumps({"message": f"number {n}", "level": "info", "service": "api", "ms": n % 9}) for n in range(EVENTS)
    )
    done(rig.pipeline.ingest_logs(logs, "json"))
    assert calls(lambda: done(rig.pipeline.ingest_logs(logs, "json"))) <= 115.8
    assert rig.ledger.log_events.received["http"] == 2 * EVENTS
    assert rig.ledger.samples.received["logs"] == 2 * sum(2 + (n % 9 > 2) for n in range(EVENTS))


def test_nothing_stays_of_a_line_that_is_known() -> None:
    rig = Rig()
    for lines in (COUNTERS, GAUGES, TIMERS):
        rig.send(*lines)
        rig.send(*lines)
        assert blocks(lambda lines=lines: rig.send(*lines)) < 0.1  # type: ignore[misc]


def test_what_stays_of_a_log_event_is_its_bytes() -> None:
    rig = Rig()
    done(rig.pipeline.ingest_logs(LOGS, "json"))
    assert blocks(lambda: done(rig.pipeline.ingest_logs(LOGS, "json"))) <= 1.1


def test_what_stays_of_a_series() -> None:
    """Accumulator, series, place in the table, and in the account of the hour: linear in the number of series."""
    few, many = (_blocks_of_series(count) for count in (1_000, 10_000))
    assert many <= 1.05 * few
    assert many <= 30.0


def _blocks_of_series(count: int) -> float:
    rig = Rig(metrics={"max_series": 20_000})
    made = blocks(lambda: rig.send(*[b"hits:1|c|#customer:%d" % number for number in range(count)]))
    return made * EVENTS / count
