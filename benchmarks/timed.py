"""`python -m benchmarks.timed CONFIG`: the daemon, with the CPU time of each turn of its event loop measured.

On asyncio's own loop, since uvloop's callbacks cannot be measured one by one. SIGUSR1 writes the longest turn since
the last signal to standard output, in seconds. Turns in which the AWS SDK starts a request are left out: they are the
same whatever came in, and part of `stall`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sidecar.app import App
from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.observe import log
from sidecar.runtime.process import tune_process

_handle: Any = asyncio.Handle  # its private method and attribute
_run = _handle._run  # noqa: SLF001
_longest = [0.0]
_SDK = "AioBaseClient._make_api_call"


def _measured(handle: Any) -> None:
    task = getattr(handle._callback, "__self__", None)  # noqa: SLF001
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    began = time.thread_time()
    _run(handle)
    taken = time.thread_time() - began
    if getattr(coroutine, "__qualname__", "") != _SDK:
        _longest[0] = max(_longest[0], taken)


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
    _handle._run = _measured  # noqa: SLF001
    with asyncio.Runner() as runner:
        status = runner.run(_serve(config))
    sys.exit(status)


if __name__ == "__main__":
    main()
