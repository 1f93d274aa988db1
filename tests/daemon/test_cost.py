"""The bill and the budget of a daemon that runs as a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.daemon.test_cli import sidecar
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]


def users(daemon: Daemon, first: int, last: int) -> None:
    daemon.udp(*[b"hits:1|c|#user:%d" % number for number in range(first, last)])


def test_a_daemon_says_what_it_sends_in_dollars(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon(
        {
            "metrics": {"budget": {"dollars_per_month": 1, "then": "warn"}},
            "logs": {"group": "/app"},
            "deliver": {"target": "cloudwatch", "endpoint_url": double.url},
        }
    )
    users(one, 0, 20)
    one.post("/ingest/logs", [{"message": "x" * 1_000}] * 100)
    one.settled(20, 100)

    cost = one.stats()["cost"]
    figures = one.get("/metrics")[1].decode()

    assert cost["dollars_per_month"]["metrics"] == 6.0
    assert cost["metrics"][0]["dimensions"]["user"]["values"] == 20
    exact = sum(len(message) + 26 for _, message in double.logs.events("/app"))
    # The rate of a young process is that of a minute; on a slow machine it is older.
    assert 0 < cost["log_groups"][0]["bytes_per_month"] <= exact * 730 * 60 * 1.05
    assert 'sidecar_cost_dollars_per_month{kind="metrics"} 6.0\n' in figures
    one.wait_until(lambda: one.ready()[1]["budget"]["warning"], "a warning in /ready")
    assert one.ready()[0] == 200
    assert one.log().count("metrics.budget is spent") == 1


def test_a_daemon_folds_new_combinations_at_its_budget(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    """Six dollars pay for 20 series; others become one."""
    one = daemon(
        {
            "metrics": {"budget": {"dollars_per_month": 6, "then": "fold"}},
            "prices": {"requests_1000": 0},
            "deliver": {"target": "cloudwatch", "endpoint_url": double.url},
        }
    )
    users(one, 0, 20)
    one.settled(20)
    users(one, 0, 100)
    one.settled(120)
    stats = one.stats()
    one.stop()

    assert stats["adjusted"] == {"series_folded_by_budget": 80}
    assert stats["samples"]["dropped"] == 0
    assert double.metrics.statistics("Sidecar", "hits", {"user": "7"}).sum == 2.0
    assert double.metrics.statistics("Sidecar", "hits", {"user": "__other__"}).sum == 80.0


def test_series_that_a_crash_left_open_are_billed_by_the_next_process(daemon: Start, tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "metrics": {"flush_seconds": 3_600, "budget": {"dollars_per_month": 6, "then": "fold"}},
        "prices": {"requests_1000": 0},
        "deliver": {"spool_dir": str(tmp_path / "spool")},
    }
    first = daemon(config)
    users(first, 0, 20)
    first.wait_until(lambda: first.stats()["samples"]["received"] == 20, "received")
    first.checkpointed()
    first.kill()

    second = daemon(config | {"metrics": {**config["metrics"], "flush_seconds": 0.2}})
    second.settled()
    second.wait_until(lambda: second.stats()["cost"]["metric_hours"] >= 20, "billed")
    users(second, 0, 30)
    stats = second.settled(30)

    assert len(stats["cost"]["metrics"][0]["dimensions"]) == 1
    assert stats["cost"]["metrics"][0]["series"] == 21
    assert stats["adjusted"] == {"series_folded_by_budget": 10}
    assert_balanced(stats)


def test_check_says_the_prices_and_what_the_budget_pays_for(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("metrics: {budget: {dollars_per_month: 30}}\nprices: {date: 2026-11-01, metric_month: [0.15]}\n")
    done = sidecar("check", "--config", str(path), AWS_REGION="us-east-1")

    assert done.returncode == 0, done.stderr
    assert "# prices of us-east-1, 2026-11-01, " in done.stdout
    assert "# metrics.budget 30 dollars a month: pays for 200 series " in done.stdout


def test_check_refuses_a_budget_and_prices_with_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("metrics: {budget: {then: drop, at: 80}}\nprices:\n  metric_month:\n    - 0.3\n    - cheap\n")
    done = sidecar("check", "--config", str(path))

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "configuration: metrics.budget.dollars_per_month: Field required, got {'at': 80, 'then': 'drop'}",
        "configuration: metrics.budget.at: must be less than or equal to 1, got 80",
        "configuration: metrics.budget.then: must be 'warn' or 'fold', got 'drop'",
        "configuration: prices.metric_month.1: must be a valid number, got 'cheap' (line 5)",
    ]
