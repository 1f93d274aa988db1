"""A spool that is full, cannot be written, is damaged, newer, or somebody else's: the daemon runs, and says so."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from sidecar.aggregate.checkpoint import blob, record
from sidecar.aggregate.window import Windows
from sidecar.model.samples import Kind, Sample, Series
from tests.double import FOREVER, ThreadedCloudWatchDouble, throttle
from tests.faults.traffic import Traffic, numbers, rows, spooling
from tests.support.daemon import START_SECONDS, Daemon, assert_balanced

Start = Callable[..., Daemon]


def spool_error(daemon: Daemon) -> str | None:
    error: str | None = daemon.ready()[1]["spool"]["error"]
    return error


def assert_in_memory_only(daemon: Daemon, error: str) -> None:
    """It is ready, says what is wrong, and does not promise what it cannot keep."""
    status, ready = daemon.ready()
    assert status == 200
    assert ready["spool"]["durable"] is False
    assert error in ready["spool"]["error"]


# --- full ----------------------------------------------------------------------------------------------------


def test_a_full_spool_drops_the_oldest_and_counts_it(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """Datagrams cannot be told to wait: 24 MB of them through a spool of 12 MB, memory for 6 of them."""
    double.faults.add("PutLogEvents", throttle(FOREVER))
    one = daemon(spooling(double, spool, memory_bytes=8_388_608, spool_max_bytes=12_582_912))
    total, size = 480, 50_000
    for number in range(1, total + 1):
        one.udp(json.dumps({"message": "x" * size, "n": number}).encode())
        if number % 20 == 0:
            one.wait_until(lambda: one.stats()["log_events"]["received"] >= number, "received")  # noqa: B023
            time.sleep(0.1)
    one.wait_until(lambda: one.stats()["log_events"]["dropped"] > 0, "dropping")
    time.sleep(0.3)
    dropped = one.stats()["log_events"]["dropped_by_reason"]
    in_use = sum(file.stat().st_size for file in spool.iterdir() if file.name == "spool.db")
    double.faults.clear()
    stats = one.settled(log_events=total)

    assert_balanced(stats)
    arrived = numbers(double)
    assert set(dropped) == {"spool_full"}
    assert stats["log_events"]["dropped"] == total - len(arrived)
    assert len(set(arrived)) == len(arrived)
    assert arrived == sorted(arrived)
    assert arrived[-1] == total
    assert in_use <= 12_582_912 * 1.25


def test_senders_who_can_wait_are_told_so_when_the_spool_is_full_and_nothing_accepted_is_lost(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    double.pause()
    one = daemon(spooling(double, spool, spool_max_bytes=1_000_000))
    accepted: list[int] = []
    statuses: list[int] = []
    for number in range(1, 61):
        status, answer, headers = one.post("/ingest/logs", {"message": "x" * 50_000, "n": number})
        statuses.append(status)
        if status == 202:
            assert answer.get("durable", True) is True, (number, answer)
            accepted.append(number)
        else:
            assert int(headers["Retry-After"]) > 0
        time.sleep(0.02)
    assert set(statuses) == {202, 429}
    double.resume()
    stats = one.settled(log_events=len(accepted))

    assert_balanced(stats)
    assert stats["log_events"]["dropped"] == 0
    assert numbers(double) == accepted


def test_events_that_take_more_room_as_json_fill_the_spool_and_never_break_it(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """What the service counts of an event is less than what it takes on disk: every quote is written as two bytes."""
    double.pause()
    one = daemon(spooling(double, spool, spool_max_bytes=1_000_000))
    accepted: list[int] = []
    for number in range(1, 61):
        fields = {f"k{i}": "" for i in range(2_500)}
        status, answer, _ = one.post("/ingest/logs", {"message": "m", "n": number, **fields})
        assert status in (202, 429)
        if status == 202:
            accepted.append(number)
            assert answer.get("durable", True) is True, (number, one.ready()[1]["spool"])
        time.sleep(0.02)
    assert one.ready()[1]["spool"]["durable"] is True
    double.resume()
    stats = one.settled(log_events=len(accepted))

    assert_balanced(stats)
    assert numbers(double) == accepted


def mounted(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    yield from mounted(tmp_path / "disk", "24m")


def fill_up(one: Daemon, traffic: Traffic, padding: int) -> None:
    """Send until the spool says that it cannot keep any more."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        number = len(traffic.sent) + 1
        one.udp(b"hits:1|c\nnumbers:%d|c" % number, b"wait:%d|ms" % (number % 50 + 1))
        status, answer, _ = one.post("/ingest/logs", {"message": "x" * padding, "n": number})
        assert status == 202
        traffic.sent.append(number)
        if answer.get("durable") is False:
            return
    raise AssertionError(f"it never became full: {one.ready()}")


def durable_again(one: Daemon, traffic: Traffic) -> bool:
    """Send one number more; whether it was kept."""
    number = len(traffic.sent) + 1
    one.udp(b"hits:1|c\nnumbers:%d|c" % number, b"wait:%d|ms" % (number % 50 + 1))
    _, answer, _ = one.post("/ingest/logs", {"message": "m", "n": number})
    traffic.sent.append(number)
    return bool(answer.get("durable", True))


def assert_full_and_over(one: Daemon, double: ThreadedCloudWatchDouble, traffic: Traffic, spool: Path) -> None:
    """Once there is room again all is kept again, nothing was lost, and nothing comes back that was delivered."""
    one.wait_until(lambda: durable_again(one, traffic), "durable again")
    stats = traffic.settled(one)

    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    assert sorted(set(numbers(double))) == traffic.sent
    traffic.assert_arrived(
        double, ambiguous_samples=stats["samples"]["ambiguous"], ambiguous_events=stats["log_events"]["ambiguous"]
    )
    assert len(one.log().splitlines()) < 100
    one.stop()
    assert rows(spool) == {"metrics": 0, "logs": 0}


def test_a_disk_that_others_filled_costs_durability_until_they_make_room(
    daemon: Start, double: ThreadedCloudWatchDouble, small_disk: Path
) -> None:
    double.pause()
    one = daemon(spooling(double, small_disk / "spool"))
    traffic = Traffic()
    traffic.send(one, 5)
    with (small_disk / "others").open("wb", buffering=0) as others, contextlib.suppress(OSError):
        while True:
            others.write(bytes(4_096))
    fill_up(one, traffic, 100_000)
    assert_in_memory_only(one, "full")
    (small_disk / "others").unlink()
    double.resume()

    assert_full_and_over(one, double, traffic, small_disk / "spool")


def test_a_disk_that_the_spool_itself_filled_is_of_use_again_once_all_is_delivered(
    daemon: Start, double: ThreadedCloudWatchDouble, small_disk: Path
) -> None:
    double.pause()
    (small_disk / "others").write_bytes(bytes(12_000_000))
    one = daemon(spooling(double, small_disk / "spool"))
    traffic = Traffic()
    fill_up(one, traffic, 100_000)
    double.resume()
    traffic.settled(one)

    assert_full_and_over(one, double, traffic, small_disk / "spool")


def test_a_file_that_cannot_grow_costs_durability_until_it_can(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """Writes fail half way, as on a failing disk; deletions that could not be made are made later."""
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    traffic.send(one, 10)
    traffic.settled(one)
    assert one.process is not None
    _, hard = resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE)
    sizes = [file.stat().st_size for file in (*spool.iterdir(), one.log_path)]
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (max(sizes) + 8_192, hard))
    double.pause()
    fill_up(one, traffic, 20_000)
    double.resume()
    traffic.settled(one)
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    one.wait_until(lambda: one.post("/ingest/logs", {"message": "m", "n": 0})[1].get("durable", True), "durable")
    traffic.send(one, 10)
    stats = one.settled(traffic.samples)

    assert_balanced(stats)
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    one.wait_until(lambda: rows(spool) == {"metrics": 0, "logs": 0}, "empty on disk")
    assert set(numbers(double)) == {0, *traffic.sent}
    again = daemon(spooling(double, spool)).stats()
    assert again["samples"]["recovered"] == again["log_events"]["recovered"] == 0


# --- not usable ----------------------------------------------------------------------------------------------


def test_a_directory_that_cannot_be_made_costs_durability_and_nothing_else(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    one = daemon(spooling(double, tmp_path / "file" / "spool"))
    assert_in_memory_only(one, "cannot use")
    traffic = Traffic()
    traffic.send(one, 20, durable=False)
    stats = traffic.settled(one)

    assert stats["spool"]["durable"] is False
    traffic.assert_arrived(double)


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _replace(path: Path) -> None:
    path.write_bytes(b"this is no database " * 1_000)


def _spoil_every_page(path: Path) -> None:
    for at in range(4_096, path.stat().st_size, 4_096):
        _overwrite(path, at, b"\xff" * 64)


DAMAGES: Final[dict[str, Callable[[Path], None]]] = {
    "garbage": _replace,
    "cut-in-half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no-header": lambda path: _overwrite(path, 0, os.urandom(100)),
    "garbage-in-every-page": _spoil_every_page,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_spool_is_set_aside_and_the_daemon_runs(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, damage: str
) -> None:
    double.pause()
    config = spooling(double, spool)
    one = daemon(config)
    lost = Traffic()
    lost.send(one, 20, padding=500, pause=0.0)
    one.stop()
    double.resume()
    DAMAGES[damage](spool / "spool.db")
    damaged = (spool / "spool.db").read_bytes()

    two = daemon(config)
    traffic = Traffic()
    traffic.send(two, 5)
    stats = two.settled(traffic.samples, 5)

    assert_balanced(stats)
    assert stats["spool"]["durable"] is True
    assert stats["spool"]["set_aside"] == 1
    assert b"sidecar_spool_set_aside_total 1.0" in two.get("/metrics")[1]
    assert stats["log_events"]["recovered"] == 0
    (aside,) = [
        file
        for file in spool.iterdir()
        if file.name.startswith("spool.db.damaged") and not file.name.endswith(("-wal", "-shm"))
    ]
    assert aside.read_bytes() == damaged
    assert any(line["event"] == "the spool was damaged and is set aside" for line in two.log_lines())
    assert sorted(numbers(double)) == traffic.sent


def test_the_log_of_a_damaged_spool_is_set_aside_with_it(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """After a crash most of what was kept is in the write-ahead log: without it nobody could rescue anything."""
    double.pause()
    config = spooling(double, spool)
    one = daemon(config)
    Traffic().send(one, 20, padding=5_000, pause=0.0)
    one.stop()
    two = daemon(config)
    Traffic().send(two, 5, pause=0.0)
    two.kill()
    log = (spool / "spool.db-wal").read_bytes()
    _spoil_every_page(spool / "spool.db")
    three = daemon(config)

    assert "the spool was damaged and is set aside" in three.log()
    aside = [file for file in spool.iterdir() if "damaged" in file.name]
    assert any(log == file.read_bytes() for file in aside), [file.name for file in spool.iterdir()]


def checkpoint_of(sum_: float) -> bytes:
    """A checkpoint of one open counter."""
    windows = Windows()
    series = Series("App", "open", (), "Count", 60)
    windows.add(series, Sample("open", Kind.COUNTER, (sum_,), (1.0,)), time.time())
    (window,) = windows.windows()
    gained = [record(window, series, one, full=True) for one in window.accumulators.values()]
    return blob([one for one in gained if one is not None])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE batches SET head = 'nonsense' WHERE signal = 'logs'",
        "UPDATE batches SET parts = x'0102'",
        "UPDATE batches SET body = x'', parts = zeroblob(CASE signal WHEN 'logs' THEN 24 ELSE 16 END)",
        "INSERT INTO segments VALUES (1000, '7', x'00', x'', 1)",
        "INSERT INTO segments VALUES (1000, '[\"/app\",\"s\"]', x'00', x'01', 1)",
        "INSERT INTO deltas (window, body) VALUES (1, x'00')",
        "INSERT INTO deltas (window, body) VALUES (1, '[[1,2,3]]')",
    ],
    ids=["head", "parts", "empty", "segment-head", "segment-parts", "delta", "delta-shape"],
)
def test_a_row_that_makes_no_sense_stops_neither_the_daemon_nor_the_other_rows(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, change: str
) -> None:
    double.pause()
    config = spooling(double, spool)
    one = daemon(config)
    one.udp(b"hits:1|c")
    one.post("/ingest/logs", {"message": "m", "n": 0})
    one.stop()
    database = sqlite3.connect(spool / "spool.db")
    # What is open comes back from checkpoints as well.
    database.execute("INSERT INTO deltas (window, body) VALUES (99, ?)", (checkpoint_of(sum_=7.0),))
    database.execute(change)
    database.commit()
    database.close()
    double.resume()

    two = daemon(config)
    traffic = Traffic()
    traffic.send(two, 5)
    two.wait_until(lambda: double.metrics.statistics("App", "open").sum == 7, "the open window delivered")
    two.wait_until(lambda: set(numbers(double)) >= set(traffic.sent), "delivered")
    time.sleep(0.3)
    assert_balanced(two.stats())
    two.stop()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_spool_of_a_newer_version_is_left_untouched(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, journal: str
) -> None:
    spool.mkdir()
    database = sqlite3.connect(spool / "spool.db")
    database.execute(f"PRAGMA journal_mode = {journal}")
    database.execute("PRAGMA user_version = 1000")
    database.execute("CREATE TABLE things (id INTEGER)")
    database.commit()
    database.close()
    before = (spool / "spool.db").read_bytes()
    one = daemon(spooling(double, spool))
    assert_in_memory_only(one, "newer version (1000")
    traffic = Traffic()
    traffic.send(one, 10, durable=False)
    traffic.settled(one)
    traffic.assert_arrived(double)
    one.stop()

    assert (spool / "spool.db").read_bytes() == before
    assert {file.name for file in spool.iterdir()} == {"spool.db", "spool.lock"}


def test_a_second_daemon_on_the_directory_runs_without_it_and_takes_it_over(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    double.pause()
    config = spooling(double, spool, request_seconds=0.5)
    first = daemon(config)
    traffic = Traffic()
    traffic.send(first, 10)
    second = daemon(config)
    assert_in_memory_only(second, "another daemon uses")
    other = Traffic()
    other.sent = [*traffic.sent]
    other.send(second, 10, durable=False)
    assert first.ready()[1]["spool"]["durable"] is True
    first.stop()
    assert rows(spool) == {"metrics": 30, "logs": 10}

    second.wait_until(lambda: spool_error(second) is None, "taken over")
    assert second.stats()["log_events"]["recovered"] == 10
    assert second.stats()["samples"]["recovered"] == 30
    other.send(second, 5)
    double.resume()
    stats = second.settled(45)

    assert_balanced(stats)
    assert stats["log_events"]["dropped"] == stats["samples"]["dropped"] == 0
    other.assert_arrived(
        double, ambiguous_samples=stats["samples"]["ambiguous"], ambiguous_events=stats["log_events"]["ambiguous"]
    )
    second.wait_until(lambda: rows(spool) == {"metrics": 0, "logs": 0}, "empty on disk")


def test_taking_a_spool_over_under_load_loses_nothing(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    """Windows close and events come at the very moment in which what was left is read back."""
    double.pause()
    config = spooling(double, spool, metrics={"flush_seconds": 60}, logs={"flush_seconds": 0.05})
    first = daemon(config)
    kept = Traffic()
    kept.send(first, 30)
    first.checkpointed()
    second = daemon(spooling(double, spool, metrics={"flush_seconds": 0.05}, logs={"flush_seconds": 0.05}))
    first.kill()
    traffic = Traffic()
    traffic.sent = [*kept.sent]
    deadline = time.monotonic() + START_SECONDS
    while spool_error(second) is not None:
        assert time.monotonic() < deadline
        number = len(traffic.sent) + 1
        second.udp(b"hits:1|c\nnumbers:%d|c" % number, b"wait:%d|ms" % (number % 50 + 1))
        assert second.post("/ingest/logs", {"message": "m", "n": number})[0] == 202
        traffic.sent.append(number)
    double.resume()
    stats = second.settled(traffic.samples - kept.samples, len(traffic.sent) - len(kept.sent))

    assert_balanced(stats)
    assert (stats["samples"]["recovered"], stats["log_events"]["recovered"]) == (kept.samples, len(kept.sent))
    assert stats["log_events"]["dropped"] == stats["samples"]["dropped"] == 0
    traffic.assert_arrived(
        double, ambiguous_samples=stats["samples"]["ambiguous"], ambiguous_events=stats["log_events"]["ambiguous"]
    )


# --- removed under the daemon ----------------------------------------------------------------------------------


def _remove_directory(spool: Path) -> None:
    # Renamed first: the daemon writes the directory anew while it is being emptied.
    shutil.rmtree(spool.rename(spool.with_name("gone")))


def _move_directory(spool: Path) -> None:
    spool.rename(spool.with_name("elsewhere"))


def _remove_database(spool: Path) -> None:
    (spool / "spool.db").unlink()


def _remove_log(spool: Path) -> None:
    (spool / "spool.db-wal").unlink()


def _remove_lock(spool: Path) -> None:
    (spool / "spool.lock").unlink()


def _replace_database(spool: Path) -> None:
    other = spool / "other"
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE things (id INTEGER)")
    other.rename(spool / "spool.db")


def _remove_and_create(spool: Path) -> None:
    _remove_directory(spool)
    spool.mkdir()


REMOVALS: Final = (
    _remove_directory,
    _move_directory,
    _remove_database,
    _remove_log,
    _remove_lock,
    _replace_database,
    _remove_and_create,
)


@pytest.mark.parametrize("remove", REMOVALS, ids=lambda remove: remove.__name__.strip("_"))
def test_what_was_acknowledged_as_durable_outlives_files_that_are_removed_under_the_daemon(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path, remove: Callable[[Path], None]
) -> None:
    """Events in batches, in segments and in open windows, from before the removal and from after it."""
    double.pause()
    config = spooling(double, spool, metrics={"flush_seconds": 60}, logs={"flush_seconds": 0.3})
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 60)
    remove(spool)
    traffic.send(one, 60)
    one.wait_until(lambda: one.stats()["samples"]["received"] == traffic.samples, "received")
    one.checkpointed()
    assert one.ready()[1]["spool"]["durable"] is True
    assert one.log().count("the spool's files were removed or replaced") == 1
    one.kill()
    double.resume()

    two = daemon(config)
    stats = two.stats()
    assert stats["samples"]["recovered"] == traffic.samples
    assert stats["log_events"]["recovered"] == len(traffic.sent)
    # A drain gives each batch one attempt: on a busy machine some would stay in the spool for the next start.
    two.wait_until(lambda: two.stats()["log_events"]["pending"] == 0, "delivered")
    last = two.stop()
    assert_balanced(last)
    traffic.assert_arrived(
        double, ambiguous_samples=last["samples"]["ambiguous"], ambiguous_events=last["log_events"]["ambiguous"]
    )


def test_an_idle_daemon_notices_that_its_files_were_removed(
    daemon: Start, double: ThreadedCloudWatchDouble, spool: Path
) -> None:
    double.pause()
    config = spooling(double, spool)
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 20)
    time.sleep(1.5)  # everything is in batches
    _remove_directory(spool)
    one.wait_until((spool / "spool.db").exists, "written anew")
    one.wait_until(lambda: one.ready()[1]["spool"]["durable"], "durable")
    one.kill()

    assert rows(spool) == {"metrics": traffic.samples, "logs": 20}


def test_a_directory_that_cannot_be_written_anew_costs_durability_until_it_can(
    daemon: Start, double: ThreadedCloudWatchDouble, tmp_path: Path
) -> None:
    double.pause()
    spool = tmp_path / "parent" / "spool"
    config = spooling(double, spool)
    one = daemon(config)
    traffic = Traffic()
    traffic.send(one, 10)
    shutil.rmtree(spool.parent.rename(tmp_path / "gone"))
    spool.parent.write_text("no directory")
    one.wait_until(lambda: one.ready()[1]["spool"]["durable"] is False, "not durable")
    traffic.send(one, 10, durable=False)
    assert_in_memory_only(one, "cannot use")
    spool.parent.unlink()
    one.wait_until(lambda: durable_again(one, traffic), "durable again")
    double.resume()
    stats = traffic.settled(one)

    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
    one.stop()
    assert rows(spool) == {"metrics": 0, "logs": 0}
    assert sorted(set(numbers(double))) == traffic.sent


# --- a tiny disk -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2, 4, 6])
def tiny_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes: less than the largest reserve, or little more."""
    yield from mounted(tmp_path / "disk", f"{request.param}m")


def test_a_tiny_disk_that_was_full_is_durable_again_once_all_is_delivered(
    daemon: Start, double: ThreadedCloudWatchDouble, tiny_disk: Path
) -> None:
    double.pause()
    spool = tiny_disk / "spool"
    one = daemon(spooling(double, spool))
    traffic = Traffic()
    for _ in range(2):
        fill_up(one, traffic, 20_000)
        double.resume()
        traffic.settled(one)
        one.wait_until(lambda: durable_again(one, traffic), "durable again")
        traffic.settled(one)
        double.pause()
    double.resume()

    assert_full_and_over(one, double, traffic, spool)
