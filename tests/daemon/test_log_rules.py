"""Rules of log events in a real daemon that delivers to the strict double: groups, retention, metrics, nothing secret."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]
SECRETS: Final = ("bob@example.com", "4111111111111111", "hunter2", "cust-12345678", "AKIAIOSFODNN7EXAMPLE")
LOGS: Final[dict[str, Any]] = {
    "group": "/shop/other",
    "stream": "s",
    "retention_days": 7,
    "flush_seconds": 0.2,
    "redact": [
        {"find": ["email", "card", "aws_key"]},
        {"fields": ["password"]},
        {"pattern": "cust-[0-9]{8}", "replace": "hash", "name": "customer"},
        {"find": ["private_key"], "replace": "drop_event"},
    ],
    "metrics": [
        {"name": "RequestCount", "dimensions": {"Service": "{service}", "User": "{user}"}},
        {"when": "{ $.ms >= 0 }", "name": "Latency", "value": "ms", "type": "timer"},
    ],
    "routes": [
        {"when": '{ $.path = "/health*" && $.status < 400 }', "drop": True},
        {"when": {"level": "debug"}, "sample": 0.25, "by": "id"},
        {"when": {"level": "error"}, "group": "/shop/errors", "retention_days": 90},
        {"when": {"service": "*"}, "group": "/shop/{service}", "retention_days": 30, "class": "INFREQUENT_ACCESS"},
    ],
}


def texts(double: ThreadedCloudWatchDouble, group: str) -> list[str]:
    return [text for _, text in double.logs.events(group)] if group in double.logs.groups() else []


def rule_hits(one: Daemon) -> dict[str, float]:
    """{rule: hits} of /metrics."""
    found = re.findall(r'sidecar_rule_hits_total\{rule="([^"]+)"\} ([0-9.]+)', one.get("/metrics")[1].decode())
    return {rule: float(hits) for rule, hits in found}


def test_events_of_every_input_are_redacted_measured_and_routed(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    one = daemon(
        {
            "namespace": "Shop",
            "logs": LOGS,
            "metrics": {"flush_seconds": 60},
            "deliver": {
                "target": "cloudwatch",
                "endpoint_url": double.url,
                "drain_seconds": 5,
                "spool_dir": str(tmp_path / "spool"),
            },
        },
        environ={"SIDECAR_REDACT_KEY": "the key of hashes"},
    )
    secret = " ".join(SECRETS[:2] + SECRETS[3:])
    events: list[Any] = [{"service": "cart", "user": SECRETS[0], "message": secret, "ms": n} for n in range(10)]
    events += [{"level": "error", "password": SECRETS[2], "ms": 1000}]
    events += [{"path": "/health/live", "status": 200}] * 5
    events += [{"level": "debug", "id": n // 2, "user": SECRETS[0]} for n in range(100)]
    events += [{"message": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"}]
    status, answer, _ = one.post("/ingest/logs", events)
    assert (status, answer["accepted"], answer["rejected"]) == (202, len(events), [])
    one.udp(json.dumps({"message": secret, "service": "udp"}).encode(), b"_e{1,15}:t|bob@example.com")
    document = {"_aws": {"Timestamp": int(time.time() * 1_000), "CloudWatchMetrics": []}, "service": "emf", "m": secret}
    with socket.create_connection(("127.0.0.1", one.emf_port), timeout=10) as client:
        client.sendall(json.dumps(document).encode() + b"\n")
    call = {
        "logGroupName": "/by/call",
        "logStreamName": "s",
        "logEvents": [{"timestamp": int(time.time() * 1_000), "message": secret}],
    }
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328.PutLogEvents"}
    assert one.post("/", json.dumps(call).encode(), headers)[0] == 200
    one.udp(json.dumps({"message": SECRETS[0], "timestamp": 1}).encode())
    total = len(events) + 5
    one.wait_until(lambda: one.stats()["log_events"]["received"] == total, "received")
    rules, exposed = one.stats()["rules"], rule_hits(one)
    spooled = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    final = one.stop()

    assert_balanced(final)
    dropped = final["log_events"]["dropped_by_reason"]
    sampled = dropped["sampled"]
    assert dropped == {"rule": 5, "sampled": sampled, "redacted": 1, "timestamp_too_old": 1}
    assert final["samples"]["received_by_input"]["logs"] == total - 1 + 11
    assert [rule["hits"] for rule in rules["logs"]["routes"]] == [5, 100, 1, 12]
    assert rules["never_hit"] == []
    assert {rule: hits for rule, hits in exposed.items() if "routes" in rule} == {
        "logs.routes.0": 5, "logs.routes.1": 100, "logs.routes.2": 1, "logs.routes.3": 12,
    }  # fmt: skip
    assert exposed["logs.redact.0"] == sum(rule["hits"] for rule in rules["logs"]["redact"][:3]) > 0

    cart = texts(double, "/shop/cart")
    assert len(cart) == 10
    assert json.loads(cart[0])["message"].startswith("[email] [card] [customer:")
    assert [json.loads(text) for text in texts(double, "/shop/errors")] == [
        {"level": "error", "password": "[redacted]", "ms": 1000}
    ]
    assert len(texts(double, "/shop/udp")) == len(texts(double, "/shop/emf")) == len(texts(double, "/by/call")) == 1
    others = texts(double, "/shop/other")
    weights = [json.loads(text).get("sample_weight") for text in others]
    assert weights.count(4) == 100 - sampled
    days = {group: double.logs.retention(group) for group in double.logs.groups()}
    assert days == {
        "/shop/cart": 30, "/shop/udp": 30, "/shop/emf": 30, "/shop/errors": 90, "/shop/other": 7, "/by/call": 7,
    }  # fmt: skip
    assert double.logs._groups["/shop/cart"].group_class == "INFREQUENT_ACCESS"
    assert double.logs._groups["/shop/errors"].group_class == "STANDARD"

    counted = double.metrics.statistics("Shop", "RequestCount", {"Service": "cart", "User": "[email]"})
    assert (counted.sample_count, counted.sum) == (10, 10.0)
    latency = double.metrics.statistics("Shop", "Latency", {})
    assert (latency.sample_count, latency.maximum) == (11, 1000.0)

    everywhere = spooled.decode("latin-1") + one.log() + one.console() + json.dumps(cart + others) + repr(rules)
    assert [text for text in (*SECRETS, "the key of hashes") if text in everywhere] == []


def test_a_hash_without_its_key_is_refused_at_the_start(daemon: Start) -> None:
    one = daemon({"logs": {"redact": [{"pattern": "x", "replace": "hash"}]}}, wait=False)

    assert one.exit_status() == 2
    assert "logs.redact.0.replace: hash needs a key, in the environment variable SIDECAR_REDACT_KEY" in one.log()
