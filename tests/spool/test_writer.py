"""The spool: commits serve many, failures are told, deletions are owed, one process at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
import structlog

from sidecar.spool.files import FILE, SpoolError
from sidecar.spool.rows import (
    BatchRow,
    Statement,
    delete_batches,
    delete_deltas,
    delete_deltas_upto,
    insert_batch,
    insert_delta,
    insert_rejected,
    mark_in_flight,
)
from sidecar.spool.schema import REJECTED_KEPT, VERSION, connect
from sidecar.spool.store import SpoolStore
from sidecar.spool.writer import Spool

ROOM: Final = 1_000_000
DISK_BYTES: Final = 10_000_000  # of `small_disk`


def insert(one: BatchRow) -> Statement:
    """Keep a row that is there already."""
    return insert_batch(lambda: one)


def row(id_: int, body: bytes = b"body") -> BatchRow:
    return BatchRow(id_, "logs", "head", body, b"parts", 3, 1_790_000_000.0, in_flight=False)


@contextmanager
def store(directory: Path) -> Iterator[SpoolStore]:
    opened = SpoolStore.open(directory)
    try:
        yield opened
    finally:
        opened.close()


@asynccontextmanager
async def spool(directory: Path, max_bytes: int = ROOM) -> AsyncIterator[Spool]:
    opened = Spool(directory, max_bytes)
    assert await opened.open(), opened.error
    yield opened
    await opened.close()


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says that the disk is full once a database would be larger than `DISK_BYTES`."""

    def limited(path: Path) -> sqlite3.Connection:
        database = connect(path)
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
        database.execute(f"PRAGMA max_page_count = {DISK_BYTES // page_bytes}")
        return database

    monkeypatch.setattr("sidecar.spool.store.connect", limited)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's disk takes over a second now and then; tests of a disk that does not answer set their own limit."""
    monkeypatch.setattr("sidecar.spool.writer.STALL_SECONDS", 30.0)


async def ids(opened: Spool) -> list[int]:
    return [entry[0] for entry in await opened.read(lambda inside: inside.batch_index())]


async def traced(opened: Spool) -> list[str]:
    """Every statement run from now on."""
    statements: list[str] = []
    await opened.read(lambda inside: inside._database.set_trace_callback(statements.append))
    return statements


async def test_many_submissions_take_few_transactions(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        statements = await traced(opened)
        kept = await asyncio.gather(*(opened.submit(insert(row(number))) for number in range(1, 501)))

        assert kept == [True] * 500
        assert statements.count("COMMIT") <= 3
        assert await ids(opened) == list(range(1, 501))


async def test_what_is_submitted_while_a_transaction_runs_goes_into_the_next(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        statements = await traced(opened)
        first = opened.submit(insert(row(1)))
        await asyncio.sleep(0)
        rest = [opened.submit(insert(row(number))) for number in range(2, 100)]
        assert not first.done()
        await asyncio.gather(first, *rest)

        assert statements.count("COMMIT") == 2


async def test_what_is_committed_is_there_for_the_next_process(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        await opened.submit(insert(row(1)), insert(row(2)), mark_in_flight(2, in_flight=True))
    async with spool(tmp_path) as opened:
        assert await opened.read(lambda inside: inside.batch(1)) == row(1)
        found = await opened.read(lambda inside: inside.batch(2))

        assert found is not None
        assert found.in_flight is True
        assert [entry.in_flight for entry in await opened.read(lambda inside: inside.batch_index())] == [False, True]
        assert await opened.read(lambda inside: inside.batch(3)) is None


@pytest.mark.usefixtures("small_disk")
async def test_what_did_not_fit_is_told_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        small = opened.submit(insert(row(1)))
        large = opened.submit(insert(row(2, bytes(DISK_BYTES + 100_000))))

        assert (await small, await large) == (False, False)
        assert opened.error is not None
        assert not opened.usable
        assert opened.summary()["durable"] is False
        assert await ids(opened) == []
        assert await opened.submit(insert(row(3)))
        assert opened.usable


@pytest.mark.usefixtures("small_disk")
async def test_deletions_whose_transaction_failed_are_made_all_the_same(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        await opened.submit(insert(row(1)), insert(row(2)), insert_delta(5, b"x"), insert_delta(6, b"y"))
        failed = opened.submit(delete_batches([1]), delete_deltas([5]), insert(row(3, bytes(DISK_BYTES + 100_000))))
        assert await failed is False
        assert await ids(opened) == [2]

        assert await opened.submit(insert(row(4)))
        assert await ids(opened) == [2, 4]
        assert await opened.read(lambda inside: list(inside.deltas())) == [(6, b"y")]


@pytest.mark.usefixtures("small_disk")
async def test_deletions_that_are_owed_make_room_for_what_comes_with_them(tmp_path: Path) -> None:
    """Where the spool is full to the brim, a deletion that failed once must not keep failing with what follows."""
    half = bytes(DISK_BYTES * 45 // 100)
    async with spool(tmp_path) as opened:
        assert await opened.submit(insert(row(1, half)))
        assert await opened.submit(insert(row(2, half)))
        assert await opened.submit(delete_batches([1]), insert(row(3, bytes(DISK_BYTES + 100_000)))) is False

        assert await opened.submit(insert(row(4, half)))
        assert await ids(opened) == [2, 4]


async def test_all_deltas_are_replaced_in_one_transaction(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        await opened.submit(insert_delta(1, b"a"), insert_delta(2, b"b"))
        await opened.submit(delete_deltas_upto(2), insert_delta(3, b"c"))

        assert await opened.read(lambda inside: list(inside.deltas())) == [(3, b"c")]


async def test_ids_are_above_all_that_are_kept_and_never_given_twice(tmp_path: Path) -> None:
    async with spool(tmp_path) as opened:
        given = [opened.next_id("batch") for _ in range(3)]
        await opened.submit(*(insert(row(number)) for number in given))
        await opened.submit(delete_batches([1]))
        given.append(opened.next_id("batch"))
        assert given == [1, 2, 3, 4]
        assert opened.next_id("segment") == 1
    async with spool(tmp_path) as opened:
        assert opened.next_id("batch") > 3


async def test_nothing_is_given_an_id_before_those_on_disk_are_known(tmp_path: Path) -> None:
    """A daemon that takes a spool over has traffic while it opens it."""
    async with spool(tmp_path) as opened:
        await opened.submit(*(insert(row(number)) for number in range(1, 11)))
    again = Spool(tmp_path, ROOM)
    opening = asyncio.create_task(again.open())
    while not again.opened:  # noqa: ASYNC110  # the very first moment is what matters
        await asyncio.sleep(0)

    assert again.next_id("batch") > 10
    assert await opening
    await again.close()


async def test_a_spool_that_is_not_open_keeps_nothing_and_says_why(tmp_path: Path) -> None:
    closed = Spool(tmp_path, ROOM)

    assert not closed.opened
    assert await closed.submit(insert(row(1))) is False
    with pytest.raises(SpoolError):
        await closed.read(lambda inside: inside.batch(1))
    await closed.close()


async def test_closing_finishes_what_is_submitted(tmp_path: Path) -> None:
    opened = Spool(tmp_path, ROOM)
    await opened.open()
    pending = [opened.submit(insert(row(number))) for number in range(1, 50)]
    await opened.close()

    assert all(one.result() for one in pending)
    with store(tmp_path) as inside:
        assert len(inside.batch_index()) == 49


def test_the_directory_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    with store(tmp_path), pytest.raises(SpoolError, match="another daemon"):
        SpoolStore.open(tmp_path)
    with store(tmp_path) as again:
        assert again.set_aside is None


async def test_a_locked_directory_is_taken_once_it_is_free(tmp_path: Path) -> None:
    waiting = Spool(tmp_path, ROOM)
    with store(tmp_path):
        assert await waiting.open() is False
        assert "another daemon" in (waiting.error or "")
    assert await waiting.open() is True
    assert waiting.error is None
    await waiting.close()


def test_a_directory_below_a_file_is_an_error_of_the_spool(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError):
        SpoolStore.open(tmp_path / "file" / "spool")


def test_a_newer_version_is_refused_and_its_lock_given_back(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / FILE)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    for _ in range(2):  # the second would be locked out by a lock that was kept
        with pytest.raises(SpoolError, match="newer version"):
            SpoolStore.open(tmp_path)

    assert (tmp_path / FILE).read_bytes() == before


def test_damaged_files_are_set_aside_each_under_a_name_of_its_own(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / FILE).write_bytes(b"damaged %d " % number * 1_000)
        with store(tmp_path) as opened:
            assert opened.set_aside is not None
            assert opened.set_aside.read_bytes().startswith(b"damaged %d" % number)

    aside = [path for path in tmp_path.iterdir() if path.name.startswith(f"{FILE}.damaged")]
    assert len(aside) == 3


def test_what_was_refused_is_bounded(tmp_path: Path) -> None:
    with store(tmp_path) as opened:
        for number in range(REJECTED_KEPT + 50):
            opened.run([insert_rejected("logs", "rejected", "why", str(number), 1)])
        (kept,) = opened._database.execute("SELECT COUNT(*) FROM rejected").fetchone()
        (oldest,) = opened._database.execute("SELECT element FROM rejected ORDER BY id").fetchone()

        assert (kept, oldest) == (REJECTED_KEPT, "50")


def test_a_statement_that_fails_takes_the_others_with_it(tmp_path: Path) -> None:
    with store(tmp_path) as opened:
        with pytest.raises(sqlite3.Error):
            opened.run([insert(row(1)), insert(row(1))])
        with pytest.raises(sqlite3.Error):
            opened.run([insert(row(2)), Statement("NONSENSE", ((),))])

        assert opened.batch_index() == []


async def test_a_disk_that_does_not_answer_holds_nobody_up_and_tells_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.spool.writer.STALL_SECONDS", 0.05)
    answers = threading.Event()
    run = SpoolStore.run

    def hang(inside: SpoolStore, statements: Iterable[Statement]) -> bool:
        answers.wait(30)
        return run(inside, statements)

    async with spool(tmp_path) as opened:
        await opened.submit(insert(row(1)))
        monkeypatch.setattr(SpoolStore, "run", hang)
        first = opened.submit(insert(row(2)))
        await asyncio.sleep(0)
        second = opened.submit(insert(row(3)))
        assert (await first, await second) == (False, False)
        assert await opened.submit(delete_batches([1]), insert(row(4))) is False
        assert not opened.usable
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        assert opened.when_decided(first, told.set_result)
        assert not opened.when_decided(second, told.set_result)
        answers.set()

        assert await told is True
        assert await opened.submit(insert(row(5)))
        assert opened.usable
        assert await ids(opened) == [2, 5]


async def test_what_is_overdue_stays_small_however_long_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool(tmp_path) as opened:
        with monkeypatch.context() as patched:
            patched.setattr(SpoolStore, "_transact", fail)
            for number in range(20_000):
                opened.submit(delete_batches([number]), delete_deltas([number // 10]))
                if not number % 100:
                    await asyncio.sleep(0)
            await opened.submit()
            assert len(opened._owed) == 2
        await opened.close()


def fail(_store: SpoolStore, _statements: Iterable[Statement]) -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def test_a_disk_that_flaps_is_told_once_and_tried_in_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    transact = SpoolStore._transact

    def flap(inside: SpoolStore, statements: Iterable[Statement]) -> None:
        nonlocal tries
        tries += 1
        if tries % 7:
            raise sqlite3.OperationalError("database or disk is full")
        transact(inside, statements)

    with structlog.testing.capture_logs() as lines:
        async with spool(tmp_path) as opened:
            monkeypatch.setattr(SpoolStore, "_transact", flap)
            outcomes = [await opened.submit(insert(row(number))) for number in range(1, 500)]
    print(f"{tries} tries for {len(outcomes)} submissions, {len(lines)} lines")

    assert True in outcomes
    assert tries < 100
    assert len(lines) <= 2
