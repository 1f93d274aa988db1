"""Commands that last no longer than the process that starts them, whatever ends that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any


def tied(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command, which ends with all that it started once the `stdin` of what is returned is closed.

    Args:
        command: it reads nothing.
        options: of Popen.
    """
    # In a session, hence a process group, of its own: what ends it ends the compilers that it started.
    tie = [sys.executable, "-I", "-S", __file__]
    return subprocess.Popen([*tie, *command], stdin=subprocess.PIPE, start_new_session=True, **options)


def _end_with_input() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.exit(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, check=False).returncode)
