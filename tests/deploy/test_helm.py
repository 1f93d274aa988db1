"""The library chart: what it renders is valid, safe, and the same as the manifest to copy; its schema is the daemon's.

Golden files are looked at everywhere; where helm is installed they are rendered again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from sidecar import __version__
from sidecar.config.load import load as load_config
from sidecar.config.schema import Config
from tests.deploy.support import DEPLOY, ROOT, load

HELM: Final = DEPLOY / "helm"
CHART: Final = HELM / "cloudwatch-sidecar"
GOLDEN: Final = sorted((HELM / "golden").glob("*.yaml"))
SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text(encoding="ascii"))
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
NAME: Final = "cloudwatch-sidecar"
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")


def documents(path: Path) -> dict[str, dict[str, Any]]:
    """The documents of a manifest, by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one}


def pod_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if "Pod" in found:
        spec: dict[str, Any] = found["Pod"]["spec"]
        return spec
    [workload] = [one for kind, one in found.items() if kind in {"Deployment", "DaemonSet"}]
    template: dict[str, Any] = workload["spec"]["template"]["spec"]
    return template


def sidecar_of(pod: dict[str, Any]) -> dict[str, Any]:
    [found] = [one for one in [*pod.get("initContainers", []), *pod["containers"]] if one["name"] == NAME]
    container: dict[str, Any] = found
    return container


def config_of(found: dict[str, dict[str, Any]]) -> str:
    [text] = found["ConfigMap"]["data"].values()
    return str(text)


def refused(config: dict[str, Any]) -> list[str]:
    """What the schema says of a configuration."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors({"config": config})]


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the charts with their dependency."""
    folder = tmp_path_factory.mktemp("helm")
    render = load(HELM / "render.py")
    render.render(render.Case("x", "application"), folder)
    return folder


def template(charts: Path, *options: str) -> subprocess.CompletedProcess[str]:
    chart = charts / "charts" / "examples" / "application"
    command = ["helm", "template", "my-app", str(chart), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---- golden files ----


@needs_helm
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_helm_renders_the_golden_files(golden: Path, tmp_path: Path) -> None:
    """`python deploy/helm/render.py` writes them; helm's linter has no complaint on the way."""
    render = load(HELM / "render.py")

    assert render.render(render.CASES[golden.name], tmp_path) == golden.read_text(encoding="utf-8")


def test_every_case_has_its_golden_file() -> None:
    assert {path.name for path in GOLDEN} == set(load(HELM / "render.py").CASES)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_the_daemon_takes_the_rendered_configuration(golden: Path, tmp_path: Path) -> None:
    found = documents(golden)
    path = tmp_path / "config.yaml"
    path.write_text(config_of(found), encoding="utf-8")

    config = load_config(path, {"ENVIRONMENT": "test", "NODE_NAME": "node"})
    mounts = {mount["mountPath"] for mount in sidecar_of(pod_of(found))["volumeMounts"]}
    folders = {str(Path(one).parent) for one in [config.listen.statsd_socket] if one}
    folders |= {config.deliver.spool_dir} if config.deliver.spool_dir else set()
    assert folders < mounts


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_the_rendered_pod_has_time_for_the_drain_and_no_privileges(golden: Path, tmp_path: Path) -> None:
    found = documents(golden)
    pod, container = pod_of(found), sidecar_of(pod_of(found))
    path = tmp_path / "config.yaml"
    path.write_text(config_of(found), encoding="utf-8")
    alone = len(pod["containers"]) == 1 and "initContainers" not in pod
    application_seconds = 0 if alone else 30

    drain = load_config(path, {}).deliver.drain_seconds
    assert pod["terminationGracePeriodSeconds"] >= application_seconds + drain + 5
    assert container["securityContext"] == VALUES["securityContext"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["fsGroup"] == container["securityContext"]["runAsGroup"] == 65532
    assert ("restartPolicy" in container) == (not alone)


def test_the_manifest_to_copy_is_what_the_chart_renders() -> None:
    """deploy/kubernetes/pod.yaml has the comments; but for its name and configuration it is the same container."""
    found, copied = documents(HELM / "golden" / "application.yaml"), documents(DEPLOY / "kubernetes" / "pod.yaml")
    rendered, written = sidecar_of(pod_of(found)), sidecar_of(pod_of(copied))
    left_out = {"volumeMounts"}

    assert {key: value for key, value in written.items() if key not in left_out} == {
        key: value for key, value in rendered.items() if key not in left_out
    }
    assert {mount["mountPath"] for mount in written["volumeMounts"]} == {
        mount["mountPath"] for mount in rendered["volumeMounts"]
    }
    for one in (found, copied):
        pod_of(one)["containers"][0]["env"].sort(key=lambda variable: variable["name"])
    assert pod_of(found)["containers"][0]["env"] == pod_of(copied)["containers"][0]["env"]
    for key in ("terminationGracePeriodSeconds", "securityContext"):
        assert pod_of(found)[key] == pod_of(copied)[key]


def test_pods_reach_the_sidecar_of_their_node() -> None:
    """Every port but the admin's is the node's, and its listener is bound on every address."""
    found = documents(HELM / "golden" / "daemonset.yaml")
    ports = {port["name"]: port for port in sidecar_of(pod_of(found))["ports"]}
    listen = yaml.safe_load(config_of(found))["listen"]

    assert {name for name, port in ports.items() if "hostPort" in port} == set(ports) - {"admin"}
    assert {listen[f"{name}_host"] for name in ("statsd", "emf", "http")} == {"0.0.0.0"}
    assert "admin_host" not in listen


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))

    assert chart["type"] == "library"
    assert chart["appVersion"] == __version__
    for path in HELM.glob("examples/*/Chart.yaml"):
        [dependency] = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
        assert dependency["version"] == chart["version"]
        assert (path.parent / dependency["repository"].removeprefix("file://")).resolve() == CHART


# ---- values ----


def test_the_schema_is_made_of_the_configurations_model() -> None:
    """`python deploy/helm/schema.py` writes it; a key that the daemon gains or loses fails here until then."""
    assert (CHART / "values.schema.json").read_text(encoding="ascii") == load(HELM / "schema.py").text()


def test_the_defaults_are_valid_and_complete() -> None:
    jsonschema.validate(VALUES, SCHEMA)

    assert set(VALUES) | {"global"} == set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "config").glob("*.yaml")), *sorted((ROOT / "examples").glob("*/*.yaml"))], ids=str
)
def test_the_schema_takes_every_configuration_that_the_daemon_takes(path: Path) -> None:
    """Helm would refuse a release for a schema that is stricter than the daemon."""
    assert refused(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "config",
    [
        {"metrics": {"rules": [{"match": ["a.*", "b"], "when": {"service": "api"}, "keep_dimensions": ["a"]}]}},
        {"logs": {"routes": [{"when": "{ $.status >= 500 }", "drop": True}], "redact": [{"find": ["email"]}]}},
        {"listen": {"socket_mode": "0o622", "statsd_port": "${PORT}", "emf_port": "${OFF:-null}", "http_port": None}},
        {"metrics": {"rules": "${RULES}"}, "dimensions": {"Environment": "${ENVIRONMENT:-test}"}},
    ],
    ids=["rules", "routes", "listen", "variables"],
)
def test_the_schema_takes_every_form_of_a_value_that_the_daemon_takes(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    load_config(path, {"PORT": "8126", "RULES": "[]"})

    assert refused(config) == []


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"metrics": {"flush_second": 5}}, "flush_second"),
        ({"listen": {"statsd_port": "8125"}}, "8125"),
        ({"metrics": {"max_series": 0}}, "0"),
        ({"metrics": {"rules": [{"match": "*", "rollup": [[]]}]}}, "rollup"),
        ({"deliver": {"target": "aws"}}, "aws"),
        ({"logz": {}}, "logz"),
    ],
    ids=str,
)
def test_the_schema_names_a_mistake(config: dict[str, Any], told: str) -> None:
    assert any(told in message for message in refused(config))
    with pytest.raises(ValidationError):
        Config.model_validate(config)


@needs_helm
def test_helm_refuses_values_that_the_daemon_would_refuse(charts: Path) -> None:
    done = template(charts, "--set", "cloudwatch-sidecar.config.metrics.flush_second=5,cloudwatch-sidecar.imagee=x")

    assert done.returncode != 0
    assert "flush_second" in done.stderr
    assert "imagee" in done.stderr


@needs_helm
def test_pods_roll_for_a_configuration_that_needs_a_restart_and_not_for_rules(charts: Path) -> None:
    """The sidecar reloads rules by itself; the ConfigMap has them either way."""
    prefix = "cloudwatch-sidecar.config"
    rendered = [template(charts, *options).stdout for options in ([], ["--set", f"{prefix}.metrics.max_series=7"])]
    rules = template(charts, "--set-json", f'{prefix}.metrics.rules=[{{"match":"x","drop":true}}]').stdout
    sums = [line for text in [*rendered, rules] for line in text.splitlines() if "checksum/" in line]

    assert "drop: true" in rules
    assert sums[0] == sums[2]
    assert sums[0] != sums[1]


@needs_helm
def test_a_grace_period_is_never_made_of_a_variable(charts: Path) -> None:
    done = template(charts, "--set", "cloudwatch-sidecar.config.deliver.drain_seconds=${SECONDS}")

    assert done.returncode != 0
    assert "drain_seconds has to be a number" in done.stderr
