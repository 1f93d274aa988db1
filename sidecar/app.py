"""The composition root: Config → the parts of one daemon. The only file that knows every room."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from sidecar.config.endpoints import own_endpoints
from sidecar.config.file import Source
from sidecar.config.schema import Config
from sidecar.daemon import CallbackErrors, Daemon, Input
from sidecar.deliver.delivery import Delivery
from sidecar.deliver.target import Target, open_target
from sidecar.inputs import Parts, make_inputs
from sidecar.model.log_groups import LogGroups
from sidecar.observe.admin import AdminServer
from sidecar.observe.figure import Sources
from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter, lines_dropped
from sidecar.observe.prometheus import FiguresCollector
from sidecar.observe.published import Publisher
from sidecar.observe.stall import StallProbe
from sidecar.observe.stats import Stats
from sidecar.pipeline.checkpoints import Checkpointer
from sidecar.pipeline.costs import Costs
from sidecar.pipeline.intake import Pipeline
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.reloading import Reloader
from sidecar.pipeline.shaping import make_shape
from sidecar.runtime import ecs
from sidecar.runtime.clock import Clock, SystemClock
from sidecar.runtime.ecs import TaskMetadata
from sidecar.runtime.http_server import CONNECTIONS
from sidecar.runtime.process import descriptors_for_connections, tune_process
from sidecar.shape.shape import Shape

if TYPE_CHECKING:
    from sidecar.deliver.cloudwatch.upstream import Upstream

WRITING_SECONDS: Final = 0.2  # at the end of a drain, for the parts of batches that were split meanwhile


class App:
    """One daemon, put together."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        target: Target | None = None,
        source: Source | None = None,
    ) -> None:
        """Put the parts together; nothing is opened yet.

        Args:
            config: the configuration.
            clock: the system's if None.
            target: where batches are sent; what `deliver.target` names if None.
            source: the file that `config` was read from; None where it is not to be reloaded.
        """
        self._config = config
        clock = clock or SystemClock()
        self._limiter = Limiter(clock.monotonic)
        self._ledger = Ledger()
        self._health = Health()
        self._groups = LogGroups()
        stall = StallProbe(clock.monotonic)
        target = target or open_target(config, clock, self._limiter, self._groups)
        self._delivery = Delivery(
            config, ledger=self._ledger, health=self._health, limiter=self._limiter, clock=clock, target=target
        )
        self._upstream = _upstream(config)
        self._environment = dict(os.environ)
        observer = Observer(self._ledger, self._limiter, clock)
        self._pipeline = self._make_pipeline(observer)
        self._costs = Costs(
            config,
            cardinality=lambda: self._pipeline.shape.cardinality,
            groups=self._groups,
            operation=target.metrics.operation,
            observer=observer,
        )
        self._health.budget = self._costs.budget
        self._checkpointer = self._make_checkpointer(clock)
        self._reloader = self._make_reloader(source, clock)
        address = os.environ.get(ecs.VARIABLE)
        self._task = TaskMetadata(address, self._add_placeholders) if address else None
        self._sources = Sources(
            self._ledger,
            self._health,
            series=lambda: self._pipeline.series,
            stall_seconds=stall.longest,
            checkpoint_age=None if self._checkpointer is None else self._checkpointer.checkpoint_age,
            log_lines_dropped=lines_dropped,
            rule_hits=self._pipeline.rule_hits,
            max_series=config.metrics.max_series,
            memory=self._delivery.memory,
            cost=self._costs.dollars,
        )
        publisher = Publisher(self._sources, self._pipeline.ingest_samples) if config.observe.publish else None
        errors = CallbackErrors()
        self.daemon = Daemon(
            self._make_inputs(errors),
            _Stages(
                self._pipeline,
                self._delivery,
                self._checkpointer,
                self._task,
                self._upstream,
                publisher=publisher,
                timers=(stall.run, self._reloader.run, self._costs.run),
            ),
            health=self._health,
            ledger=self._ledger,
            clock=clock,
            drain_seconds=config.deliver.drain_seconds,
            errors=errors,
            reload=self._reloader.request,
        )

    async def run(self) -> int:
        """Run until a signal, drain, and return the exit status: 0, or 1 after a bug."""
        return await self.daemon.run(target=self._config.deliver.target)

    def _make_pipeline(self, observer: Observer) -> Pipeline:
        return Pipeline(
            self._config,
            self._make_shape(self._config),
            metrics=self._delivery.metrics.backlog,
            logs=self._delivery.logs.backlog,
            observer=observer,
            pace=self._delivery.metrics.pace,
        )

    def _make_shape(self, config: Config, before: Shape | None = None) -> Shape:
        """The shape of a configuration, with the metadata of the task as far as it is known."""
        return make_shape(config, socket.gethostname(), self._environment, before=before, groups=self._groups)

    def _add_placeholders(self, values: Mapping[str, str]) -> None:
        """Use the metadata of the task, from the next event on."""
        self._environment = {**self._environment, **values}
        self._reloader.rebuild()

    def _make_reloader(self, source: Source | None, clock: Clock) -> Reloader:
        reloader = Reloader(
            source,
            self._config,
            make=self._make_shape,
            pipeline=self._pipeline,
            environ=os.environ,
            ledger=self._ledger,
            clock=clock,
        )
        if source is not None:
            self._health.configuration = reloader.summary
        return reloader

    def _make_checkpointer(self, clock: Clock) -> Checkpointer | None:
        if self._delivery.spool is None:
            return None
        return Checkpointer(
            self._delivery.spool,
            pipeline=self._pipeline,
            metrics=self._delivery.metrics.backlog,
            logs=self._delivery.logs.backlog,
            ledger=self._ledger,
            clock=clock,
        )

    def _make_inputs(self, errors: CallbackErrors) -> list[Input]:
        """The inputs, and the admin server beside them."""
        listen = self._config.listen
        # Where the system allows few descriptors, an eighth of them for each of the listeners that have connections.
        connections = min(CONNECTIONS, descriptors_for_connections() // 8)
        parts = Parts(
            self._config,
            self._pipeline,
            self._groups,
            self._ledger,
            self._limiter,
            errors.report,
            connections,
            None if self._upstream is None else self._upstream.forward,
        )
        inputs: list[Input] = [*make_inputs(parts, self._health)]
        if listen.admin_port is not None:
            listener = ListenerHealth("admin")
            self._health.listeners.append(listener)
            inputs.append(
                AdminServer(
                    listen.admin_host,
                    listen.admin_port,
                    health=self._health,
                    listener=listener,
                    collector=FiguresCollector(self._sources),
                    stats=self._make_stats().summary,
                    series=self._pipeline.sent.summary,
                    responses=self._ledger.responses,
                    limiter=self._limiter,
                    allowed_hosts=listen.allowed_hosts,
                    connections=connections,
                )
            )
        return inputs

    def _make_stats(self) -> Stats:
        return Stats(
            self._config.deliver.target,
            self._sources,
            open_accumulators=lambda: self._pipeline.open_accumulators,
            queues={"metrics": self._delivery.metrics.backlog, "logs": self._delivery.logs.backlog},
            totals=self._delivery.target.totals,
            rules=self._pipeline.rules,
            cost=self._costs.summary,
        )


class _Stages:
    """Pipeline, delivery and spool, as the daemon starts and drains them."""

    def __init__(
        self,
        pipeline: Pipeline,
        delivery: Delivery,
        checkpointer: Checkpointer | None,
        task: TaskMetadata | None,
        upstream: Upstream | None,
        *,
        publisher: Publisher | None,
        timers: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    ) -> None:
        self._pipeline = pipeline
        self._task = task
        self._delivery = delivery
        self._checkpointer = checkpointer
        self._upstream = upstream
        self._publisher = publisher
        self._timers = timers

    def before_inputs(self) -> list[Coroutine[Any, Any, None]]:
        return [part.run() for part in (self._checkpointer, self._task) if part is not None]

    async def head_start(self, seconds: float) -> None:
        # Usually the spool is open and the metadata of the task known before the first event. The wait is bounded: events
        # before that are answered as not durable, and their placeholders are counted as unknown.
        await asyncio.gather(*[part.tried(seconds) for part in (self._checkpointer, self._task) if part is not None])

    def timers(self) -> list[Coroutine[Any, Any, None]]:
        published = [] if self._publisher is None else [self._publisher.run()]
        return [*self._pipeline.timers(), *self._delivery.timers(), *[timer() for timer in self._timers], *published]

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        return self._delivery.workers()

    async def flush(self, *, at_once: bool = False) -> None:
        if self._publisher is not None:
            self._publisher.publish()  # what was lost since the last time, in the last windows
        await self._pipeline.flush_everything(at_once=at_once)
        if at_once:
            await self._delivery.stop_committing()
            return
        await self._delivery.committed()
        if self._checkpointer is not None:
            await self._checkpointer.checkpoint()  # the levels of gauges, for the next start

    async def drain(self) -> None:
        self._delivery.drain()

    async def abandon(self) -> dict[str, int]:
        with suppress(TimeoutError):  # of a disk that does not answer
            async with asyncio.timeout(WRITING_SECONDS):
                await self._delivery.committed()
        return self._delivery.abandon()

    def closers(self) -> list[Coroutine[Any, Any, None]]:
        closers = self._delivery.closers()
        return closers if self._upstream is None else [*closers, self._upstream.close()]


def _upstream(config: Config) -> Upstream | None:
    """AWS for calls that are passed through, with a session of its own; None where none is."""
    if not config.aws.pass_through or config.deliver.target != "cloudwatch":
        return None
    from sidecar.deliver.cloudwatch.session import AwsSession
    from sidecar.deliver.cloudwatch.upstream import Upstream

    deliver = config.deliver
    session = AwsSession(region=config.region, endpoint_url=deliver.endpoint_url, role_arn=deliver.role_arn)
    return Upstream(session, request_seconds=deliver.request_seconds)


def run(config: Config, source: Source | None = None) -> int:
    """Run the daemon on uvloop and return its exit status.

    Args:
        config: the configuration.
        source: the file it was read from; None where it is not to be reloaded.
    """
    import uvloop

    tune_process()
    for name in own_endpoints(os.environ, config.listen):
        del os.environ[name]
        advice = "it is the sidecar's own listener: set it for the application alone"
        structlog.get_logger().warning("endpoint variable ignored", variable=name, fix=advice)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    # The runner is not closed: it would wait for threads that hang, past the deadline of the drain.
    return runner.run(_main(config, source))


async def _main(config: Config, source: Source | None) -> int:
    return await App(config, source=source).run()
