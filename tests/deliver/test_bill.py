"""The estimate against the exact bill: a recorded hour through a daemon's parts, over HTTP, to the strict double.

The double knows what it was sent; the bill is added up here from that alone, with prices written out.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest

from sidecar.app import App
from sidecar.config.schema import Config
from tests.double import ThreadedCloudWatchDouble, error
from tests.support.pipeline import Inputs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOUR: Final = 3_600.0
MONTH_HOURS: Final = 730
START: Final = 1_790_000_000.0 // HOUR * HOUR + 1  # wall seconds: an hour has just begun
Metric = tuple[str, str, tuple[tuple[str, str], ...]]


class ShiftedClock:
    """The machine's clocks, and time that is left out; an hour begins when it is made."""

    def __init__(self) -> None:
        self._left_out = 0.0
        self._begun = time.monotonic()

    def monotonic(self) -> float:
        return time.monotonic() + self._left_out

    def wall(self) -> float:
        return START + self.monotonic() - self._begun

    def leave_out(self, seconds: float) -> None:
        self._left_out += seconds

    def advance_to(self, wall: float) -> None:
        self._left_out += max(0.0, wall - self.wall())


class Recorder:
    """What the double received, by clock hour, and the bill of it."""

    def __init__(self, double: ThreadedCloudWatchDouble) -> None:
        self._double = double
        self.metrics: dict[int, set[Metric]] = {}
        self.datums = 0

    def note(self, wall: float) -> None:
        """Note what came since the last call, as received in the hour of `wall`."""
        datums = self._double.metrics.datums()
        assert len(datums) < 10_000  # all there ever were
        for namespace, datum in datums[self.datums :]:
            dimensions = tuple(sorted((str(name), str(value)) for name, value in datum.dimensions))
            self.metrics.setdefault(int(wall // HOUR), set()).add((namespace, str(datum.name), dimensions))
        self.datums = len(datums)

    @property
    def metric_hours(self) -> int:
        return sum(map(len, self.metrics.values()))

    @property
    def requests(self) -> int:
        return len(self._double.requests.of("PutMetricData"))

    def log_bytes(self, group: str) -> int:
        logs = self._double.logs
        return sum(len(message.encode()) + 26 for _, message in logs.events(group))


class Running:
    """A daemon's parts with a clock of their own, without listeners."""

    def __init__(self, app: App, clock: ShiftedClock, recorder: Recorder) -> None:
        self.app = app
        self.clock = clock
        self.recorder = recorder
        self.inputs = Inputs(app._pipeline)

    async def minute(self, lines: list[bytes], events: list[dict[str, str]]) -> None:
        """One minute of traffic: it comes, the minute ends, all is flushed and delivered."""
        while self.inputs.datagrams(lines):
            lines = []
        for event in events:
            await self.inputs.ingest_logs(orjson.dumps(event), "application/json")
        self.clock.advance_to(self.clock.wall() // 60 * 60 + 60.001)
        await self.app._pipeline.flush_metrics("timer", unfinished=False)
        await self.app._pipeline.flush_logs("timer")
        ledger = self.app._ledger
        async with asyncio.timeout(30):
            while ledger.samples.pending or ledger.log_events.pending:  # noqa: ASYNC110  # a count has no event
                await asyncio.sleep(0.002)
        self.recorder.note(self.clock.wall())

    async def cost(self) -> dict[str, Any]:
        """`cost` of /stats."""
        stats = await self.app._make_stats().summary()
        cost: dict[str, Any] = stats["cost"]
        return cost


@asynccontextmanager
async def running(
    double: ThreadedCloudWatchDouble, monkeypatch: pytest.MonkeyPatch, **sections: Any
) -> AsyncIterator[Running]:
    for name, value in double.environment().items():
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, value)
    clock = ShiftedClock()
    double.settings.clock = clock.wall
    deliver = {"endpoint_url": double.url, "retry_base_seconds": 0.001}
    config = Config.model_validate({"region": "us-east-1", "namespace": "App", "deliver": deliver, **sections})
    app = App(config, clock)
    delivery = app._delivery
    tasks = [asyncio.create_task(work) for work in (*delivery.timers(), *delivery.workers())]
    try:
        yield Running(app, clock, Recorder(double))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for closing in delivery.closers():
            await closing


def traffic(minute: int) -> tuple[list[bytes], list[dict[str, str]]]:
    """A minute of an application: metrics that all users of the hour share, users that come and go, two log groups."""
    lines = [b"requests:1|c|#Service:%b,User:%d" % (s, u) for s in (b"api", b"web") for u in range(minute, minute + 25)]
    lines += [b"latency:%d|ms|#Service:api" % value for value in range(minute)]
    lines += [b"deploys:1|c"] if minute == 30 else []
    events = [{"message": "x" * 400, "service": "api"}] * 5 + [{"message": "é" * 100, "service": "audit"}] * 3
    return lines, events


SECTIONS: Final[dict[str, Any]] = {
    "metrics": {"rules": [{"match": "requests", "rollups": [["Service"], []]}]},
    "logs": {
        "group": "/plain",
        "retention_days": 30,
        "routes": [{"when": {"service": "audit"}, "group": "/cheap", "class": "INFREQUENT_ACCESS"}],
    },
}


async def test_the_estimate_of_a_recorded_hour_is_within_five_percent_of_its_exact_bill(
    double: ThreadedCloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(double, monkeypatch, **SECTIONS) as one:
        for minute in range(59):
            if minute % 10 == 5:
                double.faults.add("PutMetricData", error("InternalFailure", "away", status=500, times=1))
            await one.minute(*traffic(minute))
        cost, recorder = await one.cost(), one.recorder

    assert len(recorder.metrics) == 1
    assert recorder.datums > 50 * recorder.metric_hours / 10  # each was sent in many requests, and is billed once
    gigabyte, hours = 2**30, 59 / 60
    exact = {
        "metrics": recorder.metric_hours * 0.30,
        "requests": recorder.requests * 0.01 / 1_000 * MONTH_HOURS / hours,
        "logs": (recorder.log_bytes("/plain") * 0.50 + recorder.log_bytes("/cheap") * 0.25)
        / gigabyte
        * MONTH_HOURS
        / hours,
    }
    estimate = cost["dollars_per_month"]
    assert recorder.requests == 59 + 6
    assert cost["metric_hours"] == recorder.metric_hours
    for kind, dollars in exact.items():
        assert dollars > 0.0
        assert estimate[kind] == pytest.approx(dollars, rel=0.05), kind
    assert estimate["log_storage"] > 0.0


async def test_each_clock_hour_bills_a_series_again(
    double: ThreadedCloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over three hours, with gaps: the metric-hours are those of the double exactly."""
    async with running(double, monkeypatch, **SECTIONS) as one:
        for minute in (0, 1, 59, 60, 61, 100, 150, 170):
            one.clock.advance_to(START + minute * 60)
            await one.minute(*traffic(minute))
        cost = await one.cost()

    assert len(one.recorder.metrics) == 3
    assert cost["metric_hours"] == one.recorder.metric_hours


async def test_an_hour_at_the_budget_costs_the_budget_and_no_series_goes_blind(
    double: ThreadedCloudWatchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 dollars pay for 100 series. Folding begins there: at most ten folded series and rollups come on top."""
    metrics = {
        "rules": [{"match": "requests", "rollups": [["Service"], []]}],
        "budget": {"dollars_per_month": 30, "then": "fold"},
    }
    async with running(double, monkeypatch, metrics=metrics) as one:
        for minute in range(10):
            one.app._costs.refresh()
            lines = [b"requests:1|c|#Service:api,User:%d" % user for user in range(20 + minute * 30)]
            await one.minute(lines, [])
        cost = await one.cost()

    sent = sum(20 + minute * 30 for minute in range(10))
    for user in range(20):
        assert double.metrics.statistics("App", "requests", {"Service": "api", "User": str(user)}).sum == 10.0
    assert double.metrics.statistics("App", "requests", {"Service": "api"}).sum == sent
    assert double.metrics.statistics("App", "requests", {"Service": "api", "User": "__other__"}).sum > 300.0
    assert 95 <= one.recorder.metric_hours <= 112
    assert cost["dollars_per_month"]["metrics"] == pytest.approx(30, rel=0.15)
    assert one.app._ledger.samples.delivered == sent
    assert not one.app._ledger.samples.dropped
    assert cost["budget"]["folding"] is True
    assert one.app._health.summary()["budget"]["warning"] is True
