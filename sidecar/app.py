"""The composition root: puts the stages together, starts them in order, and drains.

Start: the ledger, the sockets (data first, then admin), then the workers, which make the AWS clients in the
background: what arrives meanwhile is aggregated. Stop, on SIGTERM or SIGINT: `/ready` turns 503; the inputs stay
open until they are quiet, since an application's last events come just then; the door closes; what is open is
flushed; each batch gets one attempt; what is left is named in the log. A second signal skips to the end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Coroutine
from typing import Any, Final, Protocol

import structlog

from sidecar import __version__
from sidecar.config.schema import Config
from sidecar.deliver.delivery import Delivery
from sidecar.model.template import Template
from sidecar.observe.admin import AdminServer
from sidecar.observe.figures import Sources
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.observe.prometheus import FiguresCollector
from sidecar.observe.stall import StallProbe
from sidecar.observe.stats import Stats
from sidecar.pipeline.checkpoints import Keeper
from sidecar.pipeline.intake import Pipeline
from sidecar.receive.datagrams import UdpReceiver
from sidecar.receive.http import HttpReceiver
from sidecar.runtime.clock import Clock, SystemClock
from sidecar.runtime.http_server import CONNECTIONS
from sidecar.runtime.process import descriptors_for_connections, tune_process
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.routing import Router
from sidecar.shape.rules import Rule, Rules
from sidecar.shape.series import Shaper

REBIND_SECONDS: Final = 1.0  # between two tries of a port that is taken
QUIET_SECONDS: Final = 0.5  # without input, after which the drain closes the door
QUIET_SHARE: Final = 0.4  # of drain_seconds: the longest wait for that quiet
SPOOL_HEAD_START_SECONDS: Final = 0.5  # for the spool to open before the listeners do
CLOSING_SECONDS: Final = 0.4  # kept of drain_seconds for closing what is open


class Listener(Protocol):
    """Something that binds an address."""

    async def open(self) -> None:
        """Bind.

        Raises:
            OSError: not now.
        """
        ...


class App:
    """One daemon."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        """Put the stages together; nothing is opened yet."""
        self._config = config
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger()
        self._limiter = Limiter(self._clock.monotonic)
        self._ledger = Ledger()
        self._health = Health()
        self._stall = StallProbe(self._clock.monotonic)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._bug = asyncio.Event()
        self._bugs: list[Exception] = []  # raised in callbacks, which no task would end with
        self._delivery = Delivery(
            config, ledger=self._ledger, health=self._health, limiter=self._limiter, clock=self._clock
        )
        self._pipeline = Pipeline(
            config,
            shaper=Shaper(
                namespace=config.namespace,
                dimensions=config.dimensions,
                resolution=config.metrics.resolution,
                replace_invalid=config.metrics.replace_invalid,
                rules=Rules([Rule(**rule.model_dump()) for rule in config.metrics.rules]),
            ),
            cardinality=Cardinality(config.metrics.max_series),
            router=_router(config),
            metrics=self._delivery.metrics.backlog,
            logs=self._delivery.logs.backlog,
            ledger=self._ledger,
            limiter=self._limiter,
            clock=self._clock,
            pace=self._delivery.metrics.pace,
        )
        self._keeper: Keeper | None = None
        if self._delivery.spool is not None:
            self._keeper = Keeper(
                self._delivery.spool,
                pipeline=self._pipeline,
                metrics=self._delivery.metrics.backlog,
                logs=self._delivery.logs.backlog,
                ledger=self._ledger,
                clock=self._clock,
            )
        self._sources = Sources(
            self._ledger,
            self._health,
            series=lambda: self._pipeline.series,
            stall_seconds=self._stall.longest,
            checkpoint_age=self._keeper.checkpoint_age if self._keeper is not None else None,
        )
        self._stats = Stats(
            config.deliver.target,
            self._sources,
            open_accumulators=lambda: self._pipeline.open_accumulators,
            queues={"metrics": self._delivery.metrics.channel, "logs": self._delivery.logs.channel},
            totals=self._delivery.target.totals,
        )
        self._statsd, self._http, self._admin = self._listeners()

    async def run(self) -> int:
        """Run until a signal, drain, and return the exit status: 0, or 1 where a bug ended it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._log.info, "SIGHUP ignored: there is nothing to reload")
        running: list[asyncio.Task[None]] = []
        if self._keeper is not None:
            # A short head start: usually the spool is open before the first event. A disk that is slow or does not
            # answer is not waited for: what comes meanwhile is aggregated, and is told to be not durable.
            running.append(asyncio.create_task(self._keeper.run()))
            await self._keeper.tried(SPOOL_HEAD_START_SECONDS)
        tasks = [self._bind(listener, health) for listener, health in self._bindings()]
        # The first try of every socket comes before anything that could take long.
        running += [asyncio.create_task(task) for task in tasks]
        await asyncio.sleep(0)
        workers = [asyncio.create_task(worker) for worker in self._delivery.workers()]
        running += [asyncio.create_task(task) for task in self._timers()]
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._log.info("started", version=__version__, target=self._config.deliver.target, pid=os.getpid())
        crashed = await self._until_stopped([*running, *workers])
        await self._drain(running, workers)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # One more signal must not turn a clean end into a killed process.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        return 1 if crashed or self._bugs else 0

    # --- starting --------------------------------------------------------------------------------

    def _listeners(self) -> tuple[UdpReceiver | None, HttpReceiver | None, AdminServer | None]:
        listen = self._config.listen
        # A quarter of the descriptors for each of the two HTTP listeners, where the system allows few.
        connections = min(CONNECTIONS, descriptors_for_connections() // 4)
        statsd: UdpReceiver | None = None
        http: HttpReceiver | None = None
        admin: AdminServer | None = None
        if listen.statsd_port is not None:
            statsd = UdpReceiver(
                listen.statsd_host,
                listen.statsd_port,
                receive_buffer_bytes=listen.receive_buffer_bytes,
                handle=self._pipeline.datagrams,
                datagrams=self._ledger.datagrams,
                health=self._listener_health("statsd"),
                failed=self._failed,
            )
        if listen.http_port is not None:
            http = HttpReceiver(
                listen.http_host,
                listen.http_port,
                max_body_bytes=listen.max_body_bytes,
                routes={
                    "/ingest/metrics": self._pipeline.ingest_metrics,
                    "/ingest/logs": self._pipeline.ingest_logs,
                },
                responses=self._ledger.responses,
                health=self._listener_health("http"),
                limiter=self._limiter,
                allowed_hosts=listen.allowed_hosts,
                connections=connections,
            )
        if listen.admin_port is not None:
            admin = AdminServer(
                listen.admin_host,
                listen.admin_port,
                health=self._health,
                listener=self._listener_health("admin"),
                collector=FiguresCollector(self._sources),
                stats=self._stats.summary,
                responses=self._ledger.responses,
                limiter=self._limiter,
                allowed_hosts=listen.allowed_hosts,
                connections=connections,
            )
        return statsd, http, admin

    def _listener_health(self, name: str) -> ListenerHealth:
        health = ListenerHealth(name)
        self._health.listeners.append(health)
        return health

    def _bindings(self) -> list[tuple[Listener, ListenerHealth]]:
        listeners = [one for one in (self._statsd, self._http, self._admin) if one is not None]
        return list(zip(listeners, self._health.listeners, strict=True))

    async def _bind(self, listener: Listener, health: ListenerHealth) -> None:
        """Open a listener; a port that is taken is tried again every second."""
        while not self._stop.is_set():
            try:
                await listener.open()
            except (OSError, UnicodeError) as error:  # taken, not ours, or no name at all
                if health.error is None:
                    self._log.warning("cannot listen, will retry every second", listener=health.name, error=str(error))
                health.error = str(error)
                await asyncio.sleep(REBIND_SECONDS)
            else:
                health.bound, health.error = True, None
                self._log.info("listening", listener=health.name, addresses=health.addresses, **health.details)
                return

    def _timers(self) -> list[Coroutine[Any, Any, None]]:
        return [*self._pipeline.timers(), self._stall.run(), *self._delivery.timers(), self._watch_callbacks()]

    # --- running ---------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _failed(self, error: Exception) -> None:
        """Take a bug that was raised in a callback of the event loop."""
        self._bugs.append(error)
        self._bug.set()

    async def _watch_callbacks(self) -> None:
        """Wait for a bug in a callback and raise it, as a task with a bug would."""
        await self._bug.wait()
        raise self._bugs[0]

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Wait for a signal, or for a task that ends with a bug; True for the latter."""
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

    async def _drain(self, running: list[asyncio.Task[None]], workers: list[asyncio.Task[None]]) -> None:
        """Finish what was accepted, inside `deliver.drain_seconds`; name what could not be finished."""
        started = self._clock.monotonic()
        deadline = started + self._config.deliver.drain_seconds
        self._health.draining = True
        self._log.info("draining", pending_samples=self._ledger.samples.pending)
        await self._wait_for_quiet(started)
        self._pipeline.close()
        if self._statsd is not None:
            await self._statsd.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            async with asyncio.timeout(max(CLOSING_SECONDS, deadline - self._clock.monotonic() - CLOSING_SECONDS)):
                await self._pipeline.flush_everything()
                await self._delivery.committed()
                if self._keeper is not None:
                    await self._keeper.checkpoint()  # where gauges stand, for the next start
        except TimeoutError:
            # A disk that hangs, or more than could be flushed in time: what is still open is batched without pauses, so
            # that it is sent, or abandoned by name and number.
            await self._pipeline.flush_everything(at_once=True)
        await self._delivery.stop_committing()
        self._delivery.drain()
        await self._wait_for_workers(workers, deadline - CLOSING_SECONDS)
        left = self._delivery.abandon()
        await self._close_everything()
        self._log.info(
            "stopped",
            samples=self._ledger.samples.summary(),
            log_events=self._ledger.log_events.summary(),
            **left,
            seconds=round(self._clock.monotonic() - started, 3),
        )

    async def _wait_for_quiet(self, started: float) -> None:
        latest = started + QUIET_SHARE * self._config.deliver.drain_seconds
        quiet_since, seen = self._clock.monotonic(), self._inputs_seen()
        while not self._hurry.is_set():
            now = self._clock.monotonic()
            if self._inputs_seen() != seen:
                quiet_since, seen = now, self._inputs_seen()
            if now - quiet_since >= QUIET_SECONDS or now >= latest:
                return
            await asyncio.sleep(0.02)

    def _inputs_seen(self) -> int:
        # Refused requests are no input: neither probes nor strangers shall prolong the drain.
        accepted = sum(count for (_, status), count in self._ledger.responses.items() if status == 202)
        return self._ledger.datagrams.read + accepted

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
        closers = self._delivery.closers()
        if self._http is not None:
            closers.append(self._http.close())
        if self._admin is not None:
            closers.append(self._admin.close())
        for closer in closers:
            try:
                async with asyncio.timeout(CLOSING_SECONDS):
                    await closer
            except TimeoutError:
                self._log.warning("something did not close in time")


def _router(config: Config) -> Router:
    context = {**os.environ, **config.dimensions}
    hostname = socket.gethostname()
    group, stream, events_group = (
        Template(text, hostname, context)
        for text in (config.logs.group, config.logs.stream, config.logs.events_group or config.logs.group)
    )
    return Router(group, stream, events_group, config.logs.max_streams)


def run(config: Config) -> int:
    """Run the daemon on uvloop and return its exit status."""
    import uvloop

    tune_process()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    # The runner is not closed: it would wait for threads that hang, past the deadline of the drain.
    return runner.run(_main(config))


async def _main(config: Config) -> int:
    return await App(config).run()
