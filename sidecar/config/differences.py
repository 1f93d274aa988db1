"""How two configurations differ: the rules, which a reload replaces, and all other keys, which it does not."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sidecar.config.schema import RULE_LISTS, Config, rules_of


def with_rules(config: Config, given: Config) -> Config:
    """A configuration with the rules of another."""
    sections: dict[str, Any] = {}
    for key in RULE_LISTS:
        section, name = key.split(".")
        before = sections.get(section, getattr(config, section))
        sections[section] = before.model_copy(update={name: rules_of(given, key)})
    return config.model_copy(update=sections)


def differing(config: Config, given: Config) -> list[str]:
    """The keys, dotted, whose values differ in two configurations; without those of `watch`, which the daemon does not use."""
    return [key for key in _differing(config, given, "") if not key.startswith("watch.")]


def _differing(one: BaseModel, other: BaseModel, path: str) -> list[str]:
    found: list[str] = []
    for name, info in type(one).model_fields.items():
        mine, given = getattr(one, name), getattr(other, name)
        here = f"{path}{info.alias or name}"
        if mine == given:
            continue
        if isinstance(mine, BaseModel) and isinstance(given, BaseModel):
            found += _differing(mine, given, f"{here}.")
        else:
            found.append(here)
    return found
