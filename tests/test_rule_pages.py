"""Every example of docs/rules.md and docs/log-rules.md: what the page says becomes of an event is what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml
from click.testing import CliRunner

from sidecar.commands.cli import cli
from sidecar.commands.expectations import read_expectations
from sidecar.config.metric_rules import MetricRule
from tests.support.pipeline import Rig, done, run

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
EXAMPLE: Final = re.compile(r"```yaml\n(.*?)```\n+```\n(.*?)```", re.DOTALL)
METRICS: Final = (DOCS / "rules.md").read_text()
LOGS: Final = (DOCS / "log-rules.md").read_text()


def explained(configuration: str, events: str, folder: Path, *options: str) -> tuple[int, str]:
    path, expected = folder / "sidecar.yaml", folder / "expected"
    path.write_text(configuration)
    expected.write_text(events)
    result = CliRunner().invoke(cli, ["explain", "--config", str(path), "--expect", str(expected), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize(("configuration", "events"), EXAMPLE.findall(METRICS))
def test_an_example_of_rules_on_metrics(configuration: str, events: str, tmp_path: Path) -> None:
    status, output = explained(configuration, events, tmp_path)
    assert status == 0, output


@pytest.mark.parametrize(("configuration", "events"), EXAMPLE.findall(LOGS))
def test_an_example_of_rules_on_log_events(configuration: str, events: str, tmp_path: Path) -> None:
    status, output = explained(configuration, events, tmp_path, "--logs")
    assert status == 0, output


@pytest.mark.parametrize(("configuration", "events"), EXAMPLE.findall(LOGS))
def test_the_pipeline_does_what_the_page_says_of_log_events(configuration: str, events: str, tmp_path: Path) -> None:
    """What is explained is what is delivered: groups and messages, reasons of drops, and the series and their samples."""
    expected = tmp_path / "expected"
    expected.write_text(events)
    with expected.open("rb") as file:
        expectations = read_expectations(file)
    outcomes = [outcome for one in expectations for outcome in one.outcomes]
    rig = Rig(dimensions={}, logs={"group": "/sidecar", "stream": "s", **yaml.safe_load(configuration)["logs"]})
    for one in expectations:
        content_type = "application/json" if one.event.startswith(b"{") else "text/plain"
        done(rig.pipeline.ingest_logs(one.event, content_type))
    run(rig.pipeline.flush_logs("timer"))
    rig.flush()

    delivered = [f"{batch.group} {one['message']}" for batch in rig.logs.batches for one in messages(batch)]
    assert sorted(delivered) == sorted(
        f"{re.split('[,:]', outcome)[0]} {outcome.partition(': ')[2]}" for outcome in outcomes if outcome[0] == "/"
    )
    dropped = {str(reason): units for reason, units in rig.ledger.log_events.dropped.items() if units}
    assert dropped == counted(outcome.removeprefix("dropped ") for outcome in outcomes if outcome[:7] == "dropped")
    measured = counted(series for outcome in outcomes if re.match(r"\w+ \{", outcome) for series in series_of(outcome))
    assert {shown(datum): samples(datum) for datum in rig.datums() if "Value" not in datum} == {
        series: units for series, units in measured.items() if not series.startswith("Users")
    }


def messages(batch: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = orjson.loads(batch.body())["logEvents"]
    return events


def series_of(outcome: str) -> list[str]:
    """The series that a metric is in: its own, and its rollups."""
    own = outcome.partition(" = ")[0]
    rollups = re.findall(r"\{.*?\}", outcome.partition(", rollups ")[2])
    return [own, *(f"{own.partition(' ')[0]} {one}" for one in rollups)]


def counted(names: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def shown(datum: dict[str, Any]) -> str:
    pairs = ", ".join(f"{one['Name']}={one['Value']}" for one in datum.get("Dimensions", []))
    return f"{datum['MetricName']} {{{pairs}}}"


def samples(datum: dict[str, Any]) -> float:
    if "StatisticValues" in datum:
        return float(datum["StatisticValues"]["SampleCount"])
    return float(sum(datum.get("Counts", [1.0] * len(datum["Values"]))))


def test_every_configuration_on_the_pages_is_an_example() -> None:
    for page in (METRICS, LOGS):
        assert len(EXAMPLE.findall(page)) == page.count("```yaml") >= 6


def test_the_page_on_metrics_has_every_key() -> None:
    table = METRICS.partition("| key | |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\| [^|]* \|$", "|", table, flags=re.MULTILINE))) == set(
        MetricRule.model_fields
    )
