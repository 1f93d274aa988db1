"""The README's tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.config.schema import NOT_BUILT, Config
from sidecar.observe.health import Health
from sidecar.observe.ledger import Ledger
from sidecar.observe.prometheus import LedgerCollector

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_configuration_table_has_every_key_that_does_something() -> None:
    told = set()
    for row in section("## Configuration"):
        told |= set(re.findall(r"`([a-z_.]+)`", row.split("|")[1]))
    keys = set()
    for name, info in Config.model_fields.items():
        fields = getattr(info.annotation, "model_fields", None)
        keys |= {f"{name}.{inner.alias or key}" for key, inner in fields.items()} if fields else {name}

    assert told == keys - set(NOT_BUILT) - {"logs.redact"}


def test_the_metrics_table_has_every_metric_and_marks_those_that_mean_loss() -> None:
    rows = section("## The ledger")
    told = {re.findall(r"`(sidecar_[a-z_]+)", row)[0]: "**yes**" in row for row in rows}
    collector = LedgerCollector(ledger := Ledger(), Health(), lambda: 0, lambda: 0.0, lambda: 0.0)
    ledger.datagrams.kernel_dropped = lambda: 0
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation.endswith("Loss.")
        for family in collector.collect()
    }

    assert told == exposed


def section(title: str) -> list[str]:
    """The rows of the first table below a title."""
    text = README.split(f"\n{title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    return rows
