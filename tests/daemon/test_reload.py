"""Rules that are reloaded in a running daemon: by SIGHUP and when the file changes, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]


def deliver(double: ThreadedCloudWatchDouble) -> dict[str, Any]:
    return {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5}


def write(one: Daemon, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the file as an editor does that replaces it."""
    config = yaml.safe_load(one.config_path.read_text())
    change(config)
    replacement = one.config_path.with_suffix(".new")
    replacement.write_text(yaml.safe_dump(config))
    replacement.replace(one.config_path)


def set_rules(*rules: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["metrics"]["rules"] = list(rules)

    return change


def reloaded(one: Daemon, outcome: str, times: int = 1) -> dict[str, Any]:
    """Wait for so many reloads of this outcome; returns the state of the configuration."""

    def done() -> bool:
        return bool(one.stats()["configuration"].get("reloads", {}).get(outcome, 0) >= times)

    one.wait_until(done, f"reloaded: {outcome}")
    state: dict[str, Any] = one.stats()["configuration"]
    return state


def test_sighup_replaces_the_rules_and_open_windows_stay(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    one = daemon({"namespace": "App", "metrics": {"flush_seconds": 60}, "deliver": deliver(double)})
    one.udp(b"hits:1|c|#pod:a", b"hits:2|c|#pod:b")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 2, "received")
    before = one.stats()["configuration"]["sha256"]
    write(one, set_rules({"match": "hits", "name": "Hits", "drop_dimensions": ["pod"]}))
    one.signal(signal.SIGHUP)
    state = reloaded(one, "applied")
    one.udp(b"hits:4|c|#pod:a", b"hits:8|c|#pod:b")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 4, "received")
    assert one.stats()["rules"]["metrics"] == [{"rule": "metrics.rules.0", "match": "hits", "hits": 2}]
    final = one.stop()

    assert state["sha256"] != before
    assert "error" not in state
    assert_balanced(final)
    assert final["samples"]["delivered"] == 4
    assert double.metrics.statistics("App", "hits", {"pod": "a"}) == (1.0, 1.0, 1.0, 1.0)
    assert double.metrics.statistics("App", "hits", {"pod": "b"}) == (1.0, 2.0, 2.0, 2.0)
    assert double.metrics.statistics("App", "Hits", {}) == (2.0, 12.0, 4.0, 8.0)


def test_a_changed_file_is_noticed_without_a_signal(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    """As Kubernetes changes a ConfigMap: the path is a symbolic link, which is replaced."""
    one = daemon({"logs": {"group": "/a", "flush_seconds": 0.2}, "deliver": deliver(double)}, start=False)
    real = tmp_path / "real.yaml"
    one.config_path.rename(real)
    one.config_path.symlink_to(real)
    one.start()
    one.post("/ingest/logs", {"message": "one", "level": "error"})
    one.settled(log_events=1)
    config = yaml.safe_load(real.read_text())
    config["logs"]["routes"] = [{"when": {"level": "error"}, "group": "/errors"}]
    (tmp_path / "next.yaml").write_text(yaml.safe_dump(config))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "next.yaml")
    link.replace(one.config_path)
    reloaded(one, "applied")
    one.post("/ingest/logs", {"message": "two", "level": "error"})
    one.stop()

    assert [(group, len(double.logs.events(group))) for group in ("/a", "/errors")] == [("/a", 1), ("/errors", 1)]


def test_a_refused_file_changes_nothing_until_it_is_corrected(daemon: Start) -> None:
    one = daemon({"metrics": {"rules": [{"match": "a", "name": "A"}], "flush_seconds": 0.2}})
    write(one, set_rules({"match": "a", "name": "B"}, {"match": "x["}, {"match": "b", "nam": "C"}))
    one.signal(signal.SIGHUP)
    state = reloaded(one, "refused")

    assert [problem.partition(":")[0] for problem in state["error"]] == ["metrics.rules.1", "metrics.rules.2.nam"]
    assert all("(line " in problem for problem in state["error"])
    status, ready = one.ready()
    assert (status, ready["configuration"]["error"]) == (200, state["error"])
    assert b'sidecar_reloads_total{outcome="refused"} 1.0' in one.get("/metrics")[1]
    one.udp(b"a:1|c")
    one.wait_until(lambda: one.stats()["rules"]["metrics"][0]["hits"] == 1, "the old rule applies")
    write(one, set_rules({"match": "a", "name": "B"}))
    one.signal(signal.SIGHUP)
    assert "error" not in reloaded(one, "applied")
    assert "error" not in one.ready()[1]["configuration"]


def test_a_file_that_vanishes_is_an_error_and_its_return_ends_it(daemon: Start) -> None:
    one = daemon({"metrics": {"rules": [{"match": "a", "name": "A"}]}})
    away = one.config_path.with_suffix(".away")
    one.config_path.rename(away)
    one.signal(signal.SIGHUP)
    assert "cannot read" in reloaded(one, "refused")["error"][0]
    away.rename(one.config_path)
    one.signal(signal.SIGHUP)
    assert "error" not in reloaded(one, "unchanged")


def test_other_keys_are_named_since_they_need_a_restart(daemon: Start) -> None:
    one = daemon({"metrics": {"flush_seconds": 0.2}})

    def change(config: dict[str, Any]) -> None:
        config["metrics"] |= {"flush_seconds": 30, "rules": [{"match": "a", "drop": True}]}
        config["deliver"]["memory_bytes"] = 67_108_864
        config["namespace"] = "Other"

    write(one, change)
    one.signal(signal.SIGHUP)
    state = reloaded(one, "applied")

    assert state["needs_restart"] == ["namespace", "metrics.flush_seconds", "deliver.memory_bytes"]
    one.udp(b"a:1|c")
    one.settled(samples=1)
    assert one.stats()["samples"]["dropped_by_reason"] == {"rule": 1}


def test_reloads_during_a_flood_lose_nothing(daemon: Start, double: ThreadedCloudWatchDouble) -> None:
    """Every body is counted once, by the rules before a reload or by those behind it."""
    one = daemon({"namespace": "App", "metrics": {"flush_seconds": 0.2}, "deliver": deliver(double)})
    for number in range(20):
        write(one, set_rules({"match": "*", "name": f"version{number % 2}"}))
        one.signal(signal.SIGHUP)
        one.post("/ingest/metrics", [{"name": f"m{index}", "value": 1, "type": "counter"} for index in range(500)])
        one.udp(*[b"line:1|c"] * 20)
    reloaded(one, "applied", 1)
    received = one.settled(samples=20 * 500)["samples"]["received"]
    final = one.stop()

    assert_balanced(final)
    assert final["samples"]["dropped"] == 0
    sums = [double.metrics.statistics("App", name, {}) for _, name, *_ in double.metrics.series()]
    assert sum(one[1] for one in sums) == received


def test_a_file_that_is_written_in_place_is_read_once_it_is_whole(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """An editor truncates the file first: what is there meanwhile is valid, and has no rules that redact."""
    rules = {"group": "/a", "flush_seconds": 0.2, "redact": [{"pattern": "secret[0-9]+"}]}
    one = daemon({"namespace": "App", "logs": rules, "deliver": deliver(double)})
    text = one.config_path.read_text()
    half = text.index("logs:")
    for _ in range(100):
        with one.config_path.open("w") as file:
            for part in (text[:half], text[half:]):
                one.signal(signal.SIGHUP)
                one.post("/ingest/logs", [{"message": "secret1"}] * 10)
                file.write(part)
                file.flush()
                time.sleep(0.01)
    one.signal(signal.SIGHUP)
    reloaded(one, "unchanged")
    one.settled(log_events=2_000)

    assert {message for _, message in double.logs.events("/a")} == {'{"message": "[redacted]"}'}


@pytest.mark.parametrize("left", ["", "# Rules of the shop.\n\n"])
def test_a_file_that_lost_its_content_is_refused(daemon: Start, left: str) -> None:
    """A disk that is full, or a copy that was interrupted: the file is empty, and stays so."""
    one = daemon({"metrics": {"rules": [{"match": "a", "name": "A"}]}})
    one.config_path.write_text(left)
    one.signal(signal.SIGHUP)

    assert "is empty" in reloaded(one, "refused")["error"][0]
    assert len(one.stats()["rules"]["metrics"]) == 1
    one.config_path.write_text("{}")
    one.signal(signal.SIGHUP)
    assert "error" not in reloaded(one, "applied")
    assert one.stats()["rules"]["metrics"] == []


def test_a_configuration_that_is_not_in_a_file_is_not_reloaded(daemon: Start) -> None:
    """It came through a pipe, which can be read once."""
    one = daemon({}, start=False)
    reading, writing = os.pipe()
    os.write(writing, one.config_path.read_bytes())
    os.close(writing)
    with one.log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "run", "--config", f"/dev/fd/{reading}"],
            pass_fds=(reading,),
            env=one._environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    os.close(reading)
    one.process = process
    one.wait_until(lambda: one.ready()[0] == 200, "ready")
    one.signal(signal.SIGHUP)
    one.wait_until(lambda: "SIGHUP ignored" in one.log(), "ignored")

    assert one.stats()["configuration"] == {"reloads": {}}
    assert one.stop()["event"] == "stopped"
