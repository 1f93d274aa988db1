"""One life of a daemon: everything is real but the clock, the spool's thread and the far end.

No thread runs and nothing sleeps, so that a run that fails fails again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from sidecar.app import App
from sidecar.config.file import source
from sidecar.config.load import load
from sidecar.deliver.backlog import Backlog
from sidecar.model.errors import BusyError, UnsupportedError
from sidecar.model.events import Outcome
from tests.life.configuration import configuration_file
from tests.life.far_end import Target, all_saved, in_hand
from tests.life.loop import HandLoop, HandThread
from tests.life.on_disk import close_as_killed
from tests.life.senders import Stream
from tests.support.clock import HandClock
from tests.support.pipeline import Inputs

T = TypeVar("T")

METRIC_MEMORY: Final = 6_000  # bytes of batches in memory: a few, so that rows wait on disk alone
LOG_MEMORY: Final = 4_000
MOST_TURNS: Final = 20_000


class Unsafe(NamedTuple):
    """Samples that only memory has until the next checkpoint or flush."""

    at: float  # monotonic seconds
    samples: Counter[int]


class Flush(NamedTuple):
    """A flush under way or done; `whole`: of all windows, the open ones as well."""

    task: asyncio.Task[None]
    started: float
    whole: bool


class Life:
    """One life of the daemon, from taking the directory over to its end.

    Args:
        directory: of the spool; the configuration file is beside it.
        clock: moved by hand.
        target: the far end.
    """

    def __init__(self, directory: Path, clock: HandClock, target: Target) -> None:
        self.clock = clock
        self.target = target
        self.directory = directory
        self.loop = HandLoop(clock)
        self.failures: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.thread = HandThread()
        path = configuration_file(directory)
        self.app = App(load(path, {}), clock, target=target, source=source(path))
        reloader = self.app._reloader
        assert reloader is not None
        self.reloader = reloader
        self.reading = HandThread()  # where the configuration is read
        reloader._thread = self.reading
        delivery = self.app._delivery
        self.backlogs: tuple[Backlog[Any], ...] = (delivery.metrics.backlog, delivery.logs.backlog)
        delivery.metrics.backlog.waiting.memory.capacity_bytes = METRIC_MEMORY
        delivery.logs.backlog.waiting.memory.capacity_bytes = LOG_MEMORY
        spool, checkpointer = delivery.spool, self.app._checkpointer
        assert spool is not None
        assert checkpointer is not None
        spool._thread = self.thread
        self.closers: list[Coroutine[Any, Any, None]] = []
        delivery.closers = self._remembered(delivery.closers)  # type: ignore[method-assign]
        self.spool, self.checkpointer = spool, checkpointer
        self.pipeline, self.ledger = self.app._pipeline, self.app._ledger
        self.inputs = Inputs(self.pipeline, emf_as="both")
        self.stream = Stream()
        self.disk_works = True
        self.disk_hung = False
        self.stalled = False  # at some time: batches may have gone on in memory alone
        target.metrics.disk_hung = target.logs.disk_hung = lambda: self.disk_hung
        self.draining = False
        self.flushes: list[Flush] = []
        self.flushed: list[Flush] = []
        self.log_flushes: list[asyncio.Task[None]] = []
        self.bodies: list[asyncio.Task[None]] = []
        self.unsafe: list[Unsafe] = []
        self.unsafe_events: Counter[int] = Counter()
        self.flushed_at = 0.0  # when a flush was last under way
        self.checkpointed_at = 0.0
        target.metrics.live(self.ledger.samples, delivery.metrics.backlog)
        target.logs.live(self.ledger.log_events, delivery.logs.backlog)
        self.kept = True  # what comes, from the start
        self.workers: list[asyncio.Task[None]] = []
        self.running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, as the app does, but for what listens and for the timers of flushes."""
        self.kept = self.run(self.loop.create_task(self.checkpointer.open()))
        self.target.logs.in_order = self.kept
        self.target.logs.latest.clear()
        delivery = self.app._delivery
        self.workers = [self.loop.create_task(worker) for worker in delivery.workers()]
        work = (self.checkpointer.run(), self.reloader.run(), self.pipeline._buffers.run_sorting(), *delivery.timers())
        self.running = [self.loop.create_task(one) for one in work]

    # --- moving on ---

    def turn(self) -> None:
        """Let the loop come round once, and the disk do one thing."""
        self.loop.turn()
        self.disk_hung |= not self.disk_works and bool(self.thread.jobs)
        self.stalled |= self.spool.stalled
        if self.disk_works:
            self.thread.work()
        self.reading.work()
        self._note()
        self.check()

    def settle(self) -> None:
        """Let everything come to its end that waits for no timer."""
        for _ in range(MOST_TURNS):
            self.turn()
            if self.loop.idle and not (self.thread.jobs and self.disk_works) and not self.reading.jobs:
                return
        raise AssertionError("it never comes to rest")

    def run(self, work: asyncio.Task[T]) -> T:
        """Let everything come to its end that `work` waits for; time passes where nothing else happens."""
        self.disk_works = True
        for _ in range(MOST_TURNS):
            self.turn()
            if work.done():
                return work.result()
            if self.loop.idle and not self.thread.jobs and not self.reading.jobs:
                timer = self.loop.next_timer
                assert timer is not None, "it waits for nothing"
                self.pass_time(max(0.0, timer - self.clock.elapsed))
        raise AssertionError("it never ends")

    def pass_time(self, seconds: float) -> None:
        self.clock.elapsed += max(0.0, seconds)
        self.clock.now += seconds

    def call(self, work: Callable[[], None]) -> None:
        """Do something in the loop."""
        task = self.loop.create_task(_called(work))
        self.turn()
        task.result()

    # --- what comes in ---

    def datagrams(self, burst: list[bytes], samples: Counter[int], events: Counter[int]) -> None:
        self._at_once(self.inputs.datagrams, burst, samples, events)

    def emf_documents(self, documents: list[bytes], samples: Counter[int], events: Counter[int]) -> None:
        self._at_once(self.inputs.emf_documents, documents, samples, events)

    def _at_once(
        self, ingest: Callable[[list[bytes]], bool], given: list[bytes], samples: Counter[int], events: Counter[int]
    ) -> None:
        def work() -> None:
            more = ingest(given)
            while more:
                more = ingest([])
            self._received(samples, events)

        self.target.metrics.sent += samples
        self.target.logs.takes(events)
        self.call(work)

    def body(self, route: str, body: bytes, type_: str, samples: Counter[int], events: Counter[int]) -> None:
        """Begin to process a body."""
        ingest = self.inputs.ingest_metrics if route == "metrics" else self.inputs.ingest_logs
        self._in_time(ingest(body, type_), samples, events)

    def aws_call(self, service: str, operation: str, body: bytes, samples: Counter[int], events: Counter[int]) -> None:
        """Begin to process a call of an AWS SDK."""
        self._in_time(self.inputs.ingest_call(service, operation, body, self.clock.now), samples, events)

    def _in_time(self, ingest: Coroutine[Any, Any, Outcome], samples: Counter[int], events: Counter[int]) -> None:
        async def work() -> None:
            try:
                outcome = await ingest
            except (BusyError, UnsupportedError):
                self.target.metrics.sent -= samples  # nothing of it was accepted
                self.target.logs.sent -= events
                return
            self._received(samples, Counter())
            self.target.logs.has_taken(events)
            if outcome.durable is not None:
                if await outcome.durable:
                    self.target.logs.safe |= events
                elif self.spool.opened:
                    self.unsafe_events += events

        self.target.metrics.sent += samples
        self.target.logs.takes(events)
        self.bodies.append(self.loop.create_task(work()))
        self.turn()

    def _received(self, samples: Counter[int], events: Counter[int]) -> None:
        self.target.logs.has_taken(events)
        if self.spool.opened:  # what comes before may be in a batch that only memory has
            self.unsafe.append(Unsafe(self.clock.elapsed, samples))
            self.unsafe_events += events

    # --- what is configured ---

    def reload(self, content: str, *, settle: bool) -> None:
        """Write the configuration file, and ask for a reload as SIGHUP does; `settle`: wait until it has ended."""
        configuration_file(self.directory).write_text(content)
        self.reloader.request()
        self.turn()
        if settle:
            self.settle()

    # --- what becomes safe ---

    def flush(self, resolutions: tuple[int, ...], *, unfinished: bool) -> None:
        work = self.pipeline.flush_metrics("timer", unfinished=unfinished, resolutions=resolutions)
        whole = unfinished and len(resolutions) == 2
        self.flushes.append(Flush(self.loop.create_task(work), self.clock.elapsed, whole))
        self.turn()

    def flush_logs(self) -> None:
        self.log_flushes.append(self.loop.create_task(self.pipeline.flush_logs("timer")))
        self.turn()

    def _note(self) -> None:
        """Note what is on disk by now."""
        if self.flushes:
            self.flushed_at = self.clock.elapsed
        self.flushed += [flush for flush in self.flushes if flush.task.done()]
        self.flushes = [flush for flush in self.flushes if not flush.task.done()]
        at = self.checkpointer._last_checkpoint
        if at > self.checkpointed_at and self.spool.opened and not self.draining:
            self.checkpointed_at = at
            # Else windows may have been half way between checkpoints and batches, or in batches that are in memory alone
            # since the disk did not answer.
            metrics = self.backlogs[0]
            if self.flushed_at < at and (not self.stalled or all_saved(metrics, self.ledger.samples)):
                self._now_safe(at)
        if self._written():
            self.disk_hung = False
            for far_end in (self.target.metrics, self.target.logs):
                if not in_hand(far_end.backlog):
                    far_end.unmarked = 0
            self.target.metrics.noting.clear()
            self.target.logs.noting.clear()
            metrics, logs = self.backlogs
            # What is in a buffer has its segment, unless that was submitted while the disk did not answer.
            buffered = self.ledger.log_events.pending != logs.waiting.units
            if self.spool.opened and all_saved(logs, self.ledger.log_events) and not (self.stalled and buffered):
                self.target.logs.safe |= self.unsafe_events
                self.unsafe_events.clear()
            if not self.flushes and all_saved(metrics, self.ledger.samples):
                self._now_safe(max((flush.started for flush in self.flushed if flush.whole), default=0.0))
                self.flushed.clear()

    def _written(self) -> bool:
        """Whether nothing waits to be written."""
        spool = self.spool
        return not self.thread.jobs and not spool._waiting and spool._writer is None and not len(spool._owed)

    def _now_safe(self, before: float) -> None:
        self.target.metrics.safe += sum((one.samples for one in self.unsafe if one.at < before), Counter[int]())
        self.unsafe = [one for one in self.unsafe if one.at >= before]

    # --- what holds ---

    def check(self) -> None:
        self.target.metrics.check(kept=self.kept and not self.stalled)
        self.target.logs.check(kept=self.kept and not self.stalled)
        assert not self.failures, self.failures
        for flush in self.flushed:
            flush.task.result()
        self.bodies = [body for body in self.bodies if not body.done() or body.result()]
        self.log_flushes = [flush for flush in self.log_flushes if not flush.done() or flush.result()]
        if not self.draining:
            for task in (*self.workers, *self.running):
                assert not task.done(), task
        for backlog in self.backlogs:
            # Splitting a batch that is in hand makes it more, by what each part takes beside its elements.
            assert backlog.waiting.memory.used_bytes <= 2 * backlog.waiting.memory.capacity_bytes

    # --- how it ends ---

    def start_drain(self) -> asyncio.Task[None]:
        self.draining = True
        self.target.logs.in_order = False  # each batch gets one attempt, whatever became of the one before
        return self.loop.create_task(self.app.daemon.drain(self.running, self.workers))

    def drain(self) -> None:
        """SIGTERM, and as long as it takes."""
        opened = self.spool.opened
        self.run(self.start_drain())
        self.settle()
        assert not self.bodies
        assert not self.flushes
        metrics, logs = self.backlogs
        if opened and all_saved(metrics, self.ledger.samples):
            self._now_safe(float("inf"))
        if opened and all_saved(logs, self.ledger.log_events):
            self.target.logs.safe |= self.unsafe_events
        self._end()

    def kill(self, *, under_way: bool) -> None:
        """SIGKILL: only what is on disk remains; `under_way`: the jobs of the spool's thread are done first."""
        if under_way:
            self.thread.work()
        self.thread.dead = True
        self.thread.jobs.clear()
        store, self.thread.store = self.thread.store, None
        if store is not None:
            close_as_killed(store, self.directory)
        self._end()

    def _remembered(self, make: Callable[[], list[Coroutine[Any, Any, None]]]) -> Callable[[], list[Any]]:
        def remember() -> list[Any]:
            made = make()
            self.closers += made
            return made

        return remember

    def _end(self) -> None:
        self.target.metrics.die()
        self.target.logs.die()
        self.thread.dead = True
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.turn()
        for closer in self.closers:
            closer.close()  # a crash may come before it was its turn
        self.loop.close()


async def _called(work: Callable[[], None]) -> None:
    work()
