"""The traps that other daemons on this road fell into, one test each, named for what is promised here instead."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from sidecar.model.limits import LOG_MESSAGE_BYTES
from tests.double import FOREVER, ThreadedCloudWatchDouble, access_denied, reject_half
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

TEXT: Final = {"Content-Type": "text/plain"}


@pytest.fixture
def start(daemon: Start, double: ThreadedCloudWatchDouble) -> Start:
    """A daemon that delivers to the double; metrics go when it stops, unless a test shortens their flush."""

    def begin(config: dict[str, Any] | None = None, **options: Any) -> Daemon:
        given = config or {}
        deliver = {
            "target": "cloudwatch",
            "endpoint_url": double.url,
            "retry_base_seconds": 0.05,
            "retry_max_seconds": 0.2,
            "drain_seconds": 5,
        }
        logs = {"group": "/app", "stream": "s", "flush_seconds": 0.1}
        whole = {"namespace": "App", "deliver": deliver, "logs": logs, "metrics": {"flush_seconds": 60}}
        return daemon(whole | given, **options)

    return begin


def windows(double: ThreadedCloudWatchDouble, name: str) -> int:
    """How many minutes a metric of the namespace App has data in: 1, or 2 where a test ran past a full minute."""
    return len(double.metrics.periods("App", name))


# --- aggregation ----------------------------------------------------------------------------------


def test_timers_are_aggregated_without_anybody_asking_for_it(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The OpenTelemetry StatsD receiver observes timers as gauges by default: one point a sample."""
    one = start()
    for type_ in (b"ms", b"h", b"d"):
        one.udp(*[b"wait.%s:%d|%s" % (type_, n % 10, type_) for n in range(300)])
    final = one.stop()

    assert final["samples"]["delivered"] == 900
    for name in ("wait.ms", "wait.h", "wait.d"):
        assert len(double.metrics.datums(name)) == windows(double, name)
        assert double.metrics.statistics("App", name).sample_count == 300
        assert double.metrics.percentile("App", name, None, 90) == 8.0


def test_many_samples_of_a_minute_are_one_datum(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """gostatsd flushes single values every second into a store that keeps minutes."""
    one = start()
    begun = time.monotonic()
    sent = 0
    while time.monotonic() - begun < 1.5:
        one.udp(b"queue:%d|g" % sent, b"jobs:1|c")
        sent += 1
        time.sleep(0.01)
    final = one.stop()

    assert final["samples"]["delivered"] == 2 * sent
    for name in ("queue", "jobs"):
        assert len(double.metrics.datums(name)) == windows(double, name)
    queue = double.metrics.statistics("App", "queue")
    assert (queue.sample_count, queue.minimum, queue.maximum) == (sent, 0, sent - 1)
    assert double.metrics.statistics("App", "jobs").sum == sent


def test_fractions_of_counters_are_counted(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The CloudWatch agent, Telegraf, gostatsd, Veneur and OpenTelemetry keep counters as integers by default."""
    one = start()
    one.udp(b"cost:0.25|c\ncost:0.5|c\ncost:1.75|c", b"cost:-0.125|c")
    one.post("/ingest/metrics", {"name": "cost", "value": 0.125, "type": "counter"})
    one.stop()

    assert double.metrics.statistics("App", "cost") == (5.0, 2.5, -0.125, 1.75)


def test_sample_weights_are_never_rounded(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """Others cast 1/rate to an integer, so that @0.3 counts 3 and @0.7 counts 1."""
    one = start()
    one.udp(*[b"hits:1|c|@0.3"] * 30, *[b"wait:20|ms|@0.7"] * 7)
    one.stop()

    hits, wait = double.metrics.statistics("App", "hits"), double.metrics.statistics("App", "wait")
    assert hits.sum == pytest.approx(100.0, rel=1e-12)
    assert hits.sample_count == pytest.approx(100.0, rel=1e-12)
    assert wait.sample_count == pytest.approx(10.0, rel=1e-12)
    assert double.metrics.weights("App", "wait") == {20.0: pytest.approx(10.0, rel=1e-12)}


def test_a_gauge_moves_on_from_its_last_value_after_a_flush(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The CloudWatch agent, OpenTelemetry and Telegraf clear gauges at a flush: the next +1 starts from zero."""
    one = start({"metrics": {"flush_seconds": 0.5}})
    one.udp(b"pool:10|g")
    one.settled(samples=1)
    one.udp(b"pool:+1|g")
    one.settled(samples=2)
    one.udp(b"pool:-4|g")
    one.stop()

    assert double.metrics.statistics("App", "pool") == (3.0, 10.0 + 11.0 + 7.0, 7.0, 11.0)


def test_all_senders_share_one_series(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """OpenTelemetry aggregates per source address and port: duplicates, and values that overwrite each other."""
    one = start()
    for _ in range(10):
        one.udp(b"hits:1|c|#Env:prod")  # a socket of its own, hence another source port
    one.post("/ingest/metrics", {"name": "hits", "value": 1, "type": "counter", "dimensions": {"Env": "prod"}})
    addresses = one.stats()["listeners"]["statsd"]["addresses"]
    if any(address.startswith("[::1]") for address in addresses):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hits:1|c|#Env:prod", ("::1", one.statsd_port))
    final = one.stop()

    (series,) = double.metrics.series()
    assert series == ("App", "hits", (("Env", "prod"),), "Count")
    assert double.metrics.statistics("App", "hits", {"Env": "prod"}).sum == final["samples"]["received"] >= 11


# --- what nobody sent -----------------------------------------------------------------------------


def test_nothing_is_sent_that_nobody_sent(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """Vector's start-up check publishes a real metric called `healthcheck` into the user's namespace."""
    one = start({"metrics": {"flush_seconds": 0.2}})
    for path in ("/health", "/ready", "/ready?delivery=1", "/metrics", "/stats"):
        assert one.get(path)[0] == 200
    probe = [sys.executable, "-m", "sidecar", "health", "--port", str(one.admin_port)]
    assert subprocess.run(probe, timeout=50, check=False).returncode == 0
    time.sleep(0.5)  # a few flushes
    final = one.stop()

    assert double.requests.total() == 0
    assert final["samples"]["received"] == final["log_events"]["received"] == 0


def test_no_dimension_is_made_up(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The fluent metrics library adds a random UUID, the CloudWatch agent its host: a new series with each start."""
    for one in [start(wait=False), start(wait=False)]:
        one.wait_until(lambda one=one: one.ready()[0] == 200, "ready")
        one.udp(b"hits:1|c", b"wait:5|ms|#Service:api", b"users:a|s")
        one.post("/ingest/metrics", {"name": "load", "value": 1})
        one.stop()

    assert [(series.name, series.dimensions) for series in double.metrics.series()] == [
        ("hits", ()),
        ("load", ()),
        ("users", ()),
        ("wait", (("Service", "api"),)),
    ]
    assert double.metrics.statistics("App", "hits").sum == 2


def test_a_metric_is_one_series_and_no_rollup(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The EMF exporter rolls up to no and to single dimensions by default: five series, and five on the bill."""
    one = start()
    one.udp(b"hits:1|c|#Env:prod,Service:api,Zone:a")
    one.post(
        "/ingest/metrics", {"name": "hits", "value": 1, "type": "counter", "dimensions": {"Env": "x", "Zone": "b"}}
    )
    one.stop()

    assert [series.dimensions for series in double.metrics.series()] == [
        (("Env", "prod"), ("Service", "api"), ("Zone", "a")),
        (("Env", "x"), ("Zone", "b")),
    ]


def test_every_namespace_of_a_flush_gets_its_own_metrics(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The CloudWatch backend of node statsd keeps one namespace variable for all the batches it has under way."""
    one = start()
    spaces = ("App", "Shop", "Bank")
    items = [
        {"name": f"m{n}", "value": 1, "type": "counter"} | ({} if space == "App" else {"namespace": space})
        for n in range(1_200)  # more than a request holds
        for space in spaces
    ]
    assert one.post("/ingest/metrics", items)[0] == 202
    final = one.stop()

    assert final["samples"]["delivered"] == 3_600
    series = double.metrics.series()
    for space in spaces:
        assert {each.name for each in series if each.namespace == space} == {f"m{n}" for n in range(1_200)}
        assert double.metrics.statistics(space, "m7").sum == 1
    assert {record.target for record in double.requests.of("PutMetricData")} == set(spaces)


# --- log events -----------------------------------------------------------------------------------


def test_an_event_of_the_size_the_service_takes_arrives_whole(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """OpenTelemetry, Telegraf and watchtower still cut events at the 256 KB of some years ago."""
    one = start()
    largest = b"x" * LOG_MESSAGE_BYTES
    assert one.post("/ingest/logs", b"y" * 262_145 + b"\n" + largest, TEXT)[0] == 202
    stats = one.settled(log_events=2)

    assert stats["log_events"]["delivered"] == 2
    assert sorted(len(text) for _, text in double.logs.events("/app")) == [262_145, 1_048_550]
    assert stats["adjusted"] == {}


def test_a_log_write_that_failed_is_no_success(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """Telegraf logs the error of a failed write and returns success: the events are gone."""
    double.faults.add("PutLogEvents", access_denied(FOREVER))
    one = start()
    one.post("/ingest/logs", [{"message": "kept"}, {"message": "also kept"}])
    one.wait_until(lambda: one.stats()["delivery"]["logs"]["up"] is False, "failing")
    account = one.stats()["log_events"]
    assert (account["delivered"], account["pending"], account["dropped"]) == (0, 2, 0)
    assert one.get("/ready?delivery=1")[0] == 503
    double.faults.clear()

    assert one.settled(log_events=2)["log_events"]["delivered"] == len(double.logs.events("/app")) == 2


def test_what_a_200_took_out_is_not_counted_as_delivered(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """Fluent Bit takes HTTP 200 for success and never reads rejectedLogEventsInfo."""
    double.logs.create_log_group({"logGroupName": "/app"}, time.time())
    double.logs.create_log_stream({"logGroupName": "/app", "logStreamName": "s"})
    double.faults.add("PutLogEvents", reject_half())
    one = start({"logs": {"group": "/app", "stream": "s", "flush_seconds": 60}})  # one request, sent by the drain
    one.post("/ingest/logs", [{"message": str(number)} for number in range(10)])
    account = one.stop()["log_events"]

    assert account["delivered"] == len(double.logs.events("/app")) == 5
    assert account["dropped_by_reason"] == {"timestamp_too_old": 5}
    assert any("not this element" in line["event"] for line in one.log_lines())


def test_what_is_too_old_or_too_new_is_refused_with_its_reason_and_counted(start: Start) -> None:
    """Vector filters such events out without a word and without a counter."""
    one = start()
    now = time.time()
    stamps = (now - 15 * 86_400, now, now + 3 * 3_600)
    logs = one.post("/ingest/logs", [{"message": "x", "timestamp": stamp} for stamp in stamps])[1]
    metrics = one.post("/ingest/metrics", [{"name": "a", "value": 1, "timestamp": stamp} for stamp in stamps])[1]
    one.udp(b"a:1|c|T%d" % stamps[0], b'{"message": "x", "timestamp": %d}' % stamps[0])
    final = one.stop()

    for answer in (logs, metrics):
        assert answer["accepted"] == 1
        assert [item["index"] for item in answer["rejected"]] == [0, 2]
        assert [item["error"].split(":")[0] for item in answer["rejected"]] == [
            "timestamp_too_old",
            "timestamp_too_new",
        ]
    assert_balanced(final)
    for account in (final["samples"], final["log_events"]):
        assert account["delivered"] == 1
        assert account["dropped_by_reason"] == {"timestamp_too_old": 2, "timestamp_too_new": 1}


# --- the daemon itself ----------------------------------------------------------------------------


def test_the_log_does_not_grow_with_the_packets(start: Start) -> None:
    """The CloudWatch agent logs two error lines for every sample of a client that sends a container id."""
    one = start()
    one.udp(*[b"hits:1|c|#Env:prod|c:in-1234|e:it-pod|card:low"] * 500, *[b"hits:1|c|brandnew:field"] * 500)
    one.udp(*[b"broken"] * 500, *[b"a:1|zz"] * 500)
    one.wait_until(lambda: one.stats()["samples"]["received"] == 2_000, "received")
    stats = one.stats()

    assert stats["samples"]["dropped_by_reason"] == {"malformed_line": 500, "unknown_type": 500}
    assert [line["event"] for line in one.log_lines() if line["level"] != "info"] == ["refused", "refused"]
    assert one.stop()["samples"]["delivered"] == 1_000


def test_taken_ports_end_nothing(start: Start, double: ThreadedCloudWatchDouble) -> None:
    """The CloudWatch agent exits, with every other input it has, where its StatsD port is taken."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd,
        socket.create_server(("127.0.0.1", 0)) as admin,
    ):
        statsd.bind(("127.0.0.1", 0))
        taken = {"statsd_port": statsd.getsockname()[1], "admin_port": admin.getsockname()[1]}
        one = start({"listen": taken}, wait=False)
        metric = {"name": "jobs", "value": 1, "type": "counter"}
        one.wait_until(lambda: one.post("/ingest/metrics", metric)[0] == 202, "taking events over HTTP")
        told = {line["listener"] for line in one.log_lines() if line["event"].startswith("cannot listen")}
        assert told == {"statsd", "admin"}
        final = one.stop()

    assert final["samples"]["delivered"] == 1
    assert double.metrics.statistics("App", "jobs").sum == 1
