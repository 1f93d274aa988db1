"""SIGTERM while the service fails: what one attempt did not deliver is on disk, and arrives after a restart."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.double import (
    FOREVER,
    Fault,
    ThreadedCloudWatchDouble,
    access_denied,
    clock_skew,
    expired_token,
    hang,
    limit_exceeded,
    reject_half,
    reset_mid_body,
    server_error,
    slow,
    throttle,
    too_large,
)
from tests.faults.traffic import GROUP, Traffic, rows, spooling
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

DRAIN_SECONDS: Final = 2.0
AMPLE_SECONDS: Final = 20.0  # for what needs one attempt, on a busy machine too
LATE_SECONDS: Final = 2.0  # the most a drain may last beyond its deadline

FAILING: Final[dict[str, tuple[str, Fault | None]]] = {
    "throttling": ("*", throttle(FOREVER)),
    "errors-500": ("*", server_error(500, FOREVER)),
    "errors-503": ("*", server_error(503, FOREVER)),
    "refused": ("*", None),
    "reset-mid-body": ("*", reset_mid_body(FOREVER)),
    "hang": ("*", hang(FOREVER)),
    "too-slow": ("*", slow(1.5, FOREVER)),
    "expired-token": ("*", expired_token(FOREVER)),
    "access-denied": ("*", access_denied(FOREVER)),
    "clock-skew": ("*", clock_skew(FOREVER)),
    "group-cannot-be-made": ("CreateLogGroup", limit_exceeded(FOREVER)),
}
PASSING: Final[dict[str, tuple[str, Fault | None]]] = {
    "slow-within": ("*", slow(0.3, FOREVER)),
    "too-large": ("*", too_large(1)),
    "half-rejected": ("PutLogEvents", reject_half(FOREVER)),
    "nothing": ("*", slow(0.0, FOREVER)),
}


def misbehave(double: ThreadedCloudWatchDouble, operation: str, fault: Fault | None) -> None:
    if fault is None:
        double.pause()
        return
    for one in ("PutMetricData", "PutLogEvents") if operation == "*" else (operation,):
        double.faults.add(one, fault)


def stop_in_time(one: Daemon, deadline: float = DRAIN_SECONDS + LATE_SECONDS) -> dict[str, object]:
    began = time.monotonic()
    one.signal()
    assert one.exit_status() == 0, one.log()
    print(f"from the signal to the end of the process: {time.monotonic() - began:.2f} s")
    final = one.log_lines()[-1]
    # By the daemon's own clock: a busy machine delivers signals and ends processes late.
    assert final["seconds"] <= deadline, one.log()
    assert_balanced(final)
    return final


@pytest.mark.parametrize("state", FAILING)
def test_what_one_attempt_did_not_deliver_is_on_disk_and_arrives_after_a_restart(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, state: str
) -> None:
    operation, fault = FAILING[state]
    misbehave(double, operation, fault)
    config = spooling(double, spool, request_seconds=0.5, drain_seconds=DRAIN_SECONDS)
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 20, pause=0.005)
    one.wait_until(lambda: one.stats()["delivery"]["logs"]["up"] is False, "failing")
    traffic.send(one, 5, pause=0.0)
    final = stop_in_time(one)

    samples, events = final["samples"], final["log_events"]
    assert isinstance(samples, dict)
    assert isinstance(events, dict)
    assert samples["dropped"] == events["dropped"] == 0
    assert (final["spooled_samples"], final["spooled_log_events"]) == (samples["pending"], events["pending"])
    kept = rows(spool)
    assert kept == {"metrics": samples["pending"], "logs": events["pending"]}
    assert kept["logs"] == 25

    double.faults.clear()
    double.resume()
    two = daemon(config)
    after = two.settled()

    assert_balanced(after)
    assert (after["samples"]["recovered"], after["log_events"]["recovered"]) == (kept["metrics"], kept["logs"])
    assert after["samples"]["dropped"] == after["log_events"]["dropped"] == 0
    # The service stored nothing while it failed: twice arrives only what it answered too late now, on a busy machine.
    traffic.assert_arrived(
        double, ambiguous_samples=after["samples"]["ambiguous"], ambiguous_events=after["log_events"]["ambiguous"]
    )


@pytest.mark.parametrize("state", PASSING)
def test_one_attempt_at_everything_is_enough_where_the_service_takes_it(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, state: str
) -> None:
    operation, fault = PASSING[state]
    double.logs.create_log_group({"logGroupName": GROUP}, time.time())
    config = spooling(
        double, spool, request_seconds=10, drain_seconds=AMPLE_SECONDS, metrics={"flush_seconds": 60},
        logs={"flush_seconds": 60},
    )  # fmt: skip
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 20, pause=0.0)
    misbehave(double, operation, fault)
    final = stop_in_time(one, AMPLE_SECONDS)

    samples, events = final["samples"], final["log_events"]
    assert isinstance(samples, dict)
    assert isinstance(events, dict)
    assert samples["delivered"] == traffic.samples
    assert events["delivered"] + events["dropped"] == len(traffic.sent)
    assert events["dropped"] == (10 if state == "half-rejected" else 0)
    assert rows(spool) == {"metrics": 0, "logs": 0}
    traffic.assert_arrived(double, lost_events=events["dropped"])


def test_a_second_signal_ends_it_at_once_and_all_is_on_disk(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    misbehave(double, "*", hang(FOREVER))
    config = spooling(double, spool, request_seconds=10, drain_seconds=20)
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 20)
    one.signal(signal.SIGTERM)
    one.wait_until(lambda: one.ready()[0] == 503, "draining")
    one.signal(signal.SIGINT)
    assert one.exit_status() == 0, one.log()

    final = one.log_lines()[-1]
    assert_balanced(final)
    assert final["seconds"] < 5  # of 20, and of a request's 10
    assert rows(spool) == {"metrics": traffic.samples, "logs": len(traffic.sent)}
    double.faults.clear()
    stats = daemon(config).settled()
    assert_balanced(stats)
    traffic.assert_arrived(double)


def test_a_spool_filled_over_several_lives_without_the_service_arrives_as_a_whole(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    double.pause()
    config = spooling(double, spool)
    traffic = Traffic()
    for life in range(1, 4):
        one = daemon(config)
        traffic.send(one, 10, pause=0.0)
        final = one.stop()
        assert final["samples"]["recovered"] == traffic.samples - 30
        assert rows(spool) == {"metrics": 30 * life, "logs": 10 * life}
    double.resume()
    last = daemon(config)
    stats = last.settled()

    assert_balanced(stats)
    assert stats["samples"]["recovered"] == stats["samples"]["delivered"] == traffic.samples
    assert stats["log_events"]["ambiguous"] == stats["samples"]["ambiguous"] == 0
    traffic.assert_arrived(double)
