"""Numbered events: what was sent is known exactly, so what arrived can be checked exactly."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import START_SECONDS, Daemon, assert_balanced

GROUP: Final = "/app"
SAMPLES: Final = 3  # of the ledger, for each number sent


def spooling(
    double: ThreadedCloudWatchDouble,
    spool: Path,
    *,
    metrics: dict[str, Any] | None = None,
    logs: dict[str, Any] | None = None,
    **deliver: Any,
) -> dict[str, Any]:
    """A configuration that delivers to the double through a spool, with short waits."""
    return {
        "namespace": "App",
        "metrics": {"flush_seconds": 0.3} | (metrics or {}),
        "logs": {"group": GROUP, "stream": "s", "flush_seconds": 0.1} | (logs or {}),
        "deliver": {
            "target": "cloudwatch",
            "endpoint_url": double.url,
            "spool_dir": str(spool),
            "retry_base_seconds": 0.05,
            "retry_max_seconds": 0.2,
            "request_seconds": 2,
            "drain_seconds": 3,
            **deliver,
        },
    }


class Traffic:
    """An application that numbers what it sends: to each number a counter, a timer, a gauge and a log event."""

    def __init__(self) -> None:
        """Start at number 1."""
        self.sent: list[int] = []

    def send(
        self,
        daemon: Daemon,
        count: int,
        *,
        padding: int = 0,
        pause: float = 0.01,
        durable: bool = True,
        at_once: bool = False,
    ) -> None:
        """Send so many numbers; each log event is to be accepted, and to be on disk unless told otherwise.

        `at_once`: all log events in one body, so that they share few requests however slow the machine is.
        """
        if at_once:
            numbers = range(len(self.sent) + 1, len(self.sent) + 1 + count)
            for number in numbers:
                daemon.udp(b"hits:1|c\nnumbers:%d|c" % number, b"wait:%d|ms" % (number % 50 + 1))
            status, answer, _ = daemon.post("/ingest/logs", [{"message": "x" * padding, "n": n} for n in numbers])
            assert status == 202, answer
            assert answer.get("durable", True) is durable, answer
            self.sent += numbers
            return
        for _ in range(count):
            number = len(self.sent) + 1
            daemon.udp(b"hits:1|c\nnumbers:%d|c" % number, b"wait:%d|ms" % (number % 50 + 1))
            status, answer, _ = daemon.post("/ingest/logs", {"message": "x" * padding, "n": number})
            assert status == 202, answer
            assert answer.get("durable", True) is durable, answer
            self.sent.append(number)
            time.sleep(pause)

    @property
    def samples(self) -> int:
        """What all of it counts in the ledger."""
        return SAMPLES * len(self.sent)

    def settled(self, daemon: Daemon, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Wait until all of it is received and settled by a daemon that received all of it; returns /stats."""
        stats = daemon.settled(self.samples, len(self.sent), seconds)
        assert_balanced(stats)
        assert stats["samples"]["received"] == self.samples
        assert stats["log_events"]["received"] == len(self.sent)
        return stats

    def assert_arrived(
        self,
        double: ThreadedCloudWatchDouble,
        *,
        ambiguous_samples: int = 0,
        ambiguous_events: int = 0,
        lost_events: int = 0,
    ) -> None:
        """Everything is there; nothing is there twice but what the ledger calls ambiguous."""
        arrived = Counter(numbers(double))
        assert len(set(self.sent) - set(arrived)) == lost_events
        assert set(arrived) <= set(self.sent)
        assert 0 <= arrived.total() - len(arrived) <= ambiguous_events
        hits = double.metrics.statistics("App", "hits")
        waits = double.metrics.statistics("App", "wait")
        count = len(self.sent)
        assert count <= hits.sample_count <= count + ambiguous_samples, (count, hits.sample_count)
        assert count <= waits.sample_count <= count + ambiguous_samples
        assert hits.sum == hits.sample_count
        waited = [number % 50 + 1 for number in self.sent]
        assert (waits.minimum, waits.maximum) == (min(waited), max(waited))
        if not ambiguous_samples:
            assert double.metrics.statistics("App", "numbers").sum == sum(self.sent)
            assert waits.sum == sum(waited)


def numbers(double: ThreadedCloudWatchDouble) -> list[int]:
    """The numbers of the log events that arrived, in order of arrival."""
    return [json.loads(text)["n"] for _, text in double.logs.events(GROUP)]


def rows(spool: Path) -> dict[str, int]:
    """Units on disk, by signal; to be asked when no daemon uses the spool."""
    database = sqlite3.connect(f"file:{spool / 'spool.db'}?mode=ro", uri=True)
    try:
        units: dict[str, int] = dict(database.execute("SELECT signal, SUM(units) FROM batches GROUP BY signal"))
        (segments,) = database.execute("SELECT COALESCE(SUM(units), 0) FROM segments").fetchone()
    finally:
        database.close()
    return {"metrics": units.get("metrics", 0), "logs": units.get("logs", 0) + segments}
