"""A disk that hangs, under a spool: the daemon starts, answers, delivers and ends as it would without a spool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.double import ThreadedCloudWatchDouble
from tests.faults.traffic import Traffic, numbers, rows, spooling
from tests.support.daemon import Daemon, assert_balanced
from tests.support.frozen_disk import FrozenDisk, frozen_disk

Start = Callable[..., Daemon]

HANGS: float = 8.0  # seconds: what is bounded by one second must be over by then on any machine


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FrozenDisk]:
    made = frozen_disk(tmp_path)
    yield made
    made.thaw()


def test_http_is_answered_and_both_signals_are_delivered_while_the_disk_hangs(
    daemon: Start, double: ThreadedCloudWatchDouble, disk: FrozenDisk
) -> None:
    spool = disk.directory / "spool"
    one = daemon(spooling(double, spool), environ=disk.environ)
    traffic = Traffic()
    traffic.send(one, 10)
    traffic.settled(one)
    disk.freeze()
    begun = time.monotonic()
    traffic.send(one, 1, durable=False)
    print(f"the first answer took {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < HANGS
    traffic.send(one, 20, durable=False)
    stats = traffic.settled(one)

    assert stats["spool"]["durable"] is False
    assert "has not answered" in stats["spool"]["error"]
    traffic.assert_arrived(
        double, ambiguous_samples=stats["samples"]["ambiguous"], ambiguous_events=stats["log_events"]["ambiguous"]
    )
    disk.thaw()
    one.wait_until(lambda: one.ready()[1]["spool"]["durable"], "durable again")
    traffic.send(one, 10)
    stats = traffic.settled(one)
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    one.stop()
    assert rows(spool) == {"metrics": 0, "logs": 0}
    again = daemon(spooling(double, spool)).stats()
    assert again["samples"]["recovered"] == again["log_events"]["recovered"] == 0
    assert numbers(double) == traffic.sent


def test_a_stop_keeps_its_deadline_and_names_what_is_lost_while_the_disk_hangs(
    daemon: Start, double: ThreadedCloudWatchDouble, disk: FrozenDisk
) -> None:
    double.pause()
    one = daemon(spooling(double, disk.directory / "spool", drain_seconds=3), environ=disk.environ)
    traffic = Traffic()
    traffic.send(one, 5)
    disk.freeze()
    traffic.send(one, 5, durable=False)
    one.wait_until(lambda: one.stats()["samples"]["received"] == traffic.samples, "received")
    begun = time.monotonic()
    one.signal()
    status = one.exit_status(3 + HANGS)
    print(f"stopped after {time.monotonic() - begun:.2f} s of 3")

    assert status == 0
    last = one.log_lines()[-1]
    assert last["event"] == "stopped"
    assert_balanced(last)
    # The first five log events were on disk before it hung; of the rest nobody can say so.
    assert last["abandoned_log_events"] >= 5
    assert last["abandoned_log_events"] + last["spooled_log_events"] == 10
    assert last["abandoned_samples"] + last["spooled_samples"] == traffic.samples
    assert any(line["event"] == "abandoned at the end of the drain" for line in one.log_lines())
    assert any("the disk does not answer" in line["event"] for line in one.log_lines())
    disk.thaw()
    double.resume()
    again = daemon(spooling(double, disk.directory / "spool"))
    again.wait_until(lambda: set(numbers(double)) >= {1, 2, 3, 4, 5}, "what was acknowledged as durable delivered")


def test_a_second_signal_ends_it_at_once_while_the_disk_hangs(
    daemon: Start, double: ThreadedCloudWatchDouble, disk: FrozenDisk
) -> None:
    double.pause()
    one = daemon(spooling(double, disk.directory / "spool", drain_seconds=25), environ=disk.environ)
    disk.freeze()
    traffic = Traffic()
    one.udp(b"hits:1|c")
    time.sleep(0.2)
    traffic.sent.append(1)
    one.signal()
    time.sleep(0.3)
    one.signal()

    assert one.exit_status(HANGS) == 0
    assert_balanced(one.log_lines()[-1])


def test_a_start_binds_and_serves_while_the_disk_hangs_and_recovers_once_it_answers(
    daemon: Start, double: ThreadedCloudWatchDouble, disk: FrozenDisk
) -> None:
    """What came meanwhile is merged with what was left: nothing is lost and nothing counted twice."""
    double.pause()
    config = spooling(double, disk.directory / "spool", metrics={"flush_seconds": 60}, logs={"flush_seconds": 60})
    first = daemon(config, environ=disk.environ)
    before = Traffic()
    before.send(first, 20)
    first.checkpointed()
    first.kill()
    disk.freeze()
    begun = time.monotonic()
    second = daemon(config, environ=disk.environ)
    print(f"ready after {time.monotonic() - begun:.2f} s")
    traffic = Traffic()
    traffic.sent = [*before.sent]
    traffic.send(second, 20, durable=False)
    second.wait_until(lambda: "has not answered" in str(second.ready()[1]["spool"]["error"]), "an error")
    disk.thaw()
    second.wait_until(lambda: second.ready()[1]["spool"]["durable"], "durable")
    traffic.send(second, 20)
    second.wait_until(lambda: second.stats()["samples"]["received"] == 120, "received")
    stats = second.stats()

    assert_balanced(stats)
    assert (stats["samples"]["recovered"], stats["log_events"]["recovered"]) == (60, 20)
    double.resume()
    last = second.stop()
    assert_balanced(last)
    assert last["samples"]["dropped"] == last["log_events"]["dropped"] == 0
    assert last["samples"]["pending"] == last["log_events"]["pending"] == 0
    traffic.assert_arrived(double)


def test_a_start_under_a_disk_that_hangs_can_be_stopped(
    daemon: Start, double: ThreadedCloudWatchDouble, disk: FrozenDisk
) -> None:
    disk.freeze()
    one = daemon(spooling(double, disk.directory / "spool"), environ=disk.environ)
    traffic = Traffic()
    traffic.send(one, 3, durable=False)
    one.wait_until(lambda: one.stats()["samples"]["received"] == traffic.samples, "received")
    one.signal()

    assert one.exit_status(3 + HANGS) == 0
    traffic.assert_arrived(double)
