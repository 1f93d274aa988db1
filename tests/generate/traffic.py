"""Log lines as the ready-made configurations describe them: an hour of usual traffic, and the same with one fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

Line: TypeAlias = dict[str, Any]
MINUTES: Final = 90
PER_MINUTE: Final = 6
FAULT_MINUTES: Final = 30  # at the end
PERIOD: Final = 300

Fault: TypeAlias = Callable[[Line], list[Line]]
"""What becomes of a line during the fault."""


def axonflow(number: int) -> Line:
    """A request: one in 50 fails, one in 25 is blocked by a policy."""
    blocked = number % 25 == 7
    line = {
        "level": "ERROR" if number % 50 == 3 else "INFO",
        "service": ("agent", "orchestrator", "customer-portal")[number % 3],
        "instance_id": "i-1",
        "message": "request completed",
        "request_id": f"r-{number}",
        "latency_ms": 200 + number % 100,
        "tokens_used": 100 + number % 10,
        "model": ("sonnet", "haiku")[number % 2],
        "blocked": blocked,
        "organization_id": f"org-{number % 4}",
    }
    return line | {"policy_id": "pii"} if number % 5 == 2 else line


def changed(**fields: Any) -> Fault:
    """Lines with other fields."""
    return lambda line: [line | fields]


def times(count: int) -> Fault:
    """Each line so many times."""
    return lambda line: [line] * count


def silence(_line: Line) -> list[Line]:
    return []


TRAFFIC: Final[dict[str, Callable[[int], Line]]] = {"axonflow": axonflow}
FAULTS: Final[dict[str, dict[str, Fault]]] = {
    "axonflow": {
        "high-error-rate": changed(level="ERROR"),
        "high-latency": changed(latency_ms=9_000),
        "policy-blocks-spike": lambda line: [line | {"blocked": True, "policy_id": "pii"}] * 5,
        "token-budget": changed(tokens_used=50_000),
        "unusual-traffic": times(8),
        "no-requests": silence,
    },
}
"""By configuration and alarm: what makes the alarm fire."""


def lines(name: str, end: float, fault: Fault | None = None) -> Iterator[Line]:
    """The lines of `MINUTES` before a time (epoch seconds), each with its timestamp; with a fault towards the end."""
    make = TRAFFIC[name]
    number = 0
    for minute in range(MINUTES):
        for second in range(PER_MINUTE):
            at = end - 60 * (MINUTES - minute) + second * 60 / PER_MINUTE
            line = make(number)
            number += 1
            faulty = fault is not None and minute >= MINUTES - FAULT_MINUTES
            for one in fault(line) if faulty and fault is not None else [line]:
                yield one | {"timestamp": round(at * 1_000)}


def last_period(now: float) -> int:
    """The end of the last whole period of five minutes before a time, with a minute between."""
    return math.floor((now - 60) / PERIOD) * PERIOD
