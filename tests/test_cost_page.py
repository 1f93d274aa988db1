"""docs/cost.md: its numbers are those that come out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.config.cost import PriceOverrides
from sidecar.config.cost_report import cost_report
from sidecar.config.load import load
from sidecar.generate.cost import items
from sidecar.model.prices import GB, Prices
from sidecar.shape.cost import LogUsage, Usage, bill
from tests.generate.packs import config_of, pack
from tests.support.clock import HandClock
from tests.support.priced import MINUTE, Priced

PAGE: Final = (Path(__file__).resolve().parents[1] / "docs" / "cost.md").read_text()
EXAMPLE: Final = re.compile(r"<!-- example -->\n```yaml\n(.*?)```\n\n```\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)


USAGE: Final = Usage(1.0, 1.0, 1_000.0, (LogUsage(GB, None, 30), LogUsage(GB, "INFREQUENT_ACCESS", 30)))
WATCH: Final = """
region: us-east-1
watch:
  sends: [{metrics: [M], type: timer, resolution: 1}]
  alarms:
    - {name: one, metric: M, statistic: p95, above: 1}
    - {name: two, metric: M, statistic: p99, above: 2, period_seconds: 10}
  dashboards: {ops: [{title: M, metrics: [M], statistics: [p95]}]}
"""


def expanded(line: str) -> list[bytes]:
    """A line for each combination of its alternatives, `{a,b}` or `{1..100}`, as a shell expands them."""
    parts = re.split(r"\{([^{}]*)\}", line)
    for index in range(1, len(parts), 2):
        first, dots, last = parts[index].partition("..")
        parts[index] = [str(n) for n in range(int(first), int(last) + 1)] if dots else parts[index].split(",")
    choices = [part if isinstance(part, list) else [part] for part in parts]
    return ["".join(one).encode() for one in product(*choices)]


@pytest.mark.parametrize(("configuration", "lines", "shown"), EXAMPLE.findall(PAGE))
def test_what_the_page_shows_of_a_minute_is_what_stats_shows(configuration: str, lines: str, shown: str) -> None:
    sections: dict[str, Any] = yaml.safe_load(configuration)
    rig = Priced(clock=HandClock(), **{"dimensions": {}, **sections})
    rig.send(*[one for line in lines.splitlines() for one in expanded(line)])
    rig.ledger.requests.outcomes["PutMetricData", "ok"] += 1  # of the minute's flush
    rig.clock.advance(MINUTE)
    rig.flush()

    told = json.loads(shown)

    assert {key: rig.shown[key] for key in told} == told


def test_the_page_has_an_example() -> None:
    assert len(EXAMPLE.findall(PAGE)) == PAGE.count("```json") == 1


def test_what_check_says_of_the_budget_on_the_page_is_what_it_says(tmp_path: Path) -> None:
    budget = PAGE.partition("## Budget")[2]
    configuration, said = re.findall(r"```(?:yaml)?\n(.*?)```", budget, re.DOTALL)
    (tmp_path / "sidecar.yaml").write_text(configuration)

    assert list(cost_report(load(tmp_path / "sidecar.yaml", {}))) == said.splitlines()


def test_the_table_has_every_price_of_us_east_1() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    defaults = {key: getattr(Prices(), key) for key in PriceOverrides.model_fields}

    assert {key: yaml.safe_load(text) if key != "date" else text for key, text in rows} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()
    }


@pytest.mark.parametrize("key", sorted(PriceOverrides.model_fields.keys() - {"date"}))
def test_every_price_is_one_of_the_bill_or_of_what_is_generated(key: str) -> None:
    resources = pack(config_of(WATCH))
    usual: Any = getattr(Prices(), key)
    change: dict[str, Any] = {key: tuple(2 * one for one in usual) if key == "metric_month" else 2 * usual}
    raised = replace(Prices(), **change)

    before, after = ([*bill(USAGE, prices).values(), *items(resources, prices)] for prices in (Prices(), raised))
    assert before != after
