"""Whole lives of a daemon: receive, aggregate, batch, deliver, crash, replay, with everything that may go wrong between.

Everything is real but for three things moved by hand: the clock (which is the event loop's as well), the thread that
works on the spool, and the far end that takes batches. Nothing sleeps and no thread runs, so that a run that fails
fails again. FUZZ_EXAMPLES makes for more and longer lives.

Each sample and each log event has a number of its own, which can be read from what arrives: distributions have it as
a value, statistic sets as a digit of their sum, log events in their message. So it is known of each one whether it
arrived, and how often.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar
from unittest.mock import patch

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from sidecar.app import App
from sidecar.config.schema import Config
from sidecar.deliver.worker import Rejected
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import BusyError, DeliveryError, Reason, UnsupportedError
from sidecar.observe.ledger import SignalLedger
from sidecar.runtime.threads import Background
from sidecar.spool.store import FILE, LOCK, SpoolStore
from tests.strategies import NOW, any_lines, json_bodies, log_items, spoiled_items, statsd_lines

B = TypeVar("B", MetricBatch, LogBatch)
T = TypeVar("T")

LONGER: Final = "FUZZ_EXAMPLES" in os.environ
EXAMPLES: Final = max(40, int(os.environ.get("FUZZ_EXAMPLES", "0")) // 20)
STEPS: Final = 60 if LONGER else 30
DATUMS: Final = 2  # of a batch
EVENTS: Final = 3
METRIC_MEMORY: Final = 6_000  # bytes of batches in memory: a few, so that rows wait on disk alone
LOG_MEMORY: Final = 4_000
TICK: Final = 0.001  # seconds the clock goes on when it is read: every turn that may be given is given
MOST_TURNS: Final = 20_000
SAME: Final = -1  # the number of every sample of the one line that is always the same
DIGITS: Final = 20  # samples of one series of statistic sets: digits of base 4 a float's sum keeps apart
SPREAD: Final = 100  # of one distribution: below the 150 values it keeps exact
REFUSALS: Final = (Reason.REJECTED, Reason.REQUEST_TOO_LARGE, Reason.EXPIRED)
STALL_SECONDS: Final = 1.0  # after which nobody waits for a disk that does not answer
NEVER: Final = (Reason.SPOOL_FULL, Reason.SPOOL_DAMAGED, Reason.INTERNAL_ERROR)
WITHOUT_SPOOL: Final = (Reason.MEMORY_FULL, Reason.ABANDONED)

# --- what is moved by hand ----------------------------------------------------------------------------


class HandClock:
    """Wall time moved by hand; monotonic time is moved by hand and goes on by itself."""

    def __init__(self) -> None:
        self.now = NOW
        self.elapsed = 1_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        self.elapsed += TICK
        return self.elapsed


class HandLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the clock's; it comes round once each time it is told to."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        super().__init__()

    def time(self) -> float:
        return self.clock.elapsed

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()

    @property
    def idle(self) -> bool:
        return not self._ready  # type: ignore[attr-defined]

    @property
    def next_timer(self) -> float | None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else None


class HandThread(Background):
    """The spool's thread: a job at a time, when it is told to."""

    def __init__(self) -> None:
        super().__init__("spool")
        self.jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self.dead = False
        self.store: SpoolStore | None = None  # the one that is open

    async def run(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self.dead:
            self.jobs.append((done, work))
        return await done

    def work(self) -> None:
        if not self.jobs:
            return
        done, job = self.jobs.popleft()
        if done.cancelled():
            return
        closes = self.store is not None and job == self.store.close
        try:
            result = job()
        except Exception as error:  # noqa: BLE001  # as a thread hands it over
            done.set_exception(error)
            return
        if closes:
            self.store = None
        if isinstance(result, tuple) and isinstance(result[0], SpoolStore):
            self.store = result[0]
        done.set_result(result)


class Answer(NamedTuple):
    """How a request ends: what is stored of it, after how long, and what is said of it."""

    name: str
    stores: bool
    seconds: float = 0.0
    error: DeliveryError | None = None


def _error(code: str, status: int = 400, *, ambiguous: bool = False, retry_after: float | None = None) -> DeliveryError:
    return DeliveryError(code, "as the test has it", status=status, ambiguous=ambiguous, retry_after=retry_after)


_LOST: Final = _error("Timeout", 0, ambiguous=True)
REQUEST_SECONDS: Final = 5.0  # after which a request that hangs counts as lost
OK: Final = Answer("ok", stores=True)
ANSWERS: Final = (
    OK,
    Answer("slow", stores=True, seconds=0.3),
    Answer("throttle", stores=False, error=_error("ThrottlingException")),
    Answer("throttle 429", stores=False, error=_error("TooManyRequestsException", 429, retry_after=1.0)),
    Answer("slow throttle", stores=False, seconds=0.3, error=_error("ThrottlingException")),
    Answer("server error", stores=False, error=_error("InternalFailure", 500)),
    Answer("access denied", stores=False, error=_error("AccessDeniedException")),
    Answer("timed out, stored", stores=True, error=_LOST),
    Answer("timed out, not stored", stores=False, error=_LOST),
    Answer("hangs, stored", stores=True, seconds=REQUEST_SECONDS, error=_LOST),
    Answer("hangs, not stored", stores=False, seconds=REQUEST_SECONDS, error=_LOST),
    Answer("invalid", stores=True),
    Answer("invalid, named", stores=True),
    Answer("taken out", stores=True),
    Answer("too large", stores=True),
    # What a split leaves meets a service that is away.
    Answer("invalid", stores=False, error=_error("InternalFailure", 500)),
    Answer("too large", stores=False, error=_error("InternalFailure", 500)),
    Answer("invalid", stores=False, error=_error("TooManyRequestsException", 429)),
)


class Element(NamedTuple):
    """One datum or log event of a batch: its samples or itself, by number."""

    held: Counter[int]
    poisoned: bool
    units: int


class FarEnd(Generic[B]):
    """Where one signal's batches go, and what is known of every number that was sent to the daemon."""

    def __init__(self, operation: str, read: Callable[[B, list[str]], list[Element]]) -> None:
        self.operation = operation
        self._read: Callable[[B, list[str]], list[Element]] = read
        self.answer = OK
        self.broken: list[str] = []  # promises
        self.refusals = 0  # requests
        # Of all lives, by number:
        self.sent: Counter[int] = Counter()  # to the daemon
        self.safe: Counter[int] = Counter()  # must arrive or be refused, whatever happens
        self.arrived: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.may_repeat: Counter[int] = Counter()  # stored, and the daemon was not told or could not note it
        self.noting: Counter[int] = Counter()  # stored, and the daemon may still be noting it
        self.unmarked = 0  # units stored while the disk hung, or since in memory only: a crash forgets it
        self.disk_hung: Callable[[], bool] = lambda: False  # and has not caught up since
        self.before_units = 0  # counted as ambiguous in earlier lives, or unmarked when they ended
        self.sending = 0  # requests
        # Of this life:
        self.account = SignalLedger()
        self.delivered = 0
        self.dropped: Counter[Reason] = Counter()

    def live(self, account: SignalLedger) -> None:
        """A life begins."""
        self.account = account
        self.delivered = 0
        self.dropped.clear()
        self.sending = 0

    def die(self) -> None:
        """A life ends, in whatever way."""
        self.before_units += self.account.ambiguous + self.unmarked
        self.unmarked = 0
        self.may_repeat += self.noting
        self.noting.clear()

    @property
    def repeated(self) -> int:
        return sum(max(0, times - self.sent[number]) for number, times in self.arrived.items())

    async def send(self, batch: B) -> list[Rejected]:
        answer = self.answer
        elements = self._read(batch, self.broken)
        whole = sum(element.units for element in elements)
        if whole != batch.units:
            self.broken.append(f"a batch of {batch.units} units holds {whole}")
        poisoned = [index for index, element in enumerate(elements) if element.poisoned]
        if answer.name == "too large":
            self._refuse_too_large(elements)
        if answer.name.startswith("invalid") and poisoned:
            self._refuse_invalid(elements, poisoned if answer.name == "invalid, named" else [])
        taken_out = poisoned if answer.name == "taken out" else []
        stored = [element for index, element in enumerate(elements) if index not in taken_out]
        held = sum((element.held for element in stored), Counter[int]()) if answer.stores else Counter[int]()
        self._store(batch, held)
        self.may_repeat += held  # for as long as nobody was told
        if answer.seconds:
            self.sending += 1
            try:
                await asyncio.sleep(answer.seconds)
            finally:
                self.sending -= 1
        if answer.error is not None:
            raise answer.error
        self.may_repeat -= held
        self.noting += held
        self.delivered += sum(element.units for element in stored)
        for index in taken_out:
            self._refuse(elements[index], Reason.EXPIRED)
        return [Rejected(index, Reason.EXPIRED) for index in taken_out]

    def _store(self, batch: B, held: Counter[int]) -> None:
        self.arrived += held
        if self.disk_hung() or batch.row is None:
            self.unmarked += held.total()
        counted = self.before_units + self.account.ambiguous
        if self.repeated > counted:
            self.broken.append(f"{self.operation}: {self.repeated} units stored twice, {counted} counted as ambiguous")

    def _refuse(self, element: Element, reason: Reason) -> None:
        self.refused += element.held
        self.dropped[reason] += element.units

    def _refuse_too_large(self, elements: list[Element]) -> None:
        """At most two elements a request; one that is poisoned is too large by itself."""
        if len(elements) <= 2 and not any(element.poisoned for element in elements):
            return
        if len(elements) == 1:
            self._refuse(elements[0], Reason.REQUEST_TOO_LARGE)
        raise _error("RequestEntityTooLarge", 413)

    def _refuse_invalid(self, elements: list[Element], named: list[int]) -> None:
        for index in named or ([0] if len(elements) == 1 else []):
            self._refuse(elements[index], Reason.REJECTED)
        # No two messages are alike: in the same words again and again it would be the request and not its elements.
        self.refusals += 1
        message = " ".join(f"MetricData.member.{index + 1}.Value" for index in named)
        raise DeliveryError("InvalidParameterValue", f"{message} (refusal {self.refusals})", status=400)

    def check(self, *, kept: bool) -> None:
        """What holds at every moment of a life; `kept`: it had the spool from its start."""
        account = self.account
        came = sum(account.received.values()) + account.recovered
        assert came == account.delivered + account.pending + account.dropped.total(), account.summary()
        assert account.delivered == self.delivered, (self.operation, account.delivered, self.delivered)
        for reason in REFUSALS:
            assert account.dropped[reason] == self.dropped[reason], (self.operation, reason, account.summary())
        for reason in (*NEVER, *(WITHOUT_SPOOL if kept else ())):
            assert not account.dropped[reason], (self.operation, reason, account.summary())
        assert not self.broken, self.broken

    def check_all(self) -> None:
        """What holds once everything was delivered."""
        lost = {n: times for n, times in self.safe.items() if self.arrived[n] + self.refused[n] < times}
        assert not lost, (self.operation, "lost", lost)
        twice = {n: times for n, times in self.arrived.items() if times > self.sent[n] + self.may_repeat[n]}
        assert not twice, (self.operation, "arrived though never sent, or twice for no reason", twice)


class LogFarEnd(FarEnd[LogBatch]):
    """Of log events the order is known as well."""

    def __init__(self) -> None:
        super().__init__("PutLogEvents", read_events)
        self.latest: dict[str, dict[int, int]] = {}  # {lane: {number: milliseconds}} of what arrived
        self.in_order = True
        # When the daemon began to take what a number came with, and when it had it whole: by the count of such events.
        self.began: dict[int, int] = {}
        self.took: dict[int, int] = {}
        self._count = 0

    def takes(self, events: Counter[int]) -> None:
        self.sent += events
        self._count += 1
        self.began.update(dict.fromkeys(events, self._count))

    def has_taken(self, events: Counter[int]) -> None:
        self._count += 1
        self.took.update(dict.fromkeys(events, self._count))

    def _before(self, one: int, other: int) -> bool:
        """Whether one came before the other, beyond doubt: two bodies may be taken by turns."""
        began = self.began[other]
        return one < other and (self.began[one] == began or self.took.get(one, began) < began)

    def _store(self, batch: LogBatch, held: Counter[int]) -> None:
        latest = self.latest.setdefault(batch.lane, {})
        for event in log_events(batch) if held else ():
            for number in marked(event["message"]):
                first = not self.arrived[number] and not self.refused[number]
                overtaken = [n for n, at in latest.items() if at >= event["timestamp"] and self._before(number, n)]
                if first and overtaken and self.in_order:
                    self.broken.append(f"{number} of {batch.lane!r} came after {overtaken}")
                latest[number] = event["timestamp"]
        super()._store(batch, held)


_MARK: Final = re.compile(r"<(\d+)(!?)>")
_POISON: Final = re.compile(r"<\d+!>")


def marked(text: str) -> list[int]:
    return [int(number) for number, _ in _MARK.findall(text)]


def log_events(batch: LogBatch) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = orjson.loads(batch.body())["logEvents"]
    return events


def read_events(batch: LogBatch, _broken: list[str]) -> list[Element]:
    messages = [event["message"] for event in log_events(batch)]
    return [Element(Counter(marked(text)), _POISON.search(text) is not None, 1) for text in messages]


def read_datums(batch: MetricBatch, broken: list[str]) -> list[Element]:
    elements: list[Element] = []
    for index, datum in enumerate(orjson.loads(batch.body())["MetricData"]):
        held, units = read_datum(datum), batch.units_of(index)
        if held and held.total() != units:
            broken.append(f"a datum counts {units} samples and has {held}: {datum}")
        elements.append(Element(held, datum["MetricName"].startswith("poison."), units))
    return elements


def read_datum(datum: dict[str, Any]) -> Counter[int]:
    """The numbers of the samples in a datum, and how often each is in it."""
    family, _, rest = datum["MetricName"].partition(".")
    if family not in ("tracked", "poison"):
        return Counter()
    kind, _, block = rest.partition(".")
    if kind == "spread":
        return Counter({int(n): round(times) for n, times in zip(datum["Values"], datum["Counts"], strict=True)})
    total = round(datum["StatisticValues"]["Sum"])
    if kind == "same":
        return Counter({SAME: total})
    held: Counter[int] = Counter()
    for digit in range(DIGITS):
        if times := total >> 2 * digit & 3:
            held[int(block) * DIGITS + digit] = times
    return held


class Target:
    """Both far ends, as a target."""

    def __init__(self, metrics: FarEnd[MetricBatch], logs: LogFarEnd) -> None:
        self.metrics, self.logs = metrics, logs

    async def prepare(self) -> None:
        await asyncio.Event().wait()

    async def totals(self) -> None:
        return None

    async def close(self) -> None:
        return None


# --- what senders send --------------------------------------------------------------------------------


class Line(NamedTuple):
    """A StatsD line to be numbered."""

    type_: str
    values: int
    poisoned: bool
    ending: str


class Metric(NamedTuple):
    """A JSON metric to be numbered."""

    type_: str | None
    form: str
    poisoned: bool


class Event(NamedTuple):
    """A log event to be numbered."""

    stream: str | None
    poisoned: bool


_poisoned: Final = st.sampled_from([False, False, True])
_lines: Final = st.builds(
    Line,
    st.sampled_from(["c", "g", "ms", "h", "d", "same", "same"]),
    st.integers(1, 3),
    _poisoned,
    st.sampled_from(["", "", "|#a:b", "|#cw_resolution:1", "|Tminutes ago", "\r"]),
)
# Only a datagram's first byte says that it is JSON: a line of garbage must not say it of the lines behind it.
_garbage: Final = st.one_of(any_lines, statsd_lines()).filter(lambda line: line[:1] not in (b"{", b"["))
_events: Final = st.builds(Event, st.sampled_from([None, "a", "b"]), _poisoned)
_datagrams: Final = st.one_of(st.lists(st.one_of(_lines, _lines, _garbage), min_size=1, max_size=5), _events)
_metrics: Final = st.builds(
    Metric,
    st.sampled_from(["counter", "gauge", "timer", "distribution", None]),
    st.sampled_from(["value", "values", "statistics"]),
    _poisoned,
)


class Numbers:
    """Gives numbers, and writes what carries them."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.samples = 0
        self.events = 0

    def datagram(self, planned: list[Line | bytes] | Event, samples: Counter[int], events: Counter[int]) -> bytes:
        if isinstance(planned, Event):
            return orjson.dumps(self.event(planned, events))
        return b"\n".join(one if isinstance(one, bytes) else self._line(one, samples) for one in planned)

    def _line(self, plan: Line, samples: Counter[int]) -> bytes:
        if plan.type_ == "same":
            samples[SAME] += 1
            return b"tracked.same:1|c"
        kind = {"c": "sum", "g": "level"}.get(plan.type_, "spread")
        name, values = self._take(kind, 1 if kind == "level" else plan.values, poisoned=plan.poisoned, samples=samples)
        ending = plan.ending.replace("minutes ago", str(int(self._clock.now) - 150))
        return f"{name}:{':'.join(map(str, values))}|{plan.type_}{ending}".encode()

    def metric(self, plan: Metric, samples: Counter[int]) -> dict[str, Any]:
        kind = {"counter": "sum", "gauge": "level"}.get(plan.type_ or "", "spread")
        if plan.form == "statistics":
            kind = "sum"
        name, values = self._take(kind, 2 if plan.form == "values" else 1, poisoned=plan.poisoned, samples=samples)
        value = values[0]
        given = {
            "value": value,
            "values": values,
            "statistics": {"count": 1, "sum": value, "min": value, "max": value},
        }
        item = {"name": name, plan.form: given[plan.form]}
        return item if plan.type_ is None else {**item, "type": plan.type_}

    def event(self, plan: Event, events: Counter[int]) -> dict[str, Any]:
        item = {"message": self.text(events, poisoned=plan.poisoned)}
        return item if plan.stream is None else {**item, "log_stream": plan.stream}

    def text(self, events: Counter[int], *, poisoned: bool) -> str:
        self.events += 1
        events[self.events] += 1
        return f"<{self.events}{'!' if poisoned else ''}>" + "x" * 50

    def _take(self, kind: str, count: int, *, poisoned: bool, samples: Counter[int]) -> tuple[str, list[int]]:
        """The next numbers, all of one series: its name, and the values that tell them."""
        block = SPREAD if kind == "spread" else DIGITS
        if self.samples % block + count >= block:
            self.samples += block - self.samples % block
        first = self.samples + 1
        self.samples += count
        numbers = range(first, first + count)
        samples.update(numbers)
        name = f"{'poison' if poisoned else 'tracked'}.{kind}.{first // block}"
        return name, list(numbers) if kind == "spread" else [4 ** (number % DIGITS) for number in numbers]


# --- a life -------------------------------------------------------------------------------------------


class Unsafe(NamedTuple):
    """Samples that only memory has until the next checkpoint or flush."""

    at: float  # monotonic seconds
    samples: Counter[int]


class Flush(NamedTuple):
    """A flush under way or done; `whole`: of all windows, the open ones as well."""

    task: asyncio.Task[None]
    started: float
    whole: bool


class Life:
    """One life of the daemon, from taking the directory over to its end."""

    def __init__(self, directory: Path, clock: HandClock, target: Target) -> None:
        self.clock = clock
        self.target = target
        self.directory = directory
        self.loop = HandLoop(clock)
        self.failures: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.thread = HandThread()
        self.app = App(configuration(directory), clock, target=target)
        delivery = self.app._delivery
        delivery.metrics.channel.capacity_bytes = METRIC_MEMORY
        delivery.logs.channel.capacity_bytes = LOG_MEMORY
        spool, keeper = delivery.spool, self.app._keeper
        assert spool is not None
        assert keeper is not None
        spool._thread = self.thread
        self.closers: list[Coroutine[Any, Any, None]] = []
        delivery.closers = self._remembered(delivery.closers)  # type: ignore[method-assign]
        self.spool, self.keeper = spool, keeper
        self.pipeline, self.ledger = self.app._pipeline, self.app._ledger
        self.disk_works = True
        self.disk_hung = False
        target.metrics.disk_hung = target.logs.disk_hung = lambda: self.disk_hung
        self.draining = False
        self.flushes: list[Flush] = []
        self.flushed: list[Flush] = []
        self.log_flushes: list[asyncio.Task[None]] = []
        self.bodies: list[asyncio.Task[None]] = []
        self.unsafe: list[Unsafe] = []
        self.unsafe_events: Counter[int] = Counter()
        self.flushed_at = 0.0  # when a flush was last under way
        self.checkpointed_at = 0.0
        target.metrics.live(self.ledger.samples)
        target.logs.live(self.ledger.log_events)
        self.kept = True  # what comes, from the start
        self.workers: list[asyncio.Task[None]] = []
        self.running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, as the app does, but for what listens and for the timers of flushes."""
        self.kept = self.run(self.loop.create_task(self.keeper.open()))
        self.target.logs.in_order = self.kept
        self.target.logs.latest.clear()
        delivery = self.app._delivery
        self.workers = [self.loop.create_task(worker) for worker in delivery.workers()]
        self.running = [self.loop.create_task(work) for work in (self.keeper.run(), *delivery.timers())]

    # --- moving on ---

    def turn(self) -> None:
        """Let the loop come round once, and the disk do one thing."""
        self.loop.turn()
        self.disk_hung |= not self.disk_works and bool(self.thread.jobs)
        if self.disk_works:
            self.thread.work()
        self._note()
        self.check()

    def settle(self) -> None:
        """Let everything come to its end that waits for no timer."""
        for _ in range(MOST_TURNS):
            self.turn()
            if self.loop.idle and not (self.thread.jobs and self.disk_works):
                return
        raise AssertionError("it never comes to rest")

    def run(self, work: asyncio.Task[T]) -> T:
        """Let everything come to its end that `work` waits for; time passes where nothing else happens."""
        self.disk_works = True
        for _ in range(MOST_TURNS):
            self.turn()
            if work.done():
                return work.result()
            if self.loop.idle and not self.thread.jobs:
                timer = self.loop.next_timer
                assert timer is not None, "it waits for nothing"
                self.pass_time(max(0.0, timer - self.clock.elapsed))
        raise AssertionError("it never ends")

    def pass_time(self, seconds: float) -> None:
        self.clock.elapsed += max(0.0, seconds)
        self.clock.now += seconds

    def call(self, work: Callable[[], None]) -> None:
        """Do something in the loop."""
        task = self.loop.create_task(_called(work))
        self.turn()
        task.result()

    # --- what comes in ---

    def datagrams(self, burst: list[bytes], samples: Counter[int], events: Counter[int]) -> None:
        def take() -> None:
            more = self.pipeline.datagrams(burst)
            while more:
                more = self.pipeline.datagrams([])
            self._received(samples, events)

        self.target.metrics.sent += samples
        self.target.logs.takes(events)
        self.call(take)

    def body(self, route: str, body: bytes, type_: str, samples: Counter[int], events: Counter[int]) -> None:
        """Begin to take a body."""

        async def take() -> None:
            try:
                if route == "metrics":
                    outcome = await self.pipeline.ingest_metrics(body, type_)
                else:
                    outcome = await self.pipeline.ingest_logs(body, type_)
            except (BusyError, UnsupportedError):
                self.target.metrics.sent -= samples  # nothing of it was taken
                self.target.logs.sent -= events
                return
            self._received(samples, Counter())
            self.target.logs.has_taken(events)
            if outcome.durable is not None:
                if await outcome.durable:
                    self.target.logs.safe |= events
                elif self.spool.opened:
                    self.unsafe_events += events

        self.target.metrics.sent += samples
        self.target.logs.takes(events)
        self.bodies.append(self.loop.create_task(take()))
        self.turn()

    def _received(self, samples: Counter[int], events: Counter[int]) -> None:
        self.target.logs.has_taken(events)
        if self.spool.opened:  # what comes before may be in a batch that only memory has
            self.unsafe.append(Unsafe(self.clock.elapsed, samples))
            self.unsafe_events += events

    # --- what becomes safe ---

    def flush(self, resolutions: tuple[int, ...], *, unfinished: bool) -> None:
        work = self.pipeline.flush_metrics("timer", unfinished=unfinished, resolutions=resolutions)
        whole = unfinished and len(resolutions) == 2
        self.flushes.append(Flush(self.loop.create_task(work), self.clock.elapsed, whole))
        self.turn()

    def flush_logs(self) -> None:
        self.log_flushes.append(self.loop.create_task(self.pipeline.flush_logs("timer")))
        self.turn()

    def _note(self) -> None:
        """Note what is on disk by now."""
        if self.flushes:
            self.flushed_at = self.clock.elapsed
        self.flushed += [flush for flush in self.flushes if flush.task.done()]
        self.flushes = [flush for flush in self.flushes if not flush.task.done()]
        at = self.keeper._last_checkpoint
        if at > self.checkpointed_at and self.spool.opened and not self.draining:
            self.checkpointed_at = at
            if self.flushed_at < at:  # else windows may have been half way between checkpoints and batches
                self._now_safe(at)
        if self._written():
            self.disk_hung = False
            self.target.metrics.unmarked = self.target.logs.unmarked = 0
            self.target.metrics.noting.clear()
            self.target.logs.noting.clear()
            if self.spool.opened:
                self.target.logs.safe |= self.unsafe_events
                self.unsafe_events.clear()
            if not self.flushes:
                self._now_safe(max((flush.started for flush in self.flushed if flush.whole), default=0.0))
                self.flushed.clear()

    def _written(self) -> bool:
        """Whether nothing waits to be written."""
        return not self.thread.jobs and not self.spool._waiting and self.spool._writer is None

    def _now_safe(self, before: float) -> None:
        self.target.metrics.safe += sum((one.samples for one in self.unsafe if one.at < before), Counter[int]())
        self.unsafe = [one for one in self.unsafe if one.at >= before]

    # --- what holds ---

    def check(self) -> None:
        self.target.metrics.check(kept=self.kept)
        self.target.logs.check(kept=self.kept)
        assert not self.failures, self.failures
        for flush in self.flushed:
            flush.task.result()
        self.bodies = [body for body in self.bodies if not body.done() or body.result()]
        self.log_flushes = [flush for flush in self.log_flushes if not flush.done() or flush.result()]
        if not self.draining:
            for task in (*self.workers, *self.running):
                assert not task.done(), task
        for channel in (self.app._delivery.metrics.channel, self.app._delivery.logs.channel):
            # Splitting a batch that is in hand makes it more, by what each part takes beside its elements.
            assert channel.memory_bytes <= 2 * channel.capacity_bytes

    # --- how it ends ---

    def start_drain(self) -> asyncio.Task[None]:
        self.draining = True
        self.target.logs.in_order = False  # each batch gets one attempt, whatever became of the one before
        return self.loop.create_task(self.app.daemon.drain(self.running, self.workers))

    def drain(self) -> None:
        """SIGTERM, and as long as it takes."""
        opened = self.spool.opened
        self.run(self.start_drain())
        self.settle()
        assert not self.bodies
        assert not self.flushes
        if opened:
            self._now_safe(float("inf"))
            self.target.logs.safe |= self.unsafe_events
        self._end()

    def kill(self, *, under_way: bool) -> None:
        """SIGKILL: what the disk has it has; `under_way`: also what it was just about to do."""
        if under_way:
            self.thread.work()
        self.thread.dead = True
        self.thread.jobs.clear()
        store, self.thread.store = self.thread.store, None
        if store is not None:
            # Closing a database tidies it up, which the dead do not.
            files = [self.directory / FILE, self.directory / f"{FILE}-wal"]
            left = {file: file.read_bytes() for file in files if file.exists()}
            store.close()
            for file, content in left.items():
                file.write_bytes(content)
        self._end()

    def _remembered(self, make: Callable[[], list[Coroutine[Any, Any, None]]]) -> Callable[[], list[Any]]:
        def remember() -> list[Any]:
            made = make()
            self.closers += made
            return made

        return remember

    def _end(self) -> None:
        self.target.metrics.die()
        self.target.logs.die()
        self.thread.dead = True
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.turn()
        for closer in self.closers:
            closer.close()  # a crash may come before it was its turn
        self.loop.close()


async def _called(work: Callable[[], None]) -> None:
    work()


def configuration(directory: Path) -> Config:
    return Config.model_validate(
        {
            "namespace": "App",
            "listen": {"statsd_port": None, "admin_port": None},
            "logs": {"flush_bytes": 1_024},
            "deliver": {
                "spool_dir": str(directory),
                "retry_base_seconds": 0.2,
                "retry_max_seconds": 2.0,
                "drain_seconds": 10.0,
            },
        }
    )


def rows(directory: Path) -> dict[str, int]:
    """What the spool holds, by table."""
    with closing(sqlite3.connect(directory / FILE)) as database:
        return {
            table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("batches", "segments", "deltas")
        }


# --- lives --------------------------------------------------------------------------------------------

_bursts: Final = st.lists(_datagrams, min_size=1, max_size=3)
_answers: Final = st.sampled_from(ANSWERS)
_few: Final = st.integers(1, 12)
_times: Final = st.sampled_from([1, 2, 4])


class WholeLife(RuleBasedStateMachine):
    """Lives of a daemon on one spool directory: whatever happens, nothing is lost or sent twice unsaid."""

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        self.cleanup.enter_context(capture_logs())
        self.cleanup.enter_context(patch("sidecar.batch.metrics.DATUMS_PER_REQUEST", DATUMS))
        self.cleanup.enter_context(patch("sidecar.batch.logs.EVENTS_PER_REQUEST", EVENTS))
        self.directory = Path(tempfile.mkdtemp())
        self.cleanup.callback(shutil.rmtree, self.directory)
        self.clock = HandClock()
        self.numbers = Numbers(self.clock)
        self.metrics, self.logs = FarEnd("PutMetricData", read_datums), LogFarEnd()
        self.left: tuple[int, int] | None = (0, 0)  # in the spool: samples, log events; None: who knows
        self.lock: int | None = None
        self.ended = False
        self.target = Target(self.metrics, self.logs)
        self.life = Life(self.directory, self.clock, self.target)
        self.live()

    def live(self) -> None:
        """Begin a life, and see that it finds what the one before left."""
        try:
            self.life.start()
            if self.life.kept:
                found = self.life.ledger.samples.recovered, self.life.ledger.log_events.recovered
                assert self.left in (None, found), (self.left, found)
            self.left = None
        except BaseException:
            self.close()
            raise

    # --- what comes in ---

    @rule(planned=_bursts, times=_times)
    def datagrams(self, planned: list[list[Line | bytes] | Event], times: int) -> None:
        samples: Counter[int] = Counter()
        events: Counter[int] = Counter()
        burst = [self.numbers.datagram(one, samples, events) for one in planned * times]
        self.life.datagrams(burst, samples, events)

    @rule(planned=st.lists(st.one_of(_metrics, _metrics, spoiled_items()), min_size=1, max_size=6), times=_times)
    def metrics_over_http(self, planned: list[Any], times: int) -> None:
        planned = planned * times
        samples: Counter[int] = Counter()
        items = [self.numbers.metric(one, samples) if isinstance(one, Metric) else one for one in planned]
        self.life.body("metrics", orjson.dumps(items), "application/json", samples, Counter())

    @rule(
        planned=st.lists(st.one_of(_events, _events, log_items()), min_size=1, max_size=6),
        times=_times,
        as_text=st.booleans(),
    )
    def log_events_over_http(self, planned: list[Any], times: int, as_text: bool) -> None:  # noqa: FBT001
        planned = planned * times
        events: Counter[int] = Counter()
        if as_text:
            lines = [self.numbers.text(events, poisoned=one.poisoned) for one in planned if isinstance(one, Event)]
            self.life.body("logs", "\n".join(lines).encode(), "text/plain", Counter(), events)
            return
        items = [self.numbers.event(one, events) if isinstance(one, Event) else one for one in planned]
        self.life.body("logs", b"\n".join(map(orjson.dumps, items)), "application/x-ndjson", Counter(), events)

    @rule(body=json_bodies, door=st.sampled_from(["metrics", "logs", "datagram"]))
    def anything(self, body: bytes, door: str) -> None:
        if door == "datagram":
            self.life.datagrams([body], Counter(), Counter())
        else:
            self.life.body(door, body, "application/json", Counter(), Counter())

    # --- what goes on ---

    @rule(turns=_few, disk_works=st.sampled_from([True, True, False]))
    def go_on(self, turns: int, disk_works: bool) -> None:  # noqa: FBT001
        """A few turns, with a disk that hangs from now on or works."""
        self.life.disk_works = disk_works
        for _ in range(turns):
            self.life.turn()

    @rule(flush=st.booleans(), seconds=st.sampled_from([0.5, STALL_SECONDS, 5.0, 61.0]), works=st.booleans())
    def the_disk_hangs(self, flush: bool, seconds: float, works: bool) -> None:  # noqa: FBT001
        """For so long, with something to write or not, and perhaps from then on."""
        self.life.disk_works = False
        if flush:
            self.flush()
        self.life.settle()
        for part in (min(seconds, STALL_SECONDS), seconds - min(seconds, STALL_SECONDS)):
            self.life.pass_time(part + 0.1)
            self.life.settle()
        self.life.disk_works = works

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, REQUEST_SECONDS, 61.0, -90.0]), settle=st.booleans())
    def time_passes(self, seconds: float, settle: bool) -> None:  # noqa: FBT001
        self.life.pass_time(seconds)
        if settle:
            self.life.settle()

    @rule(resolutions=st.sampled_from([(1,), (60,), (1, 60), (1, 60)]), unfinished=st.booleans(), settle=st.booleans())
    def flush_metrics(self, resolutions: tuple[int, ...], unfinished: bool, settle: bool) -> None:  # noqa: FBT001
        self.life.flush(resolutions, unfinished=unfinished)
        if settle:
            self.life.settle()

    @rule(settle=st.booleans())
    def flush_logs(self, settle: bool) -> None:  # noqa: FBT001
        self.life.flush_logs()
        if settle:
            self.life.settle()

    @rule(
        turns=st.one_of(st.none(), _few), flushes=st.sampled_from([None, None, (1,), (60,)]), unfinished=st.booleans()
    )
    def checkpoint(self, turns: int | None, flushes: tuple[int, ...] | None, unfinished: bool) -> None:  # noqa: FBT001
        """Let the time for one come, and go on with it for a while or to its end; a flush may come in between."""
        self.life.pass_time(0.6)
        for _ in range(turns or 0):
            self.life.turn()
        if flushes is not None:
            self.life.flush(flushes, unfinished=unfinished)
        if turns is None:
            self.life.settle()

    @rule(metrics=_answers, logs=_answers, flush=st.booleans(), seconds=st.sampled_from([None, 0.1, 0.4, 2.0, 6.0]))
    def answers_change(self, metrics: Answer, logs: Answer, flush: bool, seconds: float | None) -> None:  # noqa: FBT001
        """The far end answers otherwise from now on; there may be something to answer at once, and time to do so."""
        self.metrics.answer, self.logs.answer = metrics, logs
        if flush:
            self.flush()
        if seconds is not None:
            self.life.settle()
            self.life.pass_time(seconds)
            self.life.settle()

    def flush(self) -> None:
        self.life.flush((1, 60), unfinished=True)
        self.life.flush_logs()

    # --- how a life ends, and the next begins ---

    @rule(under_way=st.booleans(), locked=st.integers(0, 7).map(lambda n: n == 0))
    def crash(self, under_way: bool, locked: bool) -> None:  # noqa: FBT001
        self.life.kill(under_way=under_way)
        self.live_again(locked=locked)

    @rule(metrics=_answers, logs=_answers)
    def drain_and_restart(self, metrics: Answer, logs: Answer) -> None:
        self.metrics.answer, self.logs.answer = metrics, logs
        self.drain()
        self.live_again(locked=False)

    @rule(turns=st.integers(1, 80), under_way=st.booleans())
    def crash_while_draining(self, turns: int, under_way: bool) -> None:  # noqa: FBT001
        drain = self.life.start_drain()
        for _ in range(turns):
            if not drain.done():
                self.life.turn()
                if self.life.loop.idle and not self.life.thread.jobs and self.life.loop.next_timer:
                    self.life.pass_time(max(0.0, self.life.loop.next_timer - self.clock.elapsed))
        self.life.kill(under_way=under_way)
        self.live_again(locked=False)

    @precondition(lambda self: self.lock is not None)
    @rule()
    def the_other_daemon_leaves(self) -> None:
        self.leave()
        self.life.pass_time(REQUEST_SECONDS)

    def drain(self) -> None:
        opened = self.life.spool.opened
        self.life.drain()
        if opened:
            self.left = self.life.ledger.samples.pending, self.life.ledger.log_events.pending

    def live_again(self, *, locked: bool) -> None:
        """The next life; `locked`: another daemon has the directory when it begins."""
        self.leave()
        if locked:
            self.lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.life = Life(self.directory, self.clock, self.target)
        self.live()

    def leave(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    @invariant()
    def the_equation_holds(self) -> None:
        self.life.check()

    # --- the end ---

    def teardown(self) -> None:
        try:
            if not self.ended:
                self.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of everything, however it ended."""
        if not self.ended:
            self.ended = True
            self.life.kill(under_way=False)
        self.leave()
        self.cleanup.close()

    def finish(self) -> None:
        """The far end takes everything: see what arrived."""
        self.leave()
        self.metrics.answer = self.logs.answer = OK
        life = self.life
        life.disk_works = True
        for _ in range(50):
            life.settle()
            if life.spool.opened and self.pending == 0 and not life.bodies:
                break
            self.flush()
            life.settle()
            life.pass_time(1.0)
        assert life.spool.opened
        assert self.pending == 0
        self.life.drain()
        self.ended = True
        assert rows(self.directory) == {"batches": 0, "segments": 0, "deltas": 0}
        self.metrics.check_all()
        self.logs.check_all()

    @property
    def pending(self) -> int:
        return self.life.ledger.samples.pending + self.life.ledger.log_events.pending


def test_a_checkpoint_that_finds_nothing_waits_for_what_a_flush_has_taken(tmp_path: Path) -> None:
    """Or its age would say that a crash costs nothing, while the disk hangs and the batches are in memory only."""
    life = Life(tmp_path, HandClock(), Target(FarEnd("PutMetricData", read_datums), LogFarEnd()))
    life.start()
    life.datagrams([b"tracked.same:1|c"], Counter({SAME: 1}), Counter())
    life.disk_works = False
    life.flush((1, 60), unfinished=True)
    for _ in range(5):
        life.pass_time(1.0)
        life.settle()
    age = life.keeper.checkpoint_age()
    life.kill(under_way=False)

    assert age > 4.0


TestWholeLife = pytest.mark.timeout(max(120, 4 * EXAMPLES))(WholeLife.TestCase)
TestWholeLife.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)
