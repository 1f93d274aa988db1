"""Write the chart's values.schema.json from the configuration's model: `python deploy/helm/schema.py`.

So `helm lint` and `helm install` name every unknown key and wrong type of the sidecar's configuration, all at once. What
the daemon reads in more forms than one (a glob or a list of them) is left to it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sidecar.config.schema import Config

OUT: Final = Path(__file__).parent / "cloudwatch-sidecar" / "values.schema.json"
VARIABLE: Final = {"type": "string", "pattern": r"\$\{"}  # the daemon puts the variable's value in its place
STRING: Final = {"type": "string"}
OBJECT: Final = {"type": "object"}
LIST: Final = {"type": "array", "items": OBJECT}
SECONDS: Final = {"type": "integer", "minimum": 1}
VALUES: Final[dict[str, Any]] = {
    "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
    "image": {
        "type": "object",
        "properties": {
            "repository": {"type": "string", "minLength": 1},
            "tag": STRING,
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never", ""]},
        },
        "additionalProperties": False,
    },
    **{key: {"type": "boolean"} for key in ("native", "hostPorts", "redirectAwsSdk", "socket", "readiness")},
    "region": {"type": "string", "pattern": "^([a-z]+(-[a-z]+)+-[0-9]+)?$"},
    "applicationStopSeconds": SECONDS,
    "spool": {
        "type": "object",
        "properties": {"enabled": {"type": "boolean"}, "sizeLimit": {"type": ["string", "integer"]}},
        "additionalProperties": False,
    },
    **dict.fromkeys(("resources", "securityContext", "podSecurityContext"), OBJECT),
    **dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), OBJECT),
    **dict.fromkeys(("env", "envFrom", "volumeMounts"), LIST),
    "global": OBJECT,  # Helm passes it to every chart
}


class _Lenient(GenerateJsonSchema):
    """Anything where a value is converted before its type is checked."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        del schema
        return {}


def values_schema() -> dict[str, Any]:
    """The schema of the chart's values; `config` is the sidecar's configuration."""
    config = Config.model_json_schema(by_alias=True, schema_generator=_Lenient)
    definitions = config.pop("$defs")
    sections = {part["$ref"].rpartition("/")[2] for part in config["properties"].values() if "$ref" in part}
    for holder in (config, *(definitions[name] for name in sections)):
        for key, part in holder["properties"].items():
            if "$ref" not in part:
                holder["properties"][key] = {"anyOf": [_plain(part), VARIABLE]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": VALUES | {"config": _plain(config)},
        "additionalProperties": False,
        "$defs": {name: _plain(part) for name, part in definitions.items()},
    }


def _plain(part: Any) -> Any:
    """Without what only documents: titles, defaults and descriptions."""
    if isinstance(part, list):
        return [_plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("properties"), dict):
        inner = {key: _plain(value) for key, value in part["properties"].items()}
        return _plain({key: value for key, value in part.items() if key != "properties"}) | {"properties": inner}
    return {key: _plain(value) for key, value in part.items() if key not in ("title", "default", "description")}


def text() -> str:
    """The content of the file."""
    return json.dumps(values_schema(), indent=2) + "\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="ascii")
