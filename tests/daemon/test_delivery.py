"""The daemon against a CloudWatch that refuses what AWS refuses: faults, poison, limits, exact totals."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from sidecar.model.limits import LOG_MESSAGE_BYTES
from tests.double import (
    FOREVER,
    Fault,
    ThreadedCloudWatchDouble,
    access_denied,
    clock_skew,
    expired_token,
    operation_aborted,
    reject_half,
    reset_after_storing,
    reset_mid_body,
    server_error,
    slow,
    throttle,
    too_large,
    unrecognized_client,
)
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]


@pytest.fixture
def start(daemon: Start, double: ThreadedCloudWatchDouble) -> Start:
    """A daemon that delivers to the double, with short waits."""

    def begin(config: dict[str, Any] | None = None) -> Daemon:
        deliver = {
            "target": "cloudwatch",
            "endpoint_url": double.url,
            "retry_base_seconds": 0.05,
            "retry_max_seconds": 0.2,
            "drain_seconds": 20,
        }
        given = config or {}
        logs = {"group": "/app", "stream": "s", "flush_seconds": 0.2}
        return daemon(
            {
                **given,
                "namespace": "App",
                "deliver": deliver | given.get("deliver", {}),
                "logs": logs | given.get("logs", {}),
            }
        )

    return begin


def test_three_poisoned_datums_of_a_thousand_leave_997(start: Start, double: ThreadedCloudWatchDouble) -> None:
    poisoned = {"m17", "m400", "m999"}
    for name in poisoned:
        double.metrics.refuse(name)
    one = start({"metrics": {"flush_seconds": 60}})
    one.post("/ingest/metrics", [{"name": f"m{n}", "value": n, "type": "counter"} for n in range(1_000)])

    final = one.stop()

    assert_balanced(final)
    assert final["samples"]["delivered"] == 997
    assert final["samples"]["dropped_by_reason"] == {"rejected": 3}
    assert {series.name for series in double.metrics.series()} == {f"m{n}" for n in range(1_000)} - poisoned
    assert double.requests.total("PutMetricData") == 2
    refused = [line for line in one.log_lines() if line["event"] == "the service refused one element of a request"]
    assert orjson.loads(refused[0]["element"])["MetricName"] in poisoned  # and no other for a while


def test_poison_that_is_not_named_is_found_by_halving(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.metrics.refuse("m3")
    double.metrics.name_culprits = False
    one = start({"metrics": {"flush_seconds": 60}})
    one.post("/ingest/metrics", [{"name": f"m{n}", "value": n, "type": "counter"} for n in range(100)])

    final = one.stop()

    assert final["samples"]["delivered"] == 99
    assert final["samples"]["dropped_by_reason"] == {"rejected": 1}
    assert "m3" not in {series.name for series in double.metrics.series()}


def test_a_poisoned_log_event_is_isolated(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.logs.refuse("poison")
    one = start()
    one.post("/ingest/logs", [{"message": f"event {n}"} for n in range(20)] + [{"message": "poison"}])

    stats = one.settled(log_events=21)

    assert_balanced(stats)
    assert stats["log_events"]["delivered"] == 20
    assert stats["log_events"]["dropped_by_reason"] == {"rejected": 1}


@pytest.mark.parametrize(
    "fault",
    [
        throttle(5),
        server_error(500, 2),
        server_error(503, 2),
        reset_mid_body(2),
        slow(3, 1),
        access_denied(3),
        expired_token(2),
        unrecognized_client(2),
        clock_skew(2),
        too_large(1),
    ],
    ids=lambda fault: fault.kind,
)
def test_every_sample_and_event_survives(start: Start, double: ThreadedCloudWatchDouble, fault: Fault) -> None:
    double.faults.add("PutMetricData", fault)
    double.faults.add("PutLogEvents", fault)
    one = start({"deliver": {"request_seconds": 1}})
    for _ in range(20):
        one.udp(b"hits:1|c\nhits:2|c", b"wait:10|ms")
        one.post("/ingest/logs", [{"message": "a"}, {"message": "b"}])
        time.sleep(0.02)

    stats = one.settled(samples=60, log_events=40)

    assert_balanced(stats)
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    hits = double.metrics.statistics("App", "hits")
    assert (hits.sample_count, hits.sum, hits.minimum, hits.maximum) == (40, 60, 1, 2)
    assert double.metrics.statistics("App", "wait").sum == 200
    assert len(double.logs.events("/app")) == 40
    assert double.faults.pending("PutMetricData") == 0


def test_what_may_have_been_stored_is_sent_again_and_counted_as_ambiguous(
    start: Start, double: ThreadedCloudWatchDouble
) -> None:
    double.faults.add("PutMetricData", reset_after_storing(1))
    one = start()
    one.udp(b"hits:1|c")
    stats = one.settled(samples=1)

    assert stats["samples"]["ambiguous"] == 1
    assert double.metrics.statistics("App", "hits").sum == 2


def test_access_denied_is_kept_and_named_and_ends_when_granted(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.faults.add("PutMetricData", access_denied(FOREVER))
    one = start()
    one.udp(b"hits:1|c")
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
    ready = one.ready()
    assert ready[0] == 200
    assert "grant the role" in ready[1]["delivery"]["metrics"]["fix"]
    assert one.stats()["samples"]["dropped"] == 0
    double.faults.clear()

    assert one.settled(samples=1)["delivery"]["metrics"]["up"] is True
    assert double.metrics.statistics("App", "hits").sum == 1


def test_metrics_and_logs_fail_independently(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.faults.add("PutLogEvents", access_denied(FOREVER))
    one = start()
    one.udp(b"hits:1|c")
    one.post("/ingest/logs", {"message": "kept"})
    one.wait_until(lambda: one.stats()["samples"]["delivered"] == 1, "delivered")

    assert one.stats()["log_events"]["pending"] == 1


def test_a_deleted_group_is_made_again(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start({"logs": {"retention_days": 7}})
    one.post("/ingest/logs", {"message": "first"})
    one.settled(log_events=1)
    assert double.logs.retention("/app") == 7
    double.logs.delete_group("/app")
    one.post("/ingest/logs", {"message": "second"})
    one.settled(log_events=2)

    assert [orjson.loads(text)["message"] for _, text in double.logs.events("/app")] == ["second"]
    assert double.logs.retention("/app") == 7


def test_a_group_that_was_there_keeps_its_retention(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.logs.create_log_group({"logGroupName": "/app"}, time.time())
    one = start({"logs": {"retention_days": 7}})
    one.post("/ingest/logs", {"message": "first"})
    one.settled(log_events=1)

    assert double.logs.retention("/app") is None
    assert double.requests.total("PutRetentionPolicy") == 0


def test_failing_to_set_retention_never_blocks_events(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.faults.add("PutRetentionPolicy", operation_aborted(FOREVER))
    one = start({"logs": {"retention_days": 7}})
    for number in range(3):
        one.post("/ingest/logs", {"message": str(number)})
        one.settled(log_events=number + 1)

    assert len(double.logs.events("/app")) == 3
    assert double.requests.total("PutRetentionPolicy") == 1


def test_events_rejected_in_a_200_are_counted_by_reason(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start({"logs": {"flush_seconds": 0.5}})
    one.post("/ingest/logs", {"message": "makes the group"})
    one.settled(log_events=1)
    double.faults.add("PutLogEvents", reject_half(1))
    one.post("/ingest/logs", [{"message": str(number)} for number in range(10)])
    stats = one.settled(log_events=11)

    assert_balanced(stats)
    account = stats["log_events"]
    assert account["delivered"] == len(double.logs.events("/app")) == 6
    assert sum(account["dropped_by_reason"].values()) == 5
    assert set(account["dropped_by_reason"]) <= {"timestamp_too_old", "timestamp_too_new", "expired"}


def test_events_of_one_stream_stay_in_order_through_failures(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.faults.add("PutLogEvents", throttle(2), server_error(500, 1))
    one = start({"logs": {"flush_seconds": 0.05}})
    for number in range(100):
        one.post("/ingest/logs", {"message": "m", "n": number})
    one.settled(log_events=100)

    assert [orjson.loads(text)["n"] for _, text in double.logs.events("/app", "s")] == list(range(100))
    assert double.requests.peak_in_flight("PutLogEvents", "/app:s") == 1


def test_an_event_over_the_limit_is_cut_marked_and_stays_json(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start()
    status, _, _ = one.post("/ingest/logs", {"message": "é" * 700_000, "id": 7})
    one.settled(log_events=1)

    assert status == 202
    ((_, text),) = double.logs.events("/app")
    assert len(text.encode()) <= LOG_MESSAGE_BYTES
    document = orjson.loads(text)
    assert document["id"] == 7
    assert document["message"].endswith("[truncated]")


def test_events_days_apart_go_in_requests_of_their_own(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start()
    now = time.time()
    one.post("/ingest/logs", [{"message": "x", "timestamp": now - days * 86_400} for days in (3, 0, 1.5, 13)])
    stats = one.settled(log_events=4)

    assert stats["log_events"]["delivered"] == 4
    stamps = [stamp for stamp, _ in double.logs.events("/app")]
    assert stamps == sorted(stamps)


def test_large_batches_keep_within_the_byte_limit(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start({"metrics": {"flush_seconds": 60}})
    values = [1.0 + n / 7 for n in range(150)]
    dimensions = {f"dimension_{n}": "v" * 50 for n in range(10)}
    for first in range(0, 1_000, 100):
        items = [{"name": f"wide{n}", "values": values, "dimensions": dimensions} for n in range(first, first + 100)]
        assert one.post("/ingest/metrics", items)[0] == 202
    final = one.stop()

    assert final["samples"]["delivered"] == 150_000
    puts = double.requests.of("PutMetricData")
    assert len(puts) > 3
    assert all(put.status == 200 and put.body_bytes <= 1_000_000 and put.compressed for put in puts)
    assert max(put.body_bytes for put in puts) > 990_000


def test_connections_are_kept_and_compressed(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start({"logs": {"flush_seconds": 0.1}})
    for number in range(10):
        one.post("/ingest/logs", {"message": str(number)})
        time.sleep(0.15)
    one.settled(log_events=10)

    puts = [put for put in double.requests.of("PutLogEvents") if put.status == 200]
    assert len({put.client_port for put in puts}) == 1
    assert all(put.compressed for put in puts)


def test_an_outage_ends_with_everything_delivered(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start()
    one.udp(b"hits:1|c")
    one.settled(samples=1)
    double.pause()
    for _ in range(30):
        one.udp(b"hits:1|c")
        one.post("/ingest/logs", {"message": "during"})
        time.sleep(0.05)
    double.resume()
    stats = one.settled(samples=31, log_events=30)

    assert_balanced(stats)
    assert double.metrics.statistics("App", "hits").sum == 31
    assert len(double.logs.events("/app")) == 30


def test_no_network_at_start_and_network_later(start: Start, double: ThreadedCloudWatchDouble) -> None:
    double.pause()
    one = start()
    one.udp(b"hits:1|c")
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
    double.resume()
    one.settled(samples=1)

    assert double.metrics.statistics("App", "hits").sum == 1


@pytest.mark.timeout(180)
def test_a_million_timers_keep_count_sum_extremes_and_percentiles(
    start: Start, double: ThreadedCloudWatchDouble
) -> None:
    """Log-normal latencies through UDP: everything exact but the percentiles, and those within 1 %."""
    total, per_datagram = 1_000_000, 50
    chance = random.Random(11)
    one = start({"metrics": {"flush_seconds": 60}, "deliver": {"drain_seconds": 30}})
    values: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", one.statsd_port))
        for burst in range(total // per_datagram):
            texts = [f"{chance.lognormvariate(5, 0.8):.3f}" for _ in range(per_datagram)]
            values += map(float, texts)
            sender.send("\n".join([f"latency:{text}|ms|#service:api" for text in texts]).encode())
            if burst % 20 == 0:
                # The sender must not outrun the reader here: this is about numbers, not about speed.
                sent = len(values)
                one.wait_until(lambda: one.stats()["samples"]["received"] >= sent - 30_000, "read")  # noqa: B023
    one.wait_until(lambda: one.stats()["samples"]["received"] == total, "received", 60)
    final = one.stop()

    assert final["samples"]["delivered"] == total
    dimensions = {"service": "api"}
    got = double.metrics.statistics("App", "latency", dimensions)
    assert got.sample_count == total
    assert got.sum == pytest.approx(sum(values), rel=1e-12)
    assert (got.minimum, got.maximum) == (min(values), max(values))
    values.sort()
    for quantile in (50, 90, 99, 99.9):
        exact = values[int(total * quantile / 100) - 1]
        assert double.metrics.percentile("App", "latency", dimensions, quantile) == pytest.approx(exact, rel=0.01)
