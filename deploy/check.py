"""What needs tools that not every machine has: `make deploy-check`. Says what passed, failed and was skipped, and why.

Charts with helm, alert rules with promtool, HCL with terraform; the image is built with buildah and run as its own user
on a read-only root file system, where it has to receive, answer its health check, and stop. BASE in the environment
names another base image than the Dockerfile's. The tests check the same files without tools.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DEPLOY: Final = ROOT / "deploy"
TAG: Final = "localhost/cloudwatch-sidecar-check"
MOST_BYTES: Final = 130_000_000
START_SECONDS: Final = 30.0
USER: Final = "65532:65532"
BUILD_SECONDS: Final = 1_800
# As an engine does: a read-only root with /proc and /dev, and folders of volumes that can be written.
START: Final = """
set -e
cd "$1"
mkdir -p proc dev
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/var/lib/sidecar"
mount -o remount,bind,ro "$1"
exec chroot --userspec="$3" "$1" /opt/sidecar/bin/sidecar run
"""


class SkippedError(Exception):
    """Raised where a check cannot be made here; says why."""


class FailedError(Exception):
    """Raised where a check fails; says what is wrong."""


def need(tool: str) -> None:
    """Raise `SkippedError` where a program is missing."""
    if shutil.which(tool) is None:
        raise SkippedError(f"{tool} is not installed")


def run(*command: str | Path, seconds: float = 120) -> str:
    """Run a program and return its output.

    Raises:
        FailedError: it ends with another status than 0, or not in time.
    """
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"{command[0]} did not end within {seconds:.0f} s") from None
    if done.returncode:
        raise FailedError(f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def charts() -> str:
    """Lint the charts and compare what they render with the golden files."""
    need("helm")
    sys.path.insert(0, str(DEPLOY / "helm"))
    from render import CASES, render

    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if render(case, Path(folder)) != (DEPLOY / "helm" / "golden" / name).read_text(encoding="utf-8"):
                raise FailedError(f"golden/{name} is not what helm renders: python deploy/helm/render.py")
    return f"{len(CASES)} golden files"


def alerts() -> str:
    """Check the alert rules, and that each fires with its fault and no other time."""
    need("promtool")
    rules = DEPLOY / "prometheus"
    run("promtool", "check", "rules", rules / "alerts.yaml")
    run("promtool", "check", "config", "--syntax-only", rules / "scrape.yaml")
    run("promtool", "test", "rules", rules / "alerts.test.yaml")
    return "rules, their tests, scrape configuration"


def hcl() -> str:
    """Check the format of the module; the tests evaluate it."""
    need("terraform")
    run("terraform", "fmt", "-check", "-recursive", DEPLOY / "terraform")
    return "format"


def image() -> str:
    """Build the image, check its size and its health check, and run it."""
    need("buildah")
    if os.geteuid() != 0:
        raise SkippedError("buildah needs root here")
    store = ("buildah", "--storage-driver", "vfs")
    base = ["--build-arg", f"BASE={os.environ['BASE']}"] if "BASE" in os.environ else []
    certificates = ["-v", "/etc/ssl/certs:/etc/ssl/certs:ro"]  # a proxy's authority, for pip
    # The default format, OCI's, has no HEALTHCHECK.
    options = ["--isolation", "chroot", "--format", "docker", *certificates, *base, "-t", TAG]
    run(*store, "bud", *options, ".", seconds=BUILD_SECONDS)
    configured = json.loads(run(*store, "inspect", "--type", "image", TAG))["Docker"]["config"]
    if configured["Healthcheck"]["Test"] != ["CMD", "sidecar", "health"] or configured["User"] != USER:
        raise FailedError(f"health check or user: {configured}")
    size = sum(layer["size"] for layer in json.loads(json.loads(run(*store, "inspect", TAG))["Manifest"])["layers"])
    if size > MOST_BYTES:
        raise FailedError(f"{size / 1e6:.0f} MB are more than {MOST_BYTES / 1e6:.0f}")
    container = run(*store, "from", TAG).strip()
    try:
        ran = _run_image(Path(run(*store, "mount", container).strip()))
    finally:
        run(*store, "rm", container)
    return f"{size / 1e6:.0f} MB, {ran}"


def _run_image(root: Path) -> str:
    """Start it, send it a metric, ask its health, stop it."""
    statsd, http, admin, emf = _free_ports(4)
    environ = {
        "PATH": "/opt/sidecar/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SIDECAR_DELIVER__TARGET": "local",
        "SIDECAR_DELIVER__SPOOL_DIR": "/var/lib/sidecar",
        "SIDECAR_DELIVER__DRAIN_SECONDS": "5",
        "SIDECAR_LISTEN__STATSD_PORT": str(statsd),
        "SIDECAR_LISTEN__HTTP_PORT": str(http),
        "SIDECAR_LISTEN__ADMIN_PORT": str(admin),
        "SIDECAR_LISTEN__EMF_PORT": str(emf),
        "SIDECAR_METRICS__FLUSH_SECONDS": "1",
    }
    with tempfile.TemporaryDirectory() as spool:
        os.chown(spool, *map(int, USER.split(":")))
        command = ["unshare", "--mount", "sh", "-c", START, "sh", str(root), spool, USER]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                _until(lambda: _health(root, environ) == 0, process)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"deploy.check:1|c", ("127.0.0.1", statsd))
                _until(lambda: b'"delivered":1' in _stats(admin).replace(b" ", b""), process)
                process.send_signal(signal.SIGTERM)
                status = process.wait(START_SECONDS)
            finally:
                process.kill()
        if status != 0:
            raise FailedError(f"it ended with status {status}")
    return f"ran as {USER} on a read-only root, delivered, and stopped with status 0"


def _health(root: Path, environ: Mapping[str, str]) -> int:
    command = ["chroot", f"--userspec={USER}", str(root), "/opt/sidecar/bin/sidecar", "health"]
    return subprocess.run(command, env=environ, capture_output=True, timeout=START_SECONDS, check=False).returncode


def _stats(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS
    while not true():
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            log = process.stdout.read() if process.stdout is not None else b""
            raise FailedError(f"it does not run: {log[-2000:].decode(errors='replace')}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


CHECKS: Final = {"charts": charts, "alert rules": alerts, "terraform": hcl, "image": image}


def main() -> int:
    """Make every check, or those named on the command line, and return the exit status."""
    failed = False
    for name, check in CHECKS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            print(f"passed   {name}: {check()}", flush=True)
        except SkippedError as why:
            print(f"skipped  {name}: {why}", flush=True)
        except (FailedError, subprocess.SubprocessError) as why:
            failed = True
            print(f"FAILED   {name}: {why}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
