"""`sidecar health` asks where the daemon listens, however its configuration says so, and at little cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from sidecar.commands.health import _scanned, listener
from sidecar.config.load import load
from tests.support.daemon import Daemon

CONFIG: Final = Path(__file__).parents[2] / "config"
ENVIRON: Final = {"PORT": "9999", "HOST_": "127.0.0.2", "EMPTY": ""}

PLAIN: Final = [
    "",
    "listen:\n  admin_port: 9999\n",
    "listen:\n  admin_host: 127.0.0.2  # the pod's\n  admin_port: 9999 # it's \"ours\"\nregion: 'eu-west-1'\n",
    '# admin_port: 1\nlisten:  # "localhost" is both\n\n    # admin_port: 2\n    http_port: 1\n    admin_port: 9999\n',
    "listen:\r\n  admin_port: 9999\r\n",
    "listen:\n  admin_port: ${PORT}\n  admin_host: '${NONE:-127.0.0.2}'\n",
    "listen:\n  admin_host: '::1'\n",
    'listen:\n  admin_host: "0.0.0.0"\n',
    "namespace: App\nmetrics: {flush_seconds: 10}\n",
    "\ufefflisten:\n  admin_port: 9999\n",
]
OTHER: Final = [
    "listen: {admin_port: 9999}\n",
    "listen: {admin_host: 127.0.0.2, admin_port: 9999}\n",
    'listen: {"admin_port": 9999}\n',
    "listen:\n  'admin_port': 9999\n",
    'listen:\n  "admin\\x5fport": 9999\n',
    '{"listen": {"admin_port": 9999}}',
    "listen: # in the next line\n  {admin_port: 9999}\n",
    "'listen':\n  admin_port: 9999\n",
    "listen:\n  ? admin_port\n  : 9999\n",
    "listen:\n  admin_port: 0x270F\n",
    "listen:\n  admin_port: 9_999\n",
    "listen:\n  admin_port: null\n",
    "listen:\n  admin_port:\n",
    "listen:\n  admin_port: ~\n",
    "listen:\n  admin_port:\n    9999\n",
    "listen:\n  admin_port: &p 9999\n",
    "listen: &l\n  admin_port: 9999\n",
    "metrics:\n  rules:\n  - match: '9999'\n    resolution: &one 1\nlisten: {admin_port: *one}\n",
    "listen:\n  <<: {admin_port: 9999}\n",
    "listen:\n  <<: {admin_port: 1}\n  admin_port: 9999\n",
    "logs:\n  routes:\n  - when:\n      admin_port: 1\n",
    "logs:\n  routes: [{when: {note: 'a\n\nlisten:\n  admin_port: 1'}}]\nlisten: {admin_port: 9999}\n",
    "logs:\n  routes:\n  - when:\n      note: |\n        listen:\n          admin_port: 1\nlisten:\n  admin_port: 9999\n",
    "dimensions:\n  admin_port: '1'\nlisten:\n  admin_port: 9999\n",
    "--- {listen: {admin_port: 9999}}\n",
    "listen:\n  admin_host: '${HOST_}'\n  admin_port: ${EMPTY:-9999}\n",
    "listen:\n  admin_port: 9${NONE:-99}9\n",
    "listen:\n    admin_port:      9999\t# a comment after a tab\n",
]


@pytest.mark.parametrize("text", [*PLAIN, *OTHER])
def test_health_asks_where_the_daemon_listens(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, newline="")
    config = load(path, ENVIRON)

    assert listener(str(path), ENVIRON) == (config.listen.admin_host, config.listen.admin_port)


@pytest.mark.parametrize("text", [*PLAIN[:-1], *(path.read_text() for path in CONFIG.glob("*.yaml"))])
def test_a_plain_file_needs_no_yaml_parser(text: str) -> None:
    assert _scanned(text, ENVIRON) is not None


@pytest.mark.parametrize(
    "environ",
    [
        {"SIDECAR_LISTEN__ADMIN_PORT": "9998"},
        {"SIDECAR_LISTEN__ADMIN_PORT": ""},
        {"SIDECAR_LISTEN__ADMIN_PORT": "null"},
        {"SIDECAR_LISTEN__ADMIN_PORT": "0x23a7", "SIDECAR_LISTEN__ADMIN_HOST": "::1"},
        {"SIDECAR_LISTEN__ADMIN_HOST": "127.0.0.3"},
    ],
)
def test_the_environment_beats_the_file_as_it_does_for_the_daemon(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("listen: {admin_port: 9999, admin_host: 127.0.0.2}\n")
    config = load(path, environ)

    assert listener(str(path), environ) == (config.listen.admin_host, config.listen.admin_port)


@pytest.mark.parametrize("text", ["listen:\n  admin_port: 9999\nregion: [\n", "listen:\n  admin_port: '9999'\na: 'b\n"])
def test_a_file_that_was_broken_after_the_start_does_not_make_the_daemon_dead(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)

    assert listener(str(path), {}) == ("localhost", 9999)


def test_a_file_that_cannot_be_read_leaves_the_default(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "missing", fifo, Path("/dev/zero"), Path("a\0b")):
        assert listener(str(path), {}) == ("localhost", 9127)


def health(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SIDECAR_")}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "health", *arguments],
        capture_output=True,
        text=True,
        env=clean | environ,
        timeout=50,
        check=False,
    )


def test_a_daemon_configured_inline_is_alive(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    one = daemon()
    path = tmp_path / "inline.yaml"
    path.write_text(f"listen: {{admin_port: {one.admin_port}}}\n")

    assert health("--config", str(path)).returncode == 0
    assert health(f"--config={path}").returncode == 0
    assert health(f"--port={one.admin_port}").returncode == 0
    assert health(f"--port={one.admin_port}", "--host=127.0.0.1").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--port"], ["--port="], ["--port=x"], ["--port=99999"], ["--port", "-1"], ["--port", "٣"], ["--port=²"]),
        *(["--port=0"], ["--port=01"], ["--nonsense=1"], ["health"], ["--host"], ["--port", "1" * 5_000]),
    ],
)
def test_unusable_arguments_are_status_2(arguments: list[str]) -> None:
    done = health(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")


@pytest.mark.parametrize("host", ["a" * 64, "a b", "\udcff", "..", "[::1]"])
def test_a_host_that_is_none_is_not_alive(host: str) -> None:
    done = health("--port=1", "--host", host)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
