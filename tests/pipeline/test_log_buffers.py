"""Flushed log events that are sorted slice by slice: always in the ledger, in order, on disk before they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson
import pytest

from sidecar.model.batches import LogBatch
from sidecar.model.limits import EVENTS_PER_REQUEST
from tests.support.pipeline import Recording, Rig, run, turn
from tests.support.strategies import NOW

BODY: Final = 2_000


class Saving(Recording[LogBatch]):
    """A sink with a spool whose writes succeed at once."""

    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.segments: dict[int, LogBatch] = {}

    def offer(  # type: ignore[override]
        self, batches: Sequence[LogBatch], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool]:
        super().offer(batches)
        for segment in segments:
            del self.segments[segment]
        return self._done()

    def save(self, events: LogBatch) -> tuple[int, asyncio.Future[bool]]:  # type: ignore[override]
        segment = len(self.batches) + len(self.segments)
        self.segments[segment] = events
        return segment, self._done()

    def _done(self) -> asyncio.Future[bool]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


async def ingest(rig: Rig, first: int, count: int) -> bool | None:
    """Ingest log events with falling times, some a body; returns whether the last body is durable."""
    durable = None
    for at in range(first, first + count, BODY):
        numbers = range(at, min(at + BODY, first + count))
        events = [{"message": str(number), "timestamp": NOW - number / 1_000} for number in numbers]
        outcome = await rig.pipeline.ingest_logs(orjson.dumps(events), "application/json")
        assert outcome.accepted == len(numbers)
        durable = None if outcome.durable is None else await outcome.durable
    return durable


async def fill(rig: Rig) -> bool | None:
    """Fill a buffer, so that it is flushed, with events that are to be sorted."""
    return await ingest(rig, 0, EVENTS_PER_REQUEST)


def messages(rig: Rig) -> list[str]:
    return [orjson.loads(event["message"])["message"] for event in map(orjson.loads, bodies(rig))]


def bodies(rig: Rig) -> list[bytes]:
    return [body for batch in rig.logs.batches for body in batch.events.bodies]


SORTED: Final = [str(number) for number in reversed(range(EVENTS_PER_REQUEST))]


async def test_a_full_buffer_is_sorted_while_other_tasks_run() -> None:
    rig = Rig()
    await fill(rig)
    assert (rig.logs.units, rig.ledger.log_events.pending) == (0, EVENTS_PER_REQUEST)

    sorting = asyncio.create_task(rig.pipeline._buffers.run_sorting())
    turns = 0
    while not rig.logs.batches:
        await asyncio.sleep(0)
        turns += 1
        rig.assert_balanced()
    sorting.cancel()

    assert turns >= 20
    assert messages(rig) == SORTED
    assert rig.ledger.log_events.pending == 0


async def test_events_that_come_meanwhile_are_sent_behind_those_that_are_sorted() -> None:
    rig = Rig()
    await fill(rig)
    flush = rig.pipeline.flush_logs("timer")
    assert turn(flush)
    await ingest(rig, EVENTS_PER_REQUEST, 3)
    another = rig.pipeline.flush_logs("timer")
    assert turn(another)
    run(another)
    run(flush)

    assert messages(rig) == [*SORTED, "10002", "10001", "10000"]
    rig.assert_balanced()


@pytest.mark.parametrize("slices", [0, 1, 25])
async def test_the_drain_finishes_what_a_cancelled_flush_has_begun(slices: int) -> None:
    rig = Rig()
    await fill(rig)
    await ingest(rig, EVENTS_PER_REQUEST, 3)
    flush = rig.pipeline.flush_logs("timer")
    for _ in range(slices):
        assert turn(flush)
    flush.close()
    drain = rig.pipeline.flush_everything(at_once=True)

    assert not turn(drain)
    assert messages(rig) == [*SORTED, "10002", "10001", "10000"]
    assert rig.ledger.log_events.pending == 0
    rig.assert_balanced()


async def test_what_is_sorted_counts_as_held_and_is_bounded() -> None:
    rig = Rig(deliver={"memory_bytes": 8_388_608})
    await fill(rig)
    rig.logs.asked.clear()
    await ingest(rig, EVENTS_PER_REQUEST, 1)
    assert rig.logs.asked[0] > EVENTS_PER_REQUEST * 100
    for time in range(1, 5):
        await ingest(rig, time * EVENTS_PER_REQUEST, EVENTS_PER_REQUEST)

    assert rig.pipeline._buffers._sorting_bytes <= 2_097_152
    assert rig.logs.units > 0
    rig.assert_balanced()


async def test_events_are_on_disk_before_their_answer_though_their_batches_come_later() -> None:
    sink = Saving()
    rig = Rig(sink=sink)

    assert await fill(rig) is True
    assert sink.units == 0
    assert sum(batch.units for batch in sink.segments.values()) == EVENTS_PER_REQUEST
    await rig.pipeline.flush_logs("timer")
    assert sink.units == EVENTS_PER_REQUEST
    assert sink.segments == {}
