"""Packs of the ready-made configurations, as the command makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.commands.generate import WRITERS, Format, decide_by
from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.generate.api import calls
from sidecar.generate.pack import Pack, What, make

ROOT: Final = Path(__file__).resolve().parents[2]
NAMES: Final = ("axonflow", "llm", "genkit", "web")
REGION: Final = "eu-west-1"


def configured(name: str) -> Config:
    """A ready-made configuration, in a Region."""
    return load(ROOT / "config" / f"{name}.yaml", {"AWS_REGION": REGION})


def config_of(text: str) -> Config:
    """A configuration of YAML."""
    return Config.model_validate(yaml.safe_load(text))


def pack(config: Config, what: What = "all") -> Pack:
    return make(what, config, decide_by(config))


def written(config: Config, form: Format, what: What = "all") -> str:
    """What the command prints."""
    made = pack(config, what)
    assert made.problems == []
    return WRITERS[form](made, config)


def api_calls(config: Config, what: What = "all") -> list[dict[str, Any]]:
    return list(calls(pack(config, what).resources, config.region))


def alarms(config: Config) -> list[dict[str, Any]]:
    """The parameters of PutMetricAlarm of each alarm."""
    return [one["parameters"] for one in api_calls(config, "alarms") if one["operation"] == "PutMetricAlarm"]
