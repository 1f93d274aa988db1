"""Inputs are rows: one more row is one more way in, from the socket to the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.inputs import ROWS, Row
from sidecar.model.names import INPUTS
from sidecar.observe.published import INPUT as SELF_INPUT
from sidecar.pipeline.logs import METRICS_INPUT
from tests.support.daemon import Daemon, assert_balanced

MAIN = """
import sys
from sidecar import inputs
from tests.support import toy
inputs.ROWS = tuple(row for row in inputs.ROWS if "emf_port" not in row.keys) + toy.ROWS
from sidecar.__main__ import main
sys.exit(main())
"""


class WithToy(Daemon):
    """The daemon with the two rows of the toy dialect."""

    def start(self) -> None:
        command = [sys.executable, "-c", MAIN, "run", "--config", str(self.config_path)]
        with self.log_path.open("ab") as log, self.console_path.open("ab") as console:
            self.process = subprocess.Popen(command, env=self._environ, stdout=console, stderr=log)
        self.wait_until(lambda: self.ready()[0] == 200, "ready")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[WithToy]:
    started = WithToy(tmp_path, {"listen": {"max_body_bytes": 2_000}})
    started.start()
    yield started
    started.kill()


def test_one_row_makes_a_way_in_over_http(one: WithToy) -> None:
    """Path, dialect and answer are the row's; limits, ledger and delivery come with the house."""
    status, answer, headers = one.post("/ingest/toy", b"orders=3 orders=4 broken")

    assert (status, answer["text"], headers["Content-Type"]) == (200, b"2 yes, 1 no", "text/x-toy")
    status, answer, _ = one.post("/ingest/toy", b"x" * 3_000)
    assert (status, answer["text"][:6]) == (413, b"sorry:")
    stats = one.settled(samples=3)
    assert stats["samples"]["received_by_input"]["toy"] == 3
    assert stats["samples"]["dropped_by_reason"] == {"malformed_line": 1}
    assert stats["responses"]["/ingest/toy"] == {"200": 1, "413": 1}
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 2


def test_one_row_makes_a_way_in_over_udp(one: WithToy) -> None:
    one.udp(b"orders=3", b"orders=4", b"broken", port=one.emf_port)

    stats = one.settled(samples=3)
    assert stats["samples"]["received_by_input"]["toy_udp"] == 3
    assert stats["listeners"]["toy"]["bound"]
    assert stats["datagrams"]["read"] == 3
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 2


def test_rules_may_name_every_input_and_no_other() -> None:
    labels = {label for row in ROWS for label in (row.labels if isinstance(row, Row) else (row.label,))}

    assert {*labels, METRICS_INPUT, SELF_INPUT} == set(INPUTS)
