"""The ready-made configurations: real lines through a daemon to the strict double; every series, group and secret."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]
CONFIG: Final = Path(__file__).resolve().parents[2] / "config"
MAIL: Final = "bob@example.com"
SECRETS: Final = (MAIL, "4111111111111111", "hunter2", "AKIAIOSFODNN7EXAMPLE", "sk-live-1")


class Totals(NamedTuple):
    """What CloudWatch has of one series."""

    samples: float
    sum: float
    minimum: float
    maximum: float


def once(value: float) -> Totals:
    return Totals(1, value, value, value)


def times(count: int) -> Totals:
    """Of a counter that was counted so many times."""
    return Totals(count, count, 1, 1)


def started(daemon: Start, double: ThreadedCloudWatchDouble, name: str, **environ: str) -> Daemon:
    """A daemon with a shipped configuration; only the destination is the test's."""
    config: dict[str, Any] = yaml.safe_load((CONFIG / name).read_text())
    config["deliver"] = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 20}
    return daemon(config, environ=environ)


def finished(one: Daemon, *events: dict[str, Any]) -> dict[str, Any]:
    """Post log events, end the daemon, and return its account."""
    status, answer, _ = one.post("/ingest/logs", list(events))
    assert (status, answer["accepted"], answer["rejected"]) == (202, len(events), [])
    final = one.stop()
    assert_balanced(final)
    assert (final["samples"]["dropped"], final["log_events"]["dropped"]) == (0, 0)
    return final


def sent(double: ThreadedCloudWatchDouble, namespace: str) -> dict[str, dict[str, Totals]]:
    """{metric: {dimensions: totals}}; dimensions as `A=1 B=2`."""
    found: dict[str, dict[str, Totals]] = {}
    for series in double.metrics.series():
        assert series.namespace == namespace
        totals = double.metrics.statistics(namespace, series.name, dict(series.dimensions))
        shown = " ".join(f"{name}={value}" for name, value in series.dimensions)
        found.setdefault(series.name, {})[shown] = Totals(*totals)
    return found


def units(double: ThreadedCloudWatchDouble) -> dict[str, str]:
    return {series.name: series.unit for series in double.metrics.series()}


def messages(double: ThreadedCloudWatchDouble, group: str) -> list[dict[str, Any]]:
    assert double.logs.streams(group) == [socket.gethostname()]
    return [json.loads(text) for _, text in double.logs.events(group)]


def retentions(double: ThreadedCloudWatchDouble) -> dict[str, int | None]:
    return {group: double.logs.retention(group) for group in double.logs.groups()}


def assert_no_secret(one: Daemon, double: ThreadedCloudWatchDouble, *more: str) -> None:
    """No secret in what was sent, nor in what the daemon wrote."""
    logs = [double.logs.events(group) for group in double.logs.groups()]
    everything = repr(logs) + repr(double.metrics.series()) + one.log() + one.console()
    assert [secret for secret in (*SECRETS, *more) if secret in everything] == []


def test_axonflow(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = started(daemon, double, "axonflow.yaml", ENVIRONMENT="staging")
    line = {"timestamp": "2026-11-21T21:00:00Z", "instance_id": "i-1", "message": "done", "request_id": "r-1"}
    del line["timestamp"]  # the time of arrival: CloudWatch refuses what is too old
    agent = {"service": "agent", "organization_id": "acme", "model": "m1", "policy_id": "p1", "blocked": False}
    finished(
        one,
        {**line, "level": "INFO", **agent, "latency_ms": 10, "tokens_used": 100},
        {**line, "level": "INFO", **agent, "latency_ms": 30, "tokens_used": 50},
        {**line, "level": "ERROR", **agent, "latency_ms": 5000, "message": f"by {MAIL} with 4111111111111111"},
        {**line, "level": "WARN", **agent, "latency_ms": 2, "blocked": True, "policy_id": "p2"},
        {
            **line,
            "level": "INFO",
            "service": "portal",
            "organization_id": MAIL,
            "latency_ms": 7,
            "password": SECRETS[2],
        },
        {**line, "level": "ERROR", "service": "portal", "message": "no request", "api_key": SECRETS[4]},
    )

    m1 = "Environment=staging Model=m1 OrganizationId=acme Service=agent"
    portal = "Environment=staging Model=unknown OrganizationId=[email] Service=portal"
    policy = "Environment=staging OrganizationId=acme PolicyId="
    every = "Environment=staging"
    assert sent(double, "AxonFlow") == {
        "RequestCount": {m1: times(4), portal: times(1), every: times(5)},
        "SuccessCount": {m1: times(2), portal: times(1), every: times(3)},
        "ErrorCount": {m1: times(1), every: times(1)},
        "Latency": {m1: Totals(4, 5042, 2, 5000), portal: once(7), every: Totals(5, 5049, 2, 5000)},
        "TokensUsed": {m1: Totals(2, 150, 50, 100), every: Totals(2, 150, 50, 100)},
        "PolicyEvaluations": {
            f"{policy}p1 Service=agent": times(3), f"{policy}p2 Service=agent": times(1), every: times(4),
        },
        "BlockedCount": {f"{policy}p2 Service=agent": times(1), every: times(1)},
    }  # fmt: skip
    assert units(double) == {
        **dict.fromkeys(("RequestCount", "SuccessCount", "ErrorCount", "BlockedCount"), "Count"),
        **dict.fromkeys(("TokensUsed", "PolicyEvaluations"), "Count"), "Latency": "Milliseconds",
    }  # fmt: skip
    environment = {"Environment": "staging"}
    assert double.metrics.weights("AxonFlow", "Latency", environment) == {2: 1, 7: 1, 10: 1, 30: 1, 5000: 1}
    assert retentions(double) == {"/axonflow/staging/agent": 30, "/axonflow/staging/portal": 30}
    assert messages(double, "/axonflow/staging/agent")[2]["message"] == "by [email] with [card]"
    assert [one.get("password") for one in messages(double, "/axonflow/staging/portal")] == ["[redacted]", None]
    assert_no_secret(one, double)


def test_llm(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    """Dollars are tokens times the price of the model, input and output added up; a model without a price has none."""
    one = started(daemon, double, "llm.yaml", ENVIRONMENT="staging")
    sonnet, haiku = "eu.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic.claude-3-haiku-20240307-v1:0"
    call = {"service": "chat", "prompt": f"write to {MAIL}, key AKIAIOSFODNN7EXAMPLE", "api_key": SECRETS[4]}
    finished(
        one,
        {**call, "model_id": sonnet, "input_tokens": 1000, "output_tokens": 200, "latency_ms": 900},
        {**call, "model_id": sonnet, "input_tokens": 3000, "output_tokens": 400, "latency_ms": 1100},
        {**call, "model_id": haiku, "input_tokens": 4000, "output_tokens": 0, "latency_ms": 300},
        {**call, "model_id": "own", "input_tokens": 7, "output_tokens": 8, "latency_ms": 20},
        {"service": "chat", "message": "started", "latency_ms": 3},
    )

    every = "Environment=staging"
    of = {name: f"{every} ModelId={model}" for name, model in {"s": sonnet, "h": haiku, "o": "own"}.items()}
    found = sent(double, "AI/LLMMetrics")
    dollars = found.pop("CostDollars")
    assert found == {
        "InputTokens": {
            of["s"]: Totals(2, 4000, 1000, 3000), of["h"]: once(4000), of["o"]: once(7),
            every: Totals(4, 8007, 7, 4000),
        },
        "OutputTokens": {
            of["s"]: Totals(2, 600, 200, 400), of["h"]: once(0), of["o"]: once(8), every: Totals(4, 608, 0, 400),
        },
        "InferenceLatencyMs": {
            of["s"]: Totals(2, 2000, 900, 1100), of["h"]: once(300), of["o"]: once(20),
            every: Totals(4, 2320, 20, 1100),
        },
    }  # fmt: skip
    assert {series: totals.sum for series, totals in dollars.items()} == {
        of["s"]: pytest.approx(4000 * 3e-6 + 600 * 15e-6, rel=1e-12),
        of["h"]: pytest.approx(4000 * 0.25e-6, rel=1e-12),
        every: pytest.approx(0.021 + 0.001, rel=1e-12),
    }
    assert units(double) == {
        "InputTokens": "Count", "OutputTokens": "Count", "InferenceLatencyMs": "Milliseconds", "CostDollars": "None",
    }  # fmt: skip
    assert retentions(double) == {"/llm/chat": 14}
    assert messages(double, "/llm/chat")[0]["prompt"] == "write to [email], key [aws_key]"
    assert_no_secret(one, double)


ERRORS: Final = {
    "context deadline exceeded": "Timeout",
    "dial tcp 10.0.0.1:443: i/o timeout": "Timeout",
    "dial tcp: connect: connection refused": "Connection",
    "rpc error: code = Unauthenticated desc = invalid API key": "Authentication",
    "HTTP 403": "Authentication",
    "ThrottlingException: slow down": "Throttling",
    "429 Too Many Requests": "RateLimit",
    "quota exceeded for user bob@example.com": "RateLimit",
    "nil pointer dereference": "GenericError",
}


def test_genkit(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    """No dimension has what names a person; a rollup over none at all, over the flow and over the model."""
    one = started(daemon, double, "genkit.yaml")
    flow = {"service": "app", "flow": "chatFlow", "user_id": "u-77", "message": f"for {MAIL}"}
    model = {"service": "app", "flow": "chatFlow", "model": "googleai/gemini-2.0-flash", "session": "s-99"}
    one.udp(b"TokensUsed:5|c|#FlowName:menuFlow,ModelID:m2,UserId:u-77,GitCommit:abc,BuildTime:now")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 1, "received")
    finished(
        one,
        {**flow, "status": "success", "duration_ms": 100},
        {**flow, "status": "success", "duration_ms": 300},
        *[{**flow, "status": "error", "duration_ms": 50, "error": text} for text in ERRORS],
        {**model, "latency_ms": 40, "input_tokens": 10, "output_tokens": 20, "total_tokens": 30},
        {**model, "flow": "menuFlow", "latency_ms": 60, "input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        {"service": "app", "message": "listening", "password": SECRETS[2]},
    )

    chat, menu, gemini = "FlowName=chatFlow", "FlowName=menuFlow", "ModelID=googleai/gemini-2.0-flash"
    kinds = list(ERRORS.values())
    failed = {f"ErrorType={kind} {chat} Status=Error": times(kinds.count(kind)) for kind in kinds}
    assert len(failed) == 6

    def by_model(first: float, second: float) -> dict[str, Totals]:
        both = Totals(2, first + second, second, first)
        return {
            f"{chat} {gemini}": once(first), f"{menu} {gemini}": once(second),
            chat: once(first), menu: once(second), gemini: both, "": both,
        }  # fmt: skip

    tokens = by_model(30, 3)
    tokens |= {f"{menu} ModelID=m2": once(5), "ModelID=m2": once(5), menu: Totals(2, 8, 3, 5), "": Totals(3, 38, 3, 30)}
    assert sent(double, "MyApp/GenKit") == {
        "FlowCompleted": {f"{chat} Status=Success": times(2), chat: times(2), "": times(2)},
        "FlowError": {**failed, chat: times(9), "": times(9)},
        "FlowDuration": {chat: Totals(11, 850, 50, 300), "": Totals(11, 850, 50, 300)},
        "ModelLatency": by_model(60, 40) | {f"{chat} {gemini}": once(40), f"{menu} {gemini}": once(60)}
        | {chat: once(40), menu: once(60)},
        "InputTokens": by_model(10, 1),
        "OutputTokens": by_model(20, 2),
        "TokensUsed": tokens,
    }  # fmt: skip
    assert retentions(double) == {"/genkit/app": 30}
    assert messages(double, "/genkit/app")[0]["message"] == "for [email]"
    names = {name for series in double.metrics.series() for name, _ in series.dimensions}
    assert names == {"FlowName", "ModelID", "Status", "ErrorType"}
    assert "u-77" not in repr(double.metrics.series())
    assert_no_secret(one, double)


def test_genkit_flushes_at_twenty_series_before_its_thirty_seconds(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    one = started(daemon, double, "genkit.yaml")
    one.post("/ingest/logs", [{"flow": f"f{n}", "status": "success", "duration_ms": 1} for n in range(10)])

    one.wait_until(lambda: len(double.metrics.datums()) >= 20, "delivered", seconds=15)
    assert one.stats()["flushes"]["metrics"]["threshold"] >= 1


PATHS: Final = {
    "/orders/17": "/orders/:id",
    "/orders/18?page=2": "/orders/:id",
    "/users/3/orders/0123456789abcdef": "/users/:id/orders/:id",
    "/files/9b2d6f0e-5c1a-4f7e-8d3b-2a1c0e9f8d7c/raw": "/files/:id/raw",
    "/v2/3d-models": "/v2/3d-models",
    "/.well-known/openid-configuration": "/.well-known/openid-configuration",
}


def test_web(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = started(daemon, double, "web.yaml", ENVIRONMENT="staging", SERVICE="shop")
    entries = [{"method": "GET", "path": path, "status": 200, "latency_ms": 10} for path in PATHS]
    entries[0] |= {"user": MAIL, "authorization": SECRETS[4]}
    entries += [
        {"method": "POST", "path": "/orders", "status": 503, "latency_ms": 900, "cookie": SECRETS[2]},
        {"method": "GET", "path": "/orders/19", "status": 404, "latency_ms": 2},
    ]
    finished(one, *entries, {"message": "listening"})

    every = "Environment=staging Service=shop"

    def of(endpoint: str) -> str:
        return f"Endpoint={endpoint} {every}"

    requests = {of(f"GET {folded}"): times(list(PATHS.values()).count(folded)) for folded in PATHS.values()}
    assert sent(double, "Web") == {
        "RequestCount": requests | {of("GET /orders/:id"): times(3), of("POST /orders"): times(1), every: times(8)},
        "4xxErrors": {of("GET /orders/:id"): times(1), every: times(1)},
        "5xxErrors": {of("POST /orders"): times(1), every: times(1)},
        "Latency": {
            **{series: once(10) for series in requests},
            of("GET /orders/:id"): Totals(3, 22, 2, 10), of("POST /orders"): once(900), every: Totals(8, 962, 2, 900),
        },
    }  # fmt: skip
    assert units(double) == {
        "RequestCount": "Count", "4xxErrors": "Count", "5xxErrors": "Count", "Latency": "Milliseconds",
    }  # fmt: skip
    assert retentions(double) == {"/web/staging/shop": 30}
    first = messages(double, "/web/staging/shop")[0]
    assert (first["user"], first["authorization"], first["path"]) == ("[email]", "[redacted]", "/orders/17")
    assert_no_secret(one, double)


def test_paths_that_do_not_exist_make_no_more_series_than_the_cap(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """A scanner's paths end in one endpoint, and the totals of the service stay exact."""
    one = started(daemon, double, "web.yaml")
    scan = [{"method": "GET", "path": f"/scan-{n}.php", "status": 404, "latency_ms": 1} for n in range(1_000)]
    finished(one, *scan)

    found = sent(double, "Web")["4xxErrors"]
    assert len(found) <= 200 + 200 // 4 + 1
    assert found["Endpoint=__other__ Environment=production Service=web"].sum >= 700
    assert found.pop("Environment=production Service=web") == times(1_000)
    assert sum(totals.sum for totals in found.values()) == 1_000
