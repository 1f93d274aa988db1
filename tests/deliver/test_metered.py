"""Bytes of log events are counted as they are billed: what the service stored, once."""

from __future__ import annotations

import pytest

from sidecar.batch.logs import encode
from sidecar.deliver.metered import MeteredLogs
from sidecar.deliver.worker import Rejected
from sidecar.model.batches import Events, LogBatch
from sidecar.model.errors import DeliveryError, Reason
from sidecar.observe.ledger import LogBytes


class Scripted:
    """A destination that answers as it is told."""

    operation = "PutLogEvents"

    def __init__(self, *answers: list[Rejected] | DeliveryError) -> None:
        self._answers = list(answers)

    async def send(self, batch: LogBatch) -> list[Rejected]:
        answer = self._answers.pop(0)
        if isinstance(answer, DeliveryError):
            raise answer
        return answer


def batch(*messages: str) -> LogBatch:
    events = Events()
    for number, message in enumerate(messages):
        events.add(number, *encode(number, message))
    return LogBatch("/app", "stream", events)


async def test_delivered_events_count_their_utf8_bytes_and_26_each() -> None:
    counted = LogBytes()
    await MeteredLogs(Scripted([]), counted.count).send(batch("abc", "é" * 10))

    assert counted.by_group == {"/app": 3 + 26 + 20 + 26}


async def test_rejected_events_do_not_count() -> None:
    counted = LogBytes()
    destination = MeteredLogs(Scripted([Rejected(1, Reason.EXPIRED)]), counted.count)

    assert await destination.send(batch("abc", "long" * 100)) == [Rejected(1, Reason.EXPIRED)]
    assert counted.by_group == {"/app": 29}


async def test_a_request_that_fails_counts_once_it_is_delivered() -> None:
    counted = LogBytes()
    destination = MeteredLogs(Scripted(DeliveryError("InternalFailure", "away"), []), counted.count)
    with pytest.raises(DeliveryError):
        await destination.send(batch("abc"))
    assert counted.by_group == {}

    await destination.send(batch("abc"))
    assert counted.by_group == {"/app": 29}
    assert destination.operation == "PutLogEvents"
