"""The lanes: order within a lane, one parcel in hand, each lane in its turn, retries after their delay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.deliver.lanes import Lanes, LanesClosedError
from sidecar.deliver.parcel import Parcel
from sidecar.model.batches import LogBatch
from tests.support.batches import encoded, event_columns
from tests.support.clock import HandClock

T = TypeVar("T")


def make(lane: str, number: int = 0) -> Parcel[LogBatch]:
    parcel = Parcel.of(LogBatch("/app", lane, event_columns([encoded(number, "")])))
    parcel.lane = lane
    return parcel


def make_lanes(clock: HandClock | None = None) -> Lanes[LogBatch]:
    return Lanes((clock or HandClock()).monotonic)


def at_once(awaitable: Coroutine[Any, Any, T]) -> T | None:
    """Run something that either returns without waiting, or waits: None, and then it is cancelled."""
    try:
        awaitable.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    awaitable.close()
    return None


async def waits(task: asyncio.Task[Any]) -> bool:
    """Whether a task still waits once everything that could run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_parcels_of_a_lane_leave_in_order_and_one_at_a_time() -> None:
    lanes, first, second = make_lanes(), make("a"), make("a")
    lanes.add(first)
    lanes.add(second)
    assert await lanes.take() is first
    taker = asyncio.create_task(lanes.take())
    assert await waits(taker)
    lanes.release(first)

    assert await taker is second


async def test_a_lane_in_hand_delays_no_other() -> None:
    lanes, parcels = make_lanes(), [make(lane) for lane in "aab"]
    for parcel in parcels:
        lanes.add(parcel)

    assert [await lanes.take(), await lanes.take()] == [parcels[0], parcels[2]]


async def test_every_lane_gets_its_turn() -> None:
    lanes = make_lanes()
    for _ in range(3):
        for lane in "abc":
            lanes.add(make(lane))
    order = []
    for _ in range(9):
        parcel = await lanes.take()
        order.append(parcel.lane)
        lanes.release(parcel)

    assert order == list("abc") * 3


async def test_a_parcel_that_is_not_ready_delays_its_lane_alone() -> None:
    lanes, first, second, other = make_lanes(), make("a"), make("a"), make("b")
    first.ready = False
    for parcel in (first, second, other):
        lanes.add(parcel)
    assert await lanes.take() is other
    taker = asyncio.create_task(lanes.take())
    assert await waits(taker)
    first.ready = True
    lanes.wake()

    assert await taker is first


async def test_a_parcel_that_is_not_in_memory_is_asked_for_and_delays_its_lane_alone() -> None:
    asked = 0

    def missing() -> None:
        nonlocal asked
        asked += 1

    lanes: Lanes[LogBatch] = Lanes(HandClock().monotonic, missing)
    first, other = make("a"), make("b")
    batch, first.batch = first.batch, None
    for parcel in (first, other):
        lanes.add(parcel)
    assert await lanes.take() is other
    assert asked == 1
    assert lanes.first_missing() == (first, True)
    taker = asyncio.create_task(lanes.take())
    assert await waits(taker)
    first.batch = batch
    lanes.wake()

    assert await taker is first
    assert lanes.first_missing() is None


async def test_a_missing_parcel_is_urgent_only_if_nothing_else_can_be_sent() -> None:
    clock = HandClock()
    lanes, missing, other = make_lanes(clock), make("a"), make("b")
    missing.batch = None
    lanes.add(missing)
    assert lanes.first_missing() == (missing, True)
    lanes.add(other)
    assert lanes.first_missing() == (missing, False)
    taken = await lanes.take()
    lanes.release(taken, [taken], 60.0)
    assert lanes.first_missing() == (missing, True)


async def test_what_was_released_comes_next_in_its_parts_after_the_delay() -> None:
    clock = HandClock()
    lanes, whole, later = make_lanes(clock), make("a"), make("a")
    lanes.add(whole)
    lanes.add(later)
    assert await lanes.take() is whole
    parts = [make("a"), make("a")]
    lanes.release(whole, parts, 5.0)
    assert len(lanes) == 3
    assert at_once(lanes.take()) is None
    clock.elapsed += 5.0
    order = []
    for _ in range(3):
        parcel = await lanes.take()
        order.append(parcel)
        lanes.release(parcel)

    assert order == [*parts, later]
    assert len(lanes) == 0


async def test_a_lane_that_waits_for_its_retry_delays_no_other() -> None:
    lanes, failed, other = make_lanes(), make("a"), make("b")
    lanes.add(failed)
    await lanes.take()
    lanes.release(failed, [failed], 60.0)
    lanes.add(other)

    assert await lanes.take() is other


async def test_take_returns_when_the_delay_is_over() -> None:
    """Real time, a few milliseconds: nobody has to call for a retry to come due."""
    lanes: Lanes[LogBatch] = Lanes(asyncio.get_running_loop().time)
    failed = make("a")
    lanes.add(failed)
    await lanes.take()
    lanes.release(failed, [failed], 0.005)

    assert await asyncio.wait_for(lanes.take(), 5.0) is failed


async def test_hurry_ends_every_wait_for_a_retry() -> None:
    lanes, failed = make_lanes(), make("a")
    lanes.add(failed)
    await lanes.take()
    lanes.release(failed, [failed], 3_600.0)
    taker = asyncio.create_task(lanes.take())
    assert await waits(taker)
    lanes.hurry()

    assert await taker is failed


async def test_closed_lanes_raise_once_nothing_is_left() -> None:
    """What is in hand may still be released to be sent again: until it is settled, `take` waits."""
    lanes, only = make_lanes(), make("a")
    lanes.add(only)
    await lanes.take()
    takers = [asyncio.create_task(lanes.take()) for _ in range(2)]
    assert lanes.close() == []
    assert await waits(takers[0])
    lanes.release(only)
    results = await asyncio.gather(*takers, return_exceptions=True)

    assert [LanesClosedError, LanesClosedError] == [type(result) for result in results]
    with pytest.raises(LanesClosedError):
        await lanes.take()


async def test_closing_removes_what_is_not_in_memory_and_nothing_else() -> None:
    lanes, parcels = make_lanes(), [make(lane) for lane in "aab"]
    for parcel in parcels:
        lanes.add(parcel)
    parcels[0].batch = parcels[2].batch = None

    assert lanes.close() == [parcels[0], parcels[2]]
    assert await lanes.take() is parcels[1]


async def test_clear_returns_everything_that_waits_or_is_parked_once() -> None:
    lanes, parcels = make_lanes(), [make(lane, number) for number, lane in enumerate("aabbc")]
    for parcel in parcels:
        lanes.add(parcel)
    in_hand = await lanes.take()
    parked = await lanes.take()
    lanes.park(parked)
    cleared = list(lanes.clear())

    assert cleared[0] is parked
    assert {id(parcel) for parcel in (in_hand, *cleared)} == {id(parcel) for parcel in parcels}
    assert list(lanes.clear()) == []


async def test_a_cancelled_taker_loses_nothing() -> None:
    """Cancelled before, with and after the offer that would have woken it: the next taker gets the parcel."""
    for turns in range(4):
        lanes, only = make_lanes(), make("a")
        taker = asyncio.create_task(lanes.take())
        await waits(taker)
        lanes.add(only)
        for _ in range(turns):
            await asyncio.sleep(0)
        taker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            lanes.release(only, [await taker])

        assert await asyncio.wait_for(lanes.take(), 5.0) is only


async def test_one_offer_wakes_every_taker_that_can_have_it() -> None:
    lanes = make_lanes()
    takers = [asyncio.create_task(lanes.take()) for _ in range(3)]
    assert all([await waits(taker) for taker in takers])
    for lane in "abc":
        lanes.add(make(lane))
    taken = await asyncio.wait_for(asyncio.gather(*takers), 5.0)

    assert sorted(parcel.lane for parcel in taken) == list("abc")


async def test_a_lane_with_nothing_in_it_is_forgotten() -> None:
    """Streams come and go for months."""
    lanes = make_lanes()
    for number in range(1_000):
        parcel = make(f"stream {number}")
        lanes.add(parcel)
        if number % 2:
            lanes.remove(parcel)
        else:
            lanes.release(await lanes.take())

    assert len(lanes._lanes) == 0


class AnyUse(RuleBasedStateMachine):
    """Against a model: lanes as plain lists, and what is in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.lanes = make_lanes(self.clock)
        self.model: dict[str, list[Parcel[LogBatch]]] = {lane: [] for lane in "abc"}
        self.in_hand: dict[str, Parcel[LogBatch]] = {}
        self.not_before = dict.fromkeys("abc", 0.0)
        self.emptied: set[str] = set()  # by removal: whether their delay is remembered is not promised

    @rule(lane=st.sampled_from("abc"), first=st.booleans())
    def add(self, lane: str, first: bool) -> None:  # noqa: FBT001
        parcel = make(lane)
        if first:
            self.lanes.add_first([parcel])
            self.model[lane].insert(0, parcel)
        else:
            self.lanes.add(parcel)
            self.model[lane].append(parcel)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        waiting = [parcel for held in self.model.values() for parcel in held]
        if not waiting:
            return
        parcel = waiting[data.draw(st.integers(0, len(waiting) - 1))]
        self.lanes.remove(parcel)
        self.model[parcel.lane] = [one for one in self.model[parcel.lane] if one is not parcel]
        if not self.model[parcel.lane] and parcel.lane not in self.in_hand:
            self.emptied.add(parcel.lane)

    @rule()
    def take(self) -> None:
        idle = {lane for lane, held in self.model.items() if held and lane not in self.in_hand}
        due = {lane for lane in idle if self.not_before[lane] <= self.clock.elapsed}
        if not due:
            return
        parcel = at_once(self.lanes.take())
        assert parcel is not None
        assert parcel.lane in due | (idle & self.emptied)
        assert self.model[parcel.lane].pop(0) is parcel
        assert parcel.in_hand
        self.in_hand[parcel.lane] = parcel

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), count=st.integers(0, 3), delay=st.sampled_from([0.0, 0.5, 60.0]))
    def release(self, data: st.DataObject, count: int, delay: float) -> None:
        lane = data.draw(st.sampled_from(sorted(self.in_hand)))
        parcel = self.in_hand.pop(lane)
        parts = [make(lane) for _ in range(count)]
        self.lanes.release(parcel, parts, delay)
        self.model[lane][:0] = parts
        self.not_before[lane] = self.clock.elapsed + delay if parts else 0.0
        self.emptied.discard(lane)

    @rule(seconds=st.sampled_from([0.1, 1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.elapsed += seconds

    @rule()
    def hurry(self) -> None:
        self.lanes.hurry()
        self.not_before = dict.fromkeys("abc", 0.0)

    @invariant()
    def all_are_counted(self) -> None:
        assert len(self.lanes) == sum(map(len, self.model.values())) + len(self.in_hand)

    def teardown(self) -> None:
        waiting = [id(parcel) for held in self.model.values() for parcel in held]
        assert sorted(waiting) == sorted(map(id, self.lanes.clear()))
        for parcel in self.in_hand.values():
            self.lanes.release(parcel)
        assert len(self.lanes) == 0


AnyUse.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestAnyUse = AnyUse.TestCase
