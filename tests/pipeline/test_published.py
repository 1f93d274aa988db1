"""Self-metrics are samples like any other: rules that drop, rename, cap or roll them up, and that never add up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import orjson
import pytest

from sidecar.model.errors import Reason
from sidecar.observe.figure import Sources
from sidecar.observe.health import Health
from sidecar.observe.published import PUBLISHED, Publisher
from tests.support.pipeline import Rig

MINUTES: Final = 5
EACH: Final = sum(not one.spool for one in PUBLISHED)

RULES: Final[dict[str, list[dict[str, Any]]]] = {
    "dropped": [{"match": "sidecar_*", "drop": True}],
    "renamed to one another": [{"match": "sidecar_*", "name": "sidecar_lost"}],
    "capped": [{"match": "sidecar_*", "max_series": 1}],
    "without their dimension": [{"match": "*", "drop_dimensions": ["signal"]}],
    "rolled up": [{"match": "*", "rollups": [[], ["signal"]]}],
    "of their input": [{"match": "*", "when": {"input": "self"}, "namespace": "Ops", "resolution": 1}],
}


@pytest.mark.parametrize("name", RULES)
def test_self_metrics_go_through_rules_and_the_ledger_is_balanced(name: str) -> None:
    rig = Rig(metrics={"rules": RULES[name]}, observe={"publish": True})
    sources = Sources(rig.ledger, Health(), series=lambda: rig.pipeline.series, stall_seconds=lambda: 0.0)
    publisher = Publisher(sources, rig.pipeline.ingest_samples)
    sent = []
    for _ in range(MINUTES):
        publisher.publish()
        rig.clock.advance(60.0)
        rig.flush(unfinished=False)
        sent.append(len(rig.datums()))

    assert rig.received == {"self": MINUTES * EACH}
    assert rig.dropped == ({Reason.RULE: MINUTES * EACH} if name == "dropped" else {})
    assert rig.pipeline.series <= 3 * EACH
    assert len({later - earlier for earlier, later in pairwise(sent)}) == 1, sent  # as much each minute
    namespaces = {orjson.loads(batch.body())["Namespace"] for batch in rig.metrics.batches}
    assert namespaces == {"dropped": set(), "of their input": {"Ops"}}.get(name, {rig.config.namespace}), namespaces
    rig.assert_balanced()
