"""The Terraform module: names that fit together, and, where terraform is installed, what it makes of its inputs.

What makes values has no provider, so that terraform evaluates it without a network; log groups are the outer module's.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hcl2
import pytest
import yaml

from sidecar.config.load import load as load_config
from sidecar.config.schema import Config
from tests.deploy.support import DEPLOY, SIDECAR, environment, refusals

MODULE: Final = DEPLOY / "terraform"
DEFINITION: Final = MODULE / "modules" / "definition"
EXAMPLES: Final = sorted((MODULE / "examples").iterdir())
TASK: Final[dict[str, Any]] = json.loads((DEPLOY / "ecs" / "task-definition.json").read_text(encoding="utf-8"))
GROUP: Final = "arn:aws:logs:eu-west-1:111122223333:log-group:/axonflow/production/my-app"
needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")

Apply = Callable[..., subprocess.CompletedProcess[str]]


def parsed(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The blocks of all files of a folder, by kind."""
    blocks: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.tf")):
        for kind, found in hcl2.loads(path.read_text(encoding="utf-8")).items():
            if isinstance(found, list):
                blocks.setdefault(kind, []).extend(found)
    return blocks


def names(blocks: list[dict[str, Any]]) -> set[str]:
    return {name.strip('"') for block in blocks for name in block if not name.startswith("__")}


def text(folder: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf")))


@pytest.mark.parametrize("folder", [MODULE, DEFINITION, *EXAMPLES], ids=lambda path: path.name)
def test_every_variable_that_is_used_is_declared_and_the_reverse(folder: Path) -> None:
    used = set(re.findall(r"\bvar\.(\w+)", text(folder)))

    assert used == names(parsed(folder).get("variable", []))


def test_the_outer_module_passes_on_what_the_inner_one_has() -> None:
    [call] = [block for block in parsed(MODULE)["module"] if "definition" in str(list(block))]
    [arguments] = call.values()

    assert {key for key in arguments if not key.startswith("__")} - {"source"} == names(parsed(DEFINITION)["variable"])
    assert names(parsed(MODULE)["output"]) == names(parsed(DEFINITION)["output"]) | {"log_group_names"}


def test_the_module_owns_log_groups_and_nothing_else() -> None:
    """People concatenate container definitions into a task of their own."""
    assert names(parsed(MODULE)["resource"]) == {"aws_cloudwatch_log_group"}
    assert not {"resource", "data", "provider"} & set(parsed(DEFINITION))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_names_outputs_and_inputs_that_exist(example: Path) -> None:
    [call] = parsed(example)["module"]
    [arguments] = call.values()
    [task] = [
        one
        for one in parsed(example)["resource"]
        if '"aws_ecs_task_definition"' in one or "aws_ecs_task_definition" in one
    ]

    assert set(re.findall(r"module\.sidecar\.(\w+)", text(example))) == names(parsed(MODULE)["output"]) - {
        "log_group_names"
    }
    assert {key for key in arguments if not key.startswith("__")} - {"source"} <= names(parsed(MODULE)["variable"])
    assert example.name.upper() in str(task)
    load_config(example / "sidecar.yaml", {})


def test_every_section_of_the_configuration_becomes_variables() -> None:
    """The list of sections is the daemon's; `watch` is what `sidecar generate` reads."""
    sections = {name for name, info in Config.model_fields.items() if hasattr(info.annotation, "model_fields")}
    top = set(Config.model_fields) - sections
    [listed] = re.findall(r"sections = toset\(\[(.*?)\]\)", text(DEFINITION))
    [known] = re.findall(r"keys\(var\.config\) : contains\(\[(.*?)\]", text(DEFINITION))

    assert set(re.findall(r'"(\w+)"', listed)) == sections - {"watch"}
    assert set(re.findall(r'"(\w+)"', known)) == sections | top | {"watch"}


# ---- evaluated ----


@pytest.fixture
def apply(tmp_path: Path) -> Apply:
    """Evaluate the outer module without its log groups, for some inputs; outputs are JSON on standard output."""
    shutil.copytree(MODULE / "modules", tmp_path / "modules")
    for name in ("variables.tf", "outputs.tf", "main.tf"):
        source = (MODULE / name).read_text(encoding="utf-8")
        source, groups = re.subn(
            r'(?ms)^(resource|output) "(aws_cloudwatch_log_group|log_group_names)".*?^}\n', "", source
        )
        source, arns = re.subn(r"concat\(\[for group in aws_cloudwatch_log_group\.this.*?\], (.*?)\)", r"\1", source)
        assert (groups, arns) == {"variables.tf": (0, 0), "outputs.tf": (1, 0), "main.tf": (1, 1)}[name]
        (tmp_path / name).write_text(source, encoding="utf-8")

    def run(**inputs: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps(inputs), encoding="utf-8")
        for command in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve"], ["output", "-json"]):
            done = subprocess.run(
                ["terraform", f"-chdir={tmp_path}", *command, "-no-color"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                break
        return done

    return run


def outputs(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return {name: output["value"] for name, output in json.loads(done.stdout).items()}


@needs_terraform
def test_terraform_formats_it_as_it_is() -> None:
    subprocess.run(["terraform", "fmt", "-check", "-recursive", MODULE], check=True, capture_output=True)


@needs_terraform
def test_the_container_is_that_of_the_task_definition_to_copy(apply: Apply) -> None:
    """But for the form of its environment: the whole configuration, which the daemon reads back as it was."""
    config = yaml.safe_load((EXAMPLES[1] / "sidecar.yaml").read_text(encoding="utf-8"))
    log = {"group": "/ecs/my-app", "region": "eu-west-1"}
    made = outputs(apply(image="cloudwatch-sidecar:0.1.0", config=config, log=log, log_group_arns=[f"{GROUP}:*"]))
    [written] = [one for one in TASK["containerDefinitions"] if one["name"] == SIDECAR]
    [application] = [one for one in TASK["containerDefinitions"] if one["name"] != SIDECAR]

    definition = made["container_definition"]
    mounts = [{"sourceVolume": "cloudwatch-sidecar-sockets", "containerPath": "/var/run/sidecar"}]
    assert definition | {"environment": 0, "mountPoints": 0} == written | {"environment": 0, "mountPoints": 0}
    assert definition["mountPoints"] == made["app_mount_points"] == mounts
    assert made["volumes"] == ["cloudwatch-sidecar-sockets"]
    assert environment({"environment": made["app_environment"]}) == environment(application)
    assert made["app_depends_on"] == application["dependsOn"]
    task = TASK | {"containerDefinitions": [definition], "volumes": [{"name": name} for name in made["volumes"]]}
    assert refusals(task, "ecs", "RegisterTaskDefinition") == []


@needs_terraform
def test_the_daemon_reads_the_configuration_back_from_the_environment(apply: Apply, tmp_path: Path) -> None:
    config = {
        "namespace": "AxonFlow",
        "dimensions": {"Environment": "production"},
        "metrics": {
            "flush_seconds": 30.5,
            "percentiles": False,
            "rules": [{"match": "*", "rollups": [[], ["Environment"]]}],
        },
        "logs": {"group": "/a/{service}", "routes": [{"when": {"level": "debug"}, "drop": True}]},
        "listen": {"emf_port": None, "statsd_port": 8126},
        "deliver": {"drain_seconds": 30},
        "watch": {"alarms": []},
    }
    made = outputs(
        apply(image="x:1", config=config, socket=False, spool=True, environment={"SIDECAR_LOGS__CREATE": "false"})
    )
    (tmp_path / "given.yaml").write_text(
        yaml.safe_dump({key: value for key, value in config.items() if key != "watch"}), encoding="utf-8"
    )

    read = load_config(None, environment(made["container_definition"]))
    expected = load_config(tmp_path / "given.yaml", {})
    assert read.deliver.spool_dir == "/var/lib/sidecar"
    assert read.logs.create is False
    deliver = read.deliver.model_copy(update={"spool_dir": None})
    logs = read.logs.model_copy(update={"create": True})
    assert read.model_copy(update={"deliver": deliver, "logs": logs}) == expected
    assert environment({"environment": made["app_environment"]})["STATSD_PORT"] == "8126"
    assert made["volumes"] == ["cloudwatch-sidecar-spool"]
    assert made["container_definition"]["mountPoints"] == [
        {"sourceVolume": "cloudwatch-sidecar-spool", "containerPath": "/var/lib/sidecar"}
    ]


@needs_terraform
def test_the_policy_names_namespaces_and_both_forms_of_each_group(apply: Apply) -> None:
    made = outputs(apply(image="x:1", namespaces=["A", "B"], log_group_arns=[GROUP], allow_creating_groups=True))

    metrics, logs, creating = json.loads(made["policy_json"])["Statement"]
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": ["A", "B"]}}
    assert logs["Resource"] == creating["Resource"] == [GROUP, f"{GROUP}:*"]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert creating["Action"] == ["logs:CreateLogGroup", "logs:PutRetentionPolicy"]
    assert metrics["Action"] == ["cloudwatch:PutMetricData"]


@needs_terraform
@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"image": "cloudwatch-sidecar"}, "image needs a tag"),
        ({"image": "cloudwatch-sidecar:latest"}, "image needs a tag"),
        ({"config": {"metrix": {}}}, "does not know"),
        ({"config": {"namespace": "${NAME}"}}, "templatefile"),
        ({"config": {"deliver": {"drain_seconds": 36}}}, "5 s or more above"),
        ({"launch_type": "EC2"}, "region is needed on EC2"),
        ({"launch_type": "EXTERNAL"}, "FARGATE or EC2"),
        ({"namespaces": ["Axon*"]}, "no wildcards"),
        ({"resources": {"memory": 64}}, "128 MiB or more"),
        ({"log_groups": {"/a": {"retention_days": 31}}}, "such as 30"),
    ],
    ids=str,
)
def test_an_input_that_cannot_work_is_refused(inputs: dict[str, Any], told: str, apply: Apply) -> None:
    done = apply(**{"image": "x:1"} | inputs)

    assert done.returncode != 0
    assert told in " ".join(re.sub(r"[│╷╵]", " ", done.stderr).split())
