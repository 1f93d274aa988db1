"""Rules added to the text of a configuration: the file means what it meant, with the rules behind the others."""

from __future__ import annotations

import pytest
import yaml

from sidecar.config.insert import with_rules
from sidecar.config.metric_rules import MetricRule
from sidecar.config.schema import Config
from sidecar.model.errors import ConfigError

RULES = [
    MetricRule(match="Latency", rollups=[["Environment"], []]),
    MetricRule(match="[[]x: #", percentiles=True),
]
TEXTS = [
    "",
    "# nothing but a comment\n",
    "namespace: Shop",
    "namespace: Shop\nlogs: {group: /a}\n",
    "metrics:\n  flush_seconds: 5\n",
    "metrics:  # a comment\n  # another\n  flush_seconds: 5\nlogs:\n  group: /a\n",
    "metrics:\n  rules: []  # none yet\n  flush_seconds: 5\n",
    "metrics:\n  rules:\n    - match: a\n      drop: true\n\n# a comment on what follows\nlogs:\n  group: /a\n",
    "metrics:\n  rules:\n  - match: a\n    rollups:\n    - [x]\n    - - y\n  flush_seconds: 5\n",
    'metrics:\n  rules:\n    - {match: "*", rollups: [[a]]}  # a comment\nlogs:\n  group: /a',
    "metrics:\n  rules:\n    - match: >-\n        folded\n        text\n      drop: true\n  flush_seconds: 5\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_rules_are_behind_the_others_and_nothing_else_changes(text: str) -> None:
    before = yaml.safe_load(text) or {}
    added = with_rules(text, RULES, "why they are here")

    config = Config.model_validate(yaml.safe_load(added))
    assert config.metrics.rules == [*Config.model_validate(before).metrics.rules, *RULES]
    assert config.model_copy(update={"metrics": None}) == Config.model_validate(before).model_copy(
        update={"metrics": None}
    )
    assert "# why they are here" in added
    lines = iter(added.splitlines())
    assert all(line in lines for line in text.splitlines() if "rules: []" not in line)  # in their order
    assert Config.model_validate(yaml.safe_load(with_rules(added, RULES, "again"))).metrics.rules[-2:] == RULES


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{metrics: {rules: []}}",
        "metrics: {flush_seconds: 5}",
        "metrics:\n",
        "metrics:\n  rules: [{match: a, drop: true}]\n",
    ],
)
def test_what_is_in_one_line_is_left_to_the_user(text: str) -> None:
    with pytest.raises(ConfigError, match="by hand"):
        with_rules(text, RULES, "why")
