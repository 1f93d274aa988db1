"""Log groups: the names that the templates of the configuration expand to, and the retention of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product
from typing import Final, NamedTuple

from sidecar.config.schema import Config
from sidecar.generate.checked import Checked
from sidecar.generate.sent import PLACEHOLDER
from sidecar.generate.values import Resource, Value
from sidecar.model import names

MAX_GROUPS: Final = 200


class GroupTemplate(NamedTuple):
    """A template of log groups.

    Attributes:
        key: where in the configuration.
        text: the template; configured dimensions are filled in.
        retention_days: None for no expiry.
        log_class: None for the service's default.
    """

    key: str
    text: str
    retention_days: int | None
    log_class: str | None


def templates(config: Config) -> list[GroupTemplate]:
    """Every template of groups that the sidecar may write to, and the groups that `watch.groups` names."""
    logs, watch = config.logs, config.watch
    environment = watch.environment or config.dimensions.get("Environment", "")
    days = watch.retention_days.get(environment, logs.retention_days)
    found = [GroupTemplate("logs.group", logs.group, days, None)]
    found += [
        GroupTemplate(key, group, days, None)
        for key, group in (("logs.events_group", logs.events_group), ("emf.group", config.emf.group))
        if group is not None
    ]
    found += [
        GroupTemplate(f"logs.routes.{number}.group", route.group, route.retention_days or days, route.class_)
        for number, route in enumerate(logs.routes)
        if route.group is not None
    ]
    found += [GroupTemplate(f"watch.groups.{number}", group, days, None) for number, group in enumerate(watch.groups)]
    return [one._replace(text=_configured(one.text, config)) for one in found]


def patterns(config: Config) -> list[str]:
    """The names of all groups, with `*` for what is known only when events arrive.

    `watch.values` does not narrow them: an event with another value is routed all the same, and without permission it would be retried for ever.
    """
    return sorted({PLACEHOLDER.sub("*", one.text) for one in templates(config)})


def known_groups(config: Config) -> list[str]:
    """The names of the groups that are known."""
    return list(dict.fromkeys(name for one in templates(config) for name, known in _expanded(one, config) if known))


def log_groups(checked: Checked) -> list[Resource]:
    """Each group whose name is known; a problem is noted for each placeholder without values."""
    config = checked.config
    made: dict[str, Resource] = {}
    for one in templates(config):
        for name, known in _expanded(one, config):
            if not known:
                field = PLACEHOLDER.findall(name)[0]
                sentence = f"{one.key}: {one.text}: give the values of {{{field}}} in watch.values.{field}"
                checked.problem(f"{sentence}; or leave the groups to the sidecar, which creates what is missing")
                continue
            problem = names.group_problem(name)
            if problem:
                checked.problem(f"{one.key}: {problem}")
            made.setdefault(name, Resource("group", _label(name), _properties(name, one)))
    if len(made) > MAX_GROUPS:
        checked.problem(f"watch.values: more than {MAX_GROUPS} log groups")
    return list(made.values())


def _properties(name: str, one: GroupTemplate) -> dict[str, Value]:
    properties: dict[str, Value] = {"LogGroupName": name}
    if one.retention_days is not None:
        properties["RetentionInDays"] = one.retention_days
    if one.log_class is not None:
        properties["LogGroupClass"] = one.log_class
    return properties


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "group"


def _configured(text: str, config: Config) -> str:
    return PLACEHOLDER.sub(lambda one: config.dimensions.get(one[1], one[0]), text)


def _expanded(one: GroupTemplate, config: Config) -> Iterator[tuple[str, bool]]:
    """The names that a template expands to, each with True if no placeholder is left in it; at most `MAX_GROUPS` and one."""
    fields = [field for field in dict.fromkeys(PLACEHOLDER.findall(one.text)) if field in config.watch.values]
    for values in islice(product(*(dict.fromkeys(config.watch.values[field]) for field in fields)), MAX_GROUPS + 1):
        known = dict(zip(fields, values, strict=True))
        name = PLACEHOLDER.sub(lambda at: known.get(at[1], at[0]), one.text)  # noqa: B023  # used at once
        yield name, not PLACEHOLDER.search(name)
