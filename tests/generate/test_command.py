"""`sidecar generate` as a process: what it prints, what it refuses, and what it adds to the configuration."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from sidecar.generate.pack import WHATS
from tests.generate.packs import ROOT
from tests.support.forks import forks

AXONFLOW = str(ROOT / "config" / "axonflow.yaml")
SILENT = """
namespace: Shop  # the shop's
dimensions: {Environment: prod}
watch:
  sends: [{metrics: [Latency], type: timer, dimensions: [Service]}]
  alarms: [{name: slow, metric: Latency, statistic: p95, above: 500}]
"""


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return forks().run("generate", *arguments, environ=environ)


@pytest.mark.parametrize("what", [one for one in WHATS if one != "metric-filters"])
def test_each_is_printed_with_its_price(what: str) -> None:
    ran = run(what, "--config", AXONFLOW, "--format", "json")

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)
    assert ran.stderr.startswith(f"{what}: ")


def test_the_price_is_that_of_the_list_or_of_the_configuration() -> None:
    """Six alarms, of which one is over two metrics and one learns a band: nine alarm metrics, a composite, three boards."""
    ran = run("all", "--config", AXONFLOW)
    dearer = run("all", "--config", AXONFLOW, SIDECAR_PRICES='{"dashboard_month": 5, "date": "2027-01-01"}')

    assert "about 10.40 dollars a month (9 alarm metrics 0.90, 1 composite alarm 0.50, 3 dashboards 9.00)" in ran.stderr
    assert "about 16.40 dollars a month" in dearer.stderr
    assert "2027-01-01" in dearer.stderr


def test_the_environment_decides_retention_and_names() -> None:
    ran = run("log-groups", "--config", AXONFLOW, ENVIRONMENT="development")

    groups = [one["Properties"] for one in yaml.safe_load(ran.stdout)["Resources"].values()]
    assert groups[0] == {"LogGroupName": "/axonflow/development/agent", "RetentionInDays": 7}


def test_an_alarm_that_would_be_silent_is_refused_and_nothing_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SILENT)
    ran = run("alarms", "--config", str(path))

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [
        (
            "configuration: watch.alarms.0 (slow): Latency is not sent with exactly {Environment=prod}, so that it would"
            " have no data; it is sent with {Environment=prod, Service}; --add-rollups adds a rollup over [Environment]"
        )
    ]
    assert path.read_text() == SILENT


@pytest.mark.parametrize("form", ["cloudformation", "terraform", "json"])
def test_where_there_is_nothing_to_write_it_says_what_to_declare(tmp_path: Path, form: str) -> None:
    """CloudFormation refuses a template without resources."""
    path = tmp_path / "c.yaml"
    path.write_text("namespace: Shop\nwatch: {}\n")
    ran = run("alarms", "--config", str(path), "--format", form)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "nothing to write for alarms: declare the metrics that the application sends in watch.sends" in ran.stderr
    assert "docs/generate.md" in ran.stderr


def test_add_rollups_extends_the_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SILENT)
    ran = run("alarms", "--config", str(path), "--add-rollups")

    assert ran.returncode == 0, ran.stderr
    assert "added to metrics.rules of" in ran.stderr
    assert yaml.safe_load(path.read_text())["metrics"]["rules"] == [{"match": "Latency", "rollups": [["Environment"]]}]
    assert "namespace: Shop  # the shop's" in path.read_text()
    again = run("alarms", "--config", str(path), "--add-rollups")
    assert (again.returncode, again.stdout) == (0, ran.stdout)
    assert "added" not in again.stderr


@pytest.mark.parametrize(
    ("watch", "sentence"),
    [
        ("topics: {critical: 'arn:aws:sns:us-west-2:123456789012:t'}", "can only notify topics of the same Region"),
        ("queries: [{name: q, query: 'stats percentile(a, 50)'}]", "watch.queries (q): has percentile()"),
        ("queries: [{name: q, query: 'limit 1'}]", "the names of its log groups are not known, only /shop/*"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, watch: str, sentence: str) -> None:
    path = tmp_path / "c.yaml"
    alarms = "alarms: [{name: a, metric: M, statistic: Sum, above: 1, severity: critical}]"
    sends = "sends: [{metrics: [M], type: counter}]"
    path.write_text(
        f"region: eu-west-1\nlogs: {{group: '/shop/{{service}}'}}\nwatch:\n  {watch}\n  {alarms}\n  {sends}\n"
    )
    ran = run("all", "--config", str(path))

    assert ran.returncode == 2
    assert sentence in ran.stderr


def test_log_groups_need_the_values_of_their_places(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("logs: {group: '/shop/{service}'}\n")

    assert "give the values of {service} in watch.values.service" in run("log-groups", "--config", str(path)).stderr


@pytest.mark.parametrize(
    ("watch", "sentence"),
    [
        ("alarms: [{name: a, metric: M, above: 1}]", "needs statistic"),
        ("alarms: [{name: a, metric: M, statistic: p101, above: 1}]", "must be SampleCount"),
        ("alarms: [{name: a, metric: M, statistic: Sum}]", "needs exactly one of above, below, band, no_data"),
        ("alarms: [{name: a, statistic: Sum, above: 1}]", "needs exactly one of metric, error_rate, dollars"),
        ("alarms: [{name: a, metric: M, statistic: Sum, above: 1, period_seconds: 20}]", "10, 30, or a multiple of 60"),
        ("alarms: [{name: a, metric: M, statistic: Sum, above: 1, periods: 300}]", "looks back over 90000 seconds"),
        ("alarms: [{name: a, metric: M, statistic: Sum, above: 1, datapoints: 2}]", "datapoints 2 of only 1"),
        ("alarms: [{name: a, error_rate: {errors: E}, above: 1}]", "needs requests, or successes"),
        ("alarms: [{name: a, error_rate: {errors: E, requests: R}, above: 101}]", "outside of 0 to 100"),
        ("alarms: [{name: a, error_rate: {errors: E, requests: R}, below: -1}]", "outside of 0 to 100"),
        (
            "alarms: [{name: a, metric: M, no_data: true}, {name: A, metric: M, no_data: true}]",
            "two alarms with the name a",
        ),
        ("dashboards: {ops: [{title: t, metrics: [M]}]}", "needs metrics and statistics together"),
        ("dashboards: {ops: [{title: t, query: q}]}", "a query 'q' that queries does not have"),
        ("dashboards: {boss: []}", "dashboards.boss"),
        ("retention_days: {production: 31}", "must be one of 1, 3, 5"),
        ("topics: {critical: ops@example.com}", "watch.topics.critical"),
        ("runbook: page.html", "watch.runbook"),
        ("groups: ['a b']", "watch.groups.0"),
    ],
)
def test_a_watch_section_that_cannot_work_is_refused_at_start(tmp_path: Path, watch: str, sentence: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"watch:\n  {watch}\n")
    ran = run("alarms", "--config", str(path))

    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
