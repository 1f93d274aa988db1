"""Alarms, the topics they notify, and one composite alarm for the service."""

from __future__ import annotations

from typing import Final

from sidecar.config.watch import Alarm, Severity
from sidecar.generate.checked import Checked
from sidecar.generate.metric_math import Expression, dollars, error_rate, metric, metric_stat, number
from sidecar.generate.self_alarms import PREFIX, watched
from sidecar.generate.sent import BASIC, Reference
from sidecar.generate.values import Kind, Resource, Value

DESCRIPTION_CHARACTERS: Final = 1_024
_SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "info")


def alarms(checked: Checked) -> list[Resource]:
    """Every alarm, and a composite of them; a problem is noted for each that would have no data."""
    configured = checked.config.watch.alarms
    found: list[Resource] = []
    for place, alarm in enumerate(watched(checked.config)):
        own = place >= len(configured)
        asset = f"observe.publish ({alarm.name})" if own else f"watch.alarms.{place} ({alarm.name})"
        if alarm.name.lower().startswith(PREFIX) and not own:
            checked.problem(f"{asset}: names that begin with {PREFIX} are reserved for alarms on the sidecar itself")
        made = _alarm(checked, asset, alarm)
        if made is not None:
            found.append(made)
    return _with_composite(checked, found)


def _with_composite(checked: Checked, made: list[Resource]) -> list[Resource]:
    """Topics, the alarms that notify them, and the composite of the alarms, in this order."""
    if not made:
        return []
    names = [str(one.properties["AlarmName"]) for one in made]
    severities = {alarm.severity for alarm in watched(checked.config)}
    severity = next((one for one in _SEVERITIES if one in severities), _SEVERITIES[0])
    notify = checked.config.watch.notify == "service"
    action = [checked.topic("watch.notify", severity)] if notify else []
    properties: dict[str, Value] = {
        "AlarmName": f"{checked.prefix}-service",
        "AlarmDescription": _described(
            checked, f"At least one alarm of {checked.prefix} is in the state ALARM.", None, "service"
        ),
        "AlarmRule": " OR ".join(f'ALARM("{name}")' for name in names),
        **({"AlarmActions": action, "OKActions": action} if notify else {}),
    }
    children: tuple[tuple[Kind, str], ...] = tuple((one.kind, one.label) for one in made)
    composite = Resource("composite", "service", properties, children)
    return [*_topics(checked), *made, composite]


def _topics(checked: Checked) -> list[Resource]:
    return [
        Resource("topic", severity, {"TopicName": f"{checked.prefix}-{severity}"})
        for severity in _SEVERITIES
        if severity in checked.severities
    ]


def _alarm(checked: Checked, asset: str, alarm: Alarm) -> Resource | None:
    dimensions = checked.dimensions(asset, alarm.dimensions)
    statistic = "SampleCount" if alarm.no_data else alarm.statistic or "Sum"
    base = Reference(asset, alarm.metric or "", dimensions, statistic, alarm.namespace, alarm.period_seconds)
    measured: dict[str, Value] | None
    if alarm.error_rate is not None:
        measured = _of_expression(checked, error_rate(alarm.error_rate, base))
    elif alarm.dollars is not None:
        measured = _of_expression(checked, dollars(alarm.dollars, base))
    elif alarm.band is not None:
        measured = _of_band(checked, base, alarm.band)
    else:
        measured = _of_metric(checked, base)
    if measured is None:
        return None
    actions = [checked.topic(asset, alarm.severity)] if checked.config.watch.notify == "alarms" else []
    described = alarm.description or _sentence(alarm)
    properties: dict[str, Value] = {
        "AlarmName": f"{checked.prefix}-{alarm.name}",
        "AlarmDescription": _described(checked, described, alarm.runbook, alarm.name),
        **({"AlarmActions": actions, "OKActions": actions} if actions else {}),
        **measured,
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.datapoints or alarm.periods,
        **_compared(alarm),
    }
    if statistic.startswith("p") and alarm.band is None:
        # A percentile of a few samples is one of them: with little traffic the alarm keeps its state.
        properties["EvaluateLowSampleCountPercentile"] = "ignore"
    return Resource("alarm", alarm.name, properties)


def _of_metric(checked: Checked, reference: Reference) -> dict[str, Value] | None:
    found = checked.find(reference)
    if found is None:
        return None
    key = "Statistic" if reference.statistic in BASIC else "ExtendedStatistic"
    named = metric(found.namespace, reference.name, reference.dimensions)
    return {**named, key: reference.statistic, "Period": reference.period_seconds}


def _of_expression(checked: Checked, expression: Expression) -> dict[str, Value] | None:
    entries: list[Value] = []
    for part in expression.parts:
        one = part.reference
        found = checked.find(one)
        if found is not None:
            named = metric(found.namespace, one.name, one.dimensions)
            entries.append(metric_stat(part.id, named, one.period_seconds, one.statistic, returned=False))
    if len(entries) < len(expression.parts):
        return None
    # Exactly one entry may be returned: what the alarm compares with its threshold.
    returned: Value = {"Id": "result", "Expression": expression.text, "Label": expression.label, "ReturnData": True}
    return {"Metrics": [*entries, returned]}


def _of_band(checked: Checked, reference: Reference, band: float) -> dict[str, Value] | None:
    found = checked.find(reference)
    if found is None:
        return None
    named = metric(found.namespace, reference.name, reference.dimensions)
    # Anomaly detection is the one case in which two entries are returned: the metric and its band.
    entries: list[Value] = [
        metric_stat("m1", named, reference.period_seconds, reference.statistic, returned=True),
        {
            "Id": "band",
            "Expression": f"ANOMALY_DETECTION_BAND(m1, {number(band)})",
            "Label": "usual",
            "ReturnData": True,
        },
    ]
    return {"Metrics": entries, "ThresholdMetricId": "band"}


def _compared(alarm: Alarm) -> dict[str, Value]:
    """Threshold, operator, and what periods without data mean."""
    if alarm.band is not None:
        operator = "LessThanLowerOrGreaterThanUpperThreshold"
        return {"ComparisonOperator": operator, "TreatMissingData": "notBreaching"}
    if alarm.above is not None:
        # Without errors, blocks or tokens nothing is sent: a period without data is healthy.
        return {
            "Threshold": alarm.above,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
    threshold = 1 if alarm.below is None else alarm.below
    return {"Threshold": threshold, "ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching"}


def _sentence(alarm: Alarm) -> str:
    """The description of an alarm that has none in the configuration."""
    seconds = f"of {alarm.period_seconds} seconds"
    times = f"{alarm.datapoints or alarm.periods} of {alarm.periods} periods {seconds}"
    if alarm.datapoints in (None, alarm.periods):
        times = f"a period {seconds}" if alarm.periods == 1 else f"{alarm.periods} periods {seconds} in a row"
    if alarm.no_data:
        return f"{alarm.metric} had no samples in {times}."
    what = f"{alarm.statistic} of {alarm.metric}"
    if alarm.error_rate is not None:
        rate = alarm.error_rate
        total = rate.requests or f"{rate.errors} and {rate.successes}"
        what = f"{rate.errors} in percent of {total}, given {rate.min_requests} of these or more,"
    if alarm.dollars is not None:
        listed = ", ".join(f"{name} at {number(price)}" for name, price in alarm.dollars.items())
        what = f"The price in dollars ({listed} a million)"
    if alarm.band is not None:
        return f"{what} was over {number(alarm.band)} standard deviations from what is usual in {times}."
    limit, word = (alarm.above, "above") if alarm.above is not None else (alarm.below or 0.0, "below")
    return f"{what} was {word} {number(limit or 0.0)} in {times}."


def _described(checked: Checked, text: str, runbook: str | None, name: str) -> str:
    """A description with the link to the runbook; the link is never cut."""
    general = checked.config.watch.runbook
    link = runbook or (general and f"{general}#{name.lower()}")
    end = f" Runbook: {link}" if link else ""
    return text[: DESCRIPTION_CHARACTERS - len(end)] + end
