"""One test for each way in which the service or the way to it fails: all arrives, once, or is counted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.double import (
    FOREVER,
    Fault,
    ThreadedCloudWatchDouble,
    access_denied,
    clock_skew,
    expired_token,
    hang,
    reject_half,
    request_expired,
    reset_after_storing,
    reset_mid_body,
    server_error,
    slow,
    throttle,
    too_large,
)
from tests.faults.traffic import GROUP, Traffic, numbers, rows, spooling
from tests.support.daemon import AWS, Daemon, assert_balanced

Start = Callable[..., Daemon]


def both(double: ThreadedCloudWatchDouble, *faults: Fault) -> None:
    for operation in ("PutMetricData", "PutLogEvents"):
        double.faults.add(operation, *faults)


def assert_nothing_left(daemon: Daemon, spool: Path) -> None:
    daemon.wait_until(lambda: rows(spool) == {"metrics": 0, "logs": 0}, "empty on disk", 2.0)


@pytest.mark.parametrize(
    ("faults", "request_seconds"),
    [
        ([throttle(6)], 2),
        ([server_error(500, 2), server_error(503, 2), server_error(502, 1), server_error(504, 1)], 2),
        ([expired_token(3)], 2),
        ([access_denied(3)], 2),
        ([clock_skew(2), request_expired(1)], 2),
        ([too_large(1)], 2),
        ([slow(0.3, 3)], 2),
    ],
    ids=["throttling", "errors-5xx", "expired-token", "access-denied", "clock-skew", "413", "slow-within"],
)
def test_what_the_service_refuses_for_now_arrives_once(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, faults: list[Fault], request_seconds: float
) -> None:
    both(double, *faults)
    one = daemon(spooling(double, spool, request_seconds=request_seconds))
    traffic = Traffic()
    traffic.send(one, 40, at_once=True)
    stats = traffic.settled(one)

    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    assert stats["samples"]["ambiguous"] == stats["log_events"]["ambiguous"] == 0
    traffic.assert_arrived(double)
    for operation in ("PutMetricData", "PutLogEvents"):
        assert any(request.fault for request in double.requests.of(operation))
    assert_nothing_left(one, spool)


@pytest.mark.parametrize(
    ("fault", "twice"),
    [
        (reset_mid_body(3), False),
        (hang(2), False),
        (slow(1.0, 2), False),
        (reset_after_storing(2), True),
        (hang(1, stored=True), True),
        (slow(1.0, 1, stored=True), True),
    ],
    ids=["reset-mid-body", "hang", "too-slow", "reset-after-storing", "hang-after-storing", "too-slow-after-storing"],
)
def test_what_nobody_knows_arrives_and_is_counted_as_ambiguous(
    daemon: Start,
    double: ThreadedCloudWatchDouble,
    spool: Path,
    fault: Fault,
    twice: bool,  # noqa: FBT001
) -> None:
    double.logs.create_log_group({"logGroupName": GROUP}, time.time())
    double.logs.create_log_stream({"logGroupName": GROUP, "logStreamName": "s"})
    both(double, fault)
    one = daemon(spooling(double, spool, request_seconds=0.5))
    traffic = Traffic()
    traffic.send(one, 40)
    stats = traffic.settled(one)
    samples, events = stats["samples"], stats["log_events"]

    assert samples["dropped"] == events["dropped"] == 0
    assert samples["ambiguous"] > 0
    assert events["ambiguous"] > 0
    assert (len(numbers(double)) > len(traffic.sent)) is twice
    traffic.assert_arrived(
        double,
        ambiguous_samples=samples["ambiguous"] if twice else 0,
        ambiguous_events=events["ambiguous"] if twice else 0,
    )
    assert_nothing_left(one, spool)


def test_refused_connections_and_connections_again(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 10)
    traffic.settled(one)
    double.pause()
    began = time.monotonic()
    traffic.send(one, 100)
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
    on_disk = one.ready()[1]["spool"]
    outage = time.monotonic() - began
    double.resume()
    resumed = time.monotonic()
    stats = traffic.settled(one)

    print(f"outage {outage:.1f} s, spooled {on_disk['bytes']} bytes, caught up in {time.monotonic() - resumed:.1f} s")
    assert on_disk["durable"] is True
    assert on_disk["bytes"] > 0
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    traffic.assert_arrived(
        double, ambiguous_samples=stats["samples"]["ambiguous"], ambiguous_events=stats["log_events"]["ambiguous"]
    )


def test_no_network_at_start_and_network_later(daemon: Start, double: ThreadedCloudWatchDouble, spool: Path) -> None:
    double.pause()
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 20)
    one.wait_until(lambda: one.stats()["delivery"]["logs"]["up"] is False, "failing")
    assert one.ready()[0] == 200
    double.resume()
    stats = traffic.settled(one)

    assert stats["samples"]["ambiguous"] == stats["log_events"]["ambiguous"] == 0
    traffic.assert_arrived(double)


def test_half_of_the_events_rejected_in_a_200_are_counted_and_kept_for_a_person(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 5)
    traffic.settled(one)
    double.faults.add("PutLogEvents", reject_half(3))
    traffic.send(one, 60, at_once=True)
    stats = traffic.settled(one)
    events = stats["log_events"]

    assert events["dropped"] > 5
    assert events["dropped"] == len(traffic.sent) - len(numbers(double))
    assert stats["samples"]["dropped"] == 0
    traffic.assert_arrived(double, lost_events=events["dropped"])
    assert_nothing_left(one, spool)


def test_a_poisoned_datum_and_a_poisoned_event_are_the_only_loss(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    double.metrics.refuse("poison")
    double.logs.refuse("poison")
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 20)
    one.udp(b"poison:1|c")
    one.post("/ingest/logs", {"message": "poison", "n": 0})
    traffic.send(one, 20)
    stats = one.settled(traffic.samples + 1, len(traffic.sent) + 1)

    assert_balanced(stats)
    assert stats["samples"]["dropped_by_reason"] == stats["log_events"]["dropped_by_reason"] == {"rejected": 1}
    traffic.assert_arrived(double)
    assert_nothing_left(one, spool)


def test_access_is_granted_at_last(daemon: Start, double: ThreadedCloudWatchDouble, spool: Path) -> None:
    both(double, access_denied(FOREVER))
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 50)
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
    assert "grant the role" in one.ready()[1]["delivery"]["metrics"]["fix"]
    assert one.ready()[0] == 200
    double.faults.clear()
    stats = traffic.settled(one)

    assert stats["delivery"]["metrics"]["up"] is stats["delivery"]["logs"]["up"] is True
    traffic.assert_arrived(double)


class Issuer:
    """What a container gets its credentials from; they last for so short that each request asks again."""

    def __init__(self) -> None:
        self.secret = "the old one"
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ends = datetime.now(UTC) + timedelta(seconds=5)
                answer = {
                    "AccessKeyId": "AKIDRENEWED",
                    "SecretAccessKey": issuer.secret,
                    "Token": "a token",
                    "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
                }
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/credentials"

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def test_credentials_that_became_invalid_are_renewed_without_a_restart(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    with Issuer().running() as issuer:
        double.settings.secret_access_key = issuer.secret
        environ = dict.fromkeys(AWS, "") | {
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": issuer.url,
        }
        one = daemon(spooling(double, spool), environ=environ)
        traffic = Traffic()
        traffic.send(one, 10)
        traffic.settled(one)
        double.settings.secret_access_key = "the new one"
        traffic.send(one, 30)
        one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
        assert "credentials" in one.ready()[1]["delivery"]["metrics"]["fix"]
        issuer.secret = "the new one"
        stats = traffic.settled(one)

        assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
        traffic.assert_arrived(double)
        one.kill()


def test_a_group_deleted_under_us_takes_nothing_with_it_that_was_not_in_it(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 10)
    traffic.settled(one)
    double.logs.delete_group(GROUP)
    traffic.send(one, 30)
    stats = traffic.settled(one)

    assert stats["log_events"]["dropped"] == 0
    assert numbers(double) == traffic.sent[10:]


def test_replay_keeps_the_order_of_a_stream_while_new_events_come(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """More than memory holds is on disk when the service comes back, and new events come meanwhile."""
    double.pause()
    config = spooling(double, spool, memory_bytes=8_388_608)
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 100, padding=100_000, pause=0.0)
    one.stop()
    assert rows(spool)["logs"] == 100

    two = daemon(config)
    double.faults.add("PutLogEvents", slow(0.05, FOREVER))
    traffic.send(two, 40, padding=1_000, pause=0.0)
    double.resume()
    began = time.monotonic()
    traffic.send(two, 60, padding=1_000)
    stats = two.settled(log_events=100)

    print(f"replayed {stats['log_events']['recovered']} events of 100 kB in {time.monotonic() - began:.1f} s")
    assert_balanced(stats)
    assert stats["log_events"]["recovered"] == 100
    assert numbers(double) == traffic.sent
    assert double.requests.peak_in_flight("PutLogEvents", f"{GROUP}:s") == 1
    two.stop()
    traffic.assert_arrived(double)
