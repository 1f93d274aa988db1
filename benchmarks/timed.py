"""`python -m benchmarks.timed CONFIG`: the daemon, with the CPU time of each turn of its event loop measured.

On asyncio's own loop, since uvloop's callbacks cannot be measured one by one. SIGUSR1 writes the longest turn since
the last signal to standard output, in seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from sidecar.app import App
from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.observe import log
from sidecar.runtime.process import tune_process

_run = asyncio.Handle._run  # type: ignore[attr-defined]  # noqa: SLF001
_longest = [0.0]


def _measured(handle: asyncio.Handle) -> None:
    began = time.thread_time()
    _run(handle)
    _longest[0] = max(_longest[0], time.thread_time() - began)


def _tell() -> None:
    print(_longest[0], flush=True)
    _longest[0] = 0.0


async def _serve(config: Config) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell)
    return await App(config).run()


def main() -> None:
    config = load(Path(sys.argv[1]), os.environ)
    log.configure(config.observe.log_level, config.observe.log_format)
    tune_process()
    asyncio.Handle._run = _measured  # type: ignore[attr-defined]  # noqa: SLF001
    with asyncio.Runner() as runner:
        status = runner.run(_serve(config))
    sys.exit(status)


if __name__ == "__main__":
    main()
