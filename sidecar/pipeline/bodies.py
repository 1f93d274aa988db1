"""The way of a body over HTTP: admission, its elements one by one, the answer in its sender's dialect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

from sidecar.model.batches import MEMORY_PER_ELEMENT
from sidecar.model.errors import BodyTooLargeError, BusyError, DecodeError, DrainingError, Reason
from sidecar.model.events import LogEvent, Outcome
from sidecar.model.exchange import Answer, Dialect, Event, Reading, Request
from sidecar.model.samples import Sample
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.runtime.turns import Turns

REJECTED_LISTED: Final = 1_000  # of one body; further ones are counted and not listed
COUNTED_BYTES: Final = 262_144  # of a body, looked at in one turn
RETRY_AFTER: Final = 2  # seconds, the Retry-After of a 429
# CloudWatch Logs drops these events alone, whatever becomes of the rest of the request.
_ALONE: Final = (Reason.TIMESTAMP_TOO_OLD, Reason.TIMESTAMP_TOO_NEW)


class Bodies:
    """Processes bodies."""

    def __init__(
        self,
        *,
        metrics: MetricPath,
        logs: LogBuffers,
        dispatch: Dispatch,
        flushes: MetricFlushes,
        capacities: tuple[int, int],
        durable: bool,
        observer: Observer,
    ) -> None:
        """Describe where events go.

        Args:
            metrics: says whether there is room for samples.
            logs: says whether there is room for log events, and saves them.
            dispatch: decodes elements and hands their events on.
            flushes: looks for an early flush after each body.
            capacities: the most that may wait of metrics and of logs, bytes.
            durable: log events are written to the disk before they are answered.
            observer: counts elements that cannot be decoded; its clock gives the time of arrival, and slices.
        """
        self._metrics = metrics
        self._logs = logs
        self._dispatch = dispatch
        self._flushes = flushes
        self._durable = durable
        self._clock = observer.clock
        ledger = observer.ledger
        self._rooms = {
            "samples": (metrics.room_for, capacities[0], ledger.samples),
            "log_events": (logs.room_for, capacities[1], ledger.log_events),
        }
        self._closed = False
        self._working = 0  # bodies being processed
        self._reserved_bytes = 0  # what their events may need
        self._idle = asyncio.Event()  # set when no body is being processed any more

    def close(self) -> None:
        """Refuse every body from now on."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until no body is being processed."""
        while self._working:
            self._idle.clear()
            await self._idle.wait()

    async def ingest(self, dialect: Dialect, input_: str, request: Request) -> Answer | Awaitable[Answer] | None:
        """Process one request.

        Args:
            dialect: how it is written.
            input_: the label under which the ledger counts its events.
            request: with its body.

        Returns:
            The answer; what waits for it, where what was accepted has to become durable or AWS is asked, to be
            awaited once; None where the request is not of this dialect.

        Raises:
            BodyTooLargeError: it would not fit even if nothing else were held.
            BusyError: no room; nothing was accepted.
            DrainingError: the sidecar is draining.
            EmptyBodyError: there is nothing in it.
            TooManyItemsError: over 100,000 elements; nothing was accepted.
            UnsupportedError: a kind of body that is not read.
        """
        reading = dialect.read(request, self._clock.wall())
        if reading is None:
            return None
        outcome = await self.process(reading, input_)
        if outcome.durable is None:
            return reading.answer(outcome, durable=None)
        return _answer_when_durable(reading, outcome, outcome.durable)

    async def process(self, reading: Reading, input_: str) -> Outcome:
        """Process a body that is being read; raises as `ingest` does."""
        signal, size, mark = reading.signal, reading.size_bytes, reading.mark
        if mark:
            body = reading.body
            number = 1 + (body.count(mark) if len(body) <= COUNTED_BYTES else await _number_of(mark, body))
            size += MEMORY_PER_ELEMENT * number
        if self._closed:
            raise DrainingError
        if signal is None:
            account = self._rooms["samples"][2]
        else:
            room_for, capacity, account = self._rooms[signal]
            self._admit(room_for, size, capacity)
        not_durable = self._logs.not_durable
        now = self._clock.wall()
        turns = Turns(self._clock.monotonic)
        elements = reading.elements()
        source = Source(input_, account, reading.decode, documents=reading.documents)
        # Memory is reserved for the events of the body, and the drain waits for it.
        self._working += 1
        self._reserved_bytes += size
        try:
            if reading.whole:
                elements = await self._checked(elements, source, now, turns)
                source = Source(input_, account, _itself)
            outcome = await self._each(elements, source, now, turns)
        finally:
            self._reserved_bytes -= size
            self._working -= 1
            if not self._working:
                self._idle.set()
        self._flushes.check_thresholds()
        if signal == "log_events" and self._durable:
            self._logs.save()
            outcome.durable = self._logs.durable_since(not_durable)
        return outcome

    def _admit(self, room_for: Callable[[int], bool], size_bytes: int, capacity_bytes: int) -> None:
        if size_bytes > capacity_bytes:  # a 429 would be repeated for ever
            raise BodyTooLargeError(
                f"the body may take {size_bytes} bytes of memory, of {capacity_bytes} in all: send it in parts"
                " (deliver.memory_bytes, deliver.spool_max_bytes)"
            )
        if not room_for(self._reserved_bytes + size_bytes):
            raise BusyError(RETRY_AFTER)

    async def _each(self, elements: Iterable[Any | None], source: Source, now: float, turns: Turns) -> Outcome:
        """Process elements that arrived at `now`, yielding to the event loop every 0.5 ms."""
        self._metrics.note_time(now)
        accepted = 0
        rejected: list[tuple[int, str]] = []
        refused = 0
        ingest = self._dispatch.ingest
        for element in elements:
            if element is None:
                if turns.half():
                    await turns.give()
                continue
            outcome = ingest(element, source, now)
            if outcome is not None and isinstance(outcome, Iterator):
                # Of several events: the element is rejected if one of them is.
                steps, outcome = outcome, None
                for error in steps:
                    outcome = error or outcome
                    if turns.half():
                        await turns.give()
            if outcome is None or not isinstance(outcome, DecodeError):
                accepted += 1
            else:
                refused += 1
                if refused <= REJECTED_LISTED:
                    rejected.append((accepted + refused - 1, str(outcome)))
            if turns.due():
                await turns.give()
        return Outcome(accepted, rejected, refused)

    async def _checked(
        self, elements: Iterable[Any | None], source: Source, now: float, turns: Turns
    ) -> Iterator[Event]:
        """Decode and check elements without ingesting them; returns their events, all refused where one of them is."""
        events: deque[Event] = deque()
        wrong = False
        for element in elements:
            if element is not None:
                event = self._check(element, source, now)
                alone = isinstance(event, DecodeError) and source.account is self._rooms["log_events"][2]
                wrong = wrong or (isinstance(event, DecodeError) and not (alone and event.reason in _ALONE))
                events.append(event)
            if turns.half() if element is None else turns.due():
                await turns.give()
        if wrong:
            others = DecodeError(Reason.REQUEST_REFUSED, "another element of the request is refused (aws.strict)")
            events = deque(event if isinstance(event, DecodeError) else others for event in events)
        # Each is let go of when it is processed: to free all at once takes milliseconds.
        return (events.popleft() for _ in range(len(events)))

    def _check(self, element: Any, source: Source, now: float) -> Event:
        try:
            event = source.decode(element, now)
            if type(event) is Sample:
                self._metrics.check(event, now, source.input_)
        except DecodeError as error:
            return DecodeError(error.reason, error.detail)  # without its traceback, which holds the body
        if not isinstance(event, Sample | LogEvent | DecodeError):
            raise TypeError(f"{type(event).__name__} is not one event")
        return event


async def _number_of(mark: bytes, body: bytes) -> int:
    """How often a large body has a mark, counted with turns for the event loop: a megabyte takes up to 1.2 ms."""
    number = 0
    for first in range(0, len(body), COUNTED_BYTES):
        number += body.count(mark, max(0, first - len(mark) + 1), first + COUNTED_BYTES)
        await asyncio.sleep(0)
    return number


def _itself(event: Event, _: float) -> Event:
    return event


async def _answer_when_durable(reading: Reading, outcome: Outcome, durable: Awaitable[bool]) -> Answer:
    answer = reading.answer(outcome, durable=await durable)
    return answer if isinstance(answer, Answer) else await answer
