"""What becomes of one event, stage by stage: runs the decoders, the shape and the router of the daemon on it.

Nothing is aggregated or sent. An `Explainer` remembers series and destinations as a daemon does, so that caps and
sampling apply from one event to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sidecar.config.schema import Config
from sidecar.decode import dogstatsd, json_bodies, json_logs, json_metrics, statsd
from sidecar.decode.cut import cut
from sidecar.decode.documents import looks_like_json
from sidecar.decode.fields import check_timestamp
from sidecar.model.closing import rolled_up
from sidecar.model.errors import DecodeError, SidecarError
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Decode, Event, Request
from sidecar.model.log_groups import GroupSettings
from sidecar.model.samples import Sample
from sidecar.pipeline import wording
from sidecar.pipeline.json_datagrams import is_log_event, items
from sidecar.pipeline.lines import CLIENT_TELEMETRY, is_json
from sidecar.pipeline.logs import METRICS_INPUT
from sidecar.runtime.clock import Clock
from sidecar.shape.log_rules import LogRules, Ruled
from sidecar.shape.routing import Destination
from sidecar.shape.shape import Shape, ShapedSample

LINE_INPUT: Final = "statsd"
JSON_INPUT: Final = "json_udp"
NO_SETTINGS: Final = GroupSettings(None, None)
STAGES: Final = {"redact": "redact", "metrics": "metric", "routes": "route"}  # {list of rules: stage}


class Step(NamedTuple):
    """The result of one stage.

    Attributes:
        stage: decoded, adjusted, rule, series, rollup, redact, metric, route, log event, dropped, refused, telemetry or
            cost.
        text: the result, for people.
        rule: the path of the rule that applied, such as `metrics.rules.0`; empty if none did.
    """

    stage: str
    text: str
    rule: str = ""


class Explanation(NamedTuple):
    """What becomes of one event.

    Attributes:
        steps: in their order.
        outcomes: what is delivered, dropped or refused, one line for each.
        series: how many series it is in, rollups included: the metrics that CloudWatch bills.
    """

    steps: list[Step]
    outcomes: list[str]
    series: int


class Explainer:
    """Explains events, one after the other."""

    def __init__(self, config: Config, shape: Shape, *, emf: Decode, clock: Clock) -> None:
        """Describe what is in effect.

        Args:
            config: the configuration.
            shape: of the configuration.
            emf: decodes items in embedded metric format.
            clock: the time of arrival.
        """
        self._config = config
        self._shape = shape
        self._emf = emf
        self._clock = clock
        self._logs = json_bodies.logs()
        self._steps: list[Step] = []
        self._outcomes: list[str] = []
        self._series = 0

    def explain(self, event: bytes, *, log: bool = False, input_: str | None = None) -> Explanation:
        """Explain one event.

        Args:
            event: a datagram of the StatsD listener: lines, or JSON.
            log: it is the body of a request to `/ingest/logs` instead.
            input_: the label of its input, for rules with a condition on it; None for that of the StatsD listener.
        """
        self._steps, self._outcomes, self._series = [], [], 0
        came_by = input_ or (JSON_INPUT if is_json(event) else LINE_INPUT)
        now = self._clock.wall()
        try:
            for decoded in self._bodies(event, now) if log else self._datagrams(event, now):
                self._one(decoded, now, came_by)
        except SidecarError as error:  # of the body as a whole
            self._step("refused", str(error))
            self._outcomes.append("refused")
        if self._series:
            self._step("cost", wording.cost(self._series, self._config))
        return Explanation(self._steps, self._outcomes, self._series)

    # --- decoding ---

    def _bodies(self, body: bytes, now: float) -> Iterator[Event | None]:
        content_type = "application/json" if looks_like_json(body) else "text/plain"
        reading = self._logs.read(Request("POST", "/ingest/logs", {}, content_type, body), now)
        for element in reading.elements():
            if element is not None:
                yield from _flat(reading.decode, element, now)

    def _datagrams(self, datagram: bytes, now: float) -> Iterator[Event | None]:
        if is_json(datagram):
            for item in items(datagram):
                if item is not None:
                    logs = self._emf if is_log_event(item) and "_aws" in item.value else json_logs.decode
                    yield from _flat(logs if is_log_event(item) else json_metrics.decode, item, now)
            return
        for line in datagram.split(b"\n"):
            if line.lstrip().startswith(dogstatsd.OPENINGS):
                yield from _flat(dogstatsd.decode, line.lstrip(), now)
            elif line and not line.isspace():
                decoded = statsd.decode(line, self._shape.signed_gauges)
                yield from decoded.samples if isinstance(decoded, statsd.Line) else [decoded]

    def _one(self, decoded: Event | None, now: float, input_: str) -> None:
        try:
            if isinstance(decoded, Sample):
                self._sample(decoded, now, input_)
            elif isinstance(decoded, LogEvent):
                self._log_event(decoded, now)
            elif decoded is not None:
                self._refuse(decoded)
        except DecodeError as error:
            self._refuse(error)

    # --- metrics ---

    def _sample(self, sample: Sample, now: float, input_: str) -> None:
        self._step("decoded", wording.sample(sample))
        if sample.adjusted:
            self._step("adjusted", ", ".join([*sample.adjusted, *sample.ignored]))
        if sample.name.startswith(CLIENT_TELEMETRY):
            self._step("telemetry", "of a DogStatsD client about itself: added up in /stats, not sent")
            self._outcomes.append("telemetry")
            return
        if sample.timestamp is not None:
            check_timestamp(sample.timestamp, now)
        before = wording.Before(sample, self._config)
        for rule, decision in self._shape.steps(sample, input_):
            self._step("rule", before.changes(decision), rule.origin)
        shaped = self._shape.shape(sample, self._clock.monotonic(), input_)
        if shaped.drop:
            self._drop("rule")
            return
        self._aggregated(sample, shaped)

    def _aggregated(self, sample: Sample, shaped: ShapedSample) -> None:
        series = shaped.series
        if shaped.repaired:
            self._step("adjusted", "characters that CloudWatch disallows were replaced (metrics.replace_invalid)")
        if shaped.unknown:
            self._step("adjusted", "a placeholder of a rule has no value: unknown")
        if shaped.folded:
            self._step("adjusted", "folded: metrics.max_series is reached, or max_series of a rule")
        self._step("series", wording.series(series, sample, shaped))
        rollups = rolled_up(series, shaped.closing.rollups)
        for rollup in rollups:
            self._step("rollup", wording.named(rollup))
        self._series += 1 + len(rollups)
        self._outcomes.append(wording.sent(sample, shaped, rollups, self._config))

    # --- log events ---

    def _log_event(self, event: LogEvent, now: float) -> None:
        names = f"with the fields {', '.join(event.fields)}" if event.fields else "of text"
        self._step("decoded", f"log event {names}")
        if event.timestamp_ms is not None:
            check_timestamp(event.timestamp_ms / 1_000, now)
        elif event.unreadable_timestamp:
            self._step("adjusted", "unreadable_timestamp: it gets the time of its arrival")
        rules = self._shape.log_rules
        ruled = Ruled([], 0, None, None)
        if rules is not None:
            before = _hits(rules)
            ruled = rules.apply(event)
            self._applied(before, _hits(rules))
            for metric, value, dimensions, unknown in ruled.measured:
                if unknown:
                    self._step("adjusted", f"a placeholder in a dimension of {metric.name} has no value: unknown")
                self._one(metric.sample(value, dimensions, None), now, METRICS_INPUT)
            if ruled.unreadable:
                self._step("adjusted", "unreadable_metric_value: the field of a metric has no number in it")
        if ruled.dropped is not None:
            self._drop(ruled.dropped.value)
            return
        event.message, was_cut = cut(event.message)
        if was_cut:
            self._step("adjusted", "message_cut: it is over 1,048,550 bytes")
        router = self._shape.router
        missed = router.missed.count
        destination = router.route(event, self._clock.monotonic(), ruled.route)
        if router.missed.count > missed:
            self._step("adjusted", "a placeholder in the group or stream has no value: unknown")
        self._delivered(event, ruled, destination)

    def _applied(self, before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> None:
        for (rule, name), hits in after.items():
            times = hits - before[rule, name]
            if times:
                stage = STAGES[rule.split(".")[1]]
                self._step(stage, f"{name}, {times} found" if stage == "redact" else name or "matches", rule)

    def _delivered(self, event: LogEvent, ruled: Ruled, destination: Destination) -> None:
        settings = None if ruled.route is None or event.group is not None else ruled.route.settings
        retention_days, log_class = settings or NO_SETTINGS
        retention_days = retention_days or self._config.logs.retention_days
        group, stream = destination.group, f"stream {destination.stream}"
        created = [] if retention_days is None else [f"{retention_days} days"]
        created += [] if log_class is None else [log_class]
        self._step("log event", ", ".join([group, stream, *created]))
        default = destination.stream == self._shape.router.default.stream
        self._outcomes.append(f"{', '.join([group, *([] if default else [stream]), *created])}: {event.message}")

    # --- what is noted ---

    def _drop(self, reason: str) -> None:
        self._step("dropped", f"counted with the reason {reason}")
        self._outcomes.append(f"dropped {reason}")

    def _refuse(self, error: DecodeError) -> None:
        self._step("refused", f"{error.reason.value}: {error.detail}")
        self._outcomes.append(f"refused {error.reason.value}")

    def _step(self, stage: str, text: str, rule: str = "") -> None:
        self._steps.append(Step(stage, text, rule))


def _flat(decode: Decode, element: object, now: float) -> Iterator[Event | None]:
    """The events of one element; one that is refused is an error among them, and those behind it are explained as well."""
    try:
        decoded = decode(element, now)
        if isinstance(decoded, Iterator):
            yield from decoded
        else:
            yield decoded
    except DecodeError as error:
        yield error


def _hits(rules: LogRules) -> dict[tuple[str, str], int]:
    """How often each rule has applied, by its path and what it is called."""
    return {(one["rule"], one.get("name", "")): one["hits"] for listed in rules.hits().values() for one in listed}
