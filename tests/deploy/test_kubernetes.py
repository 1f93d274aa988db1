"""What people copy into Kubernetes: valid, restricted, enough time to drain. The manifest of a pod and what the chart renders."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from sidecar.config.schema import Config
from tests.deploy.support import DEPLOY, HEALTH, SIDECAR, SLACK_SECONDS, default_drain_seconds, environment, load

KUBERNETES: Final = DEPLOY / "kubernetes"
KUBERNETES_VERSIONS: Final = [
    version for version in all_versions() if tuple(map(int, version.split(".")))[:2] >= (1, 29)
]
MANIFESTS: Final = [*sorted(KUBERNETES.glob("*.yaml")), *sorted((DEPLOY / "helm" / "golden").glob("*.yaml"))]


@cache
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


def test_kubernetes_lets_the_sidecar_finish_its_drain(pod: dict[str, Any]) -> None:
    """The one grace period holds an application's 30 s, the whole drain and some slack."""
    assert pod["terminationGracePeriodSeconds"] >= 30 + default_drain_seconds() + SLACK_SECONDS


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


def test_the_application_needs_only_variables(pod: dict[str, Any]) -> None:
    """EMF libraries and AWS SDKs are pointed at the listeners' default ports."""
    [application] = pod["containers"]
    listen, told = Config().listen, environment(application)

    assert told["AWS_EMF_AGENT_ENDPOINT"] == f"tcp://127.0.0.1:{listen.emf_port}"
    assert told["AWS_ENDPOINT_URL_CLOUDWATCH"] == told["INGEST_URL"] == f"http://127.0.0.1:{listen.http_port}"


def test_the_pod_runs_as_the_images_user(kubernetes_sidecar: dict[str, Any]) -> None:
    """So that the folders that the image makes belong to it."""
    context = kubernetes_sidecar["securityContext"]

    assert context["runAsUser"] == context["runAsGroup"] == load(DEPLOY / "image" / "root.py").USER


def test_images_name_no_registry_and_no_latest(pod: dict[str, Any]) -> None:
    """Images are placeholders with a tag; where they are kept is the reader's choice."""
    for container in [*pod["initContainers"], *pod["containers"]]:
        name, _, tag = container["image"].partition(":")
        assert "/" not in name
        assert tag not in {"", "latest"}
