"""`sidecar` in forks of one process that has imported it: a command or daemon costs milliseconds, not an interpreter.

Each fork runs the same `main()`, in a process, environment and standard streams of its own, to the interpreter's own
end. What a fork cannot show is how an interpreter starts: some tests start one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, Final

CLOSED: Final = "closed"
ENDS_SECONDS: Final = 40.0  # a bound for a machine that is busy, not a measure


class Started:
    """A fork that goes on by itself, as far as tests use a Popen."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)
        self._ended = ended

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None and self._ended.exists():
            self.returncode = int(self._ended.read_text())
            os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end; returns the exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        ends = time.monotonic() + timeout
        while self.poll() is None:
            left = ends - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("sidecar", timeout)
            if select.select([self._handle], [], [], left)[0]:
                time.sleep(0.001)  # until its parent has written the status
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """Starts forks; `close` ends the process they come from, and no fork.

    Attributes:
        broken: a command was given up: use another.
    """

    def __init__(self) -> None:
        self.broken = False
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="sidecar-forks-"))
        self._count = 0
        asked, self._ask = os.pipe()
        self._answers, answered = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", str(asked), str(answered)],
            stdin=subprocess.DEVNULL,
            pass_fds=(asked, answered),
        )
        os.close(asked)
        os.close(answered)

    def run(
        self, *arguments: str, environ: dict[str, str] | None = None, streams: dict[int, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Args:
            arguments: those behind `sidecar`.
            environ: variables beside the test's own, of which SIDECAR_* and AWS_* are left out.
            streams: what descriptors 0, 1 and 2 are: a path, or CLOSED. Without: empty, and read back here.
        """
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SIDECAR_", "AWS_"))}
        with tempfile.TemporaryDirectory() as folder:
            files = {1: f"{folder}/1", 2: f"{folder}/2"}
            status = self._asked(arguments, clean | (environ or {}), files | (streams or {}), "")
            out, err = (Path(file).read_text() if Path(file).exists() else "" for file in files.values())
        return subprocess.CompletedProcess(arguments, status, out, err)

    def start(self, *arguments: str, environ: dict[str, str], stdout: Path, stderr: Path) -> Started:
        """Start a command that goes on; its output is appended to files."""
        with self._lock:
            self._count += 1
            ended = self._folder / str(self._count)
        return Started(self._asked(arguments, environ, {1: str(stdout), 2: str(stderr)}, str(ended)), ended)

    def close(self) -> None:
        """End the process."""
        for descriptor in (self._ask, self._answers):
            os.close(descriptor)
        self._process.wait(ENDS_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _asked(self, arguments: tuple[str, ...], environ: dict[str, str], streams: dict[int, str], ended: str) -> int:
        asked = {"arguments": arguments, "environ": environ, "streams": {0: os.devnull} | streams, "ended": ended}
        with self._lock:
            try:
                with open(self._ask, "wb", closefd=False) as pipe:
                    pipe.write(json.dumps(asked).encode() + b"\n")
                return int(os.read(self._answers, 64))
            except BaseException:  # a test that ran out of time: the answer would be the next one's
                self.broken = True
                self._process.kill()
                raise


_MADE: Final[list[Forks]] = []


def forks() -> Forks:
    """Those of this process."""
    if not _MADE or _MADE[-1].broken:
        _MADE.append(Forks())
        atexit.register(_MADE[-1].close)
    return _MADE[-1]


def _serve(asking: int, answering: int) -> None:
    """Fork for each line; returns in the fork, as what the line asks for. Ends the process at the end of the lines."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the tests
    with open(asking, "rb") as lines:
        for line in lines:
            asked = json.loads(line)
            fork = os.fork()
            if fork == 0:
                if asked["ended"] and _watched(asked["ended"], answering):
                    os._exit(0)
                os.close(answering)
                _become(asked)
                return
            if asked["ended"]:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            else:
                _, status = os.waitpid(fork, 0)
                os.write(answering, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _watched(ended: str, answering: int) -> bool:
    """Fork again: False at once in the new process; True in this one once that has ended and its status is written."""
    fork = os.fork()
    if fork == 0:
        return False
    os.write(answering, b"%d" % fork)
    os.close(answering)
    _, status = os.waitpid(fork, 0)
    being_written = Path(f"{ended}.new")
    being_written.write_text(str(os.waitstatus_to_exitcode(status)))
    being_written.rename(ended)
    return True


def _become(asked: dict[str, Any]) -> None:
    """Be the process of a command: its descriptors, then Python's streams on them as an interpreter opens them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, target in asked["streams"].items():
        if target == CLOSED:
            os.close(int(number))
        else:
            opened = os.open(target, os.O_RDONLY if number == "0" else os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(opened, int(number))
            os.close(opened)
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.stdin = sys.__stdin__ = _stream(0, "r")  # type: ignore[misc, assignment]
    sys.stdout = sys.__stdout__ = _stream(1, "w")  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _stream(2, "w")  # type: ignore[misc, assignment]
    sys.argv = ["sidecar", *asked["arguments"]]


def _stream(number: int, mode: str) -> IO[str] | Any:
    try:
        os.fstat(number)
    except OSError:
        return None
    errors = "backslashreplace" if number == 2 else "surrogateescape" if number == 0 else "strict"
    return open(number, mode, buffering=1 if number == 2 else -1, errors=errors, closefd=False)


if __name__ == "__main__":
    from importlib import import_module

    from sidecar.__main__ import main

    for module in ("app", "commands.cli", "commands.health", "commands.spool", "deliver.local"):
        import_module(f"sidecar.{module}")
    for module in ("client", "credentials", "logs", "metrics"):
        import_module(f"sidecar.deliver.cloudwatch.{module}")
    import_module("aiobotocore.session")
    import_module("uvloop")
    gc.freeze()  # a fork that collects garbage copies less
    _serve(*map(int, sys.argv[1:]))
    main()
