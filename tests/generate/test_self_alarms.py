"""Alarms on the sidecar itself: what `observe.publish` sends, and that they fire when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
import pytest

from sidecar.generate.pack import extended, rules_of
from sidecar.model.errors import Reason
from sidecar.observe.figure import Sources
from sidecar.observe.figures import FIGURES
from sidecar.observe.health import Health
from sidecar.observe.published import PUBLISHED, Publisher
from tests.double.metrics import MetricStore
from tests.generate.packs import alarms, config_of, pack
from tests.generate.simulator import Alarm, read
from tests.support.pipeline import Rig

MINUTES: Final = 40
FAULT: Final = 15  # minutes at the end
CONFIG: Final[dict[str, Any]] = {"deliver": {"spool_dir": "/spool"}, "observe": {"publish": True}}


class Life:
    """Forty minutes of a pipeline whose metrics go to a store."""

    def __init__(self) -> None:
        self.rig = Rig(**CONFIG)
        self.health = Health()
        self.spool_bytes = 0
        self.health.spool = lambda: {"bytes": self.spool_bytes}
        self.series = 10
        self.store = MetricStore()
        self.delivers = True
        sources = Sources(self.rig.ledger, self.health, series=lambda: self.series, stall_seconds=lambda: 0.0)
        self.publisher = Publisher(sources, self.rig.pipeline.ingest_samples)

    def run(self, fault: Callable[[Life], Any] | None = None) -> int:
        """Run to the end; returns the start, in epoch seconds."""
        start = int(self.rig.clock.wall()) // 60 * 60
        for minute in range(MINUTES):
            if fault is not None and minute >= MINUTES - FAULT:
                fault(self)
            self.publisher.publish()
            self.rig.clock.advance(60.0)
            self.rig.flush(unfinished=False)
            for batch in self.rig.metrics.batches:
                if self.delivers:
                    self.store.put(orjson.loads(batch.body()), self.rig.clock.wall())
            self.rig.metrics.batches.clear()
        return start


def states(life: Life, start: int) -> dict[str, set[str]]:
    made = [Alarm(one, life.store) for one in alarms(life.rig.config)]
    return {one.name.removeprefix("app-"): set(one.run(start + 900, start + 60 * MINUTES)) for one in made}


def lose(life: Life) -> None:
    life.rig.ledger.samples.dropped[Reason.SPOOL_FULL] += 1


def lose_logs(life: Life) -> None:
    life.rig.ledger.log_events.dropped[Reason.REJECTED] += 1


def rules_drop(life: Life) -> None:
    life.rig.ledger.samples.dropped[Reason.RULE] += 1
    life.rig.ledger.log_events.dropped[Reason.SAMPLED] += 1


FAULTS: Final[dict[str, Callable[[Life], Any]]] = {
    "sidecar-delivery-metrics": lambda life: setattr(life, "delivers", False),
    "sidecar-delivery-logs": lambda life: setattr(life.health.logs, "up", False),
    "sidecar-lost-metrics": lose,
    "sidecar-lost-logs": lose_logs,
    "sidecar-series": lambda life: setattr(life, "series", 950),
    "sidecar-spool": lambda life: setattr(life, "spool_bytes", 500_000_000),
}


def test_they_are_quiet_while_nothing_is_wrong() -> None:
    life = Life()
    start = life.run(rules_drop)

    assert states(life, start) == {name: {"OK"} for name in FAULTS}
    made = pack(life.rig.config, "alarms")
    assert made.problems == []
    for used in made.used:
        assert read(life.store, *used[:2], used.dimensions, used.statistic, start, 3_600) is not None, used


@pytest.mark.parametrize("name", FAULTS)
def test_each_fires_on_its_fault(name: str) -> None:
    life = Life()
    start = life.run(FAULTS[name])

    assert "ALARM" in states(life, start)[name]


def test_without_publish_there_are_none() -> None:
    assert pack(config_of("observe: {publish: false}"), "alarms").resources == []


def test_names_of_alarms_on_the_sidecar_are_its_own() -> None:
    config = config_of(
        "watch: {alarms: [{name: sidecar-x, metric: a, no_data: true}], sends: [{metrics: [a], type: gauge}]}"
    )

    assert "are reserved for alarms on the sidecar itself" in pack(config, "alarms").problems[0]


def test_what_is_published_has_the_names_of_figures() -> None:
    """But for what adds figures up."""
    names = {one.name for one in PUBLISHED} - {"sidecar_lost", "sidecar_pending"}

    assert names <= {figure.name for figure in FIGURES}
    assert len(PUBLISHED) == 8


def test_a_sidecar_publishes_and_counts_what_it_publishes(daemon: Callable[..., Any], double: Any) -> None:
    """Through a drain, with the loss of the last minute, as the input `self` of the ledger."""
    deliver = {"target": "cloudwatch", "endpoint_url": double.url}
    one = daemon({"namespace": "App", "deliver": deliver, "observe": {"publish": True}})
    one.udp(b"no line at all", b"nor this")
    one.wait_until(lambda: one.stats()["samples"]["dropped"] == 2, "dropped")
    final = one.stop()

    assert final["samples"]["received_by_input"]["self"] == 7  # there is no spool
    assert final["samples"]["delivered"] == 7
    assert double.metrics.statistics("App", "sidecar_lost", {"signal": "metrics"}).sum == 2
    assert double.metrics.statistics("App", "sidecar_delivery_up", {"signal": "logs"}).minimum == 1


def test_a_dimension_of_the_task_needs_a_rollup_which_is_offered() -> None:
    config = config_of(
        "{observe: {publish: true}, dimensions: {Environment: '{ENV}', Cluster: '{ecs.cluster}', App: a}}"
    )
    refused = pack(config, "alarms")
    rolled = extended(config, rules_of(refused.additions))

    assert "adds a rollup over [App, signal]" in refused.problems[0]
    assert pack(rolled, "alarms").problems == []
    assert alarms(rolled)[0]["Dimensions"] == [
        {"Name": "App", "Value": "a"},
        {"Name": "signal", "Value": "metrics"},
    ]
    assert alarms(rolled)[0]["AlarmName"] == "sidecar-sidecar-delivery-metrics"
