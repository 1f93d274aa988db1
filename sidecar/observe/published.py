"""The self-metrics that `observe.publish` sends to CloudWatch: state of delivery, loss, pending events, series, spool.

They are samples of the input `self`, treated like any other: rules, rollups and configured dimensions apply, and the
ledger counts them. Sidecars with the same configured dimensions share them: at most eight metrics are billed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from sidecar.model.errors import ASKED_FOR
from sidecar.model.samples import Kind, Sample
from sidecar.observe.figure import Sources
from sidecar.observe.health import DeliveryHealth
from sidecar.observe.ledger import SignalLedger

INPUT: Final = "self"
SECONDS: Final = 60.0
SIGNAL: Final = "signal"
"""The dimension with the signal, of metrics of one."""


class Published(NamedTuple):
    """One metric.

    Attributes:
        name: of the metric.
        kind: of a counter the increase since the last time is sent.
        unit: of CloudWatch.
        read: returns the present value; None if there is none.
        signal: the value of its dimension `signal`; None if it has no such dimension.
        spool: True if it needs a spool.
    """

    name: str
    kind: Kind
    unit: str
    read: Callable[[Sources], float | None]
    signal: str | None = None
    spool: bool = False

    @property
    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """Its dimensions, besides the configured ones."""
        return () if self.signal is None else ((SIGNAL, self.signal),)


def _lost(account: SignalLedger) -> int:
    return sum(units for reason, units in account.dropped.items() if reason not in ASKED_FOR)


def _lost_samples(sources: Sources) -> float:
    """Lost samples, and datagrams that were never read, which had at least one sample each."""
    datagrams = sources.ledger.datagrams
    return _lost(sources.ledger.samples) + datagrams.discarded + (datagrams.kernel_dropped() or 0)


def _up(delivery: DeliveryHealth) -> float:
    return 0.0 if delivery.up is False else 1.0


def _spool_bytes(sources: Sources) -> float | None:
    return None if sources.health.spool is None else float(sources.health.spool()["bytes"])


PUBLISHED: Final = (
    Published("sidecar_delivery_up", Kind.GAUGE, "None", lambda one: _up(one.health.metrics), "metrics"),
    Published("sidecar_delivery_up", Kind.GAUGE, "None", lambda one: _up(one.health.logs), "logs"),
    Published("sidecar_lost", Kind.COUNTER, "Count", _lost_samples, "metrics"),
    Published("sidecar_lost", Kind.COUNTER, "Count", lambda one: _lost(one.ledger.log_events), "logs"),
    Published("sidecar_pending", Kind.GAUGE, "Count", lambda one: one.ledger.samples.pending, "metrics"),
    Published("sidecar_pending", Kind.GAUGE, "Count", lambda one: one.ledger.log_events.pending, "logs"),
    Published("sidecar_series", Kind.GAUGE, "Count", lambda one: one.series()),
    Published("sidecar_spool_bytes", Kind.GAUGE, "Bytes", _spool_bytes, spool=True),
)


class Publisher:
    """Ingests the self-metrics as samples, once a minute."""

    def __init__(self, sources: Sources, ingest: Callable[[Iterable[Sample], str], None]) -> None:
        """Publish nothing yet.

        Args:
            sources: what the metrics are read from.
            ingest: accepts samples and the label of their input.
        """
        self._sources = sources
        self._ingest = ingest
        self._before: dict[Published, float] = {}  # of counters

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            self.publish()

    def publish(self) -> None:
        """Publish now."""
        self._ingest(list(self._samples()), INPUT)

    def _samples(self) -> Iterator[Sample]:
        for one in PUBLISHED:
            value = one.read(self._sources)
            if value is None:
                continue
            if one.kind is Kind.COUNTER:
                before = self._before.get(one, 0.0)
                self._before[one] = value
                value -= before
            yield Sample(one.name, one.kind, (float(value),), (1.0,), dimensions=one.dimensions, unit=one.unit)
