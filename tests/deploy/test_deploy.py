"""What people copy into ECS and Kubernetes: valid for the platform, least privilege, enough time to drain.

The AWS side is checked against botocore's own copy of the service models, without a network; botocore's validator
leaves out upper bounds and enumerations, so those are walked here.
Source of the ranges: the documentation texts of those models (ECS API 2014-11-13).
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator
from kubernetes_validate.utils import all_versions

from sidecar.config.schema import Config
from tests.deploy.support import ROOT, load

ECS: Final = ROOT / "deploy" / "ecs"
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"

SIDECAR: Final = "cloudwatch-sidecar"
HEALTH: Final = ["sidecar", "health"]
SLACK_SECONDS: Final = 5  # between the end of the drain and SIGKILL: start of the drain, exit of the interpreter
ALLOWED_ACTIONS: Final = {
    "cloudwatch:PutMetricData",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "logs:PutRetentionPolicy",
}
KUBERNETES_VERSIONS: Final = [
    version for version in all_versions() if tuple(map(int, version.split(".")))[:2] >= (1, 29)
]
MANIFESTS: Final = [*sorted(KUBERNETES.glob("*.yaml")), *sorted((ROOT / "deploy" / "helm" / "golden").glob("*.yaml"))]


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


def as_list(value: str | list[str]) -> list[str]:
    """Give a list: IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Give a container's literal environment; ECS says ``environment``, Kubernetes ``env``."""
    pairs = container.get("environment") or container.get("env") or []
    return {pair["name"]: pair["value"] for pair in pairs if "value" in pair}


@pytest.fixture(scope="module")
def drain_seconds() -> float:
    """Read the default of deliver.drain_seconds; the tests of config/ hold that file to the code."""
    defaults = yaml.safe_load((ROOT / "config" / "default.yaml").read_text(encoding="utf-8"))
    return float(defaults["deliver"]["drain_seconds"])


# ---- ECS: the task definition ----


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    """Read the task definition, the input of RegisterTaskDefinition."""
    document: dict[str, Any] = json.loads((ECS / "task-definition.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def containers(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the container definitions by name."""
    return {container["name"]: container for container in task["containerDefinitions"]}


@pytest.fixture(scope="module")
def ecs_sidecar(containers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Give the sidecar's container definition."""
    return containers[SIDECAR]


@pytest.fixture(scope="module")
def request_shape() -> Shape:
    """Give the shape of the input of RegisterTaskDefinition."""
    shape = service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    return shape


def test_ecs_takes_the_task_definition(task: dict[str, Any], request_shape: Shape) -> None:
    """Types, required members, unknown keys, enumerations and bounds are those of RegisterTaskDefinition."""
    report = ParamValidator().validate(task, request_shape)

    assert not report.has_errors(), report.generate_report()
    assert list(violations(task, request_shape)) == []


@pytest.mark.parametrize(
    "mistake",
    [
        {"healthcheck": {"command": ["CMD", "sidecar", "health"]}},
        {"healthCheck": {"command": "sidecar health"}},
        {"dependsOn": [{"containerName": "app", "condition": "READY"}]},
    ],
    ids=["unknown key", "wrong type", "not in the enumeration"],
)
def test_the_check_itself_sees_a_mistake(mistake: dict[str, Any], task: dict[str, Any], request_shape: Shape) -> None:
    """A misspelt key, a wrong type and an unknown condition are each found."""
    wrong = task | {"containerDefinitions": [task["containerDefinitions"][0] | mistake]}

    report = ParamValidator().validate(wrong, request_shape)

    assert report.has_errors() or list(violations(wrong, request_shape))


def test_task_size_is_one_that_fargate_offers(task: dict[str, Any]) -> None:
    """Half a virtual CPU goes with 1 to 4 GiB, and the containers' limits fit into it."""
    limits = [container.get("memory", 0) for container in task["containerDefinitions"]]

    assert task["requiresCompatibilities"] == ["FARGATE"]
    assert task["networkMode"] == "awsvpc"
    assert task["cpu"] == "512"
    assert task["memory"] in {"1024", "2048", "3072", "4096"}
    assert sum(limits) < int(task["memory"])


def test_ecs_stops_the_sidecar_after_the_application(
    task: dict[str, Any], containers: dict[str, dict[str, Any]]
) -> None:
    """Every other container depends on the sidecar directly: the shutdown order is the reverse and not transitive."""
    others = [name for name in containers if name != SIDECAR]

    assert others
    for name in others:
        assert {"containerName": SIDECAR, "condition": "HEALTHY"} in containers[name]["dependsOn"]
    assert "dependsOn" not in containers[SIDECAR]
    assert len(containers) == len(task["containerDefinitions"])


def test_ecs_lets_the_sidecar_finish_its_drain(
    ecs_sidecar: dict[str, Any], containers: dict[str, dict[str, Any]], drain_seconds: float
) -> None:
    """SIGKILL comes after the drain, within Fargate's 2 to 120 s, and both containers fit into a Spot warning."""
    configured = float(environment(ecs_sidecar)["SIDECAR_DELIVER__DRAIN_SECONDS"])
    stops = [container["stopTimeout"] for container in containers.values()]

    assert ecs_sidecar["stopTimeout"] >= max(configured, drain_seconds) + SLACK_SECONDS
    assert all(2 <= seconds <= 120 for seconds in stops)
    assert sum(stops) <= 120


def test_a_failing_sidecar_never_stops_the_task(ecs_sidecar: dict[str, Any]) -> None:
    """It is not essential, it is restarted, and waiting for it at start has an end."""
    assert ecs_sidecar["essential"] is False
    assert ecs_sidecar["restartPolicy"]["enabled"] is True
    assert 60 <= ecs_sidecar["restartPolicy"]["restartAttemptPeriod"] <= 1800
    assert 2 <= ecs_sidecar["startTimeout"] <= 120


def test_ecs_health_check_needs_no_shell(ecs_sidecar: dict[str, Any]) -> None:
    """It is an argument list, within the ranges ECS takes, and may succeed before the application gives up."""
    check = ecs_sidecar["healthCheck"]

    assert check["command"] == ["CMD", *HEALTH]
    assert 5 <= check["interval"] <= 300
    assert 2 <= check["timeout"] <= 60
    assert 1 <= check["retries"] <= 10
    assert 0 <= check["startPeriod"] <= 300
    assert check["startPeriod"] + check["retries"] * check["interval"] < ecs_sidecar["startTimeout"]


def test_ecs_sidecar_has_no_privileges(ecs_sidecar: dict[str, Any]) -> None:
    """Read-only root file system, the image's numeric user, no capabilities."""
    user, _, group = ecs_sidecar["user"].partition(":")

    assert ecs_sidecar["readonlyRootFilesystem"] is True
    assert int(user) > 0
    assert int(group) > 0
    assert ecs_sidecar["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert not ecs_sidecar.get("privileged", False)


# ---- ECS: the task role's policy ----


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    """Read the statements of the policy."""
    policy = json.loads((ECS / "task-role-policy.json").read_text(encoding="utf-8"))
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    return list(policy["Statement"])


def test_policy_allows_what_the_sidecar_calls_and_nothing_else(statements: list[dict[str, Any]]) -> None:
    """The actions are exactly the expected ones; no wildcards, no denials, no unknown members."""
    actions = [action for statement in statements for action in as_list(statement["Action"])]

    assert sorted(actions) == sorted(ALLOWED_ACTIONS)
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


def test_policy_limits_metrics_to_the_namespace_in_use(
    statements: list[dict[str, Any]], ecs_sidecar: dict[str, Any]
) -> None:
    """PutMetricData takes no resource, so the namespace is its limit, and it is the one the task sends to."""
    [metrics] = [s for s in statements if "cloudwatch:PutMetricData" in as_list(s["Action"])]
    namespaces = metrics["Condition"]["StringEquals"]["cloudwatch:namespace"]

    assert as_list(metrics["Action"]) == ["cloudwatch:PutMetricData"]
    assert environment(ecs_sidecar)["SIDECAR_NAMESPACE"] in as_list(namespaces)
    assert not any("*" in namespace for namespace in as_list(namespaces))


def test_policy_limits_logs_to_the_groups_in_use(statements: list[dict[str, Any]], ecs_sidecar: dict[str, Any]) -> None:
    """Every logs action covers the task's group and its streams, and no other account, region or prefix."""
    group = environment(ecs_sidecar)["SIDECAR_LOGS__GROUP"]
    arn = f"arn:aws:logs:eu-west-1:111122223333:log-group:{group}"
    foreign = "arn:aws:logs:eu-west-1:111122223333:log-group:/other"

    for statement in statements:
        if any(action.startswith("logs:") for action in as_list(statement["Action"])):
            resources = as_list(statement["Resource"])
            for wanted in (arn, f"{arn}:*", f"{arn}:log-stream:anything"):
                assert any(fnmatch.fnmatchcase(wanted, resource) for resource in resources)
            assert not any(fnmatch.fnmatchcase(foreign, resource) for resource in resources)
            assert not any("*" in resource.rsplit(":", 1)[0] for resource in resources)


# ---- Kubernetes ----


def documents(path: Path) -> list[dict[str, Any]]:
    """Read the documents of one manifest."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """Read the pod's spec."""
    [found] = [document for document in documents(KUBERNETES / "pod.yaml") if document["kind"] == "Pod"]
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.fixture(scope="module")
def kubernetes_sidecar(pod: dict[str, Any]) -> dict[str, Any]:
    """Give the sidecar's container."""
    [found] = [container for container in pod["initContainers"] if container["name"] == SIDECAR]
    sidecar: dict[str, Any] = found
    return sidecar


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_takes_every_document(manifest: Path, version: str) -> None:
    """Each document is valid, unknown keys refused, in every version since native sidecars are on by default."""
    found = documents(manifest)

    assert found
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_versions_checked_start_with_the_first_that_has_native_sidecars() -> None:
    """1.29 itself is among the schemas, so the parametrised check is not an empty one."""
    assert KUBERNETES_VERSIONS[0].startswith("1.29.")
    assert MANIFESTS


def test_kubernetes_stops_the_sidecar_after_the_application(
    pod: dict[str, Any], kubernetes_sidecar: dict[str, Any]
) -> None:
    """It is a native sidecar: an init container that restarts always."""
    assert kubernetes_sidecar["restartPolicy"] == "Always"
    assert SIDECAR not in {container["name"] for container in pod["containers"]}


def test_kubernetes_lets_the_sidecar_finish_its_drain(pod: dict[str, Any], drain_seconds: float) -> None:
    """The one grace period holds an application's 30 s, the whole drain and some slack."""
    assert pod["terminationGracePeriodSeconds"] >= 30 + drain_seconds + SLACK_SECONDS


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_kubernetes_probes_need_no_shell_and_no_reachable_port(probe: str, kubernetes_sidecar: dict[str, Any]) -> None:
    """Each probe runs the health command: the admin listener is on localhost, where the kubelet cannot ask."""
    handlers = {"exec", "httpGet", "tcpSocket", "grpc"} & set(kubernetes_sidecar[probe])

    assert handlers == {"exec"}
    assert kubernetes_sidecar[probe]["exec"]["command"] == HEALTH


def test_kubernetes_sidecar_passes_the_restricted_profile(kubernetes_sidecar: dict[str, Any]) -> None:
    """Not root, nothing to escalate to, no capabilities, the runtime's seccomp profile, read-only root."""
    context = kubernetes_sidecar["securityContext"]

    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_kubernetes_sidecar_states_its_region_and_its_resources(kubernetes_sidecar: dict[str, Any]) -> None:
    """No cluster is sure to set a region, and a sidecar without bounds takes the application's."""
    resources = kubernetes_sidecar["resources"]

    assert environment(kubernetes_sidecar)["AWS_REGION"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert {"memory"} <= set(resources["limits"])


def test_kubernetes_sidecar_reads_the_config_map(pod: dict[str, Any], kubernetes_sidecar: dict[str, Any]) -> None:
    """The file named on the command line is a key of the ConfigMap that is mounted there."""
    [config_map] = [d for d in documents(KUBERNETES / "pod.yaml") if d["kind"] == "ConfigMap"]
    path = Path(kubernetes_sidecar["args"][-1])
    [mount] = [mount for mount in kubernetes_sidecar["volumeMounts"] if mount.get("readOnly")]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]

    assert kubernetes_sidecar["args"][:-1] == ["run", "--config"]
    assert Path(mount["mountPath"]) == path.parent
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    assert path.name in config_map["data"]


# ---- what both promise of the image ----


def test_both_containers_of_a_task_mount_the_folder_of_the_socket(containers: dict[str, dict[str, Any]]) -> None:
    """The application finds the socket where the sidecar makes it, in a folder that the image makes for its user."""
    mounts = [mount for container in containers.values() for mount in container["mountPoints"]]
    path = Path(environment(containers[SIDECAR])["SIDECAR_LISTEN__STATSD_SOCKET"])

    assert len(mounts) == 2
    assert mounts[0] == mounts[1] == {"sourceVolume": "sidecar-sockets", "containerPath": str(path.parent)}
    [application] = [container for name, container in containers.items() if name != SIDECAR]
    assert environment(application)["DD_DOGSTATSD_URL"] == f"unix://{path}"
    assert load(ROOT / "deploy" / "image" / "root.py").FOLDERS[str(path.parent).lstrip("/")] == 0o755


def test_both_containers_of_a_pod_mount_the_folder_of_the_socket(
    pod: dict[str, Any], kubernetes_sidecar: dict[str, Any]
) -> None:
    [config_map] = [d for d in documents(KUBERNETES / "pod.yaml") if d["kind"] == "ConfigMap"]
    path = Path(yaml.safe_load(config_map["data"]["config.yaml"])["listen"]["statsd_socket"])
    [application] = pod["containers"]
    wanted = {"name": "sidecar-sockets", "mountPath": str(path.parent)}

    assert wanted in kubernetes_sidecar["volumeMounts"]
    assert wanted in application["volumeMounts"]
    assert any(volume["name"] == "sidecar-sockets" and "emptyDir" in volume for volume in pod["volumes"])
    assert environment(application)["DD_DOGSTATSD_URL"] == f"unix://{path}"
    assert pod["securityContext"]["fsGroup"] == kubernetes_sidecar["securityContext"]["runAsGroup"]


@pytest.mark.parametrize("platform", ["ecs", "kubernetes"])
def test_the_application_needs_only_variables(
    platform: str, containers: dict[str, dict[str, Any]], pod: dict[str, Any]
) -> None:
    """EMF libraries are pointed at the listener's default port."""
    [application] = (
        [container for name, container in containers.items() if name != SIDECAR]
        if platform == "ecs"
        else pod["containers"]
    )
    assert environment(application)["AWS_EMF_AGENT_ENDPOINT"] == f"tcp://127.0.0.1:{Config().listen.emf_port}"


def test_both_platforms_run_as_the_images_user(ecs_sidecar: dict[str, Any], kubernetes_sidecar: dict[str, Any]) -> None:
    """One user and group in the image, the task definition and the pod, so that owned directories fit."""
    context = kubernetes_sidecar["securityContext"]
    identity = f"{context['runAsUser']}:{context['runAsGroup']}"

    assert ecs_sidecar["user"] == identity
    assert f"\nUSER {identity}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_deploy_names_no_registry(containers: dict[str, dict[str, Any]], pod: dict[str, Any]) -> None:
    """Images are placeholders with a tag; where they are kept is the reader's choice."""
    images = [container["image"] for container in containers.values()]
    images += [container["image"] for container in [*pod["initContainers"], *pod["containers"]]]

    for image in images:
        name, _, tag = image.partition(":")
        assert "/" not in name
        assert tag
        assert tag != "latest"
