"""Log lines as the ready-made configurations describe them: an hour of usual traffic, and the same with one fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

Line: TypeAlias = dict[str, Any]
MINUTES: Final = 120
PER_MINUTE: Final = 6
FAULT_MINUTES: Final = 45  # at the end
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


def llm(number: int) -> Line:
    """A call of a model."""
    return {
        "service": ("chat", "agent")[number % 2],
        "message": "call completed",
        "model_id": ("eu.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic.claude-3-haiku-20240307-v1:0")[
            number % 2
        ],
        "input_tokens": 500 + number % 50,
        "output_tokens": 100 + number % 20,
        "latency_ms": 800 + number % 300,
        "guardrail_triggered": number % 40 == 0,
    }


def genkit(number: int) -> Line:
    """Every other line is of a flow, the others of a model; one flow in 60 fails."""
    flow = {"service": "app", "flow": ("chatFlow", "menuFlow")[number // 2 % 2]}
    if number % 2:
        tokens = {"input_tokens": 300, "output_tokens": 60, "total_tokens": 360}
        return flow | {"model": "googleai/gemini-2.0-flash", "latency_ms": 400 + number % 100} | tokens
    done = {"status": "success", "duration_ms": 600 + number % 100}
    return flow | done | ({"status": "error", "error": "deadline exceeded"} if number % 120 == 4 else {})


def web(number: int) -> Line:
    """A request of an access log; one in 60 fails, one in ten is the client's error."""
    status = 500 if number % 60 == 5 else 404 if number % 10 == 3 else 200
    path = ("/orders/17", "/health", "/cart")[number % 3]
    return {"method": "GET", "path": path, "status": status, "latency_ms": 40 + number % 60, "message": "GET"}


def changed(**fields: Any) -> Fault:
    """Lines with other fields."""
    return lambda line: [line | fields]


def times(count: int) -> Fault:
    """Each line so many times."""
    return lambda line: [line] * count


def silence(_line: Line) -> list[Line]:
    return []


def failing(line: Line) -> list[Line]:
    """Flows that all fail."""
    return [line | {"status": "error", "error": "429 quota"} if "status" in line else line]


TRAFFIC: Final[dict[str, Callable[[int], Line]]] = {"axonflow": axonflow, "llm": llm, "genkit": genkit, "web": web}
FAULTS: Final[dict[str, dict[str, Fault]]] = {
    "axonflow": {
        "high-error-rate": changed(level="ERROR"),
        "high-latency": changed(latency_ms=9_000),
        "policy-blocks-spike": lambda line: [line | {"blocked": True, "policy_id": "pii"}] * 5,
        "token-budget": changed(tokens_used=50_000),
        "unusual-traffic": times(8),
        "no-requests": silence,
    },
    "llm": {
        "daily-token-budget": changed(input_tokens=90_000, output_tokens=20_000),
        "daily-cost": changed(input_tokens=200_000, output_tokens=50_000),
        "high-latency": changed(latency_ms=9_000),
    },
    "genkit": {
        "high-error-rate": lambda line: failing(line) * 2,
        "flow-errors": failing,
        "high-token-usage": lambda line: [line | {"total_tokens": 30_000} if "model" in line else line],
        "slow-flows": lambda line: [line | {"duration_ms": 9_000} if "status" in line else line],
    },
    "web": {
        "5xx-errors": changed(status=503),
        "high-error-rate": changed(status=503),
        "high-latency": changed(latency_ms=9_000),
        "latency-objective": changed(latency_ms=900),
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
