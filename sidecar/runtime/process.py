"""What belongs to the process as a whole: its standard streams, its limits, and how it ends."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from typing import Final, NoReturn

DESCRIPTORS: Final = 65_536
DESCRIPTORS_SPARE: Final = 256  # for files, data sockets and connections to AWS
THREADS: Final = 8  # log, console, spool, compression, and the loop's own for files and name resolution


def open_missing_streams() -> None:
    """Put /dev/null in place of standard streams that are closed.

    Otherwise the next socket or file gets descriptor 1 or 2, and what is printed goes into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # a descriptor


def missing_threads() -> str | None:
    """Start as many threads as the daemon needs and end them; returns a sentence if the system does not allow them.

    Checked at start-up, since a thread is needed at a later time that cannot handle its failure.
    """
    done = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(THREADS):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        return (
            f"the system allows this process {len(started)} more threads, and it needs {THREADS} ({error}): raise the"
            " limit of processes (ulimit -u, RLIMIT_NPROC, pids.max of the container) or of memory"
        )
    finally:
        done.set()
        for thread in started:
            thread.join()
    return None


def tune_process() -> None:
    """Apply settings of the whole process; for a daemon, not for a library's user. Settings that the system forbids are logged."""
    import structlog  # not for commands that end at once

    try:
        # Every connection needs a descriptor: raise the limit as far as allowed.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError) as error:  # seccomp filters forbid prlimit
        structlog.get_logger().warning(
            "cannot read or raise the limit of open files: connections may be refused under load", error=str(error)
        )
    # A background thread may hold the interpreter this long: the default 5 ms is longer than a default socket
    # buffer lasts at 100,000 datagrams a second.
    sys.setswitchinterval(0.0005)
    # Collect the young generation often, so that each pass stays under 0.5 ms. Full collections, which walk every live
    # object, are rare: the hot path creates no reference cycles.
    gc.set_threshold(1_000, 5, 50_000)


def descriptors_for_connections() -> int:
    """The number of connections that the limit of open files allows, at least 16."""
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        soft = 1_024  # Linux's default
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else max(16, soft - DESCRIPTORS_SPARE)


def leave(status: int) -> NoReturn:
    """End the process now, with this status; the log is to be closed before.

    Not with sys.exit(): the interpreter flushes the standard streams, which blocks on a pipe that nobody reads and
    changes the status to 120 where the reader is gone; and it waits for threads that are blocked by a disk or a name server.
    """
    os._exit(status)
