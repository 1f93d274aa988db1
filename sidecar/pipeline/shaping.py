"""Configuration → Shape: the one function that builds it, for the daemon, a reload and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sidecar.config.log_rules import REDACT_KEY, Rewrite
from sidecar.config.metric_rules import MetricRule
from sidecar.config.schema import Config, Logs, Metrics
from sidecar.model.conditions import Condition, compile_condition
from sidecar.model.log_groups import GroupSettings, LogGroups
from sidecar.model.samples import Kind, Rollups
from sidecar.model.template import Missed, Template
from sidecar.shape.cardinality import Cardinality
from sidecar.shape.log_metrics import LogMetric
from sidecar.shape.log_routes import Route
from sidecar.shape.log_rules import LogRules
from sidecar.shape.redact import Redaction, Redactor
from sidecar.shape.rewrite import Rewriting, Step
from sidecar.shape.routing import Router
from sidecar.shape.rules import Rule, Rules
from sidecar.shape.series import SeriesNaming
from sidecar.shape.shape import Shape

INSTANCE_PLACEHOLDERS: Final = ("HOSTNAME", "POD_NAME", "POD_UID", "POD_IP", "ecs.task_id")
"""Those whose values, as those of dimensions, name this instance: so Kubernetes' downward API is mostly used."""


def make_shape(
    config: Config,
    hostname: str,
    environment: Mapping[str, str],
    *,
    before: Shape | None = None,
    groups: LogGroups | None = None,
) -> Shape:
    """Build what a configuration makes of events.

    Args:
        config: the configuration.
        hostname: what `{hostname}` in a template stands for.
        environment: environment variables and metadata of the task, for the placeholders of templates that neither
            the event nor `dimensions` has.
        before: the shape this one replaces. Its series and destinations of the last hour still count towards
            `metrics.max_series`, which stays as it was, and `logs.max_streams`.
        groups: where the settings of routes are noted, for the creation of their groups.
    """
    metrics, logs = config.metrics, config.logs
    missed = Missed()
    configured = {name: Template(text, hostname, environment) for name, text in config.dimensions.items()}
    dimensions = {name: template.render({}) for name, template in configured.items()}
    unknown = {name for name, template in configured.items() if template.lacks({})}
    context = {**environment, **{name: value for name, value in dimensions.items() if name not in unknown}}

    def template(text: str) -> Template:
        return Template(text, hostname, context, missed)

    cardinality = _cardinality(metrics) if before is None else before.cardinality
    cardinality.instance = _instance(hostname, environment)
    group, stream, events_group = map(template, (logs.group, logs.stream, logs.events_group or logs.group))
    return Shape(
        naming=SeriesNaming(
            namespace=config.namespace,
            dimensions=dimensions,
            resolution=metrics.resolution,
            replace_invalid=metrics.replace_invalid,
            rules=Rules(
                [rule_of(rule, f"metrics.rules.{number}") for number, rule in enumerate(metrics.rules)],
                hostname=hostname,
                context=context,
            ),
            unknown=unknown,
        ),
        cardinality=cardinality,
        router=Router(
            group,
            stream,
            events_group,
            logs.max_streams,
            None if before is None else before.router.last_used,
            groups,
            emf_group=None if config.emf.group is None else template(config.emf.group),
            missed=missed,
        ),
        percentiles=metrics.percentiles,
        signed_gauges=metrics.signed_gauges,
        log_rules=_log_rules(logs, template, missed, environment.get(REDACT_KEY)),
    )


def _cardinality(metrics: Metrics) -> Cardinality:
    return Cardinality(metrics.max_series, replicas=1 if metrics.budget is None else metrics.budget.replicas)


def _instance(hostname: str, environment: Mapping[str, str]) -> frozenset[str]:
    """The values of dimensions that name this instance."""
    return frozenset([hostname, *[environment.get(name, "") for name in INSTANCE_PLACEHOLDERS]]) - {"", "localhost"}


def rule_of(configured: MetricRule, origin: str) -> Rule:
    """A rule of the configuration as the shape has it; `origin` is its path."""
    keep, drop, rollups = configured.keep_dimensions, configured.drop_dimensions, configured.rollups
    when = configured.when
    return Rule(
        tuple(configured.patterns),
        when=when if isinstance(when, str) else {name: tuple(globs) for name, globs in when.items()},
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
        rollups=None if rollups is None else _rollups(rollups),
        max_series=configured.max_series,
        origin=origin,
    )


def _rollups(sets: Sequence[Sequence[str]]) -> Rollups:
    return tuple(dict.fromkeys(tuple(sorted(set(names))) for names in sets))


def _log_rules(logs: Logs, template: Callable[[str], Template], missed: Missed, key: str | None) -> LogRules | None:
    """The rules of log events; None where there are none, so that an event costs nothing then."""
    if not (logs.redact or logs.metrics or logs.routes):
        return None
    redactions = [
        Redaction(tuple(rule.find or ()), tuple(rule.fields or ()), rule.pattern, rule.replace, rule.name)
        for rule in logs.redact
    ]
    rewritings: dict[tuple[Step, ...], Rewriting] = {}  # several metrics mostly have the same, and share its cache

    def rewriting(configured: Sequence[Rewrite]) -> Rewriting:
        steps = tuple(Step(one.pattern, one.with_, one.value) for one in configured)
        if steps not in rewritings:
            rewritings[steps] = Rewriting(steps)
        return rewritings[steps]

    metrics = [
        LogMetric(
            index,
            _condition(rule.when),
            rule.name,
            Kind(rule.type or ("counter" if rule.value is None else "sample")),
            rule.value,
            {name: template(text) for name, text in rule.dimensions.items()},
            namespace=rule.namespace,
            unit=rule.unit,
            resolution=rule.resolution,
            scale=1.0 if rule.scale is None else rule.scale,
            rewritings={name: rewriting(steps) for name, steps in rule.rewrite.items()},
            rollups=_rollups(rule.rollups),
        )
        for index, rule in enumerate(logs.metrics)
    ]
    routes = [
        Route(
            _condition(rule.when),
            None if rule.group is None else template(rule.group),
            None if rule.stream is None else template(rule.stream),
            None if rule.group is None else GroupSettings(rule.retention_days, rule.class_),
            rule.drop,
            rule.sample,
            rule.by,
        )
        for rule in logs.routes
    ]
    redactor = Redactor(redactions, key.encode() if key else None) if redactions else None
    return LogRules(redactor, metrics, routes, missed)


def _condition(when: object) -> Condition | None:
    """A condition of the configuration; None for one that holds of every event."""
    return compile_condition(when) if isinstance(when, str | dict) and when else None
