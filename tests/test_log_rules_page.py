"""The examples of docs/log-rules.md on log events: each configuration does with its events what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from tests.support.pipeline import Rig, done, run

PAGE: Final = (Path(__file__).parents[1] / "docs" / "log-rules.md").read_text()
EXAMPLES: Final = re.findall(r"```yaml\n(.*?)```\n```json\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)


def outcomes(configuration: dict[str, Any], events: list[str]) -> list[str]:
    """What becomes of the events one by one, then the metrics, as the page writes it."""
    rig = Rig(dimensions={}, logs={"group": "/sidecar", "stream": "s", **configuration["logs"]})
    told = []
    for event in events:
        content_type = "application/json" if event.startswith("{") else "text/plain"
        before = dict(rig.ledger.log_events.dropped)
        done(rig.pipeline.ingest_logs(event.encode(), content_type))
        dropped = [reason for reason, count in rig.ledger.log_events.dropped.items() if count > before.get(reason, 0)]
        told += [f"dropped {reason}" for reason in dropped]
        run(rig.pipeline.flush_logs("timer"))
        for batch in rig.logs.batches:
            told += [f"{batch.group} {one['message']}" for one in orjson.loads(batch.body())["logEvents"]]
        rig.logs.batches.clear()
    rig.flush()
    return told + [metric(datum) for datum in rig.datums()]


def metric(datum: dict[str, Any]) -> str:
    pairs = [f" {one['Name']}={one['Value']}" for one in datum.get("Dimensions", [])]
    name = f"metric {datum['MetricName']}{''.join(pairs)}"
    if "Value" in datum:
        return f"{name}: value {datum['Value']:g}"
    if "StatisticValues" in datum:
        return f"{name}: {datum['StatisticValues']['SampleCount']:g} samples, sum {datum['StatisticValues']['Sum']:g}"
    counts = datum.get("Counts", [1.0] * len(datum["Values"]))
    total = sum(value * count for value, count in zip(datum["Values"], counts, strict=True))
    return f"{name}: {sum(counts):g} samples, sum {total:g}"


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") >= 6


@pytest.mark.parametrize(("configuration", "events", "expected"), EXAMPLES)
def test_an_example_does_what_the_page_says(configuration: str, events: str, expected: str) -> None:
    told = outcomes(yaml.safe_load(configuration), events.splitlines())

    assert sorted(expected.splitlines()) == sorted(told)
    assert [line for line in told if not line.startswith("metric")] == [
        line for line in expected.splitlines() if not line.startswith("metric")
    ]
