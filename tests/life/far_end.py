"""Where the batches of a life go: it answers as a test decides, and records what became of every number.

Samples and log events are numbered by `tests/life/senders.py`. What holds at every moment of a life, and what holds
once everything was delivered, is checked here.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from sidecar.deliver.backlog import Backlog
from sidecar.deliver.parcel import Parcel
from sidecar.deliver.worker import Rejected
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import DeliveryError, Reason
from sidecar.observe.ledger import SignalLedger
from tests.life.senders import DIGITS, SAME

B = TypeVar("B", MetricBatch, LogBatch)

REFUSALS: Final = (Reason.REJECTED, Reason.REQUEST_TOO_LARGE, Reason.EXPIRED)
NEVER: Final = (Reason.SPOOL_FULL, Reason.SPOOL_DAMAGED, Reason.INTERNAL_ERROR)
WITHOUT_SPOOL: Final = (Reason.MEMORY_FULL, Reason.ABANDONED)


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


def in_hand(backlog: Backlog[Any] | None) -> list[Parcel[Any]]:
    """What is being sent."""
    return [] if backlog is None else [lane.in_hand for lane in backlog.waiting.lanes._lanes.values() if lane.in_hand]


def all_saved(backlog: Backlog[Any], account: SignalLedger) -> bool:
    """Whether all that came and is not delivered is known to be on disk: none is in memory alone, or was dropped there."""
    if any(account.dropped[reason] for reason in WITHOUT_SPOOL):
        return False
    lanes = backlog.waiting.lanes
    waiting = [parcel for lane in lanes._lanes.values() for parcel in lane.waiting]
    return all(parcel.saved for parcel in [*waiting, *in_hand(backlog), *lanes._parked])


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
        self.backlog: Backlog[B] | None = None
        self.delivered = 0
        self.dropped: Counter[Reason] = Counter()

    def live(self, account: SignalLedger, backlog: Backlog[B]) -> None:
        """A life begins."""
        self.account = account
        self.backlog = backlog
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
        if self.disk_hung() or not any(one.saved for one in in_hand(self.backlog) if one.batch is batch):
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
        if any(account.dropped[reason] for reason in WITHOUT_SPOOL):
            self.safe.clear()  # counted as lost: which ones it was is not known here

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
        self.disk_gave_up = (
            False  # before the daemon was killed: the order of what was found again is not that of arrival
        )
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
                if first and overtaken and self.in_order and not self.disk_gave_up:
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
