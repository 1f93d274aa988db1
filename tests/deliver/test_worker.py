"""The worker: what could not be sent is kept, split, or named; nothing leaves the account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sidecar.deliver.backlog import Backlog
from sidecar.deliver.pace import Pace
from sidecar.deliver.retry import Backoff
from sidecar.deliver.worker import Rejected, Worker
from sidecar.model.batches import Datum, LogBatch, MetricBatch
from sidecar.model.errors import DeliveryError, Reason
from sidecar.observe.health import DeliveryHealth
from sidecar.observe.ledger import RequestLedger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.spool.codec import Codec, MetricCodec
from tests.support.batches import EncodedEvent, datum_columns, event_columns
from tests.support.clock import HandClock

B = TypeVar("B", MetricBatch, LogBatch)

ROOM: Final = 1_000_000
ALL: Final = 100_000_000  # bytes that the largest batches fit in
SOON: Final = 3.0  # seconds a test waits for what takes a few turns of the loop


Answer: TypeAlias = DeliveryError | list[Rejected] | asyncio.Event
"""What a script answers: an error, rejected elements, or success once the event is set."""


class Scripted(Generic[B]):
    """A destination that answers by the script, then by the rule, and remembers what it was sent."""

    operation = "PutThings"

    def __init__(self, *script: Answer, rule: Callable[[B], None] | None = None) -> None:
        self.script = list(script)
        self.rule: Callable[[B], None] | None = rule
        self.sent: list[B] = []
        self.stored: list[B] = []
        self._changed = asyncio.Event()

    async def send(self, batch: B) -> list[Rejected]:
        self.sent.append(batch)
        self._changed.set()
        answer = self.script.pop(0) if self.script else []
        if isinstance(answer, DeliveryError):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = []
        if self.rule is not None:
            self.rule(batch)
        self.stored.append(batch)
        self._changed.set()
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Rig(Generic[B]):
    """A worker and its backlog, without a spool; everything is real but the clock and the destination."""

    def __init__(
        self, destination: Scripted[B], *, capacity_bytes: int = ROOM, concurrency: int = 1, wait_seconds: float = 0.0
    ) -> None:
        self.clock = HandClock()
        self.destination: Scripted[B] = destination
        self.account = SignalLedger()
        self.requests = RequestLedger()
        self.health = DeliveryHealth()
        limiter = Limiter(self.clock.monotonic)
        self.backlog: Backlog[B] = Backlog(
            "metrics",
            capacity_bytes,
            codec=cast("Codec[B]", MetricCodec()),  # without a spool nobody asks it
            spool=None,
            account=self.account,
            limiter=limiter,
            clock=self.clock,
        )
        self.worker: Worker[B] = Worker(
            "metrics",
            self.backlog,
            destination,
            pace=Pace(0.0, lambda low, _high: low),  # does not slow down: the clock stands still
            backoff=Backoff(wait_seconds, wait_seconds, lambda _low, high: high),
            account=self.account,
            requests=self.requests,
            health=self.health,
            clock=self.clock,
            limiter=limiter,
            concurrency=concurrency,
        )

    def offer(self, *batches: B) -> None:
        for batch in batches:
            self.account.received["test"] += batch.units
        self.backlog.offer(batches)
        self.balanced()

    async def finish(self) -> None:
        """Drain, and wait until nothing is left."""
        self.worker.drain()
        async with asyncio.timeout(SOON):
            await self.worker.run()
        self.balanced()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.balanced()

    async def settled(self) -> None:
        await turns()
        async with asyncio.timeout(SOON):
            while self.account.pending:  # noqa: ASYNC110  # plain integers tell nobody that they changed
                await asyncio.sleep(0.001)
        self.balanced()

    def balanced(self) -> None:
        summary = self.account.summary()
        assert summary["received"] == summary["delivered"] + summary["pending"] + summary["dropped"], summary

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.account.summary()["dropped_by_reason"])

    def outcomes(self) -> dict[str, int]:
        return {outcome: count for (_, outcome), count in self.requests.outcomes.items()}


async def turns(count: int = 20) -> None:
    """Let everything run that can run without waiting."""
    for _ in range(count):
        await asyncio.sleep(0)


def metrics(*names: str, samples: int = 1, namespace: str = "App") -> MetricBatch:
    return MetricBatch(namespace, datum_columns(Datum(orjson.dumps({"MetricName": name}), samples) for name in names))


def events(*messages: str, stream: str = "s") -> LogBatch:
    made = [EncodedEvent(n, orjson.dumps({"message": text}), len(text) + 26) for n, text in enumerate(messages)]
    return LogBatch("/app", stream, event_columns(made))


def names(batch: MetricBatch) -> list[str]:
    return [orjson.loads(body)["MetricName"] for body in batch.datums.bodies]


def invalid(*indices: int) -> DeliveryError:
    told = " ".join(f"The value for parameter MetricData.member.{index + 1}.Value is invalid." for index in indices)
    return DeliveryError("InvalidParameterValue", told or "a parameter is invalid", status=400)


def refuses(*poison: str, named: bool) -> Callable[[MetricBatch], None]:
    """A service that refuses some metrics, and names them or does not."""

    def rule(batch: MetricBatch) -> None:
        found = [index for index, name in enumerate(names(batch)) if name in poison]
        if found:
            raise invalid(*found if named else ())

    return rule


def takes_at_most(count: int) -> Callable[[MetricBatch], None]:
    def rule(batch: MetricBatch) -> None:
        if len(batch) > count:
            raise DeliveryError("RequestEntityTooLarge", "Request size exceeded", status=413)

    return rule


def away(*, ambiguous: bool = False) -> DeliveryError:
    return DeliveryError("Network", "refused", ambiguous=ambiguous)


THROTTLED: Final = DeliveryError("Throttling", "Rate exceeded", status=400)


# --- what goes well -------------------------------------------------------------------------------


async def test_batches_are_delivered_in_order_and_counted() -> None:
    rig = Rig(Scripted[MetricBatch]())
    rig.offer(metrics("a", samples=3), metrics("b", "c"), metrics("d"))
    await rig.finish()

    assert [names(batch) for batch in rig.destination.stored] == [["a"], ["b", "c"], ["d"]]
    assert rig.account.delivered == 6
    assert rig.outcomes() == {"ok": 3}
    assert rig.health.up is True


async def test_a_batch_that_comes_while_it_waits_is_sent_at_once() -> None:
    rig = Rig(Scripted[MetricBatch]())
    async with rig.running():
        await turns()
        rig.offer(metrics("a"))
        await rig.destination.until(lambda: len(rig.destination.stored) == 1)
        await rig.settled()

    assert rig.account.delivered == 1


async def test_elements_taken_out_of_an_accepted_request_are_no_success() -> None:
    rejected = [Rejected(0, Reason.TIMESTAMP_TOO_OLD), Rejected(2, Reason.EXPIRED)]
    rig = Rig(Scripted[LogBatch](rejected))
    rig.offer(events("old", "fine", "expired"))
    with capture_logs() as lines:
        await rig.finish()

    assert rig.account.delivered == 1
    assert rig.dropped == {"timestamp_too_old": 1, "expired": 1}
    assert [line["reason"] for line in lines if "element" in line] == ["timestamp_too_old", "expired"]


# --- culprits -------------------------------------------------------------------------------------


async def test_named_culprits_are_taken_out_and_everything_beside_them_goes_again() -> None:
    rig = Rig(Scripted[MetricBatch](rule=refuses("b", "d", named=True)))
    rig.offer(metrics("a", "b", "c", "d", "e", samples=2))
    with capture_logs() as lines:
        await rig.finish()

    assert [names(batch) for batch in rig.destination.sent] == [["a", "b", "c", "d", "e"], ["a", "c", "e"]]
    assert rig.account.delivered == 6
    assert rig.dropped == {"rejected": 4}
    (told,) = [line for line in lines if line["event"] == "the service refused one element of a request"]
    assert '"b"' in told["element"]
    assert "MetricData.member.2" in told["error"]


async def test_a_batch_of_nothing_but_culprits_is_dropped_and_the_next_goes_on() -> None:
    rig = Rig(Scripted[MetricBatch](rule=refuses("a", "b", named=True)))
    rig.offer(metrics("a", "b"), metrics("c"))
    await rig.finish()

    assert [names(batch) for batch in rig.destination.stored] == [["c"]]
    assert rig.dropped == {"rejected": 2}


async def test_a_culprit_that_is_not_named_is_found_by_halving() -> None:
    everything = [f"m{n}" for n in range(100)]
    rig = Rig(Scripted[MetricBatch](rule=refuses("m37", named=False)))
    rig.offer(metrics(*everything))
    await rig.finish()

    stored = [name for batch in rig.destination.stored for name in names(batch)]
    assert stored == [name for name in everything if name != "m37"]
    assert rig.dropped == {"rejected": 1}
    assert len(rig.destination.sent) <= 2 * 8


@pytest.mark.parametrize("size", [1_000, 10_000])
async def test_a_request_that_is_refused_whatever_is_in_it_costs_few_requests(size: int) -> None:
    def rule(_: MetricBatch) -> None:
        raise invalid()

    rig = Rig(Scripted[MetricBatch](rule=rule), capacity_bytes=ALL)
    rig.offer(metrics(*(f"m{n}" for n in range(size)), samples=2))
    with capture_logs() as lines:
        await rig.finish()

    print(f"{len(rig.destination.sent)} requests for {size} elements")
    assert len(rig.destination.sent) < 60
    assert rig.dropped == {"rejected": 2 * size}
    whole = [line for line in lines if "whole" in line["event"]]
    assert len(whole) == 1  # the others within the minute are not logged
    assert "a parameter is invalid" in whole[0]["error"]


async def test_once_requests_are_hopeless_each_is_tried_once_until_one_succeeds() -> None:
    refused = {"on": True}

    def rule(batch: MetricBatch) -> None:
        if refused["on"]:
            raise invalid()
        refuses("bad", named=False)(batch)

    rig = Rig(Scripted[MetricBatch](rule=rule))
    async with rig.running():
        rig.offer(metrics(*(f"m{n}" for n in range(1_000))))
        await rig.settled()
        before = len(rig.destination.sent)
        rig.offer(metrics("a", "b", "c"))
        await rig.settled()
        assert len(rig.destination.sent) == before + 1
        refused["on"] = False
        rig.offer(metrics("fine"), metrics("d", "bad", "e"))
        await rig.settled()

    assert [name for batch in rig.destination.stored for name in names(batch)] == ["fine", "d", "e"]
    assert rig.dropped == {"rejected": 1_004}


@pytest.mark.parametrize("culprits", [{0}, {0, 1}, {9_999}, {0, 5_000}, {0, 1, 2, 3, 4}, set(range(0, 10_000, 625))])
async def test_culprits_among_ten_thousand_are_all_that_is_lost(culprits: set[int]) -> None:
    rig = Rig(Scripted[MetricBatch](rule=refuses(*(f"m{n}" for n in culprits), named=False)), capacity_bytes=ALL)
    rig.offer(metrics(*(f"m{n}" for n in range(10_000))))
    with capture_logs():
        await rig.finish()

    assert rig.account.delivered == 10_000 - len(culprits)
    assert rig.dropped == {"rejected": len(culprits)}


async def test_an_index_beyond_the_batch_names_nobody() -> None:
    rig = Rig(Scripted[MetricBatch](invalid(99)))
    rig.offer(metrics("a", "b"))
    await rig.finish()

    assert rig.account.delivered == 2
    assert len(rig.destination.sent) == 3


async def test_what_is_too_large_is_split_until_it_fits() -> None:
    rig = Rig(Scripted[MetricBatch](rule=takes_at_most(3)))
    rig.offer(metrics(*"abcdefgh"))
    await rig.finish()

    assert [names(batch) for batch in rig.destination.stored] == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert rig.account.delivered == 8
    assert rig.dropped == {}


async def test_one_element_that_is_too_large_alone_is_dropped_by_name() -> None:
    rig = Rig(Scripted[MetricBatch](rule=takes_at_most(0)))
    rig.offer(metrics("giant", samples=5))
    with capture_logs() as lines:
        await rig.finish()

    assert rig.dropped == {"request_too_large": 5}
    assert any("giant" in line.get("element", "") for line in lines)


async def test_a_culprit_is_no_outage() -> None:
    """What the sender got wrong must not turn delivery red, nor slow it down."""
    rig = Rig(Scripted[MetricBatch](rule=refuses("bad", named=True)), wait_seconds=60.0)
    rig.offer(metrics("bad", "good"))
    async with rig.running():
        await rig.settled()

    assert rig.health.up is True
    assert rig.account.delivered == 1
    assert rig.outcomes() == {"invalid": 1, "ok": 1}


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=40), min_size=1, max_size=4),
    st.one_of(st.sets(st.integers(0, 30), max_size=3), st.sets(st.integers(0, 30))),
    st.sampled_from(["named", "unnamed"]),
    st.integers(1, 40),
)
async def test_exactly_the_culprits_are_lost(
    batches: list[list[int]],
    poison: set[int],
    naming: str,
    most: int,
) -> None:
    """Named or not, and however much a request may hold."""
    refuse, limit = refuses(*map(str, poison), named=naming == "named"), takes_at_most(most)

    def rule(batch: MetricBatch) -> None:
        limit(batch)
        refuse(batch)

    rig = Rig(Scripted[MetricBatch](rule=rule))
    rig.offer(*(metrics(*map(str, batch)) for batch in batches))
    with capture_logs():
        await rig.finish()

    everything = [str(name) for batch in batches for name in batch]
    stored = [name for batch in rig.destination.stored for name in names(batch)]
    fine = [name for name in everything if int(name) not in poison]
    if naming == "named" or len(everything) - len(fine) <= 8:
        assert stored == fine
    else:  # many culprits in a row, not named, look like a request that is refused as a whole
        assert set(stored) <= set(fine)
        assert len(rig.destination.sent) <= 2 * len(everything)
    assert rig.account.delivered == len(stored)
    assert sum(rig.dropped.values()) == len(everything) - len(stored)


# --- failures that pass ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        THROTTLED,
        away(),
        DeliveryError("InternalServiceError", "", status=500),
        DeliveryError("Timeout", "", ambiguous=True),
        DeliveryError("NoCredentials", "none"),
        DeliveryError("AccessDenied", "no", status=403),
        DeliveryError("ResourceNotFoundException", "no group", status=400),
        DeliveryError("RequestExpired", "", status=400),
        DeliveryError("NeverHeardOf", "", status=400),
    ],
    ids=lambda failure: failure.code,
)
async def test_what_may_pass_is_kept_and_sent_again(failure: DeliveryError) -> None:
    rig = Rig(Scripted[MetricBatch](failure, failure))
    rig.offer(metrics("a"), metrics("b"))
    async with rig.running():
        await rig.settled()

    assert [names(batch) for batch in rig.destination.sent] == [["a"], ["a"], ["a"], ["b"]]
    assert (rig.account.delivered, rig.dropped) == (2, {})


async def test_health_says_what_fails_until_it_works_again() -> None:
    gate = asyncio.Event()
    rig = Rig(Scripted[MetricBatch](DeliveryError("AccessDenied", "no", status=403), away(), away(), gate))
    rig.offer(metrics("a"))
    with capture_logs() as lines:
        async with rig.running():
            await rig.destination.until(lambda: len(rig.destination.sent) == 4)
            assert rig.health.up is False
            assert rig.health.error == "Network: refused"
            assert "route" in (rig.health.advice or "")
            gate.set()
            await rig.settled()

    assert rig.health.up is True
    assert rig.health.last_success == rig.clock.wall()
    told = [line["event"] for line in lines]
    assert told == ["delivery fails, will retry", "delivery fails, will retry", "delivery works again"]


async def test_a_retry_waits_for_its_time_on_the_clock() -> None:
    rig = Rig(Scripted[MetricBatch](THROTTLED), wait_seconds=0.02)
    rig.offer(metrics("a"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.sent) == 1)
        await asyncio.sleep(0.1)
        assert len(rig.destination.sent) == 1
        assert rig.account.pending == 1
        rig.clock.advance(0.02)
        await rig.settled()

    assert rig.account.delivered == 1


async def test_the_services_hint_outweighs_our_own_wait() -> None:
    hinted = DeliveryError("Throttling", "Rate exceeded", status=400, retry_after=30.0)
    rig = Rig(Scripted[MetricBatch](hinted), wait_seconds=0.01)
    rig.offer(metrics("a"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.sent) == 1)
        rig.clock.advance(29.0)
        rig.offer(metrics("b"))
        await turns()
        assert len(rig.destination.sent) == 1
        rig.clock.advance(1.0)
        rig.offer(metrics("c"))
        await rig.settled()

    assert [names(batch) for batch in rig.destination.stored] == [["a"], ["b"], ["c"]]


async def test_units_that_may_have_been_stored_are_counted_each_time_they_are_sent_again() -> None:
    rig = Rig(Scripted[MetricBatch](away(ambiguous=True), away(ambiguous=False), away(ambiguous=True)))
    rig.offer(metrics("a", samples=5))
    async with rig.running():
        await rig.settled()

    assert rig.account.ambiguous == 10
    assert rig.account.delivered == 5


# --- lanes and room -------------------------------------------------------------------------------


async def test_a_stream_that_fails_holds_up_no_other() -> None:
    rig = Rig(Scripted[LogBatch](THROTTLED), wait_seconds=60.0)
    rig.offer(events("stuck", stream="a"), events("also stuck", stream="a"), events("free", stream="b"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.stored) == 1)
        await turns()

    assert [batch.stream for batch in rig.destination.sent] == ["a", "b"]
    assert rig.account.pending == 2


async def test_a_request_that_hangs_holds_up_no_other_stream() -> None:
    gate = asyncio.Event()
    rig = Rig(Scripted[LogBatch](gate), concurrency=2)
    rig.offer(events("1", stream="a"), events("2", stream="a"), events("3", stream="b"), events("4", stream="b"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.stored) == 2)
        await turns()
        assert [batch.stream for batch in rig.destination.sent] == ["a", "b", "b"]
        gate.set()
        await rig.settled()

    assert [batch.stream for batch in rig.destination.stored] == ["b", "b", "a", "a"]


async def test_two_signals_fail_on_their_own() -> None:
    failing, working = Rig(Scripted[MetricBatch](away()), wait_seconds=60.0), Rig(Scripted[LogBatch]())
    failing.offer(metrics("a"))
    working.offer(events("x"))
    async with failing.running(), working.running():
        await working.settled()
        await turns()

    assert (failing.health.up, working.health.up) == (False, True)
    assert failing.account.pending == 1


async def test_where_memory_is_full_the_oldest_makes_room_and_is_counted() -> None:
    one = metrics("m00", samples=3)
    rig = Rig(Scripted[MetricBatch](), capacity_bytes=3 * one.memory_bytes)
    with capture_logs() as lines:
        rig.offer(*(metrics(f"m{n:02d}", samples=3) for n in range(10)))
    assert rig.account.pending == 9
    await rig.finish()

    assert [names(batch) for batch in rig.destination.stored] == [["m07"], ["m08"], ["m09"]]
    assert rig.dropped == {"memory_full": 21}
    assert len([line for line in lines if "memory_bytes" in line["event"]]) == 1


async def test_what_is_in_hand_is_never_pushed_out() -> None:
    gate = asyncio.Event()
    one = metrics("m00")
    rig = Rig(Scripted[MetricBatch](gate), capacity_bytes=2 * one.memory_bytes)
    async with rig.running():
        rig.offer(metrics("m00"))
        await rig.destination.until(lambda: len(rig.destination.sent) == 1)
        rig.offer(*(metrics(f"m{n:02d}") for n in range(1, 6)))
        gate.set()
        await rig.settled()

    assert [names(batch) for batch in rig.destination.stored] == [["m00"], ["m05"]]
    assert rig.dropped == {"memory_full": 4}


async def test_room_is_what_would_push_nothing_out() -> None:
    one = metrics("a")
    rig = Rig(Scripted[MetricBatch](), capacity_bytes=2 * one.memory_bytes)
    rig.offer(one)

    assert rig.backlog.room_for(one.memory_bytes)
    assert not rig.backlog.room_for(one.memory_bytes + 1)


# --- the drain ------------------------------------------------------------------------------------


async def test_at_the_drain_each_batch_gets_exactly_one_attempt() -> None:
    rig = Rig(Scripted[MetricBatch](*[away()] * 10), wait_seconds=60.0)
    rig.offer(metrics("a"), metrics("b"), metrics("c"))
    with capture_logs():
        async with rig.running():
            await rig.destination.until(lambda: len(rig.destination.sent) == 1)
            await turns()
            assert len(rig.destination.sent) == 1
            rig.worker.drain()
            await turns(50)
            rig.backlog.abandon()

    assert [names(batch) for batch in rig.destination.sent] == [["a"], ["a"], ["b"], ["c"]]
    assert rig.dropped == {"abandoned": 3}


async def test_the_drain_does_not_wait_for_retries() -> None:
    rig = Rig(Scripted[MetricBatch](THROTTLED), wait_seconds=3_600.0)
    rig.offer(metrics("a"), metrics("b"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.sent) == 1)
        await turns()
        rig.worker.drain()
        await rig.settled()

    assert rig.account.delivered == 2


async def test_culprits_are_isolated_at_the_drain_too() -> None:
    rig = Rig(Scripted[MetricBatch](rule=refuses("bad", named=False)))
    rig.offer(metrics("a", "b", "bad", "c"))
    rig.worker.drain()
    await rig.finish()

    assert rig.account.delivered == 3
    assert rig.dropped == {"rejected": 1}


async def test_what_is_abandoned_is_named_with_its_number() -> None:
    rig = Rig(Scripted[LogBatch]())
    rig.offer(events("x", "y", stream="a"), events("z", stream="b"))
    with capture_logs() as lines:
        assert rig.backlog.abandon() == (3, 0)

    named = [(line["lane"], line["units"]) for line in lines if line["event"].startswith("abandoned")]
    assert named == [("/app a", 2), ("/app b", 1)]
    assert rig.dropped == {"abandoned": 3}
    assert rig.account.pending == 0
    rig.balanced()


async def test_a_request_cut_off_by_the_deadline_stays_pending_and_is_then_abandoned() -> None:
    """The batch in hand is neither forgotten nor counted twice."""
    rig = Rig(Scripted[MetricBatch](asyncio.Event()))
    rig.offer(metrics("in hand", samples=4), metrics("waits"))
    async with rig.running():
        await rig.destination.until(lambda: len(rig.destination.sent) == 1)

    assert rig.account.pending == 5
    with capture_logs():
        assert rig.backlog.abandon() == (5, 0)
    assert rig.dropped == {"abandoned": 5}
    assert rig.backlog.waiting.memory.used_bytes == 0
    rig.balanced()


async def test_nothing_to_drain_takes_no_time() -> None:
    rig = Rig(Scripted[MetricBatch]())
    await rig.finish()

    assert rig.destination.sent == []
    assert rig.health.up is None


async def test_a_bug_in_a_destination_ends_the_worker_and_its_batch_stays_pending() -> None:
    class Broken(Scripted[MetricBatch]):
        async def send(self, batch: MetricBatch) -> list[Rejected]:
            raise KeyError("a bug")

    rig = Rig(Broken())
    rig.offer(metrics("a"))
    with pytest.raises(ExceptionGroup) as raised:
        await rig.worker.run()

    assert raised.group_contains(KeyError)
    assert rig.account.pending == 1


def total(batches: Iterable[Any]) -> int:
    return sum(batch.units for batch in batches)


answers = st.one_of(
    st.just(THROTTLED),
    st.just(away()),
    st.just(away(ambiguous=True)),
    st.just(invalid()),
    st.just(invalid(0)),
    st.just([]),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=12),
    st.lists(answers, max_size=25),
    st.integers(1, 3),
    st.integers(1, 40),
)
async def test_the_account_balances_whatever_happens(
    given_: list[tuple[int, int]], script: list[Any], concurrency: int, steps: int
) -> None:
    """Received = delivered + pending + dropped, at every moment and after the end."""
    rig = Rig(Scripted[LogBatch](*script), capacity_bytes=600, concurrency=concurrency)
    with capture_logs():
        async with rig.running():
            for size, stream in given_:
                rig.offer(events(*"x" * size, stream=str(stream)))
                await asyncio.sleep(0)
                rig.balanced()
            await turns(steps)
            rig.worker.drain()
            await turns(steps)
            rig.balanced()
        rig.backlog.abandon()
        rig.balanced()

    assert rig.account.pending == 0
    assert rig.account.delivered <= total(rig.destination.stored)
