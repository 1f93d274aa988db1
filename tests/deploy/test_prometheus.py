"""Alert rules, dashboard and runbook: they name what the sidecar exposes, and each other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.model.errors import Reason
from sidecar.observe.figures import FIGURES
from tests.deploy.promql import OF_TARGETS, labels_of, named, problems, series
from tests.deploy.support import DEPLOY, ROOT, load
from tests.support.daemon import Daemon, free_ports

RULES: Final[list[dict[str, Any]]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="ascii"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="ascii"))
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
UNWATCHED: Final = {
    "sidecar_samples_recovered_total",  # what a restart found is delivered or dropped, and counted there
    "sidecar_log_events_recovered_total",
    "sidecar_datagrams_read_total",  # samples are what a reader asks for
    "sidecar_log_lines_dropped_total",  # of the sidecar's own log
}


def expressions(panel: dict[str, Any]) -> list[str]:
    """What a panel asks, with Grafana's variables filled in."""
    return [
        target["expr"].replace("$__rate_interval", "5m").replace("$__range", "6h").replace("$instance", ".*")
        for target in panel["targets"]
    ]


def sections() -> dict[str, str]:
    """{title of a section of the runbook: its text}."""
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_names_what_is_exposed(rule: dict[str, Any]) -> None:
    assert list(problems(rule["expr"])) == []
    assert named(rule["expr"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    assert used <= labels_of(rule["expr"]) | OF_TARGETS


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sidecar_delivery_upp == 0", "no figure sidecar_delivery_upp"),
        ('sidecar_delivery_up{reason="x"} == 0', "sidecar_delivery_up has no label reason"),
        ('increase(sidecar_samples_dropped_total{reason!~"rule|samplet"}[5m]) > 0', "reason is never samplet"),
        ("rate(sidecar_series[5m]) > 0", "rate() of sidecar_series, a gauge"),
        ("max_over_time(sidecar_ambiguous_total[5m])", "max_over_time() of sidecar_ambiguous_total, a counter"),
        ("sum by (reason) (sidecar_series)", "no series has the label reason"),
        ("sidecar_spool_bytes / ignoring (signals) sidecar_memory_bytes", "no series has the label signals"),
        ("sidecar_request_seconds > 1", "no figure sidecar_request_seconds"),
    ],
)
def test_the_check_itself_sees_a_mistake(expression: str, problem: str) -> None:
    assert problem in list(problems(expression))


def test_every_figure_that_means_loss_has_an_alert() -> None:
    watched = {name for rule in RULES for name in named(rule["expr"])}

    assert [figure.name for figure in FIGURES if figure.loss and figure.name not in watched] == []


def test_a_loss_that_is_the_first_of_its_reason_alerts() -> None:
    """increase() does not see a series that begins above zero: a counter by reason appears with its first drop."""
    labelled = {figure.name for figure in FIGURES if figure.kind == "counter" and set(figure.labels) - {"signal"}}

    for rule in RULES:
        for name in named(rule["expr"]) & labelled:
            assert re.search(rf"unless {name} offset", rule["expr"]), rule["alert"]


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    """With the anchor that a reader of Markdown makes of the title, and the three things a person on call asks."""
    for rule in RULES:
        anchor = rule["annotations"]["runbook_url"].partition("docs/runbook.md#")[2]
        assert anchor == rule["alert"].lower()
    assert list(sections()) == [rule["alert"] for rule in RULES]
    for title, text in sections().items():
        assert re.findall(r"^\*\*(\w+):\*\*", text, re.MULTILINE) == ["Means", "Look", "Do"], title


def test_the_runbook_links_to_sections_that_exist() -> None:
    anchors = {title.lower() for title in sections()}

    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors


def test_the_runbook_names_metrics_and_keys_that_exist() -> None:
    named_in_text = set(re.findall(r"`(sidecar_\w+)(?:\{\w+\})?`", RUNBOOK))
    keys = set(re.findall(r"`((?:deliver|metrics|logs|listen)\.[a-z_]+)`", RUNBOOK))
    known = yaml.safe_load((ROOT / "config" / "default.yaml").read_text(encoding="utf-8"))

    reasons = {
        reason for row in re.findall(r"^\| (`.*?) \|", RUNBOOK, re.MULTILINE) for reason in re.findall(r"`(\w+)`", row)
    }
    assert reasons
    assert reasons <= {reason.value for reason in Reason}
    assert named_in_text <= {figure.name for figure in FIGURES} | set(series())
    states = {"delivery.metrics", "delivery.logs", "delivery.request_seconds", "listeners.statsd"}
    assert {key for key in keys - states if key.split(".")[1] not in known[key.split(".")[0]]} == set()


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_names_what_is_exposed(panel: dict[str, Any]) -> None:
    for target, expression in zip(panel["targets"], expressions(panel), strict=True):
        assert list(problems(expression)) == []
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels_of(expression)


def test_every_figure_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = {name for panel in DASHBOARD["panels"] for expression in expressions(panel) for name in named(expression)}
    shown |= {name for rule in RULES for name in named(rule["expr"])}
    shown = {series()[name].name for name in shown}

    assert {figure.name for figure in FIGURES} - shown == UNWATCHED


def test_the_dashboard_is_what_its_list_of_panels_makes() -> None:
    assert (DEPLOY / "grafana" / "dashboard.json").read_text(encoding="ascii") == load(
        DEPLOY / "grafana" / "build.py"
    ).text()


def test_the_dashboard_can_be_provisioned_from_a_file() -> None:
    """The model itself and not the API's envelope; a stable uid; the data source is the reader's choice."""
    assert {"uid", "title", "schemaVersion", "panels", "templating"} <= set(DASHBOARD)
    assert "dashboard" not in DASHBOARD
    assert "id" not in DASHBOARD
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"] == {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one in [*DASHBOARD["panels"], *(target for panel in DASHBOARD["panels"] for target in panel["targets"])]:
        assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered
        cells |= covered


def test_a_daemon_with_a_spool_exposes_what_the_alerts_name(tmp_path: Path, daemon: Callable[..., Daemon]) -> None:
    """By its own `/metrics`, while its destination refuses connections: the values that the alerts compare."""
    deliver = {
        "target": "cloudwatch",
        "endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}",
        "spool_dir": str(tmp_path / "spool"),
        "retry_max_seconds": 0.5,
    }
    one = daemon({"deliver": deliver, "metrics": {"flush_seconds": 0.2, "max_series": 50}})
    one.udp(b"a:1|c", b"not a line")
    one.wait_until(lambda: b'sidecar_delivery_up{signal="metrics"} 0.0' in one.get("/metrics")[1], "down")
    one.wait_until(lambda: b"sidecar_spool_durable 1.0" in one.get("/metrics")[1], "durable")
    text = one.get("/metrics")[1].decode()

    exposed = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert {name for rule in RULES for name in named(rule["expr"])} <= exposed
    assert "\nsidecar_series_max 50.0\n" in text
    assert "\nsidecar_spool_max_bytes 5.36870912e+08\n" in text
    assert float(re.findall(r"^sidecar_spool_bytes (\S+)", text, re.MULTILINE)[0]) > 0
    assert 'sidecar_memory_max_bytes{signal="metrics"} 8.388608e+06\n' in text
    assert float(re.findall(r'^sidecar_memory_bytes{signal="metrics"} (\S+)', text, re.MULTILINE)[0]) > 0
    assert 'sidecar_samples_dropped_total{reason="malformed_line"} 1.0\n' in text


def test_promtools_tests_have_every_alert() -> None:
    """`make deploy-check` runs them where promtool is; an alert without a fault in them would be missed."""
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yaml").read_text(encoding="ascii"))["tests"]
    expected = {sample["labels"] for one in tests for test in one["promql_expr_test"] for sample in test["exp_samples"]}

    assert expected - {"{}"} == {f'{{alertname="{rule["alert"]}"}}' for rule in RULES}
