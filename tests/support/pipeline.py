"""A pipeline with recording sinks, a clock moved by hand and a real ledger."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

import orjson
from multidict import CIMultiDict

from sidecar.config.schema import Config
from sidecar.decode import emf, json_bodies
from sidecar.decode.aws import AwsCalls
from sidecar.decode.emf import EmfAs
from sidecar.deliver.pace import Pace
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import Reason
from sidecar.model.events import Outcome
from sidecar.model.exchange import Request
from sidecar.model.log_groups import LogGroups
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.intake import Pipeline
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shaping import make_shape
from tests.support.clock import HandClock
from tests.support.strategies import NOW

B = TypeVar("B", MetricBatch, LogBatch)
MINUTE: Final = int(NOW) - 20  # the start of the minute NOW is in
AWS_JSON: Final = {"metrics": ("1.0", "GraniteServiceVersion20100801"), "logs": ("1.1", "Logs_20140328")}
SERIES: Final = 1_000  # metrics.max_series: more than most tests have
TICK: Final = 0.001  # seconds: a flush yields to the event loop at every opportunity


def done(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a coroutine that only yields to the event loop, and return its outcome."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


class Recording(Generic[B]):
    """A sink that records the batches it is offered.

    Attributes:
        batches: in the order of offering.
        room: what `room_for` answers.
        asked: the sizes in bytes that `room_for` was asked about.
    """

    def __init__(self) -> None:
        self.batches: list[B] = []
        self.room = True
        self.asked: list[int] = []

    durable = False

    def offer(self, batches: Sequence[B], *, windows: Sequence[int] = (), segments: Sequence[int] = ()) -> None:
        self.batches += batches

    def save(self, events: B) -> None:
        return None

    def room_for(self, size_bytes: int) -> bool:
        self.asked.append(size_bytes)
        return self.room

    @property
    def units(self) -> int:
        return sum(batch.units for batch in self.batches)


class Inputs:
    """What rows of the inputs make of a pipeline, without their transports.

    Args:
        emf_as: as `emf.as`.
    """

    def __init__(self, pipeline: Pipeline, emf_as: EmfAs = "logs") -> None:
        self._bodies = pipeline.bodies
        self._aws = AwsCalls(LogGroups(), strict=False, new_id=lambda: "id")
        self.datagrams = pipeline.lines("statsd", "json_udp").ingest
        self.emf_documents = pipeline.elements(emf.Decoder(emf_as).decode, "samples", "emf").ingest

    async def ingest_call(self, service: str, operation: str, body: bytes, now: float) -> Outcome:
        """Process a call of an AWS SDK in a JSON protocol; `now` is its arrival, wall seconds."""
        version, target = AWS_JSON[service]
        content_type = f"application/x-amz-json-{version}"
        headers = CIMultiDict({"X-Amz-Target": f"{target}.{operation}", "Content-Type": content_type})
        reading = self._aws.read(Request("POST", "/", headers, content_type, body), now)
        assert reading is not None
        return await self._bodies.process(reading, "aws")

    async def ingest_metrics(self, body: bytes, content_type: str) -> Outcome:
        """Process the body of a request to /ingest/metrics."""
        return await self._ingest(json_bodies.metrics(), body, content_type)

    async def ingest_logs(self, body: bytes, content_type: str) -> Outcome:
        """Process the body of a request to /ingest/logs."""
        return await self._ingest(json_bodies.logs(), body, content_type)

    async def _ingest(self, dialect: json_bodies.JsonBodies, body: bytes, content_type: str) -> Outcome:
        return await self._bodies.process(dialect.read(Request("POST", "/", {}, content_type, body), 0.0), "http")


class PipelineWithInputs(Pipeline):
    """A pipeline, and what those rows make of it."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        inputs = Inputs(self)
        self.datagrams, self.ingest_metrics, self.ingest_logs = (
            inputs.datagrams,
            inputs.ingest_metrics,
            inputs.ingest_logs,
        )


class Rig:
    """A pipeline between recording sinks.

    Args:
        sink: of logs.
        metric_sink: of metrics.
        clock: a `HandClock` that ticks, unless given.
        pace: one that does not delay flushes, unless given.
        sections: sections of the configuration.
    """

    def __init__(
        self,
        *,
        sink: Recording[LogBatch] | None = None,
        metric_sink: Recording[MetricBatch] | None = None,
        clock: Any = None,
        pace: Pace | None = None,
        **sections: Any,
    ) -> None:
        metrics = {"max_series": SERIES, **sections.pop("metrics", {})}
        logs = {"group": "/app", "stream": "{service}", "events_group": "/events", **sections.pop("logs", {})}
        sections = {"namespace": "App", "dimensions": {"Env": "test"}, "logs": logs, **sections}
        self.config = Config.model_validate({"metrics": metrics, **sections})
        self.clock = clock or HandClock(tick=TICK)
        self.ledger = Ledger()
        self.metrics: Recording[MetricBatch] = metric_sink or Recording()
        self.logs: Recording[LogBatch] = sink or Recording()
        self.observer = Observer(self.ledger, Limiter(self.clock.monotonic), self.clock)
        self.pipeline = PipelineWithInputs(
            self.config,
            make_shape(self.config, "host-1", {}),
            metrics=self.metrics,
            logs=self.logs,
            observer=self.observer,
            pace=pace or Pace(1.0, lambda low, _high: low),
        )

    def send(self, *burst: bytes) -> None:
        more = self.pipeline.datagrams(list(burst))
        while more:
            more = self.pipeline.datagrams([])

    def flush(self, *, unfinished: bool = True) -> None:
        run(self.pipeline.flush_metrics("timer", unfinished=unfinished))

    def datums(self) -> list[dict[str, Any]]:
        """Every datum so far, parsed."""
        return [datum for batch in self.metrics.batches for datum in orjson.loads(batch.body())["MetricData"]]

    def events(self) -> list[str]:
        """The message of every log event so far."""
        bodies = [orjson.loads(batch.body()) for batch in self.logs.batches]
        return [event["message"] for body in bodies for event in body["logEvents"]]

    @property
    def dropped(self) -> dict[Reason, int]:
        return dict(self.ledger.samples.dropped)

    @property
    def received(self) -> dict[str, int]:
        return {input_: units for input_, units in self.ledger.samples.received.items() if units}

    def assert_balanced(self) -> None:
        """Received = offered + pending + dropped, for both signals."""
        offered = ((self.ledger.samples, self.metrics.units), (self.ledger.log_events, self.logs.units))
        for account, units in offered:
            assert total(account.received) == units + account.pending + total(account.dropped), account.summary()


def total(counts: dict[Any, int]) -> int:
    return sum(counts.values())


def run(awaitable: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that only yields to the event loop."""
    while turn(awaitable):
        pass


def turn(awaitable: Coroutine[Any, Any, None]) -> bool:
    """Run a coroutine to its next yield to the event loop; False if it has ended."""
    try:
        awaitable.send(None)
    except StopIteration:
        return False
    return True
