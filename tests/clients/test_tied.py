"""Compilers that a test run starts end with it."""

from __future__ import annotations

import os
import select
import subprocess
import sys

from tests.clients.tied import tied

ENDS_SECONDS = 30  # a bound for a machine that is busy, not a measure
STARTS = """
import sys, time
from tests.clients.tied import tied
with tied(["sh", "-c", "sleep 600 & echo; wait"]): time.sleep(600)
"""


def test_a_command_and_what_it_started_end_with_the_process_that_is_killed() -> None:
    """The pipe that all of them hold is at its end once all have ended."""
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"\n"

        parent.kill()

        assert select.select([parent.stdout], [], [], ENDS_SECONDS)[0]
        assert os.read(parent.stdout.fileno(), 1) == b""


def test_a_command_ends_once_its_tie_is_left_and_has_its_own_status_where_it_ends_before() -> None:
    """What takes too long is left."""
    with tied(["sleep", "600"]) as running:
        pass
    with tied(["sh", "-c", "exit 3"]) as ended:
        ended.wait(ENDS_SECONDS)

    assert (running.returncode, ended.returncode) == (-9, 3)
