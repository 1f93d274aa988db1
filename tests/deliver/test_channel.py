"""The channel: order within a lane, one in hand, bounded, and nothing ever out of the account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.deliver.channel import Channel, ChannelClosedError
from tests.support.clock import HandClock

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Parcel:
    """A batch as the channel sees it."""

    lane: str
    number: int
    memory_bytes: int = 10
    units: int = 1


def at_once(awaitable: Coroutine[Any, Any, T]) -> T | None:
    """Run something that either returns without waiting, or waits: None, and then it is cancelled."""
    try:
        awaitable.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    awaitable.close()
    return None


async def waiting(task: asyncio.Task[Any]) -> bool:
    """Whether a task still waits once everything that could run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_batches_of_a_lane_leave_in_order_and_one_at_a_time() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    first, second = Parcel("a", 1), Parcel("a", 2)
    assert channel.offer(first) + channel.offer(second) == []
    assert await channel.take() is first
    taker = asyncio.create_task(channel.take())
    assert await waiting(taker)
    channel.settle(first)

    assert await taker is second


async def test_a_busy_lane_holds_up_no_other() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    for number, lane in enumerate("aab"):
        channel.offer(Parcel(lane, number))

    assert [(await channel.take()).number, (await channel.take()).number] == [0, 2]


async def test_every_lane_gets_its_turn() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    for number in range(3):
        for lane in "abc":
            channel.offer(Parcel(lane, number))
    order = []
    for _ in range(9):
        batch = await channel.take()
        order.append(batch.lane)
        channel.settle(batch)

    assert order == list("abc" * 3)


async def test_a_full_channel_pushes_out_the_oldest_and_returns_them() -> None:
    channel: Channel[Parcel] = Channel(30, HandClock().monotonic)
    parcels = [Parcel(lane, number) for number, lane in enumerate("abcab")]
    evicted = [channel.offer(parcel) for parcel in parcels]

    assert evicted == [[], [], [], [parcels[0]], [parcels[1]]]
    assert (channel.memory_bytes, channel.units, len(channel)) == (30, 3, 3)


async def test_what_is_in_hand_is_never_pushed_out() -> None:
    channel: Channel[Parcel] = Channel(20, HandClock().monotonic)
    first, second, third = (Parcel("a", number) for number in range(3))
    channel.offer(first)
    channel.offer(second)
    assert await channel.take() is first

    assert channel.offer(third) == [second]
    assert channel.memory_bytes == 20


async def test_what_was_pushed_out_leaves_nothing_behind() -> None:
    """Streams come and go for months: a lane with nothing in it is forgotten."""
    channel: Channel[Parcel] = Channel(30, HandClock().monotonic)
    for number in range(1_000):
        channel.offer(Parcel(f"stream {number}", number))

    assert len(channel._lanes) == 3


async def test_what_is_put_back_comes_next_in_its_parts_after_the_delay() -> None:
    clock = HandClock()
    channel: Channel[Parcel] = Channel(1_000, clock.monotonic)
    whole, later = Parcel("a", 1, units=5), Parcel("a", 2)
    channel.offer(whole)
    channel.offer(later)
    assert await channel.take() is whole
    parts = [Parcel("a", 10, memory_bytes=6, units=2), Parcel("a", 11, memory_bytes=7, units=3)]
    channel.put_back(whole, parts, 5.0)
    assert (channel.memory_bytes, channel.units, len(channel)) == (23, 6, 3)
    assert at_once(channel.take()) is None
    clock.elapsed += 5.0
    order = []
    for _ in range(3):
        batch = await channel.take()
        order.append(batch.number)
        channel.settle(batch)

    assert order == [10, 11, 2]
    assert (channel.memory_bytes, channel.units, len(channel)) == (0, 0, 0)


async def test_a_lane_that_waits_for_its_retry_holds_up_no_other() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    failed = Parcel("a", 1)
    channel.offer(failed)
    await channel.take()
    channel.put_back(failed, [failed], 60.0)
    channel.offer(Parcel("b", 2))

    assert (await channel.take()).number == 2


async def test_a_taker_wakes_when_the_delay_is_over() -> None:
    """Real time, a few milliseconds: nobody has to call for a retry to come due."""
    channel: Channel[Parcel] = Channel(1_000, asyncio.get_running_loop().time)
    failed = Parcel("a", 1)
    channel.offer(failed)
    await channel.take()
    channel.put_back(failed, [failed], 0.005)

    assert await asyncio.wait_for(channel.take(), 5.0) is failed


async def test_hurry_ends_every_wait_for_a_retry() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    failed = Parcel("a", 1)
    channel.offer(failed)
    await channel.take()
    channel.put_back(failed, [failed], 3_600.0)
    taker = asyncio.create_task(channel.take())
    assert await waiting(taker)
    channel.hurry()

    assert await taker is failed


async def test_close_tells_takers_once_nothing_is_left() -> None:
    """What is in hand may still be put back: until it is settled, takers wait."""
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    only = Parcel("a", 1)
    channel.offer(only)
    await channel.take()
    takers = [asyncio.create_task(channel.take()) for _ in range(2)]
    channel.close()
    assert await waiting(takers[0])
    channel.settle(only)
    results = await asyncio.gather(*takers, return_exceptions=True)

    assert [ChannelClosedError, ChannelClosedError] == [type(result) for result in results]
    with pytest.raises(ChannelClosedError):
        await channel.take()


async def test_a_closed_channel_gives_out_what_it_holds() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    only = Parcel("a", 1)
    channel.offer(only)
    channel.close()

    assert await channel.take() is only


async def test_clear_hands_over_everything_that_waits_once() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    parcels = [Parcel(lane, number) for number, lane in enumerate("aabb")]
    for parcel in parcels:
        channel.offer(parcel)
    in_hand = await channel.take()
    cleared = list(channel.clear())

    assert sorted([in_hand, *cleared], key=lambda parcel: parcel.number) == parcels
    assert list(channel.clear()) == []
    assert (channel.memory_bytes, channel.units, len(channel)) == (10, 1, 1)
    channel.settle(in_hand)
    assert (channel.memory_bytes, channel.units, len(channel)) == (0, 0, 0)


async def test_a_cancelled_taker_loses_nothing() -> None:
    """Cancelled before, with and after the offer that would have woken it: the next taker gets the batch."""
    for turns in range(4):
        channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
        taker = asyncio.create_task(channel.take())
        await waiting(taker)
        only = Parcel("a", turns)
        channel.offer(only)
        for _ in range(turns):
            await asyncio.sleep(0)
        taker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            channel.put_back(only, [await taker], 0.0)

        assert await asyncio.wait_for(channel.take(), 5.0) is only


async def test_one_offer_wakes_whoever_can_take_it() -> None:
    channel: Channel[Parcel] = Channel(1_000, HandClock().monotonic)
    takers = [asyncio.create_task(channel.take()) for _ in range(3)]
    assert all([await waiting(taker) for taker in takers])
    for number, lane in enumerate("abc"):
        channel.offer(Parcel(lane, number))
    taken = await asyncio.wait_for(asyncio.gather(*takers), 5.0)

    assert sorted(batch.number for batch in taken) == [0, 1, 2]


class AnyUse(RuleBasedStateMachine):
    """Against a model: lanes as plain lists, oldest first, and what is in hand."""

    CAPACITY = 100

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.channel: Channel[Parcel] = Channel(self.CAPACITY, self.clock.monotonic)
        self.lanes: dict[str, list[tuple[int, Parcel]]] = {lane: [] for lane in "abc"}
        self.in_hand: dict[str, Parcel] = {}
        self.not_before = dict.fromkeys("abc", 0.0)
        self.emptied: set[str] = set()  # lanes all pushed out: whether their delay is remembered is not promised
        self.numbers = 0

    def parcel(self, lane: str, size: int, units: int) -> Parcel:
        self.numbers += 1
        return Parcel(lane, self.numbers, size, units)

    @rule(lane=st.sampled_from("abc"), size=st.integers(1, 45), units=st.integers(0, 9))
    def offer(self, lane: str, size: int, units: int) -> None:
        offered = self.parcel(lane, size, units)
        evicted = self.channel.offer(offered)
        self.lanes[lane].append((offered.number, offered))
        for parcel in evicted:
            age, oldest = self.lanes[parcel.lane].pop(0)
            assert oldest is parcel
            assert all(age <= held[0][0] for held in self.lanes.values() if held)
            if not self.lanes[parcel.lane] and parcel.lane not in self.in_hand:
                self.emptied.add(parcel.lane)
        if evicted:  # no more than had to go
            assert self.channel.memory_bytes + evicted[-1].memory_bytes > self.CAPACITY
        assert self.channel.memory_bytes <= self.CAPACITY or not any(self.lanes.values())

    @rule()
    def take(self) -> None:
        idle = {lane for lane, held in self.lanes.items() if held and lane not in self.in_hand}
        ready = {lane for lane in idle if self.not_before[lane] <= self.clock.elapsed}
        if not ready:
            return
        batch = at_once(self.channel.take())
        assert batch is not None
        assert batch.lane in ready | (idle & self.emptied)
        assert self.lanes[batch.lane].pop(0)[1] is batch
        self.in_hand[batch.lane] = batch

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.channel.settle(self.in_hand.pop(lane))
        if not self.lanes[lane]:
            self.not_before[lane] = 0.0

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), count=st.integers(0, 3), delay=st.sampled_from([0.0, 0.5, 60.0]))
    def put_back(self, data: st.DataObject, count: int, delay: float) -> None:
        lane = data.draw(st.sampled_from(sorted(self.in_hand)))
        batch = self.in_hand.pop(lane)
        parts = [self.parcel(lane, max(1, batch.memory_bytes // 2), batch.units) for _ in range(count)]
        self.channel.put_back(batch, parts, delay)
        self.lanes[lane][:0] = [(0, part) for part in parts]
        self.not_before[lane] = self.clock.elapsed + delay if self.lanes[lane] else 0.0
        self.emptied.discard(lane)

    @rule(seconds=st.sampled_from([0.1, 1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.elapsed += seconds

    @rule()
    def hurry(self) -> None:
        self.channel.hurry()
        self.not_before = dict.fromkeys("abc", 0.0)

    @invariant()
    def the_account_is_what_is_held(self) -> None:
        held = [parcel for lane in self.lanes.values() for _, parcel in lane] + list(self.in_hand.values())
        assert self.channel.memory_bytes == sum(parcel.memory_bytes for parcel in held)
        assert self.channel.units == sum(parcel.units for parcel in held)
        assert len(self.channel) == len(held)

    def teardown(self) -> None:
        waiting_ = [parcel for lane in self.lanes.values() for _, parcel in lane]
        assert sorted(map(repr, waiting_)) == sorted(map(repr, self.channel.clear()))
        for batch in self.in_hand.values():
            self.channel.settle(batch)
        assert (self.channel.memory_bytes, self.channel.units, len(self.channel)) == (0, 0, 0)


AnyUse.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestAnyUse = AnyUse.TestCase
