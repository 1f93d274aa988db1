"""What people copy into ECS, as JSON or CloudFormation: valid, least privilege, enough time to drain."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.config.schema import Config
from tests.deploy.cloudformation import Stack, as_request
from tests.deploy.support import (
    DEPLOY,
    HEALTH,
    SIDECAR,
    SLACK_SECONDS,
    as_list,
    default_drain_seconds,
    environment,
    load,
    refusals,
    service_model,
)

ECS: Final = DEPLOY / "ecs"
ALLOWED_ACTIONS: Final = {
    "cloudwatch:PutMetricData",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "logs:PutRetentionPolicy",
}
DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "fargate": json.loads((ECS / "task-definition.json").read_text(encoding="utf-8")),
    "ec2": json.loads((ECS / "task-definition-ec2.json").read_text(encoding="utf-8")),
    "cloudformation, fargate": as_request(Stack().resources()["TaskDefinition"]),
    "cloudformation, ec2": as_request(Stack(LaunchType="EC2").resources()["TaskDefinition"]),
}
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "json": json.loads((ECS / "task-role-policy.json").read_text(encoding="utf-8")),
    "cloudformation": Stack().resources()["TaskRole"]["Policies"][0]["PolicyDocument"],
}


@pytest.fixture(params=DOCUMENTS, ids=str)
def task(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each task definition, as the input of RegisterTaskDefinition."""
    return DOCUMENTS[request.param]


@pytest.fixture
def containers(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the container definitions by name."""
    return {container["name"]: container for container in task["containerDefinitions"]}


@pytest.fixture
def sidecar(containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Give the sidecar's container definition."""
    return containers[SIDECAR]


@pytest.fixture
def application(containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Give the application's container definition."""
    [found] = [container for name, container in containers.items() if name != SIDECAR]
    return found


# ---- the task definition ----


def test_ecs_takes_the_task_definition(task: dict[str, Any]) -> None:
    """Types, required members, unknown keys, enumerations and bounds are those of RegisterTaskDefinition."""
    assert refusals(task, "ecs", "RegisterTaskDefinition") == []


@pytest.mark.parametrize(
    "mistake",
    [
        {"healthcheck": {"command": ["CMD", "sidecar", "health"]}},
        {"healthCheck": {"command": "sidecar health"}},
        {"dependsOn": [{"containerName": "app", "condition": "READY"}]},
    ],
    ids=["unknown key", "wrong type", "not in the enumeration"],
)
def test_the_check_itself_sees_a_mistake(mistake: dict[str, Any]) -> None:
    """A misspelt key, a wrong type and an unknown condition are each found."""
    task = DOCUMENTS["fargate"]
    wrong = task | {"containerDefinitions": [task["containerDefinitions"][0] | mistake]}

    assert refusals(wrong, "ecs", "RegisterTaskDefinition")


def test_all_have_the_same_sidecar() -> None:
    """Each says it in its own way; only what its launch type or its own parameters need is different."""
    [expected] = [one for one in DOCUMENTS["fargate"]["containerDefinitions"] if one["name"] == SIDECAR]
    varying = {"AWS_REGION", "SIDECAR_LOGS__RETENTION_DAYS"}  # Fargate sets the first; a template's group has retention

    for task in DOCUMENTS.values():
        [found] = [one for one in task["containerDefinitions"] if one["name"] == SIDECAR]
        assert {key: value for key, value in found.items() if key != "environment"} == {
            key: value for key, value in expected.items() if key != "environment"
        }
        told, wanted = environment(found), environment(expected)
        assert {key: told[key] for key in told.keys() - varying} == {
            key: wanted[key] for key in wanted.keys() - varying
        }


def test_task_size_is_one_that_the_launch_type_offers(task: dict[str, Any]) -> None:
    """On Fargate half a virtual CPU with 1 to 4 GiB, into which the limits fit; on EC2 a limit for each container."""
    limits = [container.get("memory", 0) for container in task["containerDefinitions"]]

    assert task["networkMode"] == "awsvpc"
    if task["requiresCompatibilities"] == ["FARGATE"]:
        assert task["cpu"] == "512"
        assert task["memory"] in {"1024", "2048", "3072", "4096"}
        assert sum(limits) < int(task["memory"])
    else:
        assert task["requiresCompatibilities"] == ["EC2"]
        assert not {"cpu", "memory", "runtimePlatform"} & set(task)
        assert all(limits)


def test_the_region_is_set_where_the_platform_does_not(task: dict[str, Any], sidecar: dict[str, Any]) -> None:
    """Older agents on EC2 set no AWS_REGION."""
    assert task["requiresCompatibilities"] == ["FARGATE"] or environment(sidecar)["AWS_REGION"]


def test_ecs_stops_the_sidecar_after_the_application(containers: dict[str, dict[str, Any]]) -> None:
    """Every other container depends on the sidecar directly: the shutdown order is the reverse and not transitive."""
    others = [name for name in containers if name != SIDECAR]

    assert others
    for name in others:
        assert {"containerName": SIDECAR, "condition": "HEALTHY"} in containers[name]["dependsOn"]
    assert "dependsOn" not in containers[SIDECAR]


def test_ecs_lets_the_sidecar_finish_its_drain(sidecar: dict[str, Any], containers: dict[str, dict[str, Any]]) -> None:
    """SIGKILL comes after the drain, within Fargate's 2 to 120 s, and both containers fit into a Spot warning."""
    configured = float(environment(sidecar)["SIDECAR_DELIVER__DRAIN_SECONDS"])
    stops = [container["stopTimeout"] for container in containers.values()]

    assert sidecar["stopTimeout"] >= max(configured, default_drain_seconds()) + SLACK_SECONDS
    assert all(2 <= seconds <= 120 for seconds in stops)
    assert sum(stops) <= 120


def test_a_failing_sidecar_never_stops_the_task(sidecar: dict[str, Any]) -> None:
    """It is not essential, it is restarted, and waiting for it at start has an end."""
    assert sidecar["essential"] is False
    assert sidecar["restartPolicy"]["enabled"] is True
    assert 60 <= sidecar["restartPolicy"]["restartAttemptPeriod"] <= 1800
    assert 2 <= sidecar["startTimeout"] <= 120


def test_ecs_health_check_needs_no_shell(sidecar: dict[str, Any]) -> None:
    """It is an argument list, within the ranges ECS takes, and may succeed before the application gives up."""
    check = sidecar["healthCheck"]

    assert check["command"] == ["CMD", *HEALTH]
    assert 5 <= check["interval"] <= 300
    assert 2 <= check["timeout"] <= 60
    assert 1 <= check["retries"] <= 10
    assert 0 <= check["startPeriod"] <= 300
    assert check["startPeriod"] + check["retries"] * check["interval"] < sidecar["startTimeout"]


def test_ecs_sidecar_has_no_privileges(sidecar: dict[str, Any]) -> None:
    """Read-only root file system, the image's numeric user, no capabilities."""
    user, _, group = sidecar["user"].partition(":")

    assert int(user) == int(group) == load(DEPLOY / "image" / "root.py").USER
    assert sidecar["readonlyRootFilesystem"] is True
    assert sidecar["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert not sidecar.get("privileged", False)


def test_both_containers_mount_the_folder_of_the_socket(
    task: dict[str, Any], sidecar: dict[str, Any], application: dict[str, Any]
) -> None:
    """The application finds the socket where the sidecar makes it, in a folder that the image makes for its user."""
    path = Path(environment(sidecar)["SIDECAR_LISTEN__STATSD_SOCKET"])
    expected = [{"sourceVolume": "sidecar-sockets", "containerPath": str(path.parent)}]

    assert sidecar["mountPoints"] == application["mountPoints"] == expected
    assert task["volumes"] == [{"name": "sidecar-sockets"}]
    assert environment(application)["DD_DOGSTATSD_URL"] == f"unix://{path}"
    assert load(DEPLOY / "image" / "root.py").FOLDERS[str(path.parent).lstrip("/")] == 0o755


def test_the_application_needs_only_variables(application: dict[str, Any]) -> None:
    """EMF libraries and AWS SDKs are pointed at the listeners' default ports."""
    listen, told = Config().listen, environment(application)

    assert told["AWS_EMF_AGENT_ENDPOINT"] == f"tcp://127.0.0.1:{listen.emf_port}"
    assert told["STATSD_PORT"] == str(listen.statsd_port)
    for name in ("INGEST_URL", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"):
        assert told[name] == f"http://127.0.0.1:{listen.http_port}"


def test_the_sidecar_never_sends_to_itself(sidecar: dict[str, Any]) -> None:
    """The SDK's endpoint variables are the application's alone."""
    assert not [name for name in environment(sidecar) if name.startswith("AWS_ENDPOINT_URL")]


def test_images_name_no_registry_and_no_latest(containers: dict[str, dict[str, Any]]) -> None:
    """Images are placeholders with a tag; where they are kept is the reader's choice."""
    for container in containers.values():
        name, _, tag = container["image"].partition(":")
        assert "/" not in name
        assert tag not in {"", "latest"}


# ---- the task role's policy ----


@pytest.fixture(params=POLICIES, ids=str)
def statements(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Give the statements of each policy."""
    policy = POLICIES[request.param]
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    return list(policy["Statement"])


def test_policy_allows_what_the_sidecar_calls_and_nothing_else(statements: list[dict[str, Any]]) -> None:
    """The actions are among the expected ones; no wildcards, no denials, no unknown members."""
    actions = [action for statement in statements for action in as_list(statement["Action"])]

    assert len(actions) == len(set(actions))
    assert {"cloudwatch:PutMetricData", "logs:PutLogEvents", "logs:CreateLogStream"} <= set(actions) <= ALLOWED_ACTIONS
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}


def test_policy_actions_exist() -> None:
    """Each action is an operation of its service."""
    operations = {
        f"{service}:{operation}"
        for service in ("cloudwatch", "logs")
        for operation in service_model(service).operation_names
    }

    assert operations >= ALLOWED_ACTIONS


def test_policy_limits_metrics_to_the_namespace_in_use(statements: list[dict[str, Any]]) -> None:
    """PutMetricData takes no resource, so the namespace is its limit, and it is the one the task sends to."""
    [metrics] = [s for s in statements if "cloudwatch:PutMetricData" in as_list(s["Action"])]
    namespaces = metrics["Condition"]["StringEquals"]["cloudwatch:namespace"]

    assert as_list(metrics["Action"]) == ["cloudwatch:PutMetricData"]
    assert namespaces == ["AxonFlow"]
    for task in DOCUMENTS.values():
        [found] = [one for one in task["containerDefinitions"] if one["name"] == SIDECAR]
        assert environment(found)["SIDECAR_NAMESPACE"] in namespaces


def test_policy_limits_logs_to_the_groups_in_use(statements: list[dict[str, Any]]) -> None:
    """Every logs action covers the task's group and its streams, and no other account, region or prefix."""
    arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/axonflow/production/my-app"
    foreign = "arn:aws:logs:eu-west-1:111122223333:log-group:/other"

    for statement in statements:
        if any(action.startswith("logs:") for action in as_list(statement["Action"])):
            resources = as_list(statement["Resource"])
            for wanted in (arn, f"{arn}:*", f"{arn}:log-stream:anything"):
                assert any(fnmatch.fnmatchcase(wanted, resource) for resource in resources)
            assert not any(fnmatch.fnmatchcase(foreign, resource) for resource in resources)
            assert not any("*" in resource.removesuffix(":*").rsplit(":", 1)[0] for resource in resources)
