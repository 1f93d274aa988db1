"""`python -m sidecar` and the `sidecar` command.

`sidecar health` runs every few seconds in every task: it takes a short way that imports nothing but the
standard library, and little of that.
"""

from __future__ import annotations

import os
import signal
import sys


def _stop(_number: int, _frame: object) -> None:
    # Not sys.exit(): an exception in the middle of an import is lost, or worse.
    os._exit(0)


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["health"]:
        from sidecar.commands.health import main as probe

        sys.exit(probe(sys.argv[2:]))
    if sys.argv[1:2] in (["run"], ["demo"]):
        # Until the daemon handles signals itself, there is nothing to drain: a stop is a success.
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
    from sidecar.commands.cli import cli

    cli(prog_name="sidecar")


if __name__ == "__main__":
    main()
