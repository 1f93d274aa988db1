"""Rules on metrics in a running daemon, against the strict CloudWatch over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from tests.double import FOREVER, ThreadedCloudWatchDouble, server_error
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

AXONFLOW: Final = Path(__file__).resolve().parents[2] / "config" / "axonflow.yaml"


def config_of(text: str, double: ThreadedCloudWatchDouble, **sections: Any) -> dict[str, Any]:
    deliver = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5, **sections.pop("deliver", {})}
    config: dict[str, Any] = yaml.safe_load(text)
    metrics = {"flush_seconds": 60, **config.pop("metrics", {})}
    return {**config, "metrics": metrics, "deliver": deliver, **sections}


def test_axonflow_has_a_series_for_the_environment_alone_with_the_totals_of_all(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """Every way in: an alarm on the environment sees all of them."""
    one = daemon(config_of(AXONFLOW.read_text(), double), environ={"ENVIRONMENT": "staging"})
    one.udp(b"Latency:10|ms|#Service:agent,Model:m1", b"Latency:30|ms|#Service:agent,Model:m2")
    latency = {"name": "Latency", "unit": "Milliseconds", "dimensions": {"Service": "orchestrator"}}
    one.post("/ingest/metrics", [{**latency, "value": 20}, {**latency, "values": [50, 70], "counts": [2, 1]}])
    one.post("/ingest/metrics", {"name": "RequestCount", "value": 1, "type": "counter", "dimensions": {"Service": "a"}})
    one.udp(b"RequestCount:4|c|#Service:b")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 7, "received")
    assert one.stats()["rules"]["metrics"] == [{"rule": "metrics.rules.0", "match": "*", "hits": 7}]
    assert b'sidecar_rule_hits_total{rule="metrics.rules.0"} 7.0' in one.get("/metrics")[1]
    final = one.stop()

    assert_balanced(final)
    assert (final["samples"]["delivered"], final["samples"]["dropped"]) == (7, 0)
    environment = {"Environment": "staging"}
    assert double.metrics.statistics("AxonFlow", "Latency", environment) == (6.0, 230.0, 10.0, 70.0)
    assert double.metrics.weights("AxonFlow", "Latency", environment) == {10: 1, 20: 1, 30: 1, 50: 2, 70: 1}
    assert double.metrics.statistics("AxonFlow", "RequestCount", environment) == (2.0, 5.0, 1.0, 4.0)
    agent = {"Environment": "staging", "Service": "agent", "Model": "m1"}
    assert double.metrics.statistics("AxonFlow", "Latency", agent) == (1.0, 10.0, 10.0, 10.0)
    assert len(double.metrics.series()) == 3 + 1 + 2 + 1


RULES: Final = """
namespace: App
metrics:
  rules:
    - {match: "debug.*", drop: true}
    - match: "job.{kind}.{job}.duration"
      name: JobSeconds
      dimensions: {Kind: "{kind}", Job: "{job}"}
      unit: Seconds
      scale: 0.001
    - {match: "*", drop_dimensions: [pod, "aws:*"], rename_dimensions: {env: Environment}}
    - {match: "*", when: {env: prod}, rollups: [[Environment]]}
    - {match: nothing, unit: Count}
"""


def test_rules_shape_what_arrives_and_say_what_they_did(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon(config_of(RULES, double))
    for pod in (b"p1", b"p2"):
        one.udp(b"job.batch.import.duration:2000|ms|#env:prod,pod:" + pod, b"debug.x:1|c")
    answer = one.post("/ingest/metrics", {"name": "debug.y", "value": 1})
    one.wait_until(lambda: one.stats()["samples"]["received"] == 5, "received")
    rules = one.stats()["rules"]
    final = one.stop()

    assert answer[:2] == (202, {"accepted": 1, "rejected": []})
    assert_balanced(final)
    assert final["samples"]["dropped_by_reason"] == {"rule": 3}
    assert [rule["hits"] for rule in rules["metrics"]] == [3, 2, 5, 2, 0]
    assert rules["never_hit"] == ["metrics.rules.4"]
    series = {(one.name, one.dimensions, one.unit) for one in double.metrics.series()}
    job = (("Environment", "prod"), ("Job", "import"), ("Kind", "batch"))
    assert series == {("JobSeconds", job, "Seconds"), ("JobSeconds", job[:1], "Seconds")}
    assert double.metrics.weights("App", "JobSeconds", dict(job)) == {2.0: 2.0}


def test_rollups_after_kill_are_sent_once_and_whole(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    config = config_of(RULES, double, deliver={"spool_dir": str(tmp_path / "spool")})
    one = daemon(config)
    one.udp(b"hits:1|c|#env:prod,user:1\nhits:3|c|#env:prod,user:2", b"job.a.b.duration:5000|ms|#env:prod,user:1")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 3, "received")
    one.checkpointed()
    one.kill()

    two = daemon(config)
    two.udp(b"hits:10|c|#env:prod,user:3")
    two.wait_until(lambda: two.stats()["samples"]["received"] == 1, "received")
    final = two.stop()

    assert_balanced(final)
    assert (final["samples"]["recovered"], final["samples"]["delivered"]) == (3, 4)
    assert double.metrics.statistics("App", "hits", {"Environment": "prod"}) == (3.0, 14.0, 1.0, 10.0)
    assert double.metrics.weights("App", "JobSeconds", {"Environment": "prod"}) == {5.0: 1.0}
    three = daemon(config)
    assert three.stats()["samples"]["recovered"] == 0


def test_a_batch_of_rollups_alone_comes_back_from_the_spool(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    """A thousand series and as many rollups: the second request has no samples of the ledger."""
    text = 'namespace: App\nmetrics: {rules: [{match: "*", rollups: [[user]]}]}'
    config = config_of(text, double, deliver={"spool_dir": str(tmp_path / "spool"), "drain_seconds": 1})
    double.faults.add("PutMetricData", server_error(503, FOREVER))
    one = daemon(config)
    one.udp(*[b"\n".join(b"hits:1|c|#user:u%d,x:y" % n for n in range(at, at + 50)) for at in range(0, 1_000, 50)])
    one.wait_until(lambda: one.stats()["samples"]["received"] == 1_000, "received")
    first = one.stop()
    double.faults.clear()
    two = daemon(config)
    two.wait_until(lambda: len(double.metrics.series()) == 2_000, "delivered")
    final = two.stop()

    assert_balanced(final)
    assert first["samples"]["pending"] == final["samples"]["recovered"] == final["samples"]["delivered"] == 1_000
    assert {double.metrics.statistics("App", "hits", {"user": f"u{n}"}).sum for n in range(1_000)} == {1.0}
    assert "undecodable" not in two.log()
