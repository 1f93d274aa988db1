"""Lives in which a defect was found, step by step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.life.configuration import configuration, configuration_file
from tests.life.far_end import FarEnd, LogFarEnd, Target, read_datums
from tests.life.life import Life
from tests.life.senders import SAME, Event, Line
from tests.life.test_whole_life import TICK, WholeLife
from tests.support.clock import HandClock


def test_a_checkpoint_that_finds_nothing_waits_for_what_a_flush_has_taken(tmp_path: Path) -> None:
    """Or its age would say that a crash costs nothing, while the disk hangs and the batches are in memory only."""
    configuration_file(tmp_path).write_text(configuration(tmp_path))
    life = Life(tmp_path, HandClock(tick=TICK), Target(FarEnd("PutMetricData", read_datums), LogFarEnd()))
    life.start()
    life.datagrams([b"tracked.same:1|c"], Counter({SAME: 1}), Counter())
    life.disk_works = False
    life.flush((1, 60), unfinished=True)
    for _ in range(5):
        life.pass_time(1.0)
        life.settle()
    age = life.checkpointer.checkpoint_age()
    life.kill(under_way=False)

    assert age > 4.0


def test_a_stream_keeps_its_order_though_the_disk_decides_on_a_later_batch_first() -> None:
    line, event = Line("c", 1, False, ""), Event(None, False)
    life = WholeLife()
    for _ in range(3):
        life.datagrams(planned=[[line]], times=1)
    life.datagrams(planned=[[line] * 4], times=1)
    life.datagrams(planned=[event, event], times=4)
    life.datagrams(planned=[event], times=2)
    life.the_disk_hangs(flush=False, seconds=1.0, works=False)
    life.teardown()
