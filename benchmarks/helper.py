"""Processes beside the daemon: each prints its port, answers a line with a line of JSON, and ends with its input."""

from __future__ import annotations

import asyncio
import json
import select
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.machine import ROOT, cpu_seconds, pinned, waited_seconds

_END_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 60.0


class Helper:
    """One such process, as those who measure see it."""

    def __init__(self, module: str, *arguments: object, core: int) -> None:
        """Start `python -m MODULE ARGUMENTS` on a core of its own, and wait for its port."""
        self._module = module
        with pinned(core):
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        try:
            self.port = int(self._line())
        except BaseException:  # it ended, or we are to
            self._end()
            raise

    def ask(self, line: str = "") -> dict[str, Any]:
        """Send a line; returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def cpu_seconds(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self._process.pid)

    def waited_seconds(self) -> float:
        """Seconds it waited for its core so far."""
        return waited_seconds(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _ANSWER_SECONDS)[0]:
            raise TimeoutError(f"{self._module} did not answer within {_ANSWER_SECONDS:g} s")
        return self._process.stdout.readline()


async def answer(port: int, told: Callable[[str], dict[str, Any]]) -> None:
    """The other side: print the port, and answer each line with what is told of it until the input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def asked() -> None:
        line = sys.stdin.readline()
        if line:
            print(json.dumps(told(line.strip())), flush=True)
        else:
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, asked)
    print(port, flush=True)
    await ended.wait()
