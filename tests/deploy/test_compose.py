"""The Compose file for a laptop: what of it can be checked without an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.config.load import load as load_config
from sidecar.config.schema import Config
from tests.deploy.support import DEPLOY, ROOT, SLACK_SECONDS, load
from tests.support.daemon import AWS, Daemon

HERE: Final = DEPLOY / "compose"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
# Keys of the Compose specification that it uses; a misspelt one is refused by Compose and found here.
KEYS: Final = {
    *("build", "image", "read_only", "cap_drop", "security_opt", "stop_grace_period", "environment", "ports"),
    *("volumes", "network_mode", "depends_on", "entrypoint", "command", "profiles"),
}


def filled(text: str) -> str:
    """A value with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)


def environment() -> dict[str, str]:
    """The sidecar's variables, the file of the image replaced by that of the repository."""
    told = {name: filled(value) for name, value in SERVICES["sidecar"]["environment"].items()}
    return told | {"SIDECAR_CONFIG": str(ROOT / "config" / Path(told["SIDECAR_CONFIG"]).name)}


def config() -> Config:
    told = environment()
    return load_config(Path(told["SIDECAR_CONFIG"]), told)


def test_keys_are_those_of_compose() -> None:
    assert set(COMPOSE) <= {"name", "services", "volumes"}
    for service in SERVICES.values():
        assert set(service) <= KEYS


@pytest.mark.parametrize("name", SERVICES)
def test_everything_mounted_exists(name: str) -> None:
    """A path that does not exist would be made as an empty folder; a volume has to be declared."""
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        assert (HERE / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_ports_are_published_on_localhost_and_are_those_that_are_listened_on() -> None:
    listen = config().listen
    expected = {
        f"127.0.0.1:{port}:{port}/{transport}"
        for port, transport in [
            (listen.statsd_port, "udp"),
            (listen.emf_port, "tcp"),
            (listen.emf_port, "udp"),
            (listen.http_port, "tcp"),
            (listen.admin_port, "tcp"),
        ]
    }

    assert set(SERVICES["sidecar"]["ports"]) == expected
    assert {listen.statsd_host, listen.emf_host, listen.http_host, listen.admin_host} == {"0.0.0.0"}
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_sidecar_is_as_restricted_as_in_production_and_has_time_to_drain() -> None:
    sidecar = SERVICES["sidecar"]

    assert sidecar["read_only"] is True
    assert sidecar["cap_drop"] == ["ALL"]
    assert int(sidecar["stop_grace_period"].removesuffix("s")) >= config().deliver.drain_seconds + SLACK_SECONDS
    assert config().deliver.target == "local"
    targets = {mount.split(":")[1] for mount in sidecar["volumes"]}
    assert targets == {f"/{folder}" for folder in load(DEPLOY / "image" / "root.py").FOLDERS}


def test_the_application_shares_the_sidecars_localhost() -> None:
    app = SERVICES["app"]

    assert app["network_mode"] == "service:sidecar"
    assert app["depends_on"] == {"sidecar": {"condition": "service_healthy"}}
    assert app["environment"]["DD_DOGSTATSD_URL"] == f"unix://{config().listen.statsd_socket}"
    assert app["environment"]["INGEST_URL"] == f"http://127.0.0.1:{config().listen.http_port}"


def test_prometheus_and_grafana_read_what_is_mounted() -> None:
    prometheus = yaml.safe_load((HERE / "prometheus.yaml").read_text(encoding="utf-8"))
    [provider] = yaml.safe_load((HERE / "grafana-dashboards.yaml").read_text(encoding="utf-8"))["providers"]
    mounted = {name: {one.split(":")[1] for one in SERVICES[name]["volumes"]} for name in ("prometheus", "grafana")}

    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": [f"sidecar:{config().listen.admin_port}"]}]
    assert {f"/etc/prometheus/{name}" for name in prometheus["rule_files"]} <= mounted["prometheus"]
    assert f"{provider['options']['path']}/sidecar.json" in mounted["grafana"]


def test_the_application_of_the_example_is_delivered(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """The program of the service against a daemon with the service's configuration, but for ports and paths."""
    told = {
        name: value
        for name, value in environment().items()
        if not name.startswith(("AWS_", "SIDECAR_LISTEN", "SIDECAR_CONFIG"))
    }
    given = yaml.safe_load(Path(environment()["SIDECAR_CONFIG"]).read_text(encoding="utf-8"))
    one = daemon(given | {"metrics": {"flush_seconds": 0.2}}, environ=told | {"SIDECAR_METRICS__FLUSH_SECONDS": "0.2"})
    program = SERVICES["app"]["command"][0].replace("/examples", str(ROOT / "examples"))
    env = AWS | {"STATSD_ADDR": f"127.0.0.1:{one.statsd_port}", "INGEST_URL": f"http://127.0.0.1:{one.http_port}"}
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.DEVNULL) as process:
        try:
            stats = one.settled(samples=3, log_events=1)
        finally:
            process.kill()
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0
