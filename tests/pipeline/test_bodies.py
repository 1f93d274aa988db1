"""Bodies of a request that is accepted whole or not at all, and what the drain waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from sidecar.decode.aws import AwsCalls
from sidecar.model.errors import BusyError, DrainingError, Reason
from sidecar.model.exchange import Answer, Request
from sidecar.model.log_groups import LogGroups
from tests.support.pipeline import Rig
from tests.support.strategies import NOW

HEADERS = {
    "samples": {
        "x-amz-target": "GraniteServiceVersion20100801.PutMetricData",
        "content-type": "application/x-amz-json-1.0",
    },
    "log_events": {"x-amz-target": "Logs_20140328.PutLogEvents", "content-type": "application/x-amz-json-1.1"},
}


def request(signal: str, document: dict[str, Any]) -> Request:
    headers = HEADERS[signal]
    return Request("POST", "/", headers, headers["content-type"], orjson.dumps(document))


def metrics(*values: object) -> Request:
    return request(
        "samples", {"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": value} for value in values]}
    )


def log_events(*seconds: float) -> Request:
    events = [{"timestamp": int((NOW + at) * 1_000), "message": f"at {at}"} for at in seconds]
    return request("log_events", {"logGroupName": "g", "logStreamName": "s", "logEvents": events})


def calls(*, strict: bool) -> AwsCalls:
    return AwsCalls(LogGroups(), strict=strict, new_id=lambda: "id")


async def answered(rig: Rig, dialect: AwsCalls, one: Request) -> Answer:
    answer = await rig.pipeline.bodies.ingest(dialect, "aws", one)
    assert answer is not None
    return answer if isinstance(answer, Answer) else await answer


@pytest.mark.parametrize("strict", [False, True])
async def test_one_bad_datum_decides_in_strict_mode_alone(strict: bool) -> None:  # noqa: FBT001
    rig = Rig()
    answer = await answered(rig, calls(strict=strict), metrics(1, "no", 2, 3))

    assert answer.status == (400 if strict else 200)
    assert rig.received == {"aws": 4}
    assert rig.dropped == {Reason.WRONG_TYPE: 1} | ({Reason.REQUEST_REFUSED: 3} if strict else {})
    rig.flush()
    assert len(rig.datums()) == (0 if strict else 1)
    rig.assert_balanced()


async def test_in_strict_mode_nothing_is_added_before_all_is_checked() -> None:
    """A name that only the series refuses, behind many that are fine."""
    rig = Rig()
    bad = {"MetricName": "m", "Value": 1, "Dimensions": [{"Name": f"d{n}", "Value": "v"} for n in range(31)]}
    good = [{"MetricName": f"m{n}", "Value": 1} for n in range(200)]
    one = request("samples", {"Namespace": "N", "MetricData": [*good, bad]})

    answer = await answered(rig, calls(strict=True), one)

    assert b"MetricData.member.201" in answer.body
    assert rig.pipeline.open_accumulators == 0
    assert rig.dropped == {Reason.REQUEST_REFUSED: 200, Reason.TOO_MANY_DIMENSIONS: 1}


@pytest.mark.parametrize("strict", [False, True])
async def test_events_of_another_time_never_refuse_the_others(strict: bool) -> None:  # noqa: FBT001
    rig = Rig()
    day = 86_400.0
    answer = await answered(rig, calls(strict=strict), log_events(-15 * day, 0.0, 1.0, day))

    info = orjson.loads(answer.body)["rejectedLogEventsInfo"]
    assert (answer.status, info) == (200, {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3})
    assert rig.ledger.log_events.received == {"aws": 4}
    assert sum(rig.ledger.log_events.dropped.values()) == 2


async def test_a_call_without_events_needs_no_room() -> None:
    rig = Rig()
    rig.logs.room = rig.metrics.room = False
    dialect = calls(strict=False)
    create = Request(
        "POST",
        "/",
        {**HEADERS["log_events"], "x-amz-target": "Logs_20140328.CreateLogGroup"},
        "x",
        b'{"logGroupName": "g"}',
    )
    assert (await answered(rig, dialect, create)).status == 200
    for one in (metrics(1), log_events(0.0)):
        with pytest.raises(BusyError):
            await answered(rig, dialect, one)
    assert rig.received == {}


async def test_the_drain_waits_for_a_call_that_is_processed_and_refuses_the_next() -> None:
    rig = Rig()
    taking = asyncio.create_task(answered(rig, calls(strict=True), metrics(*range(100))))
    await asyncio.sleep(0)
    draining = asyncio.create_task(rig.pipeline.flush_everything())
    rig.pipeline.close()
    with pytest.raises(DrainingError):
        await answered(rig, calls(strict=True), metrics(1))
    assert not taking.done()

    await draining

    assert taking.done()
    assert rig.metrics.units == 100
    rig.assert_balanced()


async def test_what_is_no_call_is_not_ingested() -> None:
    rig = Rig()
    plain = Request("POST", "/", {}, "text/plain", b"x")
    assert await rig.pipeline.bodies.ingest(calls(strict=False), "aws", plain) is None
