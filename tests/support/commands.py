"""Commands of `sidecar` in forks of one process that has imported them: a case costs milliseconds, not an interpreter.

Each command runs the same `main()`, in a process, environment and standard streams of its own, to the interpreter's
own end. What a fork cannot show is how an interpreter starts with those streams: some cases are run by a shell.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Final

CLOSED: Final = "closed"


class Commands:
    """Runs commands one after another; `close` ends the process they are forked from."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        self._answers, answered = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands", str(asked), str(answered)],
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
            asked = {
                "arguments": arguments,
                "environ": clean | (environ or {}),
                "streams": {0: os.devnull} | files | (streams or {}),
            }
            os.write(self._ask, json.dumps(asked).encode() + b"\n")
            answer = os.read(self._answers, 64)
            assert answer, "the process that commands are forked from has ended"
            out, err = (Path(file).read_text() if Path(file).exists() else "" for file in files.values())
        return subprocess.CompletedProcess(arguments, int(answer), out, err)

    def close(self) -> None:
        """End the process."""
        for descriptor in (self._ask, self._answers):
            os.close(descriptor)
        self._process.wait(50)


def _serve(asking: int, answering: int) -> None:
    """Fork for each command; returns in the child, with the command in sys.argv, and at the end of the commands."""
    with open(asking, "rb") as lines:  # a descriptor
        for line in lines:
            child = os.fork()
            if child == 0:
                os.close(answering)
                _become(json.loads(line))
                return
            _, status = os.waitpid(child, 0)
            os.write(answering, b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(asked: dict[str, Any]) -> None:
    """Be the process of a command: its descriptors, then Python's streams on them as an interpreter opens them."""
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
    import sidecar.commands.health
    import sidecar.commands.spool  # noqa: F401
    from sidecar.__main__ import main
    from sidecar.commands import cli  # noqa: F401

    gc.freeze()  # a child that collects garbage copies less
    _serve(*map(int, sys.argv[1:]))
    main()
