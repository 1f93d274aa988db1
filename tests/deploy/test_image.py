"""What the image is made of: packages without what is never read, and the files that a process needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.support import ROOT, load
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import AWS, Daemon

PRUNE: Final = ROOT / "deploy" / "image" / "prune.py"
KEPT: Final = ["cloudwatch", "logs", "signin", "sso", "sso-oidc", "sts"]
CLIENTS: Final = """
import asyncio, sys
from aiobotocore.session import AioSession
from botocore.exceptions import UnknownServiceError
import botocore

async def main():
    session = AioSession()
    for service, region in [*((one, "eu-west-1") for one in sys.argv[1:]), ("logs", "cn-north-1")]:
        async with session.create_client(service, region_name=region) as client:
            print(service, client.meta.endpoint_url)
    try:
        await session.get_service_model("s3")
    except UnknownServiceError:
        print("pruned", botocore.__file__)

asyncio.run(main())
"""


def prune(packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, PRUNE, packages], capture_output=True, text=True, check=False)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the lock file installs, pruned."""
    folder = tmp_path_factory.mktemp("image") / "site-packages"
    for line in (ROOT / "requirements.lock").read_text(encoding="ascii").splitlines():
        for file in distribution(line.partition("==")[0]).files or []:
            if ".." not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                _link(Path(str(file.locate())), folder / file)
    (folder / "pip" / "_internal").mkdir(parents=True)
    (folder / "pip-25.0.dist-info").mkdir()
    (folder / "pipeline_of_somebody").mkdir()
    done = prune(folder)
    assert done.returncode == 0, done.stderr
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


class Pruned(Daemon):
    """The daemon with pruned packages alone: without `site`, no others are on its path."""

    packages: Path

    def start(self) -> None:
        environ = self._environ | {"PYTHONPATH": f"{self.packages}:{ROOT}"}
        with self.log_path.open("ab") as log, self.console_path.open("ab") as console:
            self.process = subprocess.Popen(
                [sys.executable, "-S", "-m", "sidecar", "run", "--config", self.config_path],
                env=environ,
                stdout=console,
                stderr=log,
            )
        self.wait_until(lambda: self.ready()[0] == 200, "ready")


@pytest.fixture
def pruned(packages: Path, tmp_path: Path, double: ThreadedCloudWatchDouble) -> Iterator[Pruned]:
    deliver = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5}
    daemon = Pruned(tmp_path, {"deliver": deliver, "logs": {"group": "/image", "flush_seconds": 0.2}})
    daemon.packages = packages
    yield daemon
    daemon.kill()


def test_the_daemon_delivers_with_pruned_packages(pruned: Pruned, double: ThreadedCloudWatchDouble) -> None:
    """Metrics and logs, a group created: every operation that the daemon has, against CloudWatch's limits."""
    pruned.start()
    pruned.udp(b"orders:2|c|#service:shop")
    pruned.post("/ingest/metrics", {"name": "Latency", "value": 12.5, "unit": "Milliseconds"})
    pruned.post("/ingest/logs", {"message": "order placed"})

    stats = pruned.settled(samples=2, log_events=1)
    assert stats["samples"]["delivered"] == 2
    assert stats["log_events"]["delivered"] == 1
    assert "/image" in double.logs.groups()


def test_every_way_to_credentials_has_its_service(packages: Path) -> None:
    """Clients of assumed roles, web identities and IAM Identity Center, with endpoints of another partition; of others there are none."""
    command = [sys.executable, "-S", "-c", CLIENTS, *KEPT]
    environ = AWS | {"PYTHONPATH": str(packages)}
    lines = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()

    assert lines[-1] == f"pruned {packages / 'botocore' / '__init__.py'}"
    assert "sts https://sts.eu-west-1.amazonaws.com" in lines
    assert "logs https://logs.cn-north-1.amazonaws.com.cn" in lines
    assert len(lines) == len(KEPT) + 2


def test_services_kept_are_those_that_are_used(packages: Path) -> None:
    services = sorted(path.name for path in (packages / "botocore" / "data").iterdir() if path.is_dir())

    assert services == KEPT


def test_no_installer_is_left_and_nothing_that_only_looks_like_one_is_removed(packages: Path) -> None:
    left = {path.name for path in packages.iterdir()}

    assert not {"pip", "pip-25.0.dist-info"} & left
    assert "pipeline_of_somebody" in left


def test_packages_are_small(packages: Path) -> None:
    """Bytecode doubles what is Python; with the interpreter and its library of 50 MB the image is below 130 MB."""
    assert size(packages) < 50_000_000


def test_a_botocore_that_looks_different_fails_the_build(packages: Path, tmp_path: Path) -> None:
    """The daemon would find out at its first request."""
    data = tmp_path / "botocore" / "data"
    shutil.copytree(packages / "botocore" / "data", data)
    (data / "partitions.json").rename(data / "partitions.json.gz")

    done = prune(tmp_path)
    assert done.returncode == 1
    assert "partitions.json" in done.stderr
    assert (data / "logs").is_dir()


def test_the_root_has_the_libraries_of_its_interpreter_and_leaves_out_what_developers_use() -> None:
    root = load(PRUNE.with_name("root.py"))
    found = {path.name for path in root.libraries(Path(sys.executable).resolve())}

    assert any(name.startswith("libc.") for name in found)
    assert any(name.startswith("ld-") for name in found)
    assert root.LEFT_OUT("lib", ["ensurepip", "test", "json", "_tkinter.so"]) == {"ensurepip", "test", "_tkinter.so"}
