"""All assets of a configuration, in the order in which they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from sidecar.config.metric_rules import MetricRule
from sidecar.config.schema import Config
from sidecar.generate import alarms, dashboards, filters, groups, iam, queries
from sidecar.generate.checked import Checked, Used
from sidecar.generate.configured import Configured, Decide
from sidecar.generate.sent import Addition, Sent
from sidecar.generate.values import Kind, Resource
from sidecar.model.errors import ConfigError

What: TypeAlias = Literal["iam", "log-groups", "alarms", "dashboard", "queries", "metric-filters", "all"]
WHATS: Final[tuple[What, ...]] = ("iam", "log-groups", "alarms", "dashboard", "queries", "metric-filters", "all")


@dataclass(frozen=True, slots=True)
class Pack:
    """The assets of a configuration.

    Attributes:
        resources: in their order.
        used: the metrics that they name.
        problems: a sentence for each asset that would have no data or cannot be generated.
        additions: rules that solve some of the problems.
    """

    resources: Sequence[Resource]
    used: Sequence[Used]
    problems: Sequence[str]
    additions: Sequence[Addition]


def make(what: What, config: Config, decide: Decide, sent: Sent | None = None) -> Pack:
    """Make assets.

    Args:
        what: which.
        config: the configuration.
        decide: applies the rules of the configuration to a sample.
        sent: what is sent; None for what the configuration sends.
    """
    configured = Configured(config, decide)
    checked = Checked(config, sent or configured)
    makers: dict[What, Callable[[], list[Resource]]] = {
        "iam": lambda: iam.policies(checked, configured.namespaces()),
        "log-groups": lambda: groups.log_groups(checked),
        "alarms": lambda: alarms.alarms(checked),
        "dashboard": lambda: dashboards.dashboards(checked),
        "queries": lambda: queries.queries(checked),
        # Not part of `all`: the sidecar makes the same metrics from the same events, and each would be counted twice.
        "metric-filters": lambda: filters.metric_filters(checked),
    }
    wanted = [one for one in makers if one != "metric-filters"] if what == "all" else [what]
    resources = [resource for one in wanted for resource in makers[one]()]
    return Pack(_labelled(resources), list(checked.used), checked.problems, checked.additions)


def _labelled(resources: Sequence[Resource]) -> list[Resource]:
    """Resources with labels that differ in letters and digits: of two logical IDs that are equal the first would be lost."""
    taken: set[tuple[Kind, str]] = set()
    renamed: dict[tuple[Kind, str], str] = {}
    found: list[Resource] = []
    for one in resources:
        label, number = one.label, 1
        while (one.kind, _letters(one.kind, label)) in taken:
            number += 1
            label = f"{one.label}-{number}"
        taken.add((one.kind, _letters(one.kind, label)))
        renamed.setdefault((one.kind, one.label), label)
        needs = tuple((kind, renamed.get((kind, name), name)) for kind, name in one.needs)
        found.append(replace(one, label=label, needs=needs))
    return found


def _letters(kind: Kind, label: str) -> str:
    """What is left of a label in an identifier; one that begins with a digit has its kind in front."""
    letters = re.sub(r"[^A-Za-z0-9]", "", label).lower()
    return letters if not letters[:1].isdigit() else f"{kind}{letters}"


def rules_of(additions: Sequence[Addition]) -> list[MetricRule]:
    """Rules to append to `metrics.rules`, one for each metric, with the rollups that it has and those that are missing."""
    rules: dict[str, dict[str, object]] = {}
    for one in additions:
        rule = rules.setdefault(one.name, {"match": _escaped(one.name)})
        if one.rollups is not None:
            known = rule.setdefault("rollups", [])
            assert isinstance(known, list)  # noqa: S101  # it is made in the line above
            known += [list(names) for names in one.rollups if list(names) not in known]
        if one.percentiles is not None:
            rule["percentiles"] = one.percentiles
    try:
        return [MetricRule.model_validate(rule) for rule in rules.values()]
    except ValueError as error:  # a metric has more rollups than a rule may have
        raise ConfigError([f"metrics.rules: the rollups that are missing cannot be added: {error}"]) from None


def extended(config: Config, rules: Sequence[MetricRule]) -> Config:
    """The configuration with rules appended to `metrics.rules`."""
    metrics = config.metrics.model_copy(update={"rules": [*config.metrics.rules, *rules]})
    return config.model_copy(update={"metrics": metrics})


def _escaped(name: str) -> str:
    """A pattern that matches only this name."""
    return "".join(f"[{one}]" if one in "*?[{" else one for one in name)
