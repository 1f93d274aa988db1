"""Datadog's own Python client, unchanged, against a real daemon.

Its telemetry about itself is off but where it is the subject.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pytest
from datadog.dogstatsd import base, context, context_async
from datadog.dogstatsd.base import DogStatsd

from tests.clients.arrivals import (
    Statistics,
    delivered_series,
    drained_series,
    keep_clear_of_a_boundary,
    of,
    same,
    series_of,
)
from tests.support.daemon import Daemon, assert_balanced

BY_HAND: Final = 0.0  # a flush interval that starts no thread: buffered and aggregated lines go when told to
TELEMETRY: Final = "datadog.dogstatsd.client"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DogStatsd]]:
    """Make clients for a daemon, configured by nothing but the test; they are closed at its end."""
    for name in [name for name in os.environ if name.startswith(("DD_", "DATADOG_"))]:
        monkeypatch.delenv(name)
    made: list[DogStatsd] = []

    def make(daemon: Daemon, **options: Any) -> DogStatsd:
        options = {"origin_detection_enabled": False, "disable_telemetry": True, **options}
        one = DogStatsd(host="127.0.0.1", port=daemon.statsd_port, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close_socket()


def test_increments_and_decrements_add_up_by_tags(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """Each call is one sample; tags are dimensions, constant tags and the namespace included."""
    running = daemon()
    statsd = client(running, namespace="shop", constant_tags=["env:test"])
    for _ in range(300):
        statsd.increment("orders", tags=["region:eu"])
    statsd.increment("orders", 20, tags=["region:us", "express"])
    statsd.decrement("orders", 5, tags=["region:us", "express"])
    statsd.count("orders", 0.5)

    assert delivered_series(running, 303) == {
        of("shop.orders", env="test", region="eu"): same(1.0, "Count", times=300),
        of("shop.orders", env="test", region="us", express="true"): Statistics(2, 15.0, -5.0, 20.0, "Count"),
        of("shop.orders", env="test"): same(0.5, "Count"),
    }


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"constant_tags": ["env:test"]}, id="tags"),
        pytest.param({"container_id": "ci-0123456789abcdef"}, id="container id"),
        pytest.param({"cardinality": "low"}, id="cardinality"),
    ],
)
def test_negative_gauge_is_a_value_where_its_line_has_a_dogstatsd_field(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], options: dict[str, Any]
) -> None:
    """The client sends `-3` for minus three; nothing is subtracted from what went before."""
    running = daemon()
    statsd = client(running, **options)
    dimensions = {"env": "test"} if "constant_tags" in options else {}
    for value in (10, -3, 4, -2.5):
        statsd.gauge("temperature", value)

    assert delivered_series(running, 4) == {
        of("temperature", **dimensions): Statistics(4, 8.5, -3.0, 10.0, "None"),
    }


def test_negative_gauge_without_any_field_is_a_delta_unless_configured(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """The bare line is what an etsy client sends for a delta; `signed_gauges: value` is for such clients."""
    in_doubt, told = daemon(), daemon({"metrics": {"flush_seconds": 1, "signed_gauges": "value"}})
    for running in (in_doubt, told):
        statsd = client(running)
        for value in (10, -3):
            statsd.gauge("temperature", value)

    assert delivered_series(in_doubt, 2) == {of("temperature"): Statistics(2, 17.0, 7.0, 10.0, "None")}
    assert delivered_series(told, 2) == {of("temperature"): Statistics(2, 7.0, -3.0, 10.0, "None")}


def test_gauges_and_counts_with_a_timestamp_are_one_sample_each(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """`|T` places the sample in its own window; the totals are those of every other line."""
    running = daemon()
    statsd = client(running)
    now = int(time.time())
    for age_seconds in (0, 120, 240):
        statsd.gauge_with_timestamp("depth", -4, now - age_seconds, tags=["queue:a"])
        statsd.count_with_timestamp("jobs", 3, now - age_seconds, tags=["queue:a"])

    assert delivered_series(running, 6) == {
        of("depth", queue="a"): same(-4.0, times=3),
        of("jobs", queue="a"): same(3.0, "Count", times=3),
    }


def test_histograms_distributions_and_timings_keep_every_value(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """Count, sum and both ends are those of what was sent."""
    running = daemon()
    statsd = client(running, constant_tags=["env:test"])
    for value in range(1, 101):
        statsd.histogram("upload.bytes", value)
        statsd.distribution("price", value / 4)
        statsd.timing("query", value + 0.5)

    assert delivered_series(running, 300) == {
        of("upload.bytes", env="test"): Statistics(100, 5050.0, 1.0, 100.0, "None"),
        of("price", env="test"): Statistics(100, 1262.5, 0.25, 25.0, "None"),
        of("query", env="test"): Statistics(100, 5100.0, 1.5, 100.5, "Milliseconds"),
    }


def test_timed_decorators_report_what_they_measured(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decorated functions and coroutines, and the context manager; `use_ms` makes the value milliseconds."""
    running = daemon()
    statsd = client(running, use_ms=True)
    clock = iter([10.0, 10.25, 20.0, 20.5, 30.0, 30.125, 40.0, 41.0])
    for module in (context, context_async):
        monkeypatch.setattr(module, "monotonic", lambda: next(clock))

    @statsd.timed("handler", tags=["kind:plain"])  # type: ignore[untyped-decorator, unused-ignore]
    def handler() -> str:
        return "done"

    @statsd.timed("handler", tags=["kind:coroutine"])  # type: ignore[untyped-decorator, unused-ignore]
    async def coroutine() -> str:
        return "done"

    @statsd.distributed("handler.distributed", tags=["kind:plain"])  # type: ignore[untyped-decorator, unused-ignore]
    def distributed() -> str:
        return "done"

    assert (handler(), asyncio.run(coroutine()), distributed()) == ("done", "done", "done")
    with statsd.timed("handler", tags=["kind:block"]):
        pass

    assert delivered_series(running, 4) == {
        of("handler", kind="plain"): same(250.0, "Milliseconds"),
        of("handler", kind="coroutine"): same(500.0, "Milliseconds"),
        of("handler.distributed", kind="plain"): same(125.0),
        of("handler", kind="block"): same(1000.0, "Milliseconds"),
    }


def test_sets_count_distinct_members(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], tmp_path: Path
) -> None:
    """However often a member is sent, text, number or with colons in it, it counts once."""
    store = tmp_path / "store.sqlite"
    running = daemon({"deliver": {"target": "local", "drain_seconds": 5, "local_path": str(store)}})
    statsd = client(running)
    keep_clear_of_a_boundary(3)
    for _ in range(10):
        for member in ("alice", "bob", "urn:user:7", 7):
            statsd.set("visitors", member, tags=["site:a"])

    assert drained_series(running, store, 40) == {of("visitors", site="a"): same(4.0, "Count")}


def test_sample_rates_are_made_good(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line in four says `@0.25` and stands for four; a gauge's rate multiplies nothing."""
    running = daemon()
    statsd = client(running, constant_tags=["env:test"])
    dice = cycle([0.1, 0.5, 0.9, 0.3])
    monkeypatch.setattr(base, "random", lambda: next(dice))
    for _ in range(400):
        statsd.increment("hits", 2, sample_rate=0.25)
    for _ in range(40):
        statsd.timing("query", 8, sample_rate=0.25)
    for _ in range(4):
        statsd.gauge("depth", 6, sample_rate=0.25)

    assert delivered_series(running, 100 + 10 + 1) == {
        of("hits", env="test"): same(2.0, "Count", times=400),
        of("query", env="test"): same(8.0, "Milliseconds", times=40),
        of("depth", env="test"): same(6.0),
    }


def test_buffered_lines_arrive_packed_and_whole(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """A buffering client fills its datagrams with lines; every line counts, the last one too."""
    running = daemon()
    statsd = client(running, disable_buffering=False, flush_interval=BY_HAND, constant_tags=["env:test"])
    for value in range(1, 1001):
        statsd.increment("orders")
        statsd.histogram("size", value)
        statsd.gauge("depth", -value)
    statsd.flush()

    assert delivered_series(running, 3000) == {
        of("orders", env="test"): same(1.0, "Count", times=1000),
        of("size", env="test"): Statistics(1000, pytest.approx(500500.0, rel=1e-12), 1.0, 1000.0, "None"),
        of("depth", env="test"): Statistics(1000, -500500.0, -1000.0, -1.0, "None"),
    }
    datagrams = running.stats()["datagrams"]
    assert 30 < datagrams["read"] < 100


def test_buffer_of_a_with_block_is_sent_at_its_end(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """`with statsd:` collects the block's lines into datagrams of their own."""
    running = daemon()
    with client(running) as batch:
        for _ in range(50):
            batch.increment("orders", tags=["region:eu"])
        batch.gauge("depth", -7, tags=["queue:a"])

    assert delivered_series(running, 51) == {
        of("orders", region="eu"): same(1.0, "Count", times=50),
        of("depth", queue="a"): same(-7.0),
    }


def test_client_side_aggregation_keeps_the_sums(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], tmp_path: Path
) -> None:
    """What the client adds up is one sample with the whole sum; its last gauge value wins; sets stay sets."""
    store = tmp_path / "store.sqlite"
    running = daemon({"deliver": {"target": "local", "drain_seconds": 5, "local_path": str(store)}})
    statsd = client(running, disable_aggregation=False, flush_interval=BY_HAND, constant_tags=["env:test"])
    keep_clear_of_a_boundary(3)
    for number in range(100):
        statsd.increment("orders", 2)
        statsd.gauge("depth", 5 - number)
        statsd.set("visitors", number % 3)
    statsd.flush_aggregated_metrics()
    statsd.increment("orders", 7)
    statsd.flush_aggregated_metrics()

    assert drained_series(running, store, 6) == {
        of("orders", env="test"): Statistics(2, 207.0, 7.0, 200.0, "Count"),
        of("depth", env="test"): same(-94.0),
        of("visitors", env="test"): same(3.0, "Count"),
    }


def test_histograms_sampled_in_the_client_stand_for_all_it_saw(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """Where the client keeps 8 of 24 values it says so with a rate of one in three: the count is 24."""
    running = daemon()
    statsd = client(running, disable_aggregation=False, flush_interval=BY_HAND, max_metric_samples_per_context=8)
    for _ in range(24):
        statsd.histogram("size", 5, tags=["kind:a"])
        statsd.distribution("price", 2.5, tags=["kind:a"])
        statsd.timing("query", 40, tags=["kind:a"])
    statsd.flush_aggregated_metrics()

    count = pytest.approx(24.0, rel=1e-12)
    assert delivered_series(running, 24) == {
        of("size", kind="a"): Statistics(count, pytest.approx(120.0, rel=1e-12), 5.0, 5.0, "None"),
        of("price", kind="a"): Statistics(count, pytest.approx(60.0, rel=1e-12), 2.5, 2.5, "None"),
        of("query", kind="a"): Statistics(count, pytest.approx(960.0, rel=1e-12), 40.0, 40.0, "Milliseconds"),
    }


def test_where_a_client_runs_makes_no_dimensions(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Container id, external data, cardinality and the entity id are read past, by every type alike."""
    running = daemon()
    plain = client(running)
    monkeypatch.setenv("DD_ENTITY_ID", "0f9d7b2e-pod")
    monkeypatch.setenv("DD_EXTERNAL_ENV", "it-false,cn-app,pu-0f9d7b2e")
    marked = client(running, container_id="ci-" + "0123456789abcdef" * 4, cardinality="orchestrator")
    detected = client(running, origin_detection_enabled=True)
    for statsd in (plain, marked, detected):
        statsd.increment("orders", tags=["region:eu"])
        statsd.histogram("size", 9, tags=["region:eu"], sample_rate=1)
        statsd.timing("query", 30)

    assert delivered_series(running, 9) == {
        of("orders", region="eu"): same(1.0, "Count", times=3),
        of("size", region="eu"): same(9.0, times=3),
        of("query"): same(30.0, "Milliseconds", times=3),
    }
    assert not running.stats()["adjusted"], "a field of the protocol is not an unknown one"


def test_telemetry_of_the_client_shows_in_stats_and_makes_no_series(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """What the client counts of itself is added up under `dogstatsd_clients`; nobody pays for it as metrics."""
    running = daemon()
    statsd = client(running, disable_telemetry=False, telemetry_min_flush_interval=-1)
    for _ in range(3):
        statsd.increment("orders", tags=["region:eu"])

    running.wait_until(lambda: running.stats()["dogstatsd_clients"].get(f"{TELEMETRY}.metrics") == 3, "told of three")
    assert delivered_series(running, 3) == {of("orders", region="eu"): same(1.0, "Count", times=3)}
    assert running.stats()["dogstatsd_clients"][f"{TELEMETRY}.packets_dropped"] == 0


def test_tags_as_people_write_them(daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]) -> None:
    """Colons stay in values, a bare tag is `true`, an empty value is no dimension, the last of a key wins."""
    running = daemon()
    statsd = client(running)
    statsd.increment("calls", tags=["url:http://a.example:80/x", "canary", "empty:", "tier:1", "tier:2"])

    assert delivered_series(running, 1) == {
        of("calls", url="http://a.example:80/x", canary="true", tier="2"): same(1.0, "Count"),
    }


def test_line_that_cloudwatch_would_refuse_is_counted_and_spoils_no_packet(
    daemon: Callable[..., Daemon], client: Callable[..., DogStatsd]
) -> None:
    """A dimension value beyond ASCII costs its own line; its neighbours in the datagram arrive."""
    running = daemon()
    with client(running) as batch:
        for city in ("Bern", "Zürich", "Basel"):
            batch.increment("calls", tags=[f"city:{city}"])
    stats = running.settled(samples=3)

    assert_balanced(stats)
    assert (stats["samples"]["received"], stats["samples"]["dropped"]) == (3, 1)
    assert series_of(stats["local"]) == {
        of("calls", city="Bern"): same(1.0, "Count"),
        of("calls", city="Basel"): same(1.0, "Count"),
    }
