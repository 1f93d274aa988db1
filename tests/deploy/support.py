"""Shared by the tests of deploy/.

The AWS side is checked against botocore's own copy of the service models, without a network; botocore's validator
leaves out upper bounds and enumerations, so those are walked here.
Source of the ranges: the documentation texts of those models (ECS API 2014-11-13).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
SIDECAR: Final = "cloudwatch-sidecar"  # the name of its container
HEALTH: Final = ["sidecar", "health"]
SLACK_SECONDS: Final = 5  # between the end of the drain and SIGKILL: start of the drain, exit of the interpreter


def load(path: Path) -> ModuleType:
    """Import a script of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def service_model(service: str) -> ServiceModel:
    """Load botocore's model of a service from its own data; no client, no region, no network."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)


def violations(value: object, shape: Shape, path: str = "$") -> Iterator[str]:
    """Yield what botocore's validator does not look at: enumerations and upper bounds, at any depth."""
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield f"{path}: {value!r} is none of {enum}"
    most = shape.metadata.get("max")
    size = len(value) if isinstance(value, str | list | dict) else value
    if most is not None and isinstance(size, int | float) and size > most:
        yield f"{path}: {size} is more than {most}"
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for key, item in value.items():
            yield from violations(item, shape.members[key], f"{path}.{key}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(item, shape.member, f"{path}[{index}]")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for key, item in value.items():
            yield from violations(item, shape.value, f"{path}.{key}")


def refusals(document: dict[str, Any], service: str, operation: str) -> list[str]:
    """What is wrong with the input of an operation: types, required members, unknown keys, enumerations, bounds."""
    shape = service_model(service).operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(document, shape)
    if report.has_errors():
        return [report.generate_report()]
    return list(violations(document, shape))


def as_list(value: str | list[str]) -> list[str]:
    """Give a list: IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Give a container's literal environment; ECS says ``environment``, Kubernetes ``env``."""
    pairs = container.get("environment") or container.get("env") or []
    return {pair["name"]: pair["value"] for pair in pairs if "value" in pair}


def default_drain_seconds() -> float:
    """Read the default of deliver.drain_seconds; the tests of config/ hold that file to the code."""
    defaults = yaml.safe_load((ROOT / "config" / "default.yaml").read_text(encoding="utf-8"))
    return float(defaults["deliver"]["drain_seconds"])
