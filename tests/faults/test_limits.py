"""What a hardened container forbids, and bugs in callbacks: a real process under real limits."""

from __future__ import annotations

import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

# A seccomp filter that answers EPERM to some system calls of x86-64, then the command line.
SECCOMP: Final = """
import ctypes, struct, sys
numbers = {numbers}
code = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the number of the call
for number in numbers:
    code.append(struct.pack("HBBI", 0x15, 0, 1, number))  # where it is this one
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 1))  # return EPERM
code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))  # else allow
program = ctypes.create_string_buffer(b"".join(code))
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0, ctypes.get_errno()
"""
MAIN: Final = "\nfrom sidecar.__main__ import main\nmain()\n"
PRLIMIT: Final = (160, 302, 97)  # setrlimit, prlimit64, getrlimit
FLOCK: Final = (73,)
CLONE: Final = (56, 435)  # clone, clone3


class Scripted(Daemon):
    """A daemon that a few lines of Python come before."""

    script = ""

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        command = [sys.executable, "-c", textwrap.dedent(self.script) + MAIN, "run", "--config", str(self.config_path)]
        with self.log_path.open("ab") as log, self.console_path.open("ab") as console:
            self.process = subprocess.Popen(command, env=self._environ, stdout=console, stderr=log)
        self.wait_until(lambda: self.ready()[0] == 200, "ready")


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., Scripted]]:
    running: list[Scripted] = []

    def start(script: str, config: dict[str, Any] | None = None) -> Scripted:
        one = Scripted(tmp_path, config or {})
        one.script = script
        running.append(one)
        one.start()
        return one

    yield start
    for one in running:
        one.kill()


seccomp = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the filter knows the calls of x86-64"
)


@seccomp
def test_where_prlimit_is_forbidden_it_goes_on_and_says_so(scripted: Callable[..., Scripted]) -> None:
    one = scripted(SECCOMP.format(numbers=PRLIMIT))
    assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
    assert_balanced(one.stop())
    (line,) = [line for line in one.log_lines() if "limit of open files" in line["event"]]
    assert line["level"] == "warning"


@seccomp
def test_where_flock_is_forbidden_the_spool_works_and_says_so(
    scripted: Callable[..., Scripted], tmp_path: Path
) -> None:
    deliver = {"target": "local", "drain_seconds": 5, "spool_dir": str(tmp_path / "spool")}
    one = scripted(SECCOMP.format(numbers=FLOCK), {"deliver": deliver})
    status, answer, _ = one.post("/ingest/logs", {"message": "x"})
    assert (status, answer.get("durable")) == (202, None)
    assert_balanced(one.stop())
    (line,) = [line for line in one.log_lines() if "cannot be locked" in line["event"]]
    assert line["level"] == "warning"


@seccomp
@pytest.mark.parametrize("command", ["run", "demo"])
def test_without_a_thread_to_be_had_it_says_so_at_start(command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SECCOMP.format(numbers=CLONE) + MAIN, command],
        env={key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SIDECAR_"))},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    (sentence,) = ended.stderr.splitlines()
    assert "threads" in sentence
    assert "RLIMIT_NPROC" in sentence


def test_few_descriptors_mean_few_connections_and_no_failure(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = Daemon(tmp_path, {})
    command = [sys.executable, "-m", "sidecar", "run", "--config", str(one.config_path)]
    with one.log_path.open("ab") as log, one.console_path.open("ab") as console:
        one.process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -n 400; exec "$@"', "sh", *command], stdout=console, stderr=log
        )
    try:
        one.wait_until(lambda: one.ready()[0] == 200, "ready")
        held = [socket.create_connection(("127.0.0.1", one.http_port), timeout=40) for _ in range(600)]
        assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
        assert one.get("/health")[0] == 200
        for connection in held:
            connection.close()
        assert_balanced(one.stop())
    finally:
        one.kill()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


@pytest.mark.parametrize(
    "patch",
    [
        "DatagramPath.ingest = lambda self, burst: int('a bug in a callback')",
        # Only when it is called again for what was put off.
        """
        ingest = DatagramPath.ingest
        DatagramPath.ingest = lambda self, burst: (ingest(self, burst), True)[1] if burst else int('a bug in a callback')
        """,
    ],
    ids=["reader", "catching-up"],
)
def test_a_bug_in_a_reader_callback_drains_and_exits_1(scripted: Callable[..., Scripted], patch: str) -> None:
    script = "from sidecar.pipeline.lines import DatagramPath\n" + textwrap.dedent(patch)
    one = scripted(script, {"metrics": {"flush_seconds": 60}, "logs": {"flush_seconds": 60}})
    for _ in range(3):
        assert one.post("/ingest/logs", {"message": "before"})[0] == 202
    one.udp(b"a:1|c")

    assert one.exit_status() == 1
    final = one.log_lines()[-1]
    assert final["event"] == "stopped"
    assert final["log_events"]["delivered"] == 3
    assert_balanced(final)
    bugs = [line for line in one.log_lines() if line["event"].startswith("a bug")]
    assert len(bugs) == 1
    assert "a bug in a callback" in bugs[0]["exception"]


def test_a_signal_ends_it_though_a_thread_hangs(scripted: Callable[..., Scripted]) -> None:
    """A name server that does not answer, a disk that hangs: the end does not wait for threads."""
    script = """
    import threading, concurrent.futures
    from sidecar.pipeline.bodies import Bodies
    ingest = Bodies.ingest

    async def hang(self, *arguments):
        import asyncio
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
        return await ingest(self, *arguments)

    Bodies.ingest = hang
    """
    one = scripted(script)
    assert one.post("/ingest/logs", {"message": "x"})[0] == 202
    one.signal(signal.SIGTERM)
    assert one.exit_status() == 0
    assert one.log_lines()[-1]["event"] == "stopped"
