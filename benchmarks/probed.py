"""`python -m benchmarks.probed CONFIG`: the daemon, with the reader of delays on its loop, and a flush on command.

Prints the reader's port.  Commands on standard input, each answered by one line of JSON:

  delays   the waits since the last command
  flush    what the timers of metrics and logs do, both at once; answered when all of it is delivered, with the waits
           of that time, its length, the CPU seconds it took, and how many accumulators and log events were open
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.delays import DelayReader
from sidecar.app import App
from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.observe import log
from sidecar.runtime.process import tune_process

_LOOK_SECONDS: Final = 0.005
_LAST_LINES_SECONDS: Final = 0.5


class _Commanded:
    """The daemon and who commands it."""

    def __init__(self, config: Config) -> None:
        self._app = App(config)
        self._pipeline = self._app._pipeline  # noqa: SLF001  # as it is put together
        self._ledger = self._app._ledger  # noqa: SLF001
        self._reader = DelayReader()
        self._flushing: asyncio.Task[None] | None = None

    async def run(self) -> int:
        self._reader.open()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, self._asked)
        print(self._reader.port, flush=True)
        try:
            return await self._app.run()
        finally:
            loop.remove_reader(sys.stdin)
            self._reader.close()

    def _asked(self) -> None:
        command = sys.stdin.readline().strip()
        if command == "delays":
            self._answer({"delays_ns": self._reader.take()})
        elif command == "flush":
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        else:  # whoever started it is gone
            asyncio.get_running_loop().remove_reader(sys.stdin)
            os.kill(os.getpid(), signal.SIGTERM)

    async def _flush(self) -> None:
        self._reader.take()
        series, log_events = self._pipeline.open_accumulators, self._ledger.log_events.pending
        started, spent = time.monotonic(), time.process_time()
        metrics = asyncio.create_task(self._pipeline.flush_metrics("timer", unfinished=True))
        logs: object = self._pipeline.flush_logs("timer")
        if isawaitable(logs):  # in older commits it is not
            await logs
        await metrics
        while self._closed():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(_LOOK_SECONDS)
        seconds, spent = time.monotonic() - started, time.process_time() - spent
        self._answer(
            {
                "delays_ns": self._reader.take(),
                "seconds": seconds,
                "cpu_seconds": spent,
                "series": series,
                "log_events": log_events,
            }
        )

    def _closed(self) -> int:
        """Units that no window holds and that are not delivered yet."""
        return self._ledger.samples.pending - self._pipeline.windows.tally.samples + self._ledger.log_events.pending

    def _answer(self, told: dict[str, Any]) -> None:
        print(json.dumps(told), flush=True)


def main(arguments: list[str]) -> int:
    config = load(Path(arguments[0]), os.environ)
    log.configure(config.observe.log_level, config.observe.log_format)
    tune_process()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Commanded(config).run())
    finally:
        if log.console is not None:
            log.console.close(_LAST_LINES_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
