"""The files of config/: each loads, and the commented default is the schema with its defaults, no more and no less."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from sidecar.config.load import dump, load
from sidecar.config.schema import Config

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIG: Final = ROOT / "config"
DEFAULT: Final = CONFIG / "default.yaml"
POD: Final = ROOT / "deploy" / "kubernetes" / "pod.yaml"
TASK: Final = ROOT / "deploy" / "ecs" / "task-definition.json"
FILES: Final = sorted(CONFIG.glob("*.yaml"))
RETENTION_DAYS: Final = {  # CloudWatch Logs API, PutRetentionPolicy
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
}


def read(path: Path) -> dict[str, Any]:
    """Parse one file as YAML, without the schema."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def schema_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key of a model as a dotted path, sections descended into, by the name a file would use."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from schema_keys(field.annotation, f"{key}.")
        else:
            yield key


def file_keys(document: dict[str, Any]) -> Iterator[str]:
    """Yield every key of a file as a dotted path; sections are one level deep."""
    sections = {"listen", "metrics", "logs", "emf", "aws", "deliver", "observe", "watch"}
    for key, value in document.items():
        if key in sections:
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_a_valid_configuration_as_it_is(path: Path) -> None:
    """With an empty environment each file loads: what it takes from variables has defaults."""
    assert isinstance(load(path, {}), Config)


def test_default_file_has_every_key_and_no_other() -> None:
    """A key added to the schema is explained here, and one removed from it goes from here."""
    assert sorted(file_keys(read(DEFAULT))) == sorted(schema_keys(Config))


def test_default_file_changes_nothing() -> None:
    """Loading it gives what no file at all gives."""
    assert load(DEFAULT, {}) == load(None, {})


def test_default_file_explains_every_key() -> None:
    """Each key has its comment on the line."""
    lines = DEFAULT.read_text(encoding="utf-8").splitlines()
    sections = {f"{key}:" for key in ("metrics", "logs", "emf", "deliver", "observe")}

    bare = [line for line in lines if line and not line.startswith("#") and "  # " not in line]

    assert set(bare) == sections


def test_default_file_says_no_key_twice() -> None:
    """YAML would let the later one win without a word."""
    section = ""
    seen: list[str] = []
    for line in DEFAULT.read_text(encoding="utf-8").splitlines():
        key, colon, _ = line.partition(":")
        if not colon or key.startswith("#"):
            continue
        section = section if key.startswith("  ") else key
        seen.append(f"{section}.{key.strip()}")

    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_check_prints_of_it_loads_as_the_same(path: Path, tmp_path: Path) -> None:
    config = load(path, {})
    printed = tmp_path / "printed.yaml"
    printed.write_text(dump(config), encoding="utf-8")

    assert load(printed, {}) == config


def test_socket_mode_is_read_as_octal() -> None:
    """The file's 0622 is the mode rw--w--w-, not the decimal number."""
    assert read(DEFAULT)["listen"]["socket_mode"] == 0o622


def test_axonflow_sends_each_service_to_a_group_of_its_environment() -> None:
    """Namespace, dimension, group and retention are what AxonFlow's dashboards look for."""
    config = load(CONFIG / "axonflow.yaml", {})

    assert config.namespace == "AxonFlow"
    assert config.dimensions == {"Environment": "production"}
    assert config.logs.group == "/axonflow/{Environment}/{service}"
    assert config.logs.stream == "{hostname}"
    assert config.logs.retention_days == 30


def test_llm_keeps_its_large_logs_for_two_weeks() -> None:
    """Namespace, group and retention of a service that calls language models."""
    config = load(CONFIG / "llm.yaml", {})

    assert config.namespace == "AI/LLMMetrics"
    assert config.logs.group == "/llm/{service}"
    assert config.logs.retention_days == 14


@pytest.mark.parametrize("name", ["axonflow.yaml", "llm.yaml"])
def test_environment_variable_names_the_environment(name: str) -> None:
    """One image and one file serve every environment."""
    config = load(CONFIG / name, {"ENVIRONMENT": "staging"})

    assert config.dimensions == {"Environment": "staging"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_retention_is_one_that_cloudwatch_takes(path: Path) -> None:
    """Any other number of days would be refused when the group is made."""
    assert load(path, {}).logs.retention_days in {None, *RETENTION_DAYS}


def test_config_map_of_the_pod_is_a_valid_configuration(tmp_path: Path) -> None:
    """What the pod mounts loads in the pod's environment."""
    [config_map] = [d for d in yaml.safe_load_all(POD.read_text(encoding="utf-8")) if d["kind"] == "ConfigMap"]
    path = tmp_path / "config.yaml"
    path.write_text(config_map["data"]["config.yaml"], encoding="utf-8")

    config = load(path, {"AWS_REGION": "eu-west-1", "ENVIRONMENT": "staging"})

    assert config.region == "eu-west-1"
    assert config.namespace == "AxonFlow"
    assert config.dimensions == {"Environment": "staging"}


def test_environment_of_the_task_is_a_valid_configuration() -> None:
    """What the ECS task sets is understood: the mapping as JSON, the sections by double underscore."""
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))  # JSON is YAML
    [sidecar] = [c for c in task["containerDefinitions"] if c["name"] == "cloudwatch-sidecar"]

    config = load(None, {pair["name"]: pair["value"] for pair in sidecar["environment"]})

    assert config.namespace == "AxonFlow"
    assert config.dimensions == {"Environment": "production"}
    assert config.logs.group == "/axonflow/production/my-app"
    assert config.logs.retention_days == 30
    assert config.deliver.drain_seconds == 25
