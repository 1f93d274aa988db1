"""The way of a log event: the time it is stored under, and what is refused for its time."""

from __future__ import annotations

from typing import Final

import orjson
import pytest

from sidecar.model.errors import Reason
from sidecar.model.events import Outcome
from sidecar.model.limits import FUTURE_SECONDS, PAST_SECONDS
from tests.support.pipeline import Rig, done, run
from tests.support.strategies import NOW

NOW_MS: Final = int(NOW) * 1_000


def ingest(rig: Rig, *events: object) -> Outcome:
    return done(rig.pipeline.ingest_logs(orjson.dumps(events), "application/json"))


def stamps(rig: Rig) -> list[int]:
    """The milliseconds since the epoch of every event so far."""
    run(rig.pipeline.flush_logs("timer"))
    return [stamp for batch in rig.logs.batches for stamp in batch.events.stamps]


@pytest.mark.parametrize("event", ["plain text", {"message": "m"}, {"message": "m", "timestamp": None}])
def test_an_event_without_a_time_of_its_own_gets_that_of_its_arrival(event: object) -> None:
    rig = Rig()
    ingest(rig, event)

    assert stamps(rig) == [NOW_MS]
    assert rig.ledger.adjusted["unreadable_timestamp"] == 0


def test_an_event_whose_time_cannot_be_read_gets_that_of_its_arrival_and_is_counted() -> None:
    rig = Rig()
    outcome = ingest(rig, {"message": "m", "timestamp": "yesterday"})

    assert (outcome.accepted, outcome.rejected) == (1, [])
    assert stamps(rig) == [NOW_MS]
    assert rig.ledger.adjusted["unreadable_timestamp"] == 1


@pytest.mark.parametrize("ahead", [-PAST_SECONDS, 0.0, FUTURE_SECONDS])
def test_an_event_within_fourteen_days_back_and_two_hours_ahead_keeps_its_time(ahead: float) -> None:
    rig = Rig()
    ingest(rig, {"message": "m", "timestamp": NOW + ahead})

    assert stamps(rig) == [NOW_MS + int(ahead) * 1_000]


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [(-PAST_SECONDS - 1, Reason.TIMESTAMP_TOO_OLD), (FUTURE_SECONDS + 1, Reason.TIMESTAMP_TOO_NEW)],
)
def test_an_event_beyond_is_refused_alone_over_http_and_udp(ahead: float, reason: Reason) -> None:
    rig = Rig()
    late = {"message": "late", "timestamp": NOW + ahead}
    outcome = ingest(rig, {"message": "m"}, late)
    rig.send(orjson.dumps(late))
    rig.send(b"_e{1,1}:a|b|d:%d" % (NOW + ahead))

    assert outcome.accepted == 1
    assert [index for index, _ in outcome.rejected] == [1]
    assert rig.ledger.log_events.dropped == {reason: 3}
    assert stamps(rig) == [NOW_MS]
    rig.assert_balanced()
