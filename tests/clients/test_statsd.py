"""The `statsd` client from PyPI, unchanged, against a real daemon: the protocol without tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pytest
from statsd import StatsClient
from statsd.client import base, timer

from tests.clients.arrivals import (
    Statistics,
    delivered_series,
    drained_series,
    keep_clear_of_a_boundary,
    of,
    same,
)
from tests.support.daemon import Daemon

DATAGRAM_BYTES: Final = 512


@pytest.fixture
def client() -> Iterator[Callable[..., StatsClient]]:
    """Make clients for a daemon; they are closed at the end of the test."""
    made: list[StatsClient] = []

    def make(daemon: Daemon, **options: Any) -> StatsClient:
        one = StatsClient("localhost", daemon.statsd_port, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def test_counters_add_up(daemon: Callable[..., Daemon], client: Callable[..., StatsClient]) -> None:
    """Each call is one sample of its count, negative for a decrement; the prefix is part of the name."""
    running = daemon()
    statsd = client(running, prefix="shop.web")
    for _ in range(250):
        statsd.incr("orders")
    statsd.incr("orders", 10)
    statsd.decr("orders", 4)

    assert delivered_series(running, 252) == {of("shop.web.orders"): Statistics(252, 256.0, -4.0, 10.0, "Count")}


def test_gauge_deltas_move_the_remembered_value(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient]
) -> None:
    """Each line is one sample of the resulting value; the value outlives a flush."""
    running = daemon()
    statsd = client(running)
    statsd.gauge("connections", 10)
    statsd.gauge("connections", 5, delta=True)
    statsd.gauge("connections", -3, delta=True)
    first = delivered_series(running, 3)
    statsd.gauge("connections", 1.5, delta=True)

    assert first == {of("connections"): Statistics(3, 37.0, 10.0, 15.0, "None")}
    assert delivered_series(running, 4) == {of("connections"): Statistics(4, 50.5, 10.0, 15.0, "None")}


def test_negative_gauge_is_a_zero_and_a_delta(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient]
) -> None:
    """The client sends two lines for a negative value; the second ends where it should."""
    running = daemon()
    statsd = client(running)
    statsd.gauge("balance", 40)
    statsd.gauge("balance", -12)

    assert delivered_series(running, 3) == {of("balance"): Statistics(3, 28.0, -12.0, 40.0, "None")}


def test_timers_keep_every_value(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers, durations, decorated functions and blocks are milliseconds."""
    running = daemon()
    statsd = client(running)
    for value in range(1, 101):
        statsd.timing("query", value)
    statsd.timing("query", timedelta(seconds=1.5))
    clock = iter([10.0, 10.25, 20.0, 20.5])
    monkeypatch.setattr(timer, "time_now", lambda: next(clock))

    @statsd.timer("handler")  # type: ignore[untyped-decorator, unused-ignore]
    def handler() -> None:
        return None

    handler()
    with statsd.timer("handler"):
        pass

    assert delivered_series(running, 103) == {
        of("query"): Statistics(101, 6550.0, 1.0, 1500.0, "Milliseconds"),
        of("handler"): Statistics(2, 750.0, 250.0, 500.0, "Milliseconds"),
    }


def test_sets_count_distinct_members(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient], tmp_path: Path
) -> None:
    """However often a member is sent, it counts once."""
    store = tmp_path / "store.sqlite"
    running = daemon({"deliver": {"target": "local", "drain_seconds": 5, "local_path": str(store)}})
    statsd = client(running)
    keep_clear_of_a_boundary(3)
    for number in range(60):
        statsd.set("visitors", f"user-{number % 6}")
        statsd.set("sites", number % 2)

    assert drained_series(running, store, 120) == {
        of("visitors"): same(6.0, "Count"),
        of("sites"): same(2.0, "Count"),
    }


def test_rates_are_made_good(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line in ten says `@0.1` and stands for ten."""
    running = daemon()
    statsd = client(running)
    dice = cycle([0.05, *[0.5] * 9])
    monkeypatch.setattr(base.random, "random", lambda: next(dice))
    for _ in range(500):
        statsd.incr("hits", 3, rate=0.1)
    for _ in range(100):
        statsd.timing("query", 20, rate=0.1)

    assert delivered_series(running, 60) == {
        of("hits"): same(3.0, "Count", times=500),
        of("query"): same(20.0, "Milliseconds", times=100),
    }


def test_pipeline_lines_arrive_packed_and_whole(
    daemon: Callable[..., Daemon], client: Callable[..., StatsClient]
) -> None:
    """A pipeline fills datagrams with lines of every type, deltas in their order; every line counts."""
    running = daemon()
    statsd = client(running, prefix="job", maxudpsize=DATAGRAM_BYTES)
    with statsd.pipeline() as pipe:
        for number in range(1, 201):
            pipe.incr("done")
            pipe.timing("took", number)
            pipe.gauge("depth", 1, delta=True)
        pipe.gauge("depth", -8)

    assert delivered_series(running, 602) == {
        of("job.done"): same(1.0, "Count", times=200),
        of("job.took"): Statistics(200, 20100.0, 1.0, 200.0, "Milliseconds"),
        of("job.depth"): Statistics(202, 20092.0, -8.0, 200.0, "None"),
    }
    assert running.stats()["datagrams"]["read"] < 602 / 10
