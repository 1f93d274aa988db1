"""Configuration → Shape: the one function that builds it, for the daemon, a reload and `explain`."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.config.metric_rules import MetricRule
from sidecar.config.schema import Config
from sidecar.model.template import Template
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.routing import Router
from sidecar.shape.rules import Rule, Rules
from sidecar.shape.series import SeriesNaming
from sidecar.shape.shape import Shape


def make_shape(config: Config, hostname: str, environment: Mapping[str, str], *, before: Shape | None = None) -> Shape:
    """Build what a configuration makes of events.

    Args:
        config: the configuration.
        hostname: what `{hostname}` in a template stands for.
        environment: environment variables, for the fields of templates that neither the event nor `dimensions` has.
        before: the shape this one replaces. Its series and destinations of the last hour still count towards
            `metrics.max_series`, which stays as it was, and `logs.max_streams`.
    """
    metrics, logs = config.metrics, config.logs
    context = {**environment, **config.dimensions}
    group, stream, events_group = (
        Template(text, hostname, context) for text in (logs.group, logs.stream, logs.events_group or logs.group)
    )
    return Shape(
        naming=SeriesNaming(
            namespace=config.namespace,
            dimensions=config.dimensions,
            resolution=metrics.resolution,
            replace_invalid=metrics.replace_invalid,
            rules=Rules(
                [rule_of(rule, f"metrics.rules.{number}") for number, rule in enumerate(metrics.rules)],
                hostname=hostname,
                context=context,
            ),
        ),
        cardinality=Cardinality(metrics.max_series) if before is None else before.cardinality,
        router=Router(
            group, stream, events_group, logs.max_streams, None if before is None else before.router.last_used
        ),
        percentiles=metrics.percentiles,
        signed_gauges=metrics.signed_gauges,
    )


def rule_of(configured: MetricRule, origin: str) -> Rule:
    """A rule of the configuration as the shape has it; `origin` is its path."""
    keep, drop, rollups = configured.keep_dimensions, configured.drop_dimensions, configured.rollups
    return Rule(
        tuple(configured.patterns),
        when={name: tuple(globs) for name, globs in configured.when.items()},
        stop=configured.stop,
        drop=configured.drop,
        name=configured.name,
        namespace=configured.namespace,
        unit=configured.unit,
        resolution=configured.resolution,
        percentiles=configured.percentiles,
        signed_gauges=configured.signed_gauges,
        scale=configured.scale,
        keep_dimensions=None if keep is None else tuple(keep),
        drop_dimensions=None if drop is None else tuple(drop),
        rename_dimensions=configured.rename_dimensions,
        dimensions=configured.dimensions,
        rollups=None if rollups is None else tuple(dict.fromkeys(tuple(sorted(set(names))) for names in rollups)),
        max_series=configured.max_series,
        origin=origin,
    )
