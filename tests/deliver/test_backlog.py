"""The backlog: order, bounds and the account, in memory and on disk, through failures, splits and crashes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from sidecar.deliver.backlog import Backlog
from sidecar.deliver.parcel import Parcel
from sidecar.model.batches import MEMORY_PER_BATCH, MEMORY_PER_ELEMENT, LogBatch
from sidecar.model.errors import Reason
from sidecar.model.limits import PAST_SECONDS
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.turns import Turns
from sidecar.spool.codec import LogCodec
from sidecar.spool.rows import Statement
from sidecar.spool.store import SpoolStore
from sidecar.spool.writer import Spool
from tests.support.batches import encoded, event_columns
from tests.support.clock import HandClock

EVENT_BYTES: Final = 126  # as the service counts it
BATCH_MEMORY: Final = EVENT_BYTES + MEMORY_PER_ELEMENT + MEMORY_PER_BATCH  # of one event
PLENTY: Final = 100_000_000


def batch(*numbers: int, stream: str = "s") -> LogBatch:
    return LogBatch("/app", stream, event_columns(encoded(number, f"{number:0100}") for number in numbers))


def numbers(one: LogBatch | Parcel[LogBatch]) -> list[int]:
    return list((one.contents if isinstance(one, Parcel) else one).events.stamps)


class Rig:
    """One life of a backlog: real but for the clock, the destination and what is tested."""

    def __init__(self, directory: Path | None, *, memory_bytes: int = PLENTY, ordered: bool = True) -> None:
        self.clock = HandClock()
        self.account = SignalLedger()
        self.spool = Spool(directory, PLENTY) if directory is not None else None
        self.backlog: Backlog[LogBatch] = Backlog(
            "logs",
            memory_bytes,
            codec=LogCodec(),
            spool=self.spool,
            account=self.account,
            limiter=Limiter(self.clock.monotonic),
            clock=self.clock,
            ordered=ordered,
        )
        self._refill: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self.spool is not None:
            opened = await self.spool.open(lambda left: self.backlog.recover(left.batches, Turns(self.clock.monotonic)))
            assert opened, self.spool.error
        self._refill = asyncio.create_task(self.backlog.run())
        await self.turns()

    async def turns(self) -> None:
        """Let everything under way come to its end."""
        await self.backlog.committed()
        for _ in range(3):
            for _ in range(5):
                await asyncio.sleep(0)
            while self.spool is not None and self.spool._writer is not None:
                await asyncio.wait({self.spool._writer})
            if self.spool is not None and self.spool.opened:
                await self.spool.read(lambda _: None)  # behind everything the thread has to do

    def offer(self, *batches: LogBatch) -> asyncio.Future[bool] | None:
        self.account.received["test"] += sum(one.units for one in batches)
        return self.backlog.offer(batches)

    def can_take(self) -> bool:
        lanes = self.backlog.waiting.lanes._lanes.values()
        return any(lane.waiting and not lane.in_hand and lane.waiting[0].ready for lane in lanes)

    async def get(self) -> Parcel[LogBatch]:
        async with asyncio.timeout(5):
            return await self.backlog.get()

    def delivered(self, one: Parcel[LogBatch]) -> None:
        """What the worker does with a batch that was stored."""
        self.account.delivered += one.units
        self.backlog.settle(one)

    def split(self, one: Parcel[LogBatch]) -> None:
        """In two halves."""
        batch, middle = one.contents, len(one.contents) // 2
        self.backlog.split(one, [batch.part(range(middle)), batch.part(range(middle, len(batch)))])

    async def deliver_all(self) -> list[int]:
        """Deliver until nothing is left; the numbers in their order."""
        arrived: list[int] = []
        await self.turns()
        while len(self.backlog):
            one = await self.get()
            await self.backlog.sending(one)
            arrived += numbers(one)
            self.delivered(one)
            await self.turns()
        return arrived

    async def stop_refill(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refill

    async def close(self) -> None:
        await self.stop_refill()
        if self.spool is not None:
            await self.spool.close()

    async def die(self) -> None:
        """kill -9: the transaction under way is committed or not, what waits behind it is lost."""
        await self.stop_refill()
        assert self.spool is not None
        self.spool._waiting.clear()
        writer = self.spool._writer
        if writer is not None:
            await writer
        await self.spool.close()

    def balanced(self) -> None:
        account = self.account
        arrived = sum(account.received.values()) + account.recovered
        assert arrived == account.delivered + account.pending + account.dropped.total(), account.summary()


@asynccontextmanager
async def rig(directory: Path | None, *, memory_bytes: int = PLENTY) -> AsyncIterator[Rig]:
    made = Rig(directory, memory_bytes=memory_bytes)
    await made.start()
    yield made
    await made.close()


async def on_disk(one: Rig) -> int:
    assert one.spool is not None
    return len(await one.spool.read(lambda store: store.batch_index()))


async def test_without_a_spool_a_full_memory_drops_the_oldest() -> None:
    async with rig(None, memory_bytes=3 * BATCH_MEMORY) as one:
        for number in range(5):
            assert one.offer(batch(number)) is None
            one.balanced()

        assert one.account.dropped == {Reason.MEMORY_FULL: 2}
        assert await one.deliver_all() == [2, 3, 4]


async def test_a_batch_is_on_disk_before_anybody_may_send_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        kept = one.offer(batch(1))
        assert kept is not None
        assert not one.can_take()
        one.balanced()
        assert await kept
        await one.turns()

        assert one.can_take()
        assert await on_disk(one) == 1
        assert await one.deliver_all() == [1]
        assert await on_disk(one) == 0


async def test_what_memory_has_no_room_for_waits_on_disk_and_comes_in_its_order(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as one:
        for number in range(50):
            one.offer(batch(number))
            if number % 7 == 0:
                await one.turns()
        await one.turns()
        assert not one.backlog.waiting.memory.full
        assert one.account.pending == 50
        arrived = []
        for number in range(50, 60):
            taken = await one.get()
            arrived += numbers(taken)
            one.delivered(taken)
            one.offer(batch(number))
            await one.turns()
            one.balanced()

        assert arrived + await one.deliver_all() == list(range(60))
        assert one.account.dropped.total() == 0


async def test_a_full_spool_drops_the_oldest_that_waits_on_disk_and_counts_it(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as one:
        assert one.spool is not None
        await fill(one, 3)
        one.spool.max_bytes = one.spool.size_bytes * 10 // 3
        await fill(one, 20, first=3)
        dropped = one.account.dropped[Reason.SPOOL_FULL]

        assert dropped >= 10
        assert set(one.account.dropped) == {Reason.SPOOL_FULL}
        arrived = await one.deliver_all()
        assert arrived == [0, 1, 2, *range(3 + dropped, 23)]
        one.balanced()


async def fill(one: Rig, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        one.offer(batch(number))
        await one.turns()
        one.balanced()


async def test_what_is_kept_is_measured_the_same_before_and_after_a_restart(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        assert one.spool is not None
        await fill(one, 20)
        before = one.spool.size_bytes
    async with rig(tmp_path) as two:
        assert two.spool is not None
        assert two.spool.size_bytes == before > 0
        assert await two.deliver_all() == list(range(20))
        assert two.spool.size_bytes == 0


async def test_a_row_older_than_the_service_takes_is_dropped_as_expired(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await fill(one, 2)
    two = Rig(tmp_path)
    two.clock.now += PAST_SECONDS + 1.0
    await two.start()

    assert two.account.recovered == 2
    assert two.account.dropped == {Reason.EXPIRED: 2}
    two.balanced()
    await two.turns()
    assert await on_disk(two) == 0
    await two.close()


async def test_a_split_batch_is_replaced_on_disk_by_its_parts(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        one.offer(batch(1, 2, 3, 4))
        await one.turns()
        whole = await one.get()
        one.split(whole)
        await one.turns()
        one.balanced()
        assert await on_disk(one) == 2
    async with rig(tmp_path) as two:
        assert two.account.recovered == 4
        assert await two.deliver_all() == [1, 2, 3, 4]


async def test_the_parts_of_a_split_batch_keep_its_place_after_a_restart(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        await fill(one, 1)
        one.offer(batch(1, 2), batch(3))
        await one.turns()
        first = await one.get()
        assert numbers(first) == [0]
        one.delivered(first)
        whole = await one.get()
        one.split(whole)
        await one.turns()
    async with rig(tmp_path) as two:
        assert await two.deliver_all() == [1, 2, 3]


async def test_a_split_batch_stays_on_disk_until_parts_that_could_not_be_written_are_done_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as one:
        assert one.spool is not None
        one.offer(batch(1, 2))
        await one.turns()
        before = one.spool.size_bytes
        whole = await one.get()
        refuse_batches(monkeypatch)
        one.split(whole)
        await one.turns()

        assert [part.row for part in one.backlog.waiting.lanes._lanes["/app\ns"].waiting] == [None, None]
        assert one.spool.size_bytes == before
        one.delivered(await one.get())
        await one.turns()
        assert await on_disk(one) == 1
        one.delivered(await one.get())
        await one.turns()
        assert await on_disk(one) == 0
        assert one.spool.size_bytes == 0


async def test_parts_that_could_not_be_written_are_left_in_the_row_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        async with rig(tmp_path) as one:
            one.offer(batch(1, 2))
            await one.turns()
            whole = await one.get()
            refuse_batches(patched)
            one.split(whole)
            await one.turns()
            await one.stop_refill()
            assert one.backlog.abandon() == (0, 2)
            one.balanced()
    async with rig(tmp_path) as two:
        assert await two.deliver_all() == [1, 2]


async def test_what_was_in_flight_at_a_crash_counts_as_ambiguous_once_it_is_sent_again(tmp_path: Path) -> None:
    one = Rig(tmp_path)
    await one.start()
    one.offer(batch(1, 2), batch(3))
    await one.turns()
    await one.backlog.sending(await one.get())
    await one.die()
    async with rig(tmp_path) as two:
        assert two.account.ambiguous == 0
        assert await two.deliver_all() == [1, 2, 3]
        assert two.account.ambiguous == 2


async def test_what_was_in_flight_at_a_crash_still_counts_as_ambiguous_once_it_was_pushed_out(tmp_path: Path) -> None:
    one = Rig(tmp_path)
    await one.start()
    one.offer(batch(1, 2))
    await one.turns()
    await one.backlog.sending(await one.get())
    await one.die()
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as two:
        refused = batch(*range(3, 9))  # not kept: what is kept makes room for it
        two.account.received["test"] += refused.units
        offer_unwritten(two, refused)
        assert await two.deliver_all() == list(range(1, 9))
        assert two.account.ambiguous == 2
        two.balanced()


def offer_unwritten(one: Rig, given: LogBatch) -> None:
    """Offer a batch while the spool has no room for it."""
    assert one.spool is not None
    room, one.spool.max_bytes = one.spool.max_bytes, 0
    one.backlog.offer([given])
    one.spool.max_bytes = room


def refuse_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the disk has room for everything but batches."""
    run = SpoolStore.run

    def full(store: SpoolStore, statements: Iterable[Statement]) -> None:
        given = list(statements)
        if any("INTO batches" in one.sql for one in given):
            raise sqlite3.OperationalError("database or disk is full")
        run(store, given)

    monkeypatch.setattr(SpoolStore, "run", full)


async def segments_of(tmp_path: Path) -> list[int]:
    """The numbers of the events in segments on disk."""
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as database:
        rows = database.execute("SELECT head, body, parts FROM segments ORDER BY id").fetchall()
    return [number for row in rows for number in numbers(LogCodec().decode(*row))]


async def saved(one: Rig, *given: int) -> tuple[LogBatch, int]:
    """A batch whose events are on disk in a segment."""
    held = batch(*given)
    kept = one.backlog.save(held)
    assert kept is not None
    assert await kept[1]
    return held, kept[0]


async def test_what_a_batch_replaces_stays_on_disk_until_the_batch_is_there_or_done_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as one:
        assert one.spool is not None
        held, segment = await saved(one, 1, 2)
        before = one.spool.size_bytes
        refuse_batches(monkeypatch)
        one.account.received["test"] += 2
        told = one.backlog.offer([held], segments=[segment])
        assert told is not None
        assert await told is False
        await one.turns()
        assert await segments_of(tmp_path) == [1, 2]
        assert one.spool.size_bytes == before

        taken = await one.get()
        one.split(taken)
        one.delivered(await one.get())
        await one.turns()
        assert await segments_of(tmp_path) == [1, 2]  # the other part is in memory only
        one.delivered(await one.get())
        await one.turns()
        assert await segments_of(tmp_path) == []
        assert one.spool.size_bytes == 0
        one.balanced()


async def test_events_that_are_on_disk_all_the_same_are_left_and_not_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as one:
        held, segment = await saved(one, 1, 2)
        refuse_batches(monkeypatch)
        one.account.received["test"] += 2
        one.backlog.offer([held], segments=[segment])
        await one.turns()
        assert one.backlog.abandon() == (0, 2)
        one.balanced()
    assert await segments_of(tmp_path) == [1, 2]


async def test_a_batch_larger_than_the_spool_costs_nothing_that_is_in_it(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=BATCH_MEMORY) as one:
        assert one.spool is not None
        await fill(one, 3)
        one.spool.max_bytes = one.spool.size_bytes + 1
        one.offer(batch(*range(100, 140)))
        await one.turns()
        assert Reason.SPOOL_FULL not in one.account.dropped
        one.balanced()


async def test_what_was_certainly_not_stored_is_not_ambiguous_after_a_crash(tmp_path: Path) -> None:
    one = Rig(tmp_path)
    await one.start()
    one.offer(batch(1, 2))
    await one.turns()
    taken = await one.get()
    await one.backlog.sending(taken)
    one.backlog.retry(taken, 0.0, stored=False)
    await one.turns()
    await one.die()
    async with rig(tmp_path) as two:
        assert await two.deliver_all() == [1, 2]
        assert two.account.ambiguous == 0


async def test_what_the_spool_has_is_left_and_what_it_has_not_is_abandoned(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=2 * BATCH_MEMORY) as one:
        await fill(one, 5)
        await one.stop_refill()
        assert one.backlog.abandon() == (0, 5)
        one.balanced()
    async with rig(None) as without:
        without.offer(batch(1, 2))
        assert without.backlog.abandon() == (2, 0)
        assert without.account.dropped == {Reason.ABANDONED: 2}
        without.balanced()


async def test_batches_pushed_out_of_memory_keep_their_order(tmp_path: Path) -> None:
    """Where the spool cannot be written for a while, what it has makes room for what it has not."""
    async with rig(tmp_path, memory_bytes=4 * BATCH_MEMORY) as one:
        await fill(one, 4)
        refused = batch(*range(4, 14))  # as much as all four
        one.account.received["test"] += refused.units
        offer_unwritten(one, refused)
        one.balanced()
        arrived = await one.deliver_all()

        assert arrived == list(range(14))


async def test_batches_that_memory_alone_has_wait_behind_rows_of_their_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool fails while rows wait on disk, and works again later."""
    async with rig(tmp_path, memory_bytes=6 * BATCH_MEMORY) as one:
        await fill(one, 10)
        with monkeypatch.context() as patched:
            refuse_batches(patched)
            await fill(one, 3, first=10)
            one.balanced()
            assert not one.backlog.waiting.memory.full
        await asyncio.sleep(0.3)
        await fill(one, 3, first=13)
        assert await one.deliver_all() == list(range(16))
        assert one.account.dropped.total() == 0


async def test_what_memory_alone_has_is_dropped_oldest_first_once_no_row_can_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, memory_bytes=4 * BATCH_MEMORY) as one:
        await fill(one, 6)
        refuse_batches(monkeypatch)
        await fill(one, 10, first=6)
        dropped = one.account.dropped[Reason.MEMORY_FULL]

        assert dropped > 0
        assert set(one.account.dropped) == {Reason.MEMORY_FULL}
        arrived = await one.deliver_all()
        assert arrived == sorted(arrived)
        assert arrived == [*range(6), *range(6 + dropped, 16)]
        one.balanced()


async def test_a_stream_that_cannot_be_delivered_stops_no_other_on_disk(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as one:
        for number in range(20):
            one.offer(batch(number, stream="denied"))
        for number in range(20, 30):
            one.offer(batch(number, stream="works"))
        await one.turns()
        arrived: list[int] = []
        while len(arrived) < 10:
            parcel = await one.get()
            await one.backlog.sending(parcel)
            if parcel.contents.stream == "denied":
                one.backlog.retry(parcel, 3_600.0, stored=False)
                continue
            arrived += numbers(parcel)
            one.delivered(parcel)
            await one.turns()
            assert not one.backlog.waiting.memory.full

        assert arrived == list(range(20, 30))
        assert one.account.pending == 20
        assert one.account.dropped.total() == 0
        one.balanced()


async def test_metrics_on_disk_delay_no_new_ones(tmp_path: Path) -> None:
    """While a row is being read, by a disk that may not answer, what is in memory is sent."""
    async with rig(tmp_path) as one:
        for number in range(3):
            one.offer(batch(number))
        await one.turns()
    two = Rig(tmp_path, ordered=False)
    await two.start()
    assert two.spool is not None
    two.offer(batch(100))
    await two.turns()
    arrived = [numbers(parcel) for parcel in (await two.get(), await two.get())]

    assert [100] in arrived
    assert [0] in arrived
    await two.close()


async def test_a_row_that_was_written_late_is_marked_while_its_batch_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk hangs while a batch is written, which is sent meanwhile: a crash must show that it may be stored."""
    monkeypatch.setattr("sidecar.spool.writer.STALL_SECONDS", 0.02)
    answers = threading.Event()
    run = SpoolStore.run

    def hang(store: SpoolStore, statements: Iterable[Statement]) -> bool:
        answers.wait(5.0)
        return run(store, statements)

    one = Rig(tmp_path)
    await one.start()
    monkeypatch.setattr(SpoolStore, "run", hang)
    durable = one.offer(batch(1, 2))
    assert durable is not None
    assert await durable is False
    parcel = await one.get()
    await one.backlog.sending(parcel)
    answers.set()
    await one.turns()
    assert parcel.saved
    await one.die()
    async with rig(tmp_path) as two:
        assert await two.deliver_all() == [1, 2]
        assert two.account.ambiguous == 2


async def test_a_full_spool_drops_the_oldest_though_it_left_memory_last(tmp_path: Path) -> None:
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as one:
        assert one.spool is not None
        await fill(one, 5)  # 3 and 4 wait on disk alone
        refused = batch(5)
        one.account.received["test"] += 1
        offer_unwritten(one, refused)  # for which 2 leaves memory
        await one.turns()
        await one.stop_refill()
        one.spool.max_bytes = one.spool.size_bytes
        one.offer(batch(6))
        await one.turns()

        assert one.account.dropped == {Reason.SPOOL_FULL: 1}
        one.spool.max_bytes = PLENTY
        one._refill = asyncio.create_task(one.backlog.run())
        assert await one.deliver_all() == [0, 1, 3, 4, 5, 6]


async def test_what_is_left_of_a_batch_on_disk_as_a_segment_is_lost_once_a_part_of_it_was_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the part would be delivered again by the next process, uncounted."""
    async with rig(tmp_path) as one:
        held, segment = await saved(one, 1, 2)
        refuse_batches(monkeypatch)
        one.account.received["test"] += 2
        one.backlog.offer([held], segments=[segment])
        await one.turns()
        one.split(await one.get())
        one.delivered(await one.get())
        assert one.backlog.abandon() == (1, 0)
        one.balanced()
    assert await segments_of(tmp_path) == []
