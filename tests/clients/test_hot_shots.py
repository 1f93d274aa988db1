"""The npm client hot-shots, unchanged, against a real daemon. `programs/node/hot_shots.js` is the application."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.clients.arrivals import (
    Statistics,
    delivered_series,
    drained_series,
    environment,
    keep_clear_of_a_boundary,
    of,
    same,
)
from tests.clients.toolchains import PROGRAMS, node_modules
from tests.support.daemon import Daemon

SCRIPT: Final = PROGRAMS / "node" / "hot_shots.js"

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds or installs the clients


@pytest.fixture
def application() -> Callable[[Daemon, str], None]:
    """Run one scenario of the script to its end."""
    modules = node_modules()

    def run(daemon: Daemon, scenario: str) -> None:
        ran = subprocess.run(
            ["node", str(SCRIPT), scenario],
            env=environment(NODE_PATH=str(modules), STATSD_PORT=str(daemon.statsd_port)),
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    return run


def test_every_call_of_an_unbuffered_client_counts(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]
) -> None:
    """Tags as arrays and objects, global ones and a child's are dimensions; prefixes are part of the name."""
    running = daemon()
    application(running, "plain")

    assert delivered_series(running, 106) == {
        of("shop.orders", env="test", region="eu"): same(1.0, "Count", times=100),
        of("shop.orders", env="test", region="us", express="true"): Statistics(2, 15.0, -5.0, 20.0, "Count"),
        of("shop.orders", env="test"): same(2.0, "Count"),
        of("shop.visits", env="test"): same(2.0, "Count"),
        of("cart.shop.size", env="child"): same(3.0),
        of("shop.query", env="test", table="a:b"): same(12.5, "Milliseconds"),
    }


def test_buffered_lines_arrive_packed_and_whole(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]
) -> None:
    """Five thousand lines in some hundred datagrams: every count, sum, minimum and maximum is exact."""
    running = daemon()
    application(running, "buffered")

    half = pytest.approx(500500.0, rel=1e-12)
    assert delivered_series(running, 5000) == {
        of("orders", env="test"): same(1.0, "Count", times=1000),
        of("query", env="test"): Statistics(1000, half, 1.0, 1000.0, "Milliseconds"),
        of("size", env="test"): Statistics(1000, pytest.approx(125125.0, rel=1e-12), 0.25, 250.0, "None"),
        of("price", env="test"): Statistics(1000, pytest.approx(-500500.0, rel=1e-12), -1000.0, -1.0, "None"),
        of("depth", env="test"): Statistics(1000, -500.0, -500.0, 499.0, "None"),
    }
    assert running.stats()["datagrams"]["read"] < 5000 / 20


def test_signed_gauge_is_a_value_with_tags_and_a_delta_without(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]
) -> None:
    """A client with tags sends negative values that way; one without is an etsy client and sends deltas."""
    running = daemon()
    application(running, "gauges")

    assert delivered_series(running, 6) == {
        of("temperature", env="test"): Statistics(3, 11.0, -3.0, 10.0, "None"),
        of("connections"): Statistics(3, 37.0, 10.0, 15.0, "None"),
    }


def test_sets_count_distinct_members(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None], tmp_path: Path
) -> None:
    """However often a member is sent, it counts once."""
    store = tmp_path / "store.sqlite"
    running = daemon({"deliver": {"target": "local", "drain_seconds": 5, "local_path": str(store)}})
    keep_clear_of_a_boundary(5)
    application(running, "sets")

    assert drained_series(running, store, 120) == {
        of("visitors", site="a"): same(6.0, "Count"),
        of("sites"): same(2.0, "Count"),
    }


def test_sample_rates_are_made_good(daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]) -> None:
    """One call in four is sent with `@0.25` and stands for four."""
    running = daemon()
    application(running, "rates")

    assert delivered_series(running, 110) == {
        of("hits", region="eu"): same(2.0, "Count", times=400),
        of("query"): same(8.0, "Milliseconds", times=40),
    }


def test_datadog_mode_and_client_side_aggregation_keep_the_sums(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]
) -> None:
    """Container id and cardinality make no dimensions, telemetry no series; an aggregated count is one sample."""
    running = daemon()
    application(running, "datadog")

    assert delivered_series(running, 102) == {
        of("orders", region="eu"): same(200.0, "Count"),
        of("depth"): same(-94.0),
        of("query"): same(30.0, "Milliseconds", times=100),
    }


def test_telegraf_mode_has_the_same_tags(
    daemon: Callable[..., Daemon], application: Callable[[Daemon, str], None]
) -> None:
    """In that mode tags stand in the name, Influx style."""
    running = daemon()
    application(running, "telegraf")

    assert delivered_series(running, 51) == {
        of("orders", env="test", region="eu"): same(1.0, "Count", times=50),
        of("query", env="test"): same(40.0, "Milliseconds"),
    }
