"""A minute of throttles over HTTP, with a whole daemon in real time: a minute later nothing of it is left.

`tests/deliver/test_throttling.py` does the same in simulated time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.double import FOREVER, Fault, ThreadedCloudWatchDouble, error, throttle
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

GROUP: Final = "/app"
STREAMS: Final = 20
MANY: Final = error("TooManyRequestsException", "Rate exceeded", status=429, times=FOREVER)
FAULTS: Final = {"ThrottlingException": throttle(FOREVER), "429": MANY}


def configuration(double: ThreadedCloudWatchDouble) -> dict[str, Any]:
    """Retries as by default; flushes every second, so that there is a backlog."""
    return {
        "namespace": "App",
        "metrics": {"flush_seconds": 1},
        "logs": {"group": GROUP, "stream": "{stream}", "flush_seconds": 1},
        "deliver": {"target": "cloudwatch", "endpoint_url": double.url},
    }


class Sender(threading.Thread):
    """Sends a counter and a log event to each stream twice a second until stopped."""

    def __init__(self, daemon: Daemon, streams: int) -> None:
        super().__init__()
        self._daemon = daemon
        self._streams = streams
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.5):
            self._daemon.udp(b"hits:1|c")
            body = [{"message": "x", "stream": str(stream)} for stream in range(self._streams)]
            with suppress(TimeoutError):  # of a machine under load; what was received is what counts
                self._daemon.post("/ingest/logs", body)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def wait_for_the_end(daemon: Daemon, seconds: float) -> float:
    """Wait until nothing from before this call is pending; returns how long it took."""
    began, target = time.monotonic(), daemon.stats()

    def gone() -> bool:
        stats = daemon.stats()
        return all(
            stats[signal]["delivered"] + stats[signal]["dropped"] >= target[signal]["received"]
            for signal in ("samples", "log_events")
        )

    daemon.wait_until(gone, "delivered", seconds)
    return time.monotonic() - began


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("streams", [1, STREAMS])
def test_a_minute_after_a_minute_of_throttles_the_backlog_is_gone(
    daemon: Start, double: ThreadedCloudWatchDouble, streams: int, fault: Fault
) -> None:
    one = daemon(configuration(double))
    sender = Sender(one, streams)
    sender.start()
    try:
        time.sleep(5.0)
        for operation in ("PutMetricData", "PutLogEvents"):
            double.faults.add(operation, fault)
        time.sleep(60.0)
        delivery = one.ready()[1]["delivery"]
        stats = one.stats()
        tries = sum(request.fault is not None for request in double.requests.of("PutLogEvents"))
        double.faults.clear()
        took = wait_for_the_end(one, 60.0)
    finally:
        sender.stop()
    print(
        f"{streams} streams: {stats['samples']['pending']} samples and {stats['log_events']['pending']} events pending "
        f"after 60 s and {tries} tries of PutLogEvents; gone {took:.1f} s later"
    )

    for signal in ("metrics", "logs"):
        assert delivery[signal]["slowed"] is True
        assert delivery[signal]["up"] is False
        assert "quota" in delivery[signal]["fix"]
    final = one.settled()
    assert_balanced(final)
    assert final["samples"]["dropped"] == final["log_events"]["dropped"] == 0
    assert len(double.logs.events(GROUP)) == final["log_events"]["received"] > 60 * streams
    assert double.metrics.statistics("App", "hits").sum == final["samples"]["received"] > 60
    one.wait_until(lambda: not one.ready()[1]["delivery"]["logs"]["slowed"], "at full speed", 40.0)
    one.stop()


@pytest.mark.parametrize("fault", [throttle(3), error("TooManyRequestsException", "", status=429, times=3)], ids=FAULTS)
def test_while_it_is_slowed_it_says_so(daemon: Start, double: ThreadedCloudWatchDouble, fault: Fault) -> None:
    """Delivery is up all the time: one throttled request now and then is no outage."""
    config = configuration(double)
    config["deliver"] |= {"retry_base_seconds": 0.05, "retry_max_seconds": 0.2}
    one = daemon(config)
    double.faults.add("PutMetricData", fault)
    one.udp(b"hits:1|c")
    stats = one.settled(1)

    metrics = stats["delivery"]["metrics"]
    assert (metrics["up"], metrics["slowed"]) == (True, True)
    assert metrics["requests_per_second_limit"] >= 5.0
    assert stats["delivery"]["logs"]["slowed"] is False
    page = one.get("/metrics")[1].decode()
    assert 'sidecar_delivery_slowed{signal="metrics"} 1.0' in page
    assert 'sidecar_delivery_slowed{signal="logs"} 0.0' in page
    assert one.ready()[1]["delivery"]["metrics"]["slowed"] is True
    one.stop()
    (line,) = [line for line in one.log_lines() if "throttles" in line["event"]]
    assert (line["operation"], line["level"]) == ("PutMetricData", "warning")


def test_throttles_of_creating_streams_do_not_slow_down_the_others(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """CreateLogStream has a quota of its own, which a roll-out exhausts."""
    one = daemon(configuration(double) | {"logs": {"group": GROUP, "stream": "{stream}", "flush_seconds": 0.1}})
    one.post("/ingest/logs", {"message": "x", "stream": "old"})
    one.settled(log_events=1)
    double.faults.add("CreateLogStream", throttle(FOREVER))
    one.post("/ingest/logs", {"message": "x", "stream": "new"})
    double.until(lambda: len(double.requests.of("CreateLogStream")) >= 3)
    for number in range(10):
        one.post("/ingest/logs", {"message": str(number), "stream": "old"})
        double.until(lambda wanted=number + 2: len(double.logs.events(GROUP, "old")) >= wanted)  # type: ignore[misc]

    assert one.stats()["delivery"]["logs"]["slowed"] is False
    double.faults.clear()
    one.settled(log_events=12)
    one.stop()
