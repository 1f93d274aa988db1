"""Alarms on the sidecar's own metrics, which `observe.publish` sends: delivery down, any loss, spool or series near full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.config.schema import Config
from sidecar.config.watch import Alarm
from sidecar.generate.sent import ANY, known
from sidecar.observe.published import SIGNAL

SHARE: Final = 0.8  # of the spool, and of the cap on series
SIGNALS: Final = ("metrics", "logs")
PREFIX: Final = "sidecar-"


def watched(config: Config) -> list[Alarm]:
    """The alarms of `watch.alarms`, and where self-metrics are published those on them."""
    return [*config.watch.alarms, *(_alarms(config) if config.observe.publish else ())]


def _alarms(config: Config) -> Iterator[Alarm]:
    # A dimension whose value is known only where the sidecar runs is left out: a rollup sends the metric without it.
    common: dict[str, str | None] = {name: value for name, value in known(config.dimensions).items() if value != ANY}
    for signal in SIGNALS:
        dimensions = {**common, SIGNAL: signal}
        # Without delivery of metrics there is no data: that breaches as well.
        yield Alarm(
            name=f"{PREFIX}delivery-{signal}",
            metric="sidecar_delivery_up",
            statistic="Minimum",
            below=1,
            dimensions=dimensions,
            period_seconds=60,
            periods=10,
            severity="critical",
            description=f"A sidecar has not delivered {signal} for ten minutes: /ready says what to fix.",
        )
        yield Alarm(
            name=f"{PREFIX}lost-{signal}",
            metric="sidecar_lost",
            statistic="Sum",
            above=0,
            dimensions=dimensions,
            description=f"A sidecar has lost {signal}: /stats has the reasons under dropped_by_reason.",
        )
    yield Alarm(
        name=f"{PREFIX}series",
        metric="sidecar_series",
        statistic="Maximum",
        dimensions=common,
        above=SHARE * config.metrics.max_series,
        periods=3,
        description="A sidecar is near metrics.max_series: beyond, new series are folded into __other__.",
    )
    if config.deliver.spool_dir is not None:
        yield Alarm(
            name=f"{PREFIX}spool",
            metric="sidecar_spool_bytes",
            statistic="Maximum",
            dimensions=common,
            above=SHARE * config.deliver.spool_max_bytes,
            description="The spool of a sidecar is nearly full: beyond, the oldest batches are dropped.",
        )
