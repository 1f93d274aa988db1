"""A minute of throttles: delivery slows down meanwhile, and a minute later nothing is left of it.

The worker, the backlog, the backoff and the pace are the real ones; time is simulated, and the service is a function
of it. `tests/faults/test_throttling.py` does the same with a whole daemon over HTTP, in real time.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import orjson
import pytest
from structlog.testing import capture_logs

from sidecar.deliver.backlog import Backlog
from sidecar.deliver.pace import Pace
from sidecar.deliver.retry import Backoff
from sidecar.deliver.worker import Rejected, Worker
from sidecar.model.batches import LogBatch
from sidecar.model.errors import DeliveryError
from sidecar.observe.health import DeliveryHealth
from sidecar.observe.ledger import RequestLedger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.spool.codec import LogCodec
from tests.support.batches import EncodedEvent, event_columns
from tests.support.simulated import SimulatedLoop, simulate

BEGIN: Final = 10.0  # seconds at which the throttles begin
END: Final = 70.0
RETRY_MAX_SECONDS: Final = 20.0  # the default
ANSWER_SECONDS: Final = 0.02

THROTTLES: Final = {
    "ThrottlingException": DeliveryError("ThrottlingException", "Rate exceeded", status=400),
    "429": DeliveryError("TooManyRequests", "", status=429),
}


class Service:
    """Refuses everything from `BEGIN` to `END` seconds."""

    operation = "PutLogEvents"

    def __init__(self, loop: SimulatedLoop, throttle: DeliveryError) -> None:
        self._loop = loop
        self._throttle = throttle
        self.sent: list[tuple[float, str]] = []  # (seconds, stream)
        self.stored: list[LogBatch] = []

    async def send(self, batch: LogBatch) -> list[Rejected]:
        self.sent.append((self._loop.time(), batch.stream))
        await asyncio.sleep(ANSWER_SECONDS)
        if BEGIN <= self._loop.time() < END:
            raise self._throttle
        self.stored.append(batch)
        return []


class Rig:
    """One signal's way out."""

    def __init__(self, loop: SimulatedLoop, service: Service, concurrency: int) -> None:
        self.loop = loop
        self.account = SignalLedger()
        self.health = DeliveryHealth()
        limiter = Limiter(loop.monotonic)
        self.backlog: Backlog[LogBatch] = Backlog(
            "logs", 100_000_000, codec=LogCodec(), spool=None, account=self.account, limiter=limiter, clock=loop
        )
        uniform = random.Random(1).uniform
        self.pace = Pace(RETRY_MAX_SECONDS, uniform)
        self.worker: Worker[LogBatch] = Worker(
            "logs",
            self.backlog,
            service,
            backoff=Backoff(0.2, RETRY_MAX_SECONDS, uniform),
            pace=self.pace,
            account=self.account,
            requests=RequestLedger(),
            health=self.health,
            clock=loop,
            limiter=limiter,
            concurrency=concurrency,
        )

    def offer(self, number: int, stream: str) -> None:
        self.account.received["test"] += 1
        body = orjson.dumps({"n": number})
        event = EncodedEvent(number, body, len(body) + 26)
        self.backlog.offer([LogBatch("/app", stream, event_columns([event]))])


@pytest.mark.parametrize("throttle", THROTTLES.values(), ids=THROTTLES)
@pytest.mark.parametrize(("streams", "every_seconds"), [(1, 1.0), (20, 5.0), (20, 0.5)])
def test_a_minute_after_the_throttles_end_the_backlog_is_gone(
    throttle: DeliveryError, streams: int, every_seconds: float
) -> None:
    loop = SimulatedLoop()
    service = Service(loop, throttle)

    async def life() -> None:
        rig = Rig(loop, service, concurrency=4)
        sending = asyncio.create_task(rig.worker.run())
        for number in range(round((END + 60.0) / every_seconds)):
            await asyncio.sleep(number * every_seconds - loop.time())
            for stream in range(streams):
                rig.offer(number, str(stream))
        await asyncio.sleep(0.5)
        waiting = rig.account.pending
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

        meanwhile = sum(BEGIN <= at < END for at, _ in service.sent)
        print(f"{streams} streams every {every_seconds} s: {waiting} pending, {meanwhile} requests while throttled")
        assert waiting <= streams  # at most what came last
        assert meanwhile <= 60.0  # hardly more than one request in two seconds
        for stream in range(streams):
            stored = [batch for batch in service.stored if batch.stream == str(stream)]
            numbers = [orjson.loads(body)["n"] for batch in stored for body in batch.events.bodies]
            assert numbers == sorted(numbers)

    with capture_logs():
        simulate(loop, life())
