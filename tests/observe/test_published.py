"""The self-metrics that are published: once a minute, counters as what came since."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sidecar.model.errors import Reason
from sidecar.model.samples import Sample
from sidecar.observe.figure import Sources
from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger
from sidecar.observe.published import SECONDS, Publisher
from tests.support.simulated import SimulatedLoop, simulate


def test_counters_are_published_as_what_came_since_the_last_minute() -> None:
    ledger, health = Ledger(), Health()
    lost: list[float] = []
    inputs: set[str] = set()

    def ingest(samples: Iterable[Sample], input_: str) -> None:
        inputs.add(input_)
        lost.extend(
            one.values[0] for one in samples if one.name == "sidecar_lost" and one.dimensions == (("signal", "logs"),)
        )

    async def minutes() -> None:
        running = asyncio.ensure_future(Publisher(sources, ingest).run())
        for units in (0, 5, 2):
            await asyncio.sleep(SECONDS / 2)
            ledger.log_events.dropped[Reason.SPOOL_FULL] += units
            ledger.log_events.dropped[Reason.REDACTED] += 9
            await asyncio.sleep(SECONDS / 2)
        await asyncio.sleep(1)
        running.cancel()

    sources = Sources(ledger, health, series=lambda: 3, stall_seconds=lambda: 0.0)
    simulate(SimulatedLoop(), minutes())

    assert lost == [0.0, 5.0, 2.0]
    assert inputs == {"self"}
