"""Standard output and standard error of commands, which may be full disks or closed pipes."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

import click

from sidecar.config.problems import printable


def complain(sentence: str) -> None:
    """Write a line to standard error, where that is possible; the exit status is independent of it."""
    with suppress(OSError):
        click.echo(printable(sentence), err=True)


def complain_unless_closed(error: OSError) -> None:
    """Write an error of standard output to standard error, unless the reader closed the pipe: that is no failure."""
    if error.errno != errno.EPIPE:
        complain(f"sidecar: {error}")


def flush() -> int:
    """Flush the standard streams; returns 1 if what was written to standard output is lost."""
    status = 0
    for stream, failed in ((sys.stdout, 1), (sys.stderr, 0)):
        try:
            stream.flush()
        except OSError as error:
            if failed:
                complain_unless_closed(error)
            status = status or failed
            # The interpreter flushes again at exit, and would end with status 120.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    return status
