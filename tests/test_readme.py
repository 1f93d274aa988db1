"""The README's tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from sidecar.config.schema import Config
from sidecar.observe.figures import FIGURES

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_configuration_table_has_every_key_that_does_something() -> None:
    told = set()
    for row in section("## Configuration"):
        told |= set(re.findall(r"`([a-z_.]+)`", row.split("|")[1]))
    keys = set()
    for name, info in Config.model_fields.items():
        fields = getattr(info.annotation, "model_fields", None)
        keys |= {f"{name}.{inner.alias or key}" for key, inner in fields.items()} if fields else {name}

    assert told == keys


def test_the_metrics_table_is_the_table_of_figures() -> None:
    """Every metric with its labels, its help text and whether it means loss, in the same order."""
    expected = []
    for figure in FIGURES:
        labels = f"{{{','.join(figure.labels)}}}" if figure.labels else ""
        text = figure.help.removesuffix(".")
        but = ", except " + ", ".join(f"`{one}`" for one in figure.no_loss) if figure.no_loss else ""
        expected.append(f"| `{figure.name}{labels}` | {text} | {f'**yes**{but} ' if figure.loss else ''}|")

    assert section("## The ledger") == expected


def section(title: str) -> list[str]:
    """The rows of the first table below a title."""
    text = README.split(f"\n{title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    return rows
