"""Every example of docs/rules.md: what the page says becomes of a line is what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from sidecar.config.load import load
from sidecar.config.metric_rules import MetricRule
from sidecar.decode.statsd import decode_line
from sidecar.model.closing import rolled_up
from sidecar.model.samples import Dimensions
from sidecar.pipeline.shaping import make_shape
from sidecar.shape.shape import Shape

PAGE: Final = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text()
EXAMPLES: Final = re.findall(r"<!-- example -->\n```yaml\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)


def shown(dimensions: Dimensions) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in dimensions) + "}"


def outcome(shape: Shape, line: str) -> str:
    """What becomes of a line, in the words of the page."""
    (sample,) = decode_line(line.encode()).samples
    shaped = shape.shape(sample, 0.0, "statsd")
    if shaped.drop:
        return "dropped"
    series, (scale, rollups, _) = shaped.series, shaped.closing
    return (
        f"{series.name} {shown(series.dimensions)} {series.unit}"
        + (f" scaled by {scale:g}" if scale != 1.0 else "")
        + ("" if shaped.percentiles else " statistic set")
        + "".join(f" + {shown(one.dimensions)}" for one in rolled_up(series, rollups))
    )


@pytest.mark.parametrize(("configuration", "lines"), EXAMPLES)
def test_what_the_page_says_becomes_of_a_line_is_true(configuration: str, lines: str, tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(configuration)
    shape = make_shape(load(path, {}), "host-1", {})
    told = [line.partition(" -> ") for line in lines.splitlines()]

    assert [(line.strip(), outcome(shape, line.strip())) for line, _, _ in told] == [
        (line.strip(), expected.strip()) for line, _, expected in told
    ]


def test_the_page_has_every_example_and_every_key() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml")
    table = PAGE.partition("| key | |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\| [^|]* \|$", "|", table, flags=re.MULTILINE))) == set(
        MetricRule.model_fields
    )
