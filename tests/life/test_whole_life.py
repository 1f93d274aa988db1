"""Whole lives of a daemon: receive, aggregate, batch, deliver, crash, replay, with everything that may go wrong between.

Everything is real but for three things moved by hand: the clock (which is the event loop's as well), the thread that
works on the spool, and the far end that takes batches. Nothing sleeps and no thread runs, so that a run that fails
fails again. FUZZ_EXAMPLES makes for more and longer lives.

Each sample and each log event has a number of its own, which can be read from what arrives: distributions have it as
a value, statistic sets as a digit of their sum, log events in their message. So it is known of each one whether it
arrived, and how often.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from sidecar.spool.files import LOCK
from tests.life.configuration import METRIC_RULES, ROUTES, configuration, configuration_file
from tests.life.far_end import ANSWERS, OK, REQUEST_SECONDS, Answer, FarEnd, LogFarEnd, Target, read_datums
from tests.life.life import Life
from tests.life.on_disk import rows
from tests.life.senders import DATAGRAM_PLANS, EVENT_PLANS, METRIC_PLANS, Event, Frame, Line, Metric, Numbers
from tests.support.clock import HandClock
from tests.support.strategies import json_bodies, log_items, spoiled_items

LONGER: Final = "FUZZ_EXAMPLES" in os.environ
EXAMPLES: Final = max(30, int(os.environ.get("FUZZ_EXAMPLES", "0")) // 20)  # about 0.2 s of CPU time each
STEPS: Final = 60 if LONGER else 30
DATUMS: Final = 2  # of a batch
EVENTS: Final = 3
SORTED_AT_ONCE: Final = 1  # so that what comes in another order is sorted slice by slice, while other things happen
LONG: Final = 80  # characters of a message that is encoded slice by slice: about half of them
LARGE: Final = 300  # bytes of a document that is parsed slice by slice
TICK: Final = 0.001  # seconds the clock advances when it is read: code yields to the loop at every opportunity
STALL_SECONDS: Final = 1.0  # after which nobody waits for a disk that does not answer

_bursts: Final = st.lists(DATAGRAM_PLANS, min_size=1, max_size=3)
_answers: Final = st.sampled_from(ANSWERS)
_few: Final = st.integers(1, 12)
_times: Final = st.sampled_from([1, 2, 4])


class WholeLife(RuleBasedStateMachine):
    """Lives of a daemon on one spool directory: whatever happens, nothing is lost or sent twice unsaid."""

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        self.cleanup.enter_context(capture_logs())
        self.cleanup.enter_context(patch("sidecar.batch.metrics.DATUMS_PER_REQUEST", DATUMS))
        self.cleanup.enter_context(patch("sidecar.batch.logs.EVENTS_PER_REQUEST", EVENTS))
        self.cleanup.enter_context(patch("sidecar.batch.logs.SLICE_EVENTS", SORTED_AT_ONCE))
        self.cleanup.enter_context(patch("sidecar.pipeline.dispatch.LONG_CHARACTERS", LONG))
        self.cleanup.enter_context(patch("sidecar.decode.large.WHOLE_BYTES", LARGE))
        # The only sleep of the daemon that is not the event loop's; nothing writes the file meanwhile.
        self.cleanup.enter_context(patch("sidecar.pipeline.reloading.SETTLED_SECONDS", 0))
        folder = Path(tempfile.mkdtemp())
        self.cleanup.callback(shutil.rmtree, folder)
        self.directory = folder / "spool"
        self.directory.mkdir()
        configuration_file(self.directory).write_text(configuration(self.directory))
        self.clock = HandClock(tick=TICK)
        self.numbers = Numbers(self.clock)
        self.metrics, self.logs = FarEnd("PutMetricData", read_datums), LogFarEnd()
        self.left: tuple[int, int] | None = (0, 0)  # in the spool: samples, log events; None: who knows
        self.lock: int | None = None
        self.ended = False
        self.gave_up = False  # the disk hung for so long that what was to be written is in memory alone
        self.target = Target(self.metrics, self.logs)
        self.life = Life(self.directory, self.clock, self.target)
        self.live()

    def live(self) -> None:
        """Begin a life, and see that it finds what the one before left."""
        try:
            self.life.start()
            if self.life.kept:
                found = self.life.ledger.samples.recovered, self.life.ledger.log_events.recovered
                assert self.left in (None, found), (self.left, found)
            self.left = None
        except BaseException:
            self.close()
            raise

    # --- what comes in ---

    @rule(planned=_bursts, times=_times)
    def datagrams(self, planned: list[list[Line | bytes] | Event], times: int) -> None:
        samples: Counter[int] = Counter()
        events: Counter[int] = Counter()
        burst = [self.numbers.datagram(one, samples, events) for one in planned * times]
        self.life.datagrams(burst, samples, events)

    @rule(planned=_bursts, share=st.sampled_from([0.0, 0.3, 0.7, 0.9, 1.0]))
    def packets_over_a_stream(self, planned: list[list[Line | bytes] | Event], share: float) -> None:
        """A part of them arrives now, the rest with the next; a crash cuts the connection."""
        frames = []
        for one in planned:
            samples: Counter[int] = Counter()
            events: Counter[int] = Counter()
            frames.append(Frame(self.numbers.datagram(one, samples, events), samples, events))
        for content, samples, events in self.life.stream.send(frames, share):
            self.life.datagrams([content], samples, events)

    @rule(
        planned=st.lists(st.one_of(METRIC_PLANS, METRIC_PLANS, spoiled_items()), min_size=1, max_size=6), times=_times
    )
    def metrics_over_http(self, planned: list[Any], times: int) -> None:
        planned = planned * times
        samples: Counter[int] = Counter()
        items = [self.numbers.metric(one, samples) if isinstance(one, Metric) else one for one in planned]
        self.life.body("metrics", orjson.dumps(items), "application/json", samples, Counter())

    @rule(
        planned=st.lists(st.one_of(EVENT_PLANS, EVENT_PLANS, log_items()), min_size=1, max_size=6),
        times=_times,
        as_text=st.booleans(),
    )
    def log_events_over_http(self, planned: list[Any], times: int, as_text: bool) -> None:  # noqa: FBT001
        planned = planned * times
        events: Counter[int] = Counter()
        if as_text:
            lines = [self.numbers.text(events, poisoned=one.poisoned) for one in planned if isinstance(one, Event)]
            self.life.body("logs", "\n".join(lines).encode(), "text/plain", Counter(), events)
            return
        items = [self.numbers.event(one, events) if isinstance(one, Event) else one for one in planned]
        self.life.body("logs", b"\n".join(map(orjson.dumps, items)), "application/x-ndjson", Counter(), events)

    @rule(planned=st.lists(METRIC_PLANS, min_size=1, max_size=6), times=_times)
    def put_metric_data(self, planned: list[Metric], times: int) -> None:
        samples: Counter[int] = Counter()
        datums = [self.numbers.datum(one, samples) for one in planned * times]
        body = orjson.dumps({"Namespace": "App", "MetricData": datums})
        self.life.aws_call("metrics", "PutMetricData", body, samples, Counter())

    @rule(planned=st.lists(EVENT_PLANS, min_size=1, max_size=6), times=_times)
    def put_log_events(self, planned: list[Event], times: int) -> None:
        events: Counter[int] = Counter()
        given = [self.numbers.log_event(one, events) for one in planned * times]
        names = {"logGroupName": "/sdk", "logStreamName": planned[0].stream or "s"}
        self.life.aws_call("logs", "PutLogEvents", orjson.dumps({**names, "logEvents": given}), Counter(), events)

    @rule(planned=st.lists(st.lists(METRIC_PLANS, min_size=1, max_size=3), min_size=1, max_size=4))
    def emf_documents(self, planned: list[list[Metric]]) -> None:
        samples: Counter[int] = Counter()
        events: Counter[int] = Counter()
        documents = [self.numbers.document(one, samples, events) for one in planned]
        self.life.emf_documents(documents, samples, events)

    @rule(body=json_bodies, door=st.sampled_from(["metrics", "logs", "datagram"]))
    def anything(self, body: bytes, door: str) -> None:
        if door == "datagram":
            self.life.datagrams([body], Counter(), Counter())
        else:
            self.life.body(door, body, "application/json", Counter(), Counter())

    # --- what goes on ---

    @rule(turns=_few, disk_works=st.sampled_from([True, True, False]))
    def go_on(self, turns: int, disk_works: bool) -> None:  # noqa: FBT001
        """A few turns, with a disk that hangs from now on or works."""
        self.life.disk_works = disk_works
        for _ in range(turns):
            self.life.turn()

    @rule(flush=st.booleans(), seconds=st.sampled_from([0.5, STALL_SECONDS, 5.0, 61.0]), works=st.booleans())
    def the_disk_hangs(self, flush: bool, seconds: float, works: bool) -> None:  # noqa: FBT001
        """For so long, with something to write or not, and perhaps from then on."""
        self.life.disk_works = False
        if flush:
            self.flush()
        self.life.settle()
        for part in (min(seconds, STALL_SECONDS), seconds - min(seconds, STALL_SECONDS)):
            self.life.pass_time(part + 0.1)
            self.life.settle()
        if seconds >= STALL_SECONDS:
            assert all(body.done() for body in self.life.bodies)
            self.gave_up = True
        self.life.disk_works = works

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, REQUEST_SECONDS, 61.0, -90.0]), settle=st.booleans())
    def time_passes(self, seconds: float, settle: bool) -> None:  # noqa: FBT001
        self.life.pass_time(seconds)
        if settle:
            self.life.settle()

    @rule(resolutions=st.sampled_from([(1,), (60,), (1, 60), (1, 60)]), unfinished=st.booleans(), settle=st.booleans())
    def flush_metrics(self, resolutions: tuple[int, ...], unfinished: bool, settle: bool) -> None:  # noqa: FBT001
        self.life.flush(resolutions, unfinished=unfinished)
        if settle:
            self.life.settle()

    @rule(settle=st.booleans())
    def flush_logs(self, settle: bool) -> None:  # noqa: FBT001
        self.life.flush_logs()
        if settle:
            self.life.settle()

    @rule(
        turns=st.one_of(st.none(), _few), flushes=st.sampled_from([None, None, (1,), (60,)]), unfinished=st.booleans()
    )
    def checkpoint(self, turns: int | None, flushes: tuple[int, ...] | None, unfinished: bool) -> None:  # noqa: FBT001
        """Let the time for one come, and go on with it for a while or to its end; a flush may come in between."""
        self.life.pass_time(0.6)
        for _ in range(turns or 0):
            self.life.turn()
        if flushes is not None:
            self.life.flush(flushes, unfinished=unfinished)
        if turns is None:
            self.life.settle()

    @rule(metrics=_answers, logs=_answers, flush=st.booleans(), seconds=st.sampled_from([None, 0.1, 0.4, 2.0, 6.0]))
    def answers_change(self, metrics: Answer, logs: Answer, flush: bool, seconds: float | None) -> None:  # noqa: FBT001
        """The far end answers otherwise from now on; there may be something to answer at once, and time to do so."""
        self.metrics.answer, self.logs.answer = metrics, logs
        if flush:
            self.flush()
        if seconds is not None:
            self.life.settle()
            self.life.pass_time(seconds)
            self.life.settle()

    @rule(metrics=st.sampled_from(METRIC_RULES), routes=st.sampled_from(ROUTES), settle=st.booleans())
    def reload(self, metrics: list[dict[str, Any]], routes: list[dict[str, Any]], settle: bool) -> None:  # noqa: FBT001
        """The rules change; the reload may still be under way when the next thing happens."""
        self.life.reload(configuration(self.directory, metrics, routes), settle=settle)

    @rule(content=st.sampled_from(["", "metrics: {rules: [{match: a}]}", "a: [", "logs: {routes: 1}"]))
    def reload_what_is_refused(self, content: str) -> None:
        """The rules before it stay in effect; the file is corrected before the next life."""
        self.life.settle()
        path = configuration_file(self.directory)
        before, shape, refused = path.read_text(), self.life.pipeline.shape, self.life.ledger.reloads["refused"]
        self.life.reload(content, settle=True)
        if content:
            assert self.life.ledger.reloads["refused"] > refused
            assert self.life.pipeline.shape is shape
        self.life.reload(before, settle=True)

    def flush(self) -> None:
        self.life.flush((1, 60), unfinished=True)
        self.life.flush_logs()

    # --- how a life ends, and the next begins ---

    @rule(under_way=st.booleans(), locked=st.integers(0, 7).map(lambda n: n == 0))
    def crash(self, under_way: bool, locked: bool) -> None:  # noqa: FBT001
        self.kill(under_way=under_way)
        self.live_again(locked=locked)

    @rule(metrics=_answers, logs=_answers)
    def drain_and_restart(self, metrics: Answer, logs: Answer) -> None:
        self.metrics.answer, self.logs.answer = metrics, logs
        self.drain()
        self.live_again(locked=False)

    @rule(turns=st.integers(1, 80), under_way=st.booleans())
    def crash_while_draining(self, turns: int, under_way: bool) -> None:  # noqa: FBT001
        drain = self.life.start_drain()
        for _ in range(turns):
            if not drain.done():
                self.life.turn()
                if self.life.loop.idle and not self.life.thread.jobs and self.life.loop.next_timer:
                    self.life.pass_time(max(0.0, self.life.loop.next_timer - self.clock.elapsed))
        self.kill(under_way=under_way)
        self.live_again(locked=False)

    def kill(self, *, under_way: bool) -> None:
        self.life.kill(under_way=under_way)
        if self.gave_up:
            # A batch that was not written since the disk hung is found again as the segments of its events, behind the
            # batches that were written after it.
            self.logs.disk_gave_up = True

    @precondition(lambda self: self.lock is not None)
    @rule()
    def the_other_daemon_leaves(self) -> None:
        self.leave()
        self.life.pass_time(REQUEST_SECONDS)

    def drain(self) -> None:
        opened = self.life.spool.opened
        self.life.drain()
        if opened:
            self.left = self.life.ledger.samples.pending, self.life.ledger.log_events.pending

    def live_again(self, *, locked: bool) -> None:
        """The next life; `locked`: another daemon has the directory when it begins."""
        self.leave()
        if locked:
            self.lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.life = Life(self.directory, self.clock, self.target)
        self.live()

    def leave(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    @invariant()
    def the_equation_holds(self) -> None:
        self.life.check()

    # --- the end ---

    def teardown(self) -> None:
        try:
            if not self.ended:
                self.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of everything, however it ended."""
        if not self.ended:
            self.ended = True
            self.life.kill(under_way=False)
        self.leave()
        self.cleanup.close()

    def finish(self) -> None:
        """The far end takes everything: see what arrived."""
        self.leave()
        self.metrics.answer = self.logs.answer = OK
        life = self.life
        life.disk_works = True
        for _ in range(50):
            life.settle()
            if life.spool.opened and self.pending == 0 and not life.bodies:
                break
            self.flush()
            life.settle()
            life.pass_time(1.0)
        assert life.spool.opened
        assert self.pending == 0
        self.life.drain()
        self.ended = True
        assert rows(self.directory) == {"batches": 0, "segments": 0, "deltas": 0}
        self.metrics.check_all()
        self.logs.check_all()

    @property
    def pending(self) -> int:
        return self.life.ledger.samples.pending + self.life.ledger.log_events.pending


# Hypothesis shrinks a failing example for up to five minutes: a timeout before that would hide which one it is.
TestWholeLife = pytest.mark.timeout(420 + 4 * EXAMPLES)(WholeLife.TestCase)
TestWholeLife.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not LONGER,  # the same lives each time; `make fuzz` draws new ones
    suppress_health_check=list(HealthCheck),
)
