"""The example of docs/generate.md is a configuration of which everything is generated."""

from __future__ import annotations

import re

from tests.generate.packs import ROOT, config_of, pack

PAGE = (ROOT / "docs" / "generate.md").read_text()


def test_everything_is_generated_of_the_example() -> None:
    (example,) = re.findall(r"<!-- example -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    made = pack(config_of(example))

    assert made.problems == []
    assert [one.label for one in made.resources if one.kind == "alarm"] == ["slow", "failures", "checkout-slow"]


def test_the_table_has_every_key_of_an_alarm() -> None:
    from sidecar.config.watch import Alarm

    told = {
        name for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE) for name in re.findall(r"`([a-z_]+)`", row)
    }

    assert set(Alarm.model_fields) - {"name"} <= told
