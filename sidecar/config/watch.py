"""The section `watch`: what `sidecar generate` writes, and what the application sends."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sidecar.config import checks
from sidecar.model import names
from sidecar.model.errors import DecodeError
from sidecar.model.limits import DIMENSIONS_PER_METRIC

MAX_ALARMS: Final = 90  # a composite alarm has at most 100 children, those of self-metrics included
MAX_WIDGETS: Final = 100  # of one dashboard, which may have 500
SHORT_WINDOW_SECONDS: Final = 86_400  # period x periods of PutMetricAlarm, for periods below an hour
LONG_WINDOW_SECONDS: Final = 604_800
HIGH_RESOLUTION_PERIODS: Final = (10, 30)  # the service takes 20 as well, cfn-lint 1.58 does not

_URL: Final = re.compile(r"https?://[^\s\"'<>]{1,900}")
_STATISTIC: Final = re.compile(
    r"SampleCount|Sum|Average|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)([0-9]{1,2}(\.[0-9]{1,10})?|100)"
)


def _statistic(text: str) -> str:
    if not _STATISTIC.fullmatch(text):
        raise ValueError(
            "must be SampleCount, Sum, Average, Minimum, Maximum, IQM, or like p95, tm90, wm90, tc90, ts90"
        )
    return text


def _dimensions(given: object) -> object:
    """Names of dimensions whose values are the configured ones, or names with values; as a mapping."""
    if isinstance(given, list):
        return dict.fromkeys(given) if all(isinstance(one, str) for one in given) else given
    return given


def _dimension_names(given: dict[str, str | None]) -> dict[str, str | None]:
    try:
        names.dimensions(tuple((name, "x" if value is None else value) for name, value in given.items()))
    except DecodeError as error:
        raise ValueError(error.detail) from None
    return given


def _url(text: str) -> str:
    # Not as a pattern of pydantic: its engine expands the repetition into 3.5 MB, which every daemon would hold.
    if not _URL.fullmatch(text):
        raise ValueError(
            "must be a URL, http:// or https://, of at most 900 characters behind it, without blanks and quotes"
        )
    return text


def _period(seconds: int) -> int:
    if seconds not in HIGH_RESOLUTION_PERIODS and (seconds % 60 or not 60 <= seconds <= LONG_WINDOW_SECONDS):
        raise ValueError("must be 10, 30, or a multiple of 60 up to 604800")
    return seconds


def _retention(days: dict[str, int]) -> dict[str, int]:
    for one in days.values():
        checks.retention(one)
    return days


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _group(name: str) -> str:
    problem = names.group_problem(name)
    if problem:
        raise ValueError(problem)
    return name


Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Url = Annotated[str, AfterValidator(_url)]
MetricName = Annotated[str, AfterValidator(checks.metric_name)]
Namespace = Annotated[str, AfterValidator(checks.namespace)]
Statistic = Annotated[str, AfterValidator(_statistic)]
Period = Annotated[int, AfterValidator(_period)]
Severity = Literal["critical", "warning", "info"]
Role = Literal["ops", "developer", "business"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Dimensions = Annotated[
    dict[str, str | None],
    BeforeValidator(_dimensions),
    AfterValidator(_dimension_names),
    Field(max_length=DIMENSIONS_PER_METRIC),
]
Prices = Annotated[
    dict[MetricName, Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1, max_length=9)
]
"""Dollars for a million of each metric; an alarm may have ten metrics, the sum included."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Sends(_Part):
    """Metrics that the application sends: as they are before `metrics.rules` and the configured dimensions.

    Metrics of `logs.metrics` need not be declared.
    """

    metrics: Annotated[list[MetricName], Field(min_length=1, max_length=100)]
    type: Literal["counter", "gauge", "timer", "histogram", "distribution", "sample", "statistics", "set"]
    dimensions: Dimensions = {}  # names, or names with values; null: any value
    namespace: Namespace | None = None
    resolution: Literal[1, 60] | None = None
    input: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")] | None = None  # for rules with a condition on it


class ErrorRate(_Part):
    """Errors in percent of requests, in periods with at least `min_requests`; requests are counted as such, or as successes."""

    errors: MetricName
    requests: MetricName | None = None
    successes: MetricName | None = None
    min_requests: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _one(self) -> ErrorRate:
        if (self.requests is None) == (self.successes is None):
            raise ValueError("needs requests, or successes where errors are not counted among them; not both")
        return self


class _Measured(_Part):
    """What an alarm or a widget reads: the metrics, and their exact set of dimensions."""

    error_rate: ErrorRate | None = None
    dollars: Prices | None = None
    dimensions: Dimensions | None = None  # null: the configured ones
    namespace: Namespace | None = None  # null: the one in which the metric is sent
    period_seconds: Period = 300

    @model_validator(mode="after")
    def _exact(self) -> Self:
        for name, value in (self.dimensions or {}).items():
            if value is not None and "*" in value:
                raise ValueError(f"has the dimension {name}={value}: CloudWatch reads one exact set of dimensions")
        return self


class Alarm(_Measured):
    """One alarm."""

    name: Slug
    metric: MetricName | None = None
    statistic: Statistic | None = None
    above: Number | None = None
    below: Number | None = None
    band: Annotated[float, Field(gt=0, le=100)] | None = (
        None  # half the width of the band around expected values, in standard deviations
    )
    no_data: bool = False
    periods: Annotated[int, Field(ge=1, le=1_440)] = 1
    datapoints: Annotated[int, Field(ge=1, le=1_440)] | None = None  # of these periods; null: all of them
    severity: Severity = "warning"
    description: Annotated[str, Field(max_length=500)] | None = None
    runbook: Url | None = None

    @model_validator(mode="after")
    def _possible(self) -> Alarm:
        if sum(one is not None for one in (self.metric, self.error_rate, self.dollars)) != 1:
            raise ValueError("needs exactly one of metric, error_rate, dollars")
        if sum(one is not None for one in (self.above, self.below, self.band)) + self.no_data != 1:
            raise ValueError("needs exactly one of above, below, band, no_data: true")
        if self.error_rate is not None and not 0 <= ((self.below if self.above is None else self.above) or 0) <= 100:
            raise ValueError("compares error_rate with a number outside of 0 to 100: it is in percent")
        if self.metric is None and (self.statistic is not None or self.band is not None or self.no_data):
            raise ValueError("needs metric: statistic, band and no_data are of a metric")
        if self.metric is not None and self.statistic is None and not self.no_data:
            raise ValueError("needs statistic: without one CloudWatch takes Average, which is 1 for a counter")
        if self.no_data and self.statistic is not None:
            raise ValueError("has no_data, which counts samples: statistic would have no effect")
        if self.band is not None and self.period_seconds < 60:
            raise ValueError("has band: anomaly detection takes no period below 60 seconds")
        if self.datapoints is not None and self.datapoints > self.periods:
            raise ValueError(f"has datapoints {self.datapoints} of only {self.periods} periods")
        most = SHORT_WINDOW_SECONDS if self.period_seconds < 3_600 else LONG_WINDOW_SECONDS
        if self.period_seconds * self.periods > most:
            raise ValueError(f"looks back over {self.period_seconds * self.periods} seconds, at most {most}")
        return self


class Widget(_Measured):
    """One widget of a dashboard."""

    title: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
    metrics: Annotated[list[MetricName], Field(max_length=20)] = []
    statistics: Annotated[list[Statistic], Field(max_length=10)] = []
    by: Annotated[list[str], Field(max_length=DIMENSIONS_PER_METRIC)] = []  # one line for each of their values
    query: Slug | None = None
    view: Literal["timeSeries", "singleValue", "gauge", "bar", "pie", "table"] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Widget:
        if sum(map(bool, (self.metrics, self.error_rate, self.dollars, self.query))) != 1:
            raise ValueError("needs exactly one of metrics, error_rate, dollars, query")
        if bool(self.metrics) != bool(self.statistics):
            raise ValueError("needs metrics and statistics together: without one CloudWatch shows Average")
        if self.by and not self.metrics:
            raise ValueError("has by, which is of metrics")
        return self


class Query(_Part):
    """A saved query of CloudWatch Logs Insights."""

    name: Slug
    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    groups: Annotated[list[Annotated[str, AfterValidator(_group)]], Field(min_length=1, max_length=50)] | None = None


class Watch(_Part):
    """What `sidecar generate` writes; the daemon does not read it."""

    service: Slug | None = None
    environment: Slug | None = None
    runbook: Url | None = None
    topics: dict[Severity, Annotated[str, Field(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$")]] = {}
    notify: Literal["alarms", "service"] = "alarms"
    retention_days: Annotated[dict[str, int], AfterValidator(_retention)] = {}
    groups: Annotated[list[Annotated[str, AfterValidator(_group)]], Field(max_length=100)] = []
    values: dict[str, Annotated[list[str], Field(min_length=1, max_length=100)]] = {}
    sends: Annotated[list[Sends], Field(max_length=100)] = []
    alarms: Annotated[list[Alarm], Field(max_length=MAX_ALARMS)] = []
    dashboards: dict[Role, Annotated[list[Widget], Field(max_length=MAX_WIDGETS)]] = {}
    queries: Annotated[list[Query], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _consistent(self) -> Watch:
        for what, given in (("alarms", self.alarms), ("queries", self.queries)):
            known = [one.name.lower().replace("_", "-") for one in given]
            twice = sorted({name for name in known if known.count(name) > 1})
            if twice:
                raise ValueError(f"has two {what} with the name {twice[0]}")
        queries = {one.name for one in self.queries}
        for role, widgets in self.dashboards.items():
            for number, widget in enumerate(widgets):
                if widget.query is not None and widget.query not in queries:
                    raise ValueError(
                        f"has in dashboards.{role}.{number} a query {widget.query!r} that queries does not have"
                    )
        return self
