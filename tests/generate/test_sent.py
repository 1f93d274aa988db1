"""What is not sent is refused, with the reason and, where there is one, the rule that would send it."""

from __future__ import annotations

import pytest

from sidecar.commands.generate import decide_by
from sidecar.generate.pack import extended, rules_of
from tests.generate.packs import config_of, pack

BASE = """
namespace: Shop
dimensions: {Environment: prod}
metrics:
  rules:
    - {match: "*", drop_dimensions: [pod]}
    - {match: "*", rollups: [[Environment]]}
watch:
  sends:
    - {metrics: [Latency], type: timer, dimensions: [Service, pod]}
    - {metrics: [Hits, Errors], type: counter, dimensions: [Service]}
    - {metrics: [Load], type: gauge}
    - {metrics: [Sums], type: statistics}
    - {metrics: [Users], type: set, dimensions: [Service]}
    - {metrics: [Fast], type: counter, resolution: 1}
    - {metrics: [Elsewhere], type: counter, namespace: Other}
    - {metrics: [Elsewhere], type: counter, namespace: Third}
logs:
  metrics:
    - {name: Waits, value: wait_ms, type: timer, dimensions: {Queue: "{queue}", Zone: "{Environment}-{zone}"}, rollups: [[Queue]]}
"""


def problems(alarm: str, base: str = BASE) -> list[str]:
    """What is said of one alarm, without its place."""
    config = config_of(f"{base}\n".replace("watch:\n", f"watch:\n  alarms:\n    - {{name: a, {alarm}}}\n"))
    return [one.removeprefix("watch.alarms.0 (a): ") for one in pack(config, "alarms").problems]


@pytest.mark.parametrize(
    "alarm",
    [
        "metric: Latency, statistic: p95, above: 1",
        "metric: Latency, statistic: p95, above: 1, dimensions: {Environment: prod, Service: api}",
        "metric: Hits, statistic: SampleCount, above: 1",
        "metric: Hits, statistic: Sum, above: 1, dimensions: {Environment: prod, Service: api}",
        "metric: Load, statistic: Maximum, above: 1",
        "metric: Users, statistic: Maximum, above: 1",
        "metric: Fast, statistic: Sum, above: 1, period_seconds: 10",
        "metric: Elsewhere, statistic: Sum, above: 1, namespace: Other",
        "metric: Waits, statistic: tm90, above: 1",
        "metric: Waits, statistic: p99, above: 1, dimensions: {Environment: prod, Queue: q, Zone: prod-a}",
        "error_rate: {errors: Errors, requests: Hits}, above: 5",
        "metric: Hits, no_data: true",
    ],
)
def test_what_is_sent_is_taken(alarm: str) -> None:
    assert problems(alarm) == []


@pytest.mark.parametrize(
    ("alarm", "sentence"),
    [
        (
            "metric: Latencies, statistic: p95, above: 1",
            "no metric Latencies is known to be sent; known are Elsewhere, Errors,",
        ),
        ("metric: Latency, statistic: p95, above: 1, dimensions: {}", "is not sent with exactly {}"),
        (
            "metric: Latency, statistic: p95, above: 1, dimensions: {pod: p1, Environment: prod}",
            "{Environment=prod, pod=p1}",
        ),
        (
            "metric: Latency, statistic: p95, above: 1, dimensions: {Environment: test}",
            "it is sent with {Environment=prod",
        ),
        ("metric: Hits, statistic: p95, above: 1", "p95 of Hits: the metric is sent as statistic sets"),
        ("metric: Load, statistic: tm90, above: 1", "tm90 of Load: the metric is sent as statistic sets"),
        ("metric: Sums, statistic: p50, above: 1", "p50 of Sums: the metric is sent as statistic sets"),
        ("metric: Users, statistic: SampleCount, above: 1", "SampleCount of Users: the metric is a number of distinct"),
        ("metric: Users, no_data: true", "SampleCount of Users"),
        ("metric: Users, statistic: Sum, above: 1", "Sum of Users"),
        ("metric: Hits, statistic: Sum, above: 1, period_seconds: 30", "has a resolution of 60 seconds"),
        ("metric: Elsewhere, statistic: Sum, above: 1", "is sent in Other, Third: give the namespace"),
        ("metric: Hits, statistic: Sum, above: 1, namespace: Other", "Hits is sent in Shop, not in Other"),
        ("metric: Hits, statistic: Sum, above: 1, dimensions: [Service]", "the dimension Service has no value"),
        (
            "metric: Waits, statistic: p95, above: 1, dimensions: {Environment: prod, Zone: prod-a}",
            "rollup over [Environment, Zone]",
        ),
        ("error_rate: {errors: Errors, requests: Requests}, above: 5", "no metric Requests is known to be sent"),
        ("dollars: {Tokens: 3}, above: 5", "no metric Tokens is known to be sent"),
        ("metric: Hits, statistic: Sum, band: 2, dimensions: {}", "is not sent with exactly {}"),
    ],
)
def test_what_is_not_sent_is_refused(alarm: str, sentence: str) -> None:
    # Waits is rolled up by its own rule over [Queue] only where no rule of metrics sets rollups.
    assert sentence in " ".join(problems(alarm))


def test_percentiles_that_are_switched_off_are_refused() -> None:
    off = BASE.replace("metrics:\n  rules:", "metrics:\n  percentiles: false\n  rules:")

    assert "percentiles: true" in problems("metric: Latency, statistic: p95, above: 1", off)[0]
    assert problems("metric: Latency, statistic: Average, above: 1", off) == []


def test_a_metric_that_a_rule_drops_or_renames_is_not_sent_under_its_name() -> None:
    rules = '    - {match: Hits, drop: true}\n    - {match: Load, name: "Cpu{Environment}"}\nwatch:\n'
    base = BASE.replace("watch:\n", rules, 1)

    assert "no metric Hits is known to be sent" in problems("metric: Hits, statistic: Sum, above: 1", base)[0]
    assert "no metric Load is known to be sent" in problems("metric: Load, statistic: Maximum, above: 1", base)[0]
    assert problems("metric: Cpuprod, statistic: Maximum, above: 1", base) == []


@pytest.mark.parametrize(
    "alarm",
    [
        "metric: Latency, statistic: p95, above: 1, dimensions: {}",
        "metric: Hits, statistic: Sum, above: 1, dimensions: {Service: api}",
        "error_rate: {errors: Errors, requests: Hits}, above: 5, dimensions: {Service: api}",
        "metric: Waits, statistic: p95, above: 1, dimensions: {Queue: q}",
    ],
)
def test_what_can_be_sent_is_sent_once_the_rules_are_added(alarm: str) -> None:
    """The rules that are offered solve the problem, and what was sent before is sent still."""
    config = config_of(BASE.replace("watch:\n", f"watch:\n  alarms:\n    - {{name: a, {alarm}}}\n"))
    before = pack(config, "alarms")
    assert before.problems
    after = extended(config, rules_of(before.additions))

    assert pack(after, "alarms").problems == []
    first = config_of(
        BASE.replace("watch:\n", "watch:\n  alarms: [{name: b, metric: Hits, statistic: Sum, above: 1}]\n")
    )
    kept = first.model_copy(update={"metrics": after.metrics})
    assert pack(kept, "alarms").problems == []


def test_widgets_and_filters_are_checked_as_alarms_are() -> None:
    widget = "  dashboards: {ops: [{title: T, metrics: [Hits], statistics: [p95]}, {title: S, metrics: [Hits], statistics: [Sum], by: [pod]}]}\n"
    config = config_of(BASE.replace("watch:\n", f"watch:\n{widget}  groups: [/g]\n"))
    shown = pack(config, "dashboard").problems
    filtered = pack(config, "metric-filters").problems

    assert ["watch.dashboards.ops.0 (T): p95 of Hits" in shown[0], "{Environment=prod, pod}" in shown[1]] == [
        True,
        True,
    ]
    assert "logs.metrics.0 (Waits): Waits is not sent with exactly {Queue}" in " ".join(filtered)


def test_the_same_code_decides_as_in_the_daemon() -> None:
    """A rule under a condition on a value that an asset names holds for it."""
    base = BASE.replace(
        "watch:\n", "    - {match: Hits, when: {Service: api}, keep_dimensions: [Service]}\nwatch:\n", 1
    )

    assert problems("metric: Hits, statistic: Sum, above: 1, dimensions: {Service: api}", base) == []
    assert problems("metric: Hits, statistic: Sum, above: 1, dimensions: {Service: web}", base) != []


def test_two_daemons_of_one_configuration_decide_alike() -> None:
    config = config_of(BASE)

    assert pack(config, "all") == pack(config, "all")
    assert decide_by(config) is not decide_by(config)


def test_a_configured_dimension_that_is_known_where_the_sidecar_runs_has_no_value_here() -> None:
    base = BASE.replace("{Environment: prod}", "{Environment: prod, Cluster: '{ecs.cluster}'}", 1)

    assert (
        "known only where the sidecar runs ({ecs.cluster})"
        in problems("metric: Hits, statistic: Sum, above: 1", base)[0]
    )
    assert problems("metric: Hits, statistic: Sum, above: 1, dimensions: [Environment]", base) == []
    exact = "dimensions: {Environment: prod, Cluster: blue, Service: api}"
    assert problems(f"metric: Hits, statistic: Sum, above: 1, {exact}", base) == []
