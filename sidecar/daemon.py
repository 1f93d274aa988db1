"""One life of a daemon: bind with retries, run until a signal, drain in order.

It knows the parts by protocol only. On SIGTERM or SIGINT: `/ready` turns 503; the inputs stay open until they are
quiet, since an application sends its last events at that time; the inputs stop accepting; windows and buffers are flushed;
each batch gets one attempt; the rest is logged. A second signal skips to the end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from sidecar import __version__
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.runtime.clock import Clock

REBIND_SECONDS: Final = 1.0  # between two attempts to bind a port that is in use
QUIET_SECONDS: Final = 0.5  # without input, after which the drain closes the inputs
QUIET_SHARE: Final = 0.4  # of drain_seconds: the longest wait for that quiet
QUIET_POLL_SECONDS: Final = 0.02
HEAD_START_SECONDS: Final = 0.5  # for the stages before the inputs are opened
CLOSING_SECONDS: Final = 0.4  # reserved of drain_seconds for closing what is open


class Input(Protocol):
    """A way in, or another listener: something that binds addresses."""

    @property
    def listener(self) -> ListenerHealth:
        """Its name, and the state that `/ready` shows; the daemon sets `bound` and `error`."""
        ...

    async def open(self) -> None:
        """Bind and start to receive; called again after an error.

        Raises:
            OSError: an address is in use, or not one of this machine.
            UnicodeError: the host is not a valid name.
        """
        ...

    async def stop_accepting(self) -> None:
        """Accept no more events; what has arrived is ingested before this returns. Senders may still be answered."""
        ...

    async def close(self) -> None:
        """Release the addresses."""
        ...

    def seen(self) -> int:
        """The events, requests or datagrams received so far; the drain waits until it stays the same."""
        ...


class Stages(Protocol):
    """The stages between the inputs and the destination."""

    def before_inputs(self) -> list[Coroutine[Any, Any, None]]:
        """Tasks to start before the inputs are opened; cancelled once the inputs have stopped accepting."""
        ...

    async def head_start(self, seconds: float) -> None:
        """Wait at most `seconds` for what those tasks should have done before the first event."""
        ...

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        """Tasks to run from then on; cancelled at the same time."""
        ...

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """Tasks that send; they end by themselves some time after `drain`."""
        ...

    async def flush(self, *, at_once: bool = False) -> None:
        """Batch all windows and buffers and make them durable; `at_once`: without waiting for anything."""
        ...

    async def drain(self) -> None:
        """Give each waiting batch one more attempt; no more batches will come."""
        ...

    async def abandon(self) -> dict[str, int]:
        """Drop the batches that still wait, counted, or leave them in the spool; returns both numbers for the log."""
        ...

    def closers(self) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that release connections and files."""
        ...


class CallbackErrors:
    """Bugs raised in callbacks of the event loop, which end no task."""

    def __init__(self) -> None:
        """Start without errors."""
        self._first: Exception | None = None
        self._reported = asyncio.Event()

    def __bool__(self) -> bool:
        """True if there was one."""
        return self._first is not None

    def report(self, error: Exception) -> None:
        """Note an error; called from the event loop."""
        self._first = self._first or error
        self._reported.set()

    async def watch(self) -> None:
        """Wait for an error and raise it, as a task with a bug would."""
        await self._reported.wait()
        if self._first is not None:
            raise self._first


class Daemon:
    """Runs inputs and stages."""

    def __init__(
        self,
        inputs: Sequence[Input],
        stages: Stages,
        *,
        health: Health,
        ledger: Ledger,
        clock: Clock,
        drain_seconds: float,
        errors: CallbackErrors,
        reload: Callable[[], None],
    ) -> None:
        """Describe the daemon; nothing is opened yet.

        Args:
            inputs: opened in this order; they stop accepting in the reverse order.
            stages: where their events go.
            health: turns to draining.
            ledger: for the first and the last log line of the drain.
            clock: monotonic time.
            drain_seconds: from the signal to the end.
            errors: where callbacks report bugs.
            reload: called on SIGHUP.
        """
        self._inputs = tuple(inputs)
        self._stages = stages
        self._health = health
        self._ledger = ledger
        self._clock = clock
        self._drain_seconds = drain_seconds
        self._errors = errors
        self._reload = reload
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()  # a second signal
        self._log = structlog.get_logger()

    async def run(self, **facts: Any) -> int:
        """Run until a signal, drain, and return the exit status: 0, or 1 after a bug.

        Args:
            facts: fields of the log line `started`.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        running = [asyncio.create_task(task) for task in self._stages.before_inputs()]
        await self._stages.head_start(HEAD_START_SECONDS)
        # The first attempt to bind comes before anything slow.
        running += [asyncio.create_task(self._bind(one)) for one in self._inputs]
        await asyncio.sleep(0)
        workers = [asyncio.create_task(worker) for worker in self._stages.workers()]
        running += [asyncio.create_task(task) for task in (*self._stages.timers(), self._errors.watch())]
        # Objects created at start-up live as long as the process: exclude them from garbage collection.
        gc.collect()
        gc.freeze()
        self._log.info("started", version=__version__, **facts, pid=os.getpid())
        crashed = await self._until_stopped([*running, *workers])
        await self.drain(running, workers)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Another signal must not kill a process that is ending cleanly.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        return 1 if crashed or self._errors else 0

    # --- running ---------------------------------------------------------------------------------

    async def _bind(self, one: Input) -> None:
        """Open an input; retry every second while its port is in use."""
        listener = one.listener
        while not self._stop.is_set():
            try:
                await one.open()
            except (OSError, UnicodeError) as error:
                if listener.error is None:
                    self._log.warning(
                        "cannot listen, will retry every second", listener=listener.name, error=str(error)
                    )
                listener.error = str(error)
                await asyncio.sleep(REBIND_SECONDS)
            else:
                listener.bound, listener.error = True, None
                self._log.info("listening", listener=listener.name, addresses=listener.addresses, **listener.details)
                return

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Wait for a signal, or for a task that ends with a bug; returns True for the latter."""
        stop = asyncio.create_task(self._stop.wait())
        waiting: set[asyncio.Task[Any]] = {stop, *tasks}
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                error = task.exception()
                if error is not None:
                    self._log.error("a bug: draining and exiting", exc_info=error)
                    stop.cancel()
                    self._stop.set()
                    return True
            if stop in done:
                return False

    # --- stopping --------------------------------------------------------------------------------

    async def drain(self, running: list[asyncio.Task[None]], workers: list[asyncio.Task[None]]) -> None:
        """Finish what was accepted, inside `drain_seconds`, and log what could not be finished.

        Args:
            running: cancelled once the inputs have stopped accepting.
            workers: the tasks of `Stages.workers`.
        """
        started = self._clock.monotonic()
        deadline = started + self._drain_seconds
        self._health.draining = True
        self._log.info("draining", pending_samples=self._ledger.samples.pending)
        await self._wait_for_quiet(started)
        for one in reversed(self._inputs):
            await one.stop_accepting()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            async with asyncio.timeout(max(CLOSING_SECONDS, deadline - self._clock.monotonic() - CLOSING_SECONDS)):
                await self._stages.flush()
        except TimeoutError:
            # The disk does not answer, or there was too much to flush in time: the rest is batched without yielding, so
            # that it is sent, or abandoned and counted.
            await self._stages.flush(at_once=True)
        await self._stages.drain()
        await self._wait_for_workers(workers, deadline - CLOSING_SECONDS)
        left = await self._stages.abandon()
        await self._close_everything()
        self._log.info(
            "stopped",
            samples=self._ledger.samples.summary(),
            log_events=self._ledger.log_events.summary(),
            **left,
            seconds=round(self._clock.monotonic() - started, 3),
        )

    async def _wait_for_quiet(self, started: float) -> None:
        latest = started + QUIET_SHARE * self._drain_seconds
        quiet_since, seen = self._clock.monotonic(), self._seen()
        while not self._hurry.is_set():
            now = self._clock.monotonic()
            if self._seen() != seen:
                quiet_since, seen = now, self._seen()
            if now - quiet_since >= QUIET_SECONDS or now >= latest:
                return
            await asyncio.sleep(QUIET_POLL_SECONDS)

    def _seen(self) -> int:
        return sum(one.seen() for one in self._inputs)

    async def _wait_for_workers(self, workers: list[asyncio.Task[None]], deadline: float) -> None:
        hurry = asyncio.create_task(self._hurry.wait())
        waiting: set[asyncio.Task[Any]] = set(workers)
        while waiting and not self._hurry.is_set():
            left = deadline - self._clock.monotonic()
            if left <= 0.0:
                break
            await asyncio.wait({hurry, *waiting}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            waiting = {worker for worker in waiting if not worker.done()}
        hurry.cancel()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _close_everything(self) -> None:
        for closer in self._stages.closers():
            await self._close(closer)
        for one in self._inputs:
            await self._close(one.close())

    async def _close(self, closer: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await closer
        except TimeoutError:
            self._log.warning("a connection, file or listener did not close in time")
