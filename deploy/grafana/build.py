"""Write the Grafana dashboard of the sidecar's own metrics: `python deploy/grafana/build.py`.

The panels are listed here and not in the JSON, so that a change can be read. In Grafana, provision `dashboard.json` as
a file, or import it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NamedTuple

OUT: Final = Path(__file__).with_name("dashboard.json")
WIDTH: Final = 24
HEIGHT: Final = 8
TARGETS: Final = 'instance=~"$instance"'


class Panel(NamedTuple):
    """One panel.

    Attributes:
        title: what it shows.
        queries: (expression, legend); `@` stands for the chosen instances.
        help: what its values mean.
        unit: Grafana's name of it.
        kind: Grafana's type of panel.
        width: of 24.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    help: str
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


PANELS: Final = (
    Panel(
        "Delivery",
        (("min by (signal) (sidecar_delivery_up{@})", "{{signal}}"),),
        "1 while requests succeed, 0 while those of any instance fail.",
        kind="stat",
        width=6,
    ),
    Panel(
        "Lost in the range",
        (
            ('sum(increase(sidecar_samples_dropped_total{@, reason!~"rule|sampled|redacted"}[$__range]))', "samples"),
            ('sum(increase(sidecar_log_events_dropped_total{@, reason!~"rule|sampled|redacted"}[$__range]))', "events"),
            ("sum(increase(sidecar_datagrams_kernel_dropped_total{@}[$__range]))", "datagrams in the kernel"),
            ("sum(increase(sidecar_datagrams_discarded_total{@}[$__range]))", "datagrams at the end"),
        ),
        "Anything above 0 is loss. What rules drop on purpose is not counted.",
        kind="stat",
        width=12,
    ),
    Panel(
        "Instances",
        (("count by (version) (sidecar_build_info{@})", "{{version}}"),),
        "Sidecars that are scraped, by version.",
        kind="stat",
        width=6,
    ),
    Panel(
        "Samples received",
        (("sum by (input) (rate(sidecar_samples_received_total{@}[$__rate_interval]))", "{{input}}"),),
        "A second, by input, refused ones included.",
    ),
    Panel(
        "Log events received",
        (("sum by (input) (rate(sidecar_log_events_received_total{@}[$__rate_interval]))", "{{input}}"),),
        "A second, by input, refused ones included.",
    ),
    Panel(
        "Delivered",
        (
            ("sum(rate(sidecar_samples_delivered_total{@}[$__rate_interval]))", "samples"),
            ("sum(rate(sidecar_log_events_delivered_total{@}[$__rate_interval]))", "log events"),
        ),
        "A second, accepted by CloudWatch.",
    ),
    Panel(
        "Samples dropped",
        (("sum by (reason) (rate(sidecar_samples_dropped_total{@}[$__rate_interval]))", "{{reason}}"),),
        "A second. rule, sampled and redacted are what the configuration asks for.",
    ),
    Panel(
        "Log events dropped",
        (("sum by (reason) (rate(sidecar_log_events_dropped_total{@}[$__rate_interval]))", "{{reason}}"),),
        "A second. rule, sampled and redacted are what the configuration asks for.",
    ),
    Panel(
        "Pending",
        (
            ("sum(sidecar_samples_pending{@})", "samples"),
            ("sum(sidecar_log_events_pending{@})", "log events"),
        ),
        "Accepted and not yet delivered, open windows included.",
    ),
    Panel(
        "Memory and spool",
        (
            ("max by (signal) (sidecar_memory_bytes{@} / sidecar_memory_max_bytes{@})", "memory, {{signal}}"),
            ("max(sidecar_spool_bytes{@} / sidecar_spool_max_bytes{@})", "spool"),
        ),
        "Of the fullest instance. At 100 % the oldest leave: memory for the spool, the spool for good.",
        unit="percentunit",
    ),
    Panel(
        "Series",
        (("max(sidecar_series{@} / sidecar_series_max{@})", "of metrics.max_series"),),
        "Of the fullest instance, in the last hour. Beyond 100 % new ones are folded.",
        unit="percentunit",
    ),
    Panel(
        "Dollars a month",
        (("sum by (kind) (sidecar_cost_dollars_per_month{@})", "{{kind}}"),),
        "Estimate of what all chosen instances send, by list price; series that several of them send are in it several times.",
        unit="currencyUSD",
    ),
    Panel(
        "Rule hits",
        (("topk(20, sum by (rule) (rate(sidecar_rule_hits_total{@}[$__rate_interval])))", "{{rule}}"),),
        "Samples and log events a second to which each rule of the configuration applied, the twenty busiest.",
    ),
    Panel(
        "Requests to CloudWatch",
        (
            (
                "sum by (operation, outcome) (rate(sidecar_requests_total{@}[$__rate_interval]))",
                "{{operation}} {{outcome}}",
            ),
            ("max by (signal) (sidecar_delivery_slowed{@})", "{{signal}} is slowed"),
        ),
        "A second, by outcome.",
        unit="reqps",
    ),
    Panel(
        "Duration of requests",
        (
            (
                "histogram_quantile(0.95, sum by (le, operation) (rate(sidecar_request_seconds_bucket{@}[$__rate_interval])))",
                "p95 {{operation}}",
            ),
        ),
        "95th percentile by operation.",
        unit="s",
    ),
    Panel(
        "Responses to senders",
        (("sum by (code) (rate(sidecar_http_responses_total{@}[$__rate_interval]))", "{{code}}"),),
        "A second; 429 is backpressure.",
        unit="reqps",
    ),
    Panel(
        "Event loop and checkpoint",
        (
            ("max(sidecar_loop_stall_seconds{@})", "longest stall"),
            ("max(sidecar_checkpoint_age_seconds{@})", "age of the checkpoint"),
        ),
        "Of the slowest instance.",
        unit="s",
    ),
    Panel(
        "Possible duplicates",
        (("sum by (signal) (increase(sidecar_ambiguous_total{@}[$__rate_interval]))", "{{signal}}"),),
        "Sent again although they may have been stored.",
    ),
    Panel(
        "Flushes",
        (("sum by (signal, cause) (rate(sidecar_flushes_total{@}[$__rate_interval]))", "{{signal}} {{cause}}"),),
        "A second, by cause: timer, threshold or drain.",
    ),
    Panel(
        "Reloads and adjustments",
        (
            ("sum by (outcome) (increase(sidecar_reloads_total{@}[$__rate_interval]))", "reload {{outcome}}"),
            ("sum by (kind) (increase(sidecar_adjusted_total{@}[$__rate_interval]))", "{{kind}}"),
        ),
        "Reloads of the configuration; events accepted with a change.",
    ),
)


def dashboard() -> dict[str, object]:
    """The dashboard as Grafana provisions it from a file: the model itself, without an envelope."""
    return {
        "uid": "cloudwatch-sidecar",
        "title": "CloudWatch sidecar",
        "description": "The sidecar's own metrics: what it received, delivered and lost.",
        "tags": ["cloudwatch-sidecar"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "label": "Instance",
                    "type": "query",
                    "datasource": _datasource(),
                    "query": {"query": "label_values(sidecar_build_info, instance)", "refId": "instance"},
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "panels": _panels(),
    }


def _datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panels() -> list[dict[str, object]]:
    """Every panel at its place, left to right and down."""
    placed: list[dict[str, object]] = []
    x = y = 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        placed.append(
            {
                "id": number,
                "type": panel.kind,
                "title": panel.title,
                "description": panel.help,
                "datasource": _datasource(),
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "options": {},
                "targets": [
                    {
                        "refId": chr(ord("A") + index),
                        "datasource": _datasource(),
                        "expr": expression.replace("@", TARGETS),
                        "legendFormat": legend,
                    }
                    for index, (expression, legend) in enumerate(panel.queries)
                ],
            }
        )
        x += panel.width
    return placed


def text() -> str:
    """The content of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="ascii")
