"""Sends the parcels of a backlog, and decides what becomes of those that could not be sent.

One worker a signal, so that metrics and logs fail independently. It knows batches only by their number of
elements and what they count in the ledger, and the destination only as something that sends or raises.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import structlog

from sidecar.deliver.backlog import Backlog
from sidecar.deliver.lanes import LanesClosedError
from sidecar.deliver.pace import Pace
from sidecar.deliver.parcel import B, Batch, Parcel
from sidecar.deliver.retry import Backoff, Failure, Refusals, advice, classify, culprits
from sidecar.model.errors import DeliveryError, Reason
from sidecar.observe.health import DeliveryHealth
from sidecar.observe.ledger import RequestLedger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock

THROTTLES_DOWN: Final = 5
"""Throttled requests in a row after which delivery counts as failing; before that it is only slowed."""

B_contra = TypeVar("B_contra", bound=Batch, contravariant=True)


class Rejected(NamedTuple):
    """An element the destination took out of a request it accepted."""

    element: int  # its index in the batch
    reason: Reason


class Destination(Protocol[B_contra]):
    """Where batches go."""

    operation: str
    """The label of its requests, such as PutMetricData."""

    async def send(self, batch: B_contra) -> list[Rejected]:
        """Send one batch; returns the elements that were not stored all the same.

        Raises:
            DeliveryError: the batch as a whole was not stored, or that is not known.
        """
        ...


class Worker(Generic[B]):
    """Sends what a backlog holds, until it is drained and nothing is left to send."""

    def __init__(
        self,
        signal: str,
        backlog: Backlog[B],
        destination: Destination[B],
        *,
        backoff: Backoff,
        pace: Pace,
        account: SignalLedger,
        requests: RequestLedger,
        health: DeliveryHealth,
        clock: Clock,
        limiter: Limiter,
        concurrency: int = 1,
    ) -> None:
        """Take over its collaborators; `signal` is metrics or logs, for log lines."""
        self._signal = signal
        self._backlog = backlog
        self._destination = destination
        self._backoff = backoff
        self._account = account
        self._requests = requests
        self._health = health
        self._clock = clock
        self._limiter = limiter
        self._concurrency = concurrency
        self._pace = pace
        self._turn = asyncio.Lock()  # first come, first served
        self._throttles = 0  # in a row
        self._refusals = Refusals()
        self._draining = False
        self._drain_begun = asyncio.Event()
        self._log = structlog.get_logger(signal=signal)

    def drain(self) -> None:
        """From now on nothing waits for a retry: each batch gets one more attempt."""
        self._draining = True
        self._drain_begun.set()
        self._backlog.drain()

    async def run(self) -> None:
        """Send until the backlog is drained and nothing is left to send."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._concurrency):
                tasks.create_task(self._send_all(), name=f"{self._signal}-{number}")

    async def _send_all(self) -> None:
        while True:
            try:
                parcel = await self._backlog.get()
            except LanesClosedError:
                return
            await self._send(parcel)

    async def _send(self, parcel: Parcel[B]) -> None:
        started = self._clock.monotonic()
        try:
            await self._take_turn()
            await self._backlog.sending(parcel)
            started = self._clock.monotonic()
            rejected = await self._destination.send(parcel.contents)
        except DeliveryError as error:
            failure = classify(error)
            self._observe(failure.value, started)
            if failure is Failure.THROTTLE:
                self._throttled(parcel, error, started)
            self._failed(parcel, error, failure)
        except BaseException:
            # The drain deadline, or a bug: it may have been stored; it stays pending.
            self._backlog.retry(parcel, 0.0, stored=True)
            raise
        else:
            self._observe("ok", started)
            self._delivered(parcel, rejected)

    async def _take_turn(self) -> None:
        """Wait until the pace of this operation allows another request; in a drain nothing waits."""
        async with self._turn:
            while not self._draining and (pause := self._pace.pause(self._clock.monotonic())) > 0.0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._drain_begun.wait()
            self._pace.begin(self._clock.monotonic())

    def _throttled(self, parcel: Parcel[B], error: DeliveryError, started: float) -> None:
        """Slow down if it was this operation that was throttled, and log it."""
        self._throttles += 1
        operation = error.operation or self._destination.operation
        now = self._clock.monotonic()
        if operation == self._destination.operation:
            self._pace.throttled(now, started, first_attempt=not self._backoff.failures(parcel.lane))
        limit = self._pace.limit(now)
        self._limiter.warning(
            f"throttled {operation}",
            "the service throttles requests, they are retried more slowly",
            signal=self._signal,
            operation=operation,
            requests_per_second_limit=limit and round(limit, 3),
            error=str(error),
            fix=advice(Failure.THROTTLE, error),
        )

    def _observe(self, outcome: str, started: float) -> None:
        self._requests.observe(self._destination.operation, outcome, self._clock.monotonic() - started)

    def _delivered(self, parcel: Parcel[B], rejected: list[Rejected]) -> None:
        if self._health.succeeded(self._clock.wall()):
            self._log.info("delivery works again")
        self._backoff.reset(parcel.lane)
        self._refusals.reset(parcel.lane)
        self._throttles = 0
        batch, units = parcel.contents, parcel.units
        for index, reason in rejected:
            lost = batch.units_of(index)
            units -= lost
            self._account.dropped[reason] += lost
            self._backlog.rejected(reason, "taken out of an accepted request", batch.describe(index), lost)
            self._limiter.error(
                f"rejected {self._signal} {reason}",
                "the service accepted the request but not this element",
                signal=self._signal,
                reason=reason,
                element=batch.describe(index),
            )
        self._account.delivered += units
        self._backlog.settle(parcel)

    def _failed(self, parcel: Parcel[B], error: DeliveryError, failure: Failure) -> None:
        if failure is Failure.INVALID:
            self._isolate(parcel, error)
            return
        if failure is Failure.TOO_LARGE:
            self._halve(parcel, error, Reason.REQUEST_TOO_LARGE)
            return
        if error.ambiguous and not self._draining:
            self._account.ambiguous += parcel.units
        slowed = failure is Failure.THROTTLE and self._throttles < THROTTLES_DOWN
        if not slowed and self._health.failed(self._clock.wall(), str(error), advice(failure, error)):
            self._log.warning(
                "delivery fails, will retry", failure=failure.value, error=str(error), fix=advice(failure, error)
            )
        if self._draining:
            self._backlog.park(parcel, stored=error.ambiguous)  # it is retried by the next process, or abandoned
            return
        delay = self._backoff.after(parcel.lane, failure, error.retry_after)
        self._backlog.retry(parcel, delay, stored=error.ambiguous)

    def _isolate(self, parcel: Parcel[B], error: DeliveryError) -> None:
        """Take out what the service calls invalid; everything beside it goes again."""
        batch = parcel.contents
        named = culprits(error, len(batch))
        if not named:
            if self._refusals.hopeless(parcel.lane, str(error)) and len(batch) > 1:
                self._give_up(parcel, error)
            else:
                self._halve(parcel, error, Reason.REJECTED)
            return
        for index in named:
            self._refused(batch, index, error, Reason.REJECTED)
        refused = set(named)
        rest = [index for index in range(len(batch)) if index not in refused]
        self._backlog.split(parcel, [batch.part(rest)] if rest else [])

    def _give_up(self, parcel: Parcel[B], error: DeliveryError) -> None:
        """Drop a batch that is refused as a whole."""
        batch, first = parcel.contents, parcel.contents.describe(0)
        self._account.dropped[Reason.REJECTED] += parcel.units
        self._backlog.rejected(Reason.REJECTED, str(error), f"{len(batch)} elements, the first: {first}", parcel.units)
        self._limiter.error(
            f"refused whole {self._signal} {error.code}",
            "the service refuses whole requests, whatever is in them: they are dropped",
            signal=self._signal,
            reason=Reason.REJECTED,
            error=str(error)[:300],
            lane=parcel.lane.replace("\n", " "),
            first=first,
        )
        self._backlog.settle(parcel)

    def _halve(self, parcel: Parcel[B], error: DeliveryError, reason: Reason) -> None:
        """Split the batch; a single element is the culprit."""
        batch = parcel.contents
        if len(batch) == 1:
            self._refused(batch, 0, error, reason)
            self._backlog.settle(parcel)
            return
        middle = len(batch) // 2
        self._backlog.split(parcel, [batch.part(range(middle)), batch.part(range(middle, len(batch)))])

    def _refused(self, batch: B, index: int, error: DeliveryError, reason: Reason) -> None:
        units, element = batch.units_of(index), batch.describe(index)
        self._account.dropped[reason] += units
        self._backlog.rejected(reason, str(error), element, units)
        self._limiter.error(
            f"refused {self._signal} {error.code}",
            "the service refused one element of a request",
            signal=self._signal,
            reason=reason,
            error=str(error)[:300],
            element=element,
        )
