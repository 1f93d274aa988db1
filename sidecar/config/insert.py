"""Adds rules to a configuration file as text, so that its comments and order remain. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from sidecar.config.metric_rules import MetricRule
from sidecar.model.errors import ConfigError

_HOW = "add them by hand"


def with_rules(text: str, rules: Sequence[MetricRule], comment: str) -> str:
    """The text of a configuration file with rules appended to `metrics.rules`.

    Args:
        text: YAML, its top level a mapping or nothing.
        rules: at least one.
        comment: a line above them.

    Raises:
        ConfigError: rules cannot be appended to the text as it is, such as to `rules: [...]` in one line.
    """
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if root is None:
        return "".join(lines) + "metrics:\n  rules:\n" + _items(rules, 4, comment)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise ConfigError([f"the rules cannot be added to a configuration in one line: {_HOW}"])
    metrics = _value(root, "metrics")
    if metrics is None:
        return "".join(lines) + "\nmetrics:\n  rules:\n" + _items(rules, 4, comment)
    if not isinstance(metrics, yaml.MappingNode) or metrics.flow_style:
        raise ConfigError([f"the rules cannot be added to metrics where it is empty or in one line: {_HOW}"])
    listed = _value(metrics, "rules")
    column = metrics.start_mark.column
    if listed is None:
        return _inserted(lines, metrics.start_mark.line, " " * column + "rules:\n" + _items(rules, column + 2, comment))
    if not isinstance(listed, yaml.SequenceNode) or listed.flow_style:
        if (
            isinstance(listed, yaml.SequenceNode)
            and not listed.value
            and listed.start_mark.line == listed.end_mark.line
        ):
            at = listed.start_mark.line
            line = lines[at]
            lines[at] = line[: listed.start_mark.column].rstrip() + line[listed.end_mark.column :]
            return _inserted(lines, at + 1, _items(rules, column + 2, comment))
        raise ConfigError([f"the rules cannot be added to metrics.rules in one line: {_HOW}"])
    return _inserted(lines, _end(listed.value[-1]) + 1, _items(rules, listed.start_mark.column, comment))


def _inserted(lines: list[str], at: int, added: str) -> str:
    return "".join(lines[:at]) + added + "".join(lines[at:])


def _items(rules: Sequence[MetricRule], column: int, comment: str) -> str:
    indent = " " * column
    written = [f"{indent}# {comment}\n"]
    for rule in rules:
        flow = yaml.safe_dump(rule.model_dump(), default_flow_style=None, sort_keys=False, width=10_000)
        first, *rest = flow.splitlines()
        written += [f"{indent}- {first}\n", *(f"{indent}  {line}\n" for line in rest)]
    return "".join(written)


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _end(node: yaml.Node) -> int:
    """The last line, from 0, with text of a node: the end mark of a block is after its trailing comments."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return max(_end(one) for pair in node.value for one in pair)
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return max(_end(one) for one in node.value)
    mark = node.end_mark
    return int(mark.line - (mark.column == 0 and mark.line > node.start_mark.line))
