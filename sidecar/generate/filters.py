"""Metric filters: the rules of `logs.metrics` for events that reach their group without passing a sidecar.

A metric filter has at most three dimensions, and their values are fields of the event, never constants: dimensions that a
rule or the configuration adds as constants are left out, and the remaining set has to be one that the sidecar sends as
well, so that both are the same metric for an alarm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sidecar.config.log_rules import LogMetric
from sidecar.generate.checked import Checked
from sidecar.generate.groups import MAX_GROUPS, known_groups, patterns
from sidecar.generate.metric_math import number
from sidecar.generate.sent import ANY, Reference
from sidecar.generate.values import Resource, Value

MAX_DIMENSIONS: Final = 3
MAX_FILTERS: Final = 100  # of one group
_FIELD: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def metric_filters(checked: Checked) -> list[Resource]:
    """A filter for each rule of `logs.metrics` and each group; a problem is noted for each that a filter cannot express."""
    groups = known_groups(checked.config)
    if not groups:
        checked.problem(
            f"metric filters: the names of the log groups are not known, only {', '.join(patterns(checked.config))}: give"
            " the values of the placeholders in watch.values"
        )
    if len(groups) > MAX_GROUPS:
        checked.problem(f"metric filters: more than {MAX_GROUPS} log groups")
        return []
    rules = checked.config.logs.metrics
    if len(rules) > MAX_FILTERS:
        checked.problem(f"logs.metrics: {len(rules)} metric filters, a log group has at most {MAX_FILTERS}")
    made: list[Resource] = []
    for place, rule in enumerate(rules):
        try:
            made += _filters(checked, place, rule, groups)
        except ValueError as error:
            checked.problem(f"logs.metrics.{place} ({rule.name}): a metric filter cannot express it: {error}")
    return made


def _filters(checked: Checked, place: int, rule: LogMetric, groups: Sequence[str]) -> list[Resource]:
    asset = f"logs.metrics.{place} ({rule.name})"
    # A group has one filter of a name: another would replace it.
    repeated = sum(one.name == rule.name for one in checked.config.logs.metrics) > 1
    name = f"{rule.name}-{place}" if repeated else rule.name
    if rule.type == "set":
        raise ValueError("it counts no distinct members")
    pattern = pattern_of(rule)
    if rule.scale is not None:
        raise ValueError("it multiplies no values")
    places = {name: _FIELD.fullmatch(text) for name, text in rule.dimensions.items() if name not in rule.rewrite}
    fields = {name: at[1] for name, at in places.items() if at is not None and at[1] not in checked.config.dimensions}
    if len(fields) > MAX_DIMENSIONS:
        raise ValueError(f"it has {len(fields)} dimensions, a filter at most {MAX_DIMENSIONS}")
    if fields and not pattern.startswith("{"):
        raise ValueError("its condition is of text, and dimensions need one of JSON, in braces")
    dimensions = tuple(sorted(dict.fromkeys(fields, ANY).items()))
    otherwise = "a filter would create another metric"
    found = checked.find(Reference(asset, rule.name, dimensions, "Average", rule.namespace, otherwise=otherwise))
    if found is None:
        return []
    transformation: dict[str, Value] = {
        "MetricName": rule.name,
        "MetricNamespace": found.namespace,
        "MetricValue": "1" if rule.value is None else f"$.{_path(rule.value)}",
        "Unit": rule.unit
        or ("Milliseconds" if rule.type == "timer" else "Count" if rule.type in (None, "counter") else "None"),
    }
    if fields:
        transformation["Dimensions"] = [{"Key": name, "Value": f"$.{field}"} for name, field in sorted(fields.items())]
    return [
        Resource(
            "filter",
            f"{name}-{group.strip('/')}",
            {
                "FilterName": f"{checked.prefix}-{name}",
                "LogGroupName": group,
                "FilterPattern": pattern,
                "MetricTransformations": [transformation],
            },
        )
        for group in groups
    ]


def pattern_of(rule: LogMetric) -> str:
    """The condition of a rule as a filter pattern.

    Raises:
        ValueError: a filter pattern cannot express it.
    """
    when = rule.when
    if isinstance(when, str):
        return when
    assert isinstance(when, Mapping)  # noqa: S101  # the schema allows text and mappings
    terms = [_term(_path(str(path)), value) for path, value in when.items()]
    if rule.value is not None and rule.value not in when:
        terms.append(f"$.{_path(rule.value)} = *")
    if not terms:
        return "{ $.message = * }" if rule.dimensions else ""
    return f"{{ {' && '.join(terms)} }}"


def _term(path: str, value: object) -> str:
    if isinstance(value, list):
        return f"({' || '.join(_term(path, one) for one in value)})"
    if value is None:
        return f"($.{path} NOT EXISTS || $.{path} IS NULL)"
    if isinstance(value, bool):
        return f"$.{path} IS {str(value).upper()}"
    if isinstance(value, int | float):
        return f"$.{path} = {number(value)}"
    text = str(value)
    if any(one in text for one in '?["\\'):
        raise ValueError(f"the value {text!r} has a character that a filter pattern has no glob for")
    return f'$.{path} = "{text}"'


def _path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path of letters, digits and dots")
    return path
