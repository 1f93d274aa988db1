"""kill -9: no acknowledged log event is lost, and of metrics at most the last second."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.double import ThreadedCloudWatchDouble
from tests.harness import Daemon, assert_balanced

Start = Callable[..., Daemon]


def spooling(double: ThreadedCloudWatchDouble, spool: Path, **deliver: object) -> dict[str, object]:
    return {
        "namespace": "App",
        "logs": {"group": "/app", "stream": "s", "flush_seconds": 0.3},
        "deliver": {
            "target": "cloudwatch",
            "endpoint_url": double.url,
            "spool_dir": str(spool),
            "retry_base_seconds": 0.05,
            "retry_max_seconds": 0.2,
            "request_seconds": 2,
            **deliver,
        },
    }


def test_what_is_open_and_what_waits_comes_back_after_kill(daemon: Start, tmp_path: Path) -> None:
    with ThreadedCloudWatchDouble() as double:
        double.pause()
        config = {**spooling(double, tmp_path / "spool"), "metrics": {"flush_seconds": 60}}
        one = daemon(config)
        one.udp(b"hits:1|c\nhits:3|c", b"wait:5|ms\nwait:7|ms", b"level:4|g", b"users:a|s\nusers:b|s\nusers:a|s")
        status, answer, _ = one.post("/ingest/logs", [{"message": "kept"}, {"message": "too"}])
        assert (status, answer.get("durable")) == (202, None)
        one.wait_until(lambda: one.stats()["samples"]["received"] == 8, "received")
        time.sleep(1.2)
        one.kill()
        double.resume()

        two = daemon(config)
        assert two.stats()["samples"]["recovered"] == 8
        assert two.stats()["log_events"]["recovered"] == 2
        final = two.stop()

        assert_balanced(final)
        assert final["samples"]["delivered"] == 8
        hits = double.metrics.statistics("App", "hits")
        assert (hits.sample_count, hits.sum, hits.minimum, hits.maximum) == (2, 4, 1, 3)
        assert double.metrics.weights("App", "wait") == {5.0: 1.0, 7.0: 1.0}
        assert double.metrics.statistics("App", "users").maximum == 2
        assert [json.loads(text)["message"] for _, text in double.logs.events("/app")] == ["kept", "too"]

        three = daemon(config)
        assert three.stats()["samples"]["recovered"] == three.stats()["log_events"]["recovered"] == 0


@pytest.mark.timeout(170)
def test_kill_at_random_moments_under_load(daemon: Start, tmp_path: Path) -> None:
    """Twelve kills: every acknowledged event arrives; nothing arrives twice but what was counted as ambiguous."""
    kills = 12
    chance = random.Random(5)
    acknowledged: set[int] = set()
    sent = 0
    ambiguous = 0
    with ThreadedCloudWatchDouble() as double:
        config = {**spooling(double, tmp_path / "spool"), "metrics": {"flush_seconds": 2}}
        stop = threading.Event()
        current: list[Daemon] = []
        counted = threading.Lock()

        def application() -> None:
            nonlocal sent
            number = 0
            while not stop.is_set():
                number += 1
                one = current[-1]
                try:
                    status, answer, _ = one.post("/ingest/logs", {"message": "m", "n": number})
                except OSError:
                    time.sleep(0.01)
                    continue
                if status == 202 and answer.get("durable", True):
                    acknowledged.add(number)
                one.udp(b"hits:1|c")
                with counted:
                    sent += 1

        thread = threading.Thread(target=application)
        for round_ in range(kills):
            current.append(daemon(config))
            if round_ == 0:
                thread.start()
            time.sleep(chance.uniform(0.3, 1.6))
            ambiguous += current[-1].stats()["log_events"]["ambiguous"]
            current[-1].kill()
        current.append(daemon(config))
        time.sleep(0.5)
        stop.set()
        thread.join()
        final = current[-1].stop()

        assert_balanced(final)
        arrived = Counter(json.loads(text)["n"] for _, text in double.logs.events("/app"))
        missing = acknowledged - set(arrived)
        twice = sum(count - 1 for count in arrived.values())
        total = double.metrics.statistics("App", "hits").sum
        print(f"acknowledged {len(acknowledged)} missing {len(missing)} twice {twice} sent {sent} arrived {total}")
        assert not missing
        assert twice <= ambiguous + final["log_events"]["ambiguous"] + 200 * kills * 0
        assert len(acknowledged) > 500
