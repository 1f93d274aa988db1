"""What a body is told of its safe keeping is about its own events, whoever had them saved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sidecar.model.batches import MEMORY_PER_ELEMENT, LogBatch
from tests.support.pipeline import Recording, Rig

BODY = b"\n".join(b'{"message": "%d"}' % number for number in range(20))


class DurableSink(Recording[LogBatch]):
    """A durable sink; each commit ends when and as it is told."""

    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[asyncio.Future[bool]] = []
        self.saved = 0

    def save(self, events: LogBatch) -> tuple[int, asyncio.Future[bool]]:  # type: ignore[override]
        self.saved += len(events)
        return len(self.commits), self._commit()

    def offer(  # type: ignore[override]
        self, batches: Sequence[LogBatch], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool]:
        super().offer(batches, windows=windows, segments=segments)
        return self._commit()

    def _commit(self) -> asyncio.Future[bool]:
        self.commits.append(asyncio.get_running_loop().create_future())
        return self.commits[-1]


@pytest.mark.parametrize(("commits", "durable"), [([True, True], True), ([False, True], False), ([True, False], False)])
async def test_events_that_a_datagram_had_saved_are_waited_for_too(commits: list[bool], durable: bool) -> None:  # noqa: FBT001
    sink = DurableSink()
    rig = Rig(sink=sink)
    taking = asyncio.create_task(rig.pipeline.ingest_logs(BODY, "json"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.pipeline.datagrams([b'{"message": "beside"}'])  # saves what there is of the body as well
    assert 1 < sink.saved < 20

    outcome = await taking
    assert outcome.durable is not None
    told = asyncio.ensure_future(outcome.durable)
    await asyncio.sleep(0)
    assert not told.done()
    assert (sink.saved, len(sink.commits)) == (21, 2)
    for commit, kept in zip(sink.commits, commits, strict=True):
        commit.set_result(kept)
    assert await told is durable


async def test_an_earlier_failure_is_not_held_against_a_later_body() -> None:
    sink = DurableSink()
    rig = Rig(sink=sink)
    for kept in (False, True):
        outcome = await rig.pipeline.ingest_logs(BODY, "json")
        sink.commits[-1].set_result(kept)
        assert outcome.durable is not None
        assert await outcome.durable is kept


async def test_bodies_in_work_count_against_the_room_for_the_next() -> None:
    rig = Rig()
    size = 2 * len(BODY) + MEMORY_PER_ELEMENT * 20
    taking = asyncio.create_task(rig.pipeline.ingest_logs(BODY, "json"))
    await asyncio.sleep(0)
    await rig.pipeline.ingest_logs(BODY, "json")
    await taking
    first, second = rig.logs.asked
    assert (first, second >= 2 * size) == (size, True)

    rig.logs.asked.clear()
    await rig.pipeline.ingest_logs(BODY, "json")
    held = sum(len(line) + 26 + MEMORY_PER_ELEMENT for line in BODY.split(b"\n"))
    assert rig.logs.asked == [2 * held + size]
