"""The backlog: order, bounds and the account, in memory and on disk, through failures, splits and crashes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.background import Background
from sidecar.batch.logs import encode
from sidecar.channel import Channel
from sidecar.deliver.backlog import Backlog
from sidecar.deliver.codec import LogCodec
from sidecar.deliver.spool import Spool
from sidecar.errors import Reason
from sidecar.limits import PAST_SECONDS
from sidecar.model import MEMORY_PER_BATCH, MEMORY_PER_ELEMENT, LogBatch
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter

T = TypeVar("T")
EVENT_BYTES: Final = 126  # as the service counts it
BATCH_MEMORY: Final = EVENT_BYTES + MEMORY_PER_ELEMENT + MEMORY_PER_BATCH  # of one event
PLENTY: Final = 100_000_000


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def batch(*numbers: int, stream: str = "s") -> LogBatch:
    return LogBatch("/app", stream, tuple([encode(number, f"{number:0100}") for number in numbers]))


def numbers(one: LogBatch) -> list[int]:
    return [event.timestamp_ms for event in one.events]


class Rig:
    """One life of a backlog: real but for the clock, the destination and what is tested."""

    def __init__(self, directory: Path | None, *, memory_bytes: int = PLENTY) -> None:
        self.clock = Hands()
        self.channel: Channel[LogBatch] = Channel(memory_bytes, self.clock.monotonic)
        self.account = SignalLedger()
        self.spool = Spool(directory, PLENTY) if directory is not None else None
        self.backlog: Backlog[LogBatch] = Backlog(
            "logs",
            self.channel,
            codec=LogCodec(),
            spool=self.spool,
            account=self.account,
            limiter=Limiter(self.clock.monotonic),
            clock=self.clock,
        )
        self._refill: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self.spool is not None:
            spool = self.spool
            opened = await spool.open(lambda left: self.backlog.recover(spool, left.batches))
            assert opened, spool.error
        self._refill = asyncio.create_task(self.backlog.run())
        await self.turns()

    async def turns(self) -> None:
        """Let everything under way come to its end."""
        await self.backlog.committed()
        for _ in range(3):
            for _ in range(5):
                await asyncio.sleep(0)
            if self.spool is not None and self.spool.opened:
                await self.spool.read(lambda _: None)  # behind everything the thread has to do

    def offer(self, *batches: LogBatch) -> asyncio.Future[bool] | None:
        self.account.received["test"] += sum(one.units for one in batches)
        return self.backlog.offer(batches)

    def can_take(self) -> bool:
        return any(lane.waiting and not lane.busy for lane in self.channel._lanes.values())

    async def take(self) -> LogBatch:
        async with asyncio.timeout(5):
            return await self.channel.take()

    def delivered(self, one: LogBatch) -> None:
        """What the worker does with a batch that was stored."""
        self.account.delivered += one.units
        self.channel.settle(one)
        self.backlog.settled(one)

    async def deliver_all(self) -> list[int]:
        """Deliver until nothing is left; the numbers in their order."""
        arrived: list[int] = []
        await self.turns()
        while self.can_take():
            one = await self.take()
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
        assert one.channel.memory_bytes <= one.channel.capacity_bytes
        assert one.account.pending == 50
        arrived = []
        for number in range(50, 60):
            taken = await one.take()
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
        whole = await one.take()
        parts = [whole.part([0, 1]), whole.part([2, 3])]
        one.backlog.settled(whole, parts)
        one.channel.put_back(whole, parts, 0.0)
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
        first = await one.take()
        assert numbers(first) == [0]
        one.delivered(first)
        whole = await one.take()
        parts = [whole.part([0]), whole.part([1])]
        one.backlog.settled(whole, parts)
        one.channel.put_back(whole, parts, 0.0)
        await one.turns()
    async with rig(tmp_path) as two:
        assert await two.deliver_all() == [1, 2, 3]


async def test_parts_that_could_not_be_written_are_not_taken_for_kept(tmp_path: Path) -> None:
    async with rig(tmp_path) as one:
        assert one.spool is not None
        one.offer(batch(1, 2))
        await one.turns()
        whole = await one.take()
        parts = [whole.part([0]), whole.part([1])]
        pages = await one.spool.read(lambda store: store._database.execute("PRAGMA page_count").fetchone()[0])
        await one.spool.read(lambda store: store._database.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        parts = [LogBatch("/app", "s", (encode(n, str(n) * 50_000),)) for n in (1, 2)]
        one.backlog.settled(whole, parts)
        one.channel.put_back(whole, parts, 0.0)
        await one.turns()

        assert [part.row for part in parts] == [None, None]
        await one.stop_refill()
        lost, kept = one.backlog.abandon()
        assert (lost, kept) == (2, 0)


async def test_what_was_in_flight_at_a_crash_counts_as_ambiguous_once_it_is_sent_again(tmp_path: Path) -> None:
    one = Rig(tmp_path)
    await one.start()
    one.offer(batch(1, 2), batch(3))
    await one.turns()
    await one.backlog.sending(await one.take())
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
    await one.backlog.sending(await one.take())
    await one.die()
    async with rig(tmp_path, memory_bytes=3 * BATCH_MEMORY) as two:
        refused = batch(*range(3, 9))  # not kept: what is kept makes room for it
        two.account.received["test"] += refused.units
        two.backlog._push_out(two.channel.offer(refused))
        assert await two.deliver_all() == [*range(3, 9), 1, 2]
        assert two.account.ambiguous == 2
        two.balanced()


async def test_what_was_certainly_not_stored_is_not_ambiguous_after_a_crash(tmp_path: Path) -> None:
    one = Rig(tmp_path)
    await one.start()
    one.offer(batch(1, 2))
    await one.turns()
    taken = await one.take()
    await one.backlog.sending(taken)
    one.backlog.unsent(taken)
    one.channel.put_back(taken, [taken], 0.0)
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
        refused = batch(*range(4, 12))  # as much as all four
        one.account.received["test"] += refused.units
        one.backlog._push_out(one.channel.offer(refused))
        one.balanced()
        arrived = await one.deliver_all()

        assert sorted(arrived) == list(range(12))
        assert [number for number in arrived if number < 4] == [0, 1, 2, 3]


class AtOnce(Background):
    """Does its work in the next turn of the loop, so that the same steps always give the same."""

    async def run(self, work: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return work()


class Lives(RuleBasedStateMachine):
    """Lives of a daemon on one spool: the equation holds at every step, and nothing is lost or sent twice unsaid."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.next_number = 0
        self.in_hand: list[LogBatch] = []
        self.offered: dict[asyncio.Future[bool], list[int]] = {}
        self.kept: set[int] = set()  # numbers that were said to be on disk
        self.dropped = 0
        self.ambiguous = 0
        self.arrived: Counter[int] = Counter()
        self.order: dict[str, int] = {}  # {stream: the highest number that arrived}
        self.rig = self.born()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def born(self) -> Rig:
        one = Rig(self.directory, memory_bytes=6 * BATCH_MEMORY)
        assert one.spool is not None
        one.spool._thread = AtOnce("spool")
        self.run(one.start())
        return one

    def note(self) -> None:
        """Note which of the offered batches are on disk now."""
        for future, held in list(self.offered.items()):
            if future.done():
                assert future.result()
                self.kept.update(held)
                del self.offered[future]

    @rule(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), stream=st.sampled_from("ab"))
    def offer(self, sizes: list[int], stream: str) -> None:
        batches: list[LogBatch] = []
        for size in sizes:
            batches.append(batch(*range(self.next_number, self.next_number + size), stream=stream))
            self.next_number += size

        async def offer() -> asyncio.Future[bool] | None:
            return self.rig.offer(*batches)

        future = self.run(offer())
        assert future is not None
        self.offered[future] = [number for one in batches for number in numbers(one)]

    @rule()
    def commit(self) -> None:
        self.run(self.rig.turns())
        self.note()

    @precondition(lambda self: self.rig.can_take())
    @rule()
    def take(self) -> None:
        async def take() -> LogBatch:
            one = await self.rig.take()
            resent = one.resent
            before = self.rig.account.ambiguous
            await self.rig.backlog.sending(one)
            assert self.rig.account.ambiguous - before == (one.units if resent else 0)
            return one

        self.in_hand.append(self.run(take()))

    @precondition(lambda self: self.in_hand)
    @rule()
    def send_ok(self) -> None:
        one = self.in_hand.pop(0)
        self.arrive(one)

        async def delivered() -> None:
            self.rig.delivered(one)

        self.run(delivered())

    @precondition(lambda self: self.in_hand)
    @rule(stored=st.booleans())
    def answer_lost(self, stored: bool) -> None:  # noqa: FBT001
        one = self.in_hand.pop(0)
        if stored:
            self.arrive(one)
        self.rig.account.ambiguous += one.units

        async def again() -> None:
            self.rig.channel.put_back(one, [one], 0.0)

        self.run(again())

    @precondition(lambda self: self.in_hand)
    @rule()
    def send_fails(self) -> None:
        one = self.in_hand.pop(0)

        async def again() -> None:
            self.rig.backlog.unsent(one)
            self.rig.channel.put_back(one, [one], 0.0)

        self.run(again())

    @precondition(lambda self: self.in_hand and len(self.in_hand[0]) > 1)
    @rule(drop_first=st.booleans())
    def split(self, drop_first: bool) -> None:  # noqa: FBT001
        one = self.in_hand.pop(0)
        self.note()
        parts = [one.part([index]) for index in range(int(drop_first), len(one))]
        if drop_first:
            self.rig.account.dropped[Reason.REJECTED] += 1
            self.kept.discard(numbers(one)[0])
            self.arrived[numbers(one)[0]] += 0  # it may come back after a crash and arrive then

        async def replace() -> None:
            self.rig.backlog.settled(one, parts)
            self.rig.channel.put_back(one, parts, 0.0)

        self.run(replace())

    @rule()
    def crash(self) -> None:
        self.run(self.rig.die())
        self.live_again()

    @rule()
    def restart(self) -> None:
        self.run(self.rig.turns())
        self.note()
        self.run(self.rig.close())
        self.live_again()

    def live_again(self) -> None:
        self.ambiguous += self.rig.account.ambiguous
        self.offered.clear()
        self.in_hand.clear()
        self.order.clear()
        self.rig = self.born()

    def arrive(self, one: LogBatch) -> None:
        for number in numbers(one):
            # Within one life a stream's events keep their order; one whose answer was lost may come again.
            if not self.arrived[number]:
                assert number > self.order.get(one.stream, -1), (number, self.order)
                self.order[one.stream] = number
            self.arrived[number] += 1

    @invariant()
    def the_equation_holds(self) -> None:
        self.rig.balanced()

    def teardown(self) -> None:
        self.run(self.rig.turns())
        self.note()

        async def finish() -> None:
            for one in self.in_hand:
                self.rig.channel.put_back(one, [one], 0.0)
            await self.rig.turns()
            while self.rig.can_take():
                one = await self.rig.take()
                await self.rig.backlog.sending(one)
                self.arrive(one)
                self.rig.delivered(one)
                await self.rig.turns()

        try:
            self.run(finish())
            self.rig.balanced()
            assert self.rig.account.pending == 0
            assert self.kept <= {number for number, times in self.arrived.items() if times}
            twice = sum(times - 1 for times in self.arrived.values() if times)
            assert twice <= self.ambiguous + self.rig.account.ambiguous
            assert self.run(on_disk(self.rig)) == 0
        finally:
            self.run(self.rig.close())
            self.loop.close()
            shutil.rmtree(self.directory)


TestLives = pytest.mark.timeout(120)(Lives.TestCase)
TestLives.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
