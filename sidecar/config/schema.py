"""Every configuration key, its default and what it allows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from sidecar.config.checks import group_template as _group_template
from sidecar.config.checks import namespace as _namespace
from sidecar.config.checks import retention as _retention
from sidecar.config.checks import stream_template as _stream_template
from sidecar.config.checks import template as _template
from sidecar.config.cost import Budget, PriceOverrides
from sidecar.config.log_rules import LogMetric, LogRoute, RedactRule
from sidecar.config.metric_rules import MAX_RULES, MetricRule
from sidecar.config.watch import Watch
from sidecar.model import names
from sidecar.model.errors import DecodeError
from sidecar.model.limits import METRICS_SHARE


def _octal(value: object) -> object:
    # YAML 1.1 reads 0622 as a number and 0o622 as text: both mean the same here.
    return int(value, 8) if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{3,4}", value) else value


def _as_octal(mode: int) -> str:
    # As text: a number with a leading zero is octal in YAML 1.1 and decimal in YAML 1.2.
    return f"{mode:04o}"


def _dimensions(pairs: dict[str, str]) -> dict[str, str]:
    try:
        for value in pairs.values():
            if value:
                _template(value)
        return dict(names.dimensions(tuple(pairs.items())))
    except DecodeError as error:
        raise ValueError(error.detail) from None


def _endpoint(text: str) -> str:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        # The error may quote a part of the URL: a password, perhaps.
        raise ValueError("must be a URL" if "@" in text else f"must be a URL: {error}") from None
    if url.username is not None or url.password is not None:
        raise ValueError("must not carry a user or password: it is logged")
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("must be http://host or https://host")
    if not re.fullmatch(r"(\[[A-Fa-f0-9.:]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?", url.netloc):
        raise ValueError("must be a URL whose host has only letters, digits, dots and hyphens: the SDK takes no other")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL of printable ASCII characters without blanks")
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must be a path: not empty, without null characters")
    return text


def _host(text: str) -> str:
    # getaddrinfo() raises other errors than OSError for these: the daemon would end instead of retrying the listener.
    if not re.fullmatch(r"[^\s/@\[\]\x00-\x20]{1,253}", text):
        raise ValueError("must be a host name or an address")
    try:
        text.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"must be a host name or an address: {error.__cause__ or error}") from None
    return text


def _printable(text: str) -> str:
    if len(text) != 1 or not text.isascii() or not text.isprintable() or text in " :":
        raise ValueError("must be one printable ASCII character, neither a blank nor a colon")
    return text


Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=65_536, le=2**40)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Host = Annotated[str, AfterValidator(_host)]
Path = Annotated[str, AfterValidator(_path)]

_OWN_ADDRESSES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # to recognise it


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Listen(_Section):
    """Where events arrive."""

    statsd_host: Host = "localhost"
    statsd_port: Port | None = 8125
    statsd_socket: Path | None = None
    statsd_stream_socket: Path | None = None
    socket_mode: Annotated[int, BeforeValidator(_octal), Field(ge=0, le=0o777), PlainSerializer(_as_octal)] = 0o622
    emf_host: Host = "localhost"
    emf_port: Port | None = 25888
    http_host: Host = "localhost"
    http_port: Port | None = 8127
    admin_host: Host = "localhost"
    admin_port: Port | None = 9127
    receive_buffer_bytes: Annotated[int, Field(ge=4_096, le=2**30)] = 4_194_304
    max_body_bytes: Annotated[int, Field(ge=1_024, le=2**30)] = 5_242_880
    allowed_hosts: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]] = []


class Metrics(_Section):
    """How samples become datums."""

    flush_seconds: Seconds = 60.0
    high_resolution_flush_seconds: Seconds = 10.0
    flush_entries: Count = 100_000
    flush_series: Count | None = None
    max_series: Count = 20_000
    resolution: Literal[1, 60] = 60
    percentiles: bool = True
    signed_gauges: Literal["auto", "delta", "value"] = "auto"
    replace_invalid: Annotated[str, AfterValidator(_printable)] | None = None
    budget: Budget | None = None
    rules: Annotated[list[MetricRule], Field(max_length=MAX_RULES)] = []


class Logs(_Section):
    """How log events become batches, and their destinations."""

    group: Annotated[str, AfterValidator(_group_template)] = "/sidecar"
    stream: Annotated[str, AfterValidator(_stream_template)] = "{hostname}"
    events_group: Annotated[str, AfterValidator(_group_template)] | None = None
    retention_days: Annotated[int, AfterValidator(_retention)] | None = None
    create: bool = True
    flush_seconds: Seconds = 5.0
    flush_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 1_048_576
    max_streams: Count = 500
    routes: Annotated[list[LogRoute], Field(max_length=MAX_RULES)] = []
    redact: Annotated[list[RedactRule], Field(max_length=100)] = []
    metrics: Annotated[list[LogMetric], Field(max_length=MAX_RULES)] = []


class Aws(_Section):
    """How calls of AWS SDKs are answered."""

    strict: bool = False
    pass_through: list[Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{1,63}$")]] = []


class Emf(_Section):
    """How embedded metric format is processed."""

    as_: Annotated[Literal["logs", "metrics", "both"], Field(alias="as")] = "logs"
    group: Annotated[str, AfterValidator(_group_template)] | None = None


class Deliver(_Section):
    """Where batches go, and what happens while that fails."""

    target: Literal["cloudwatch", "local"] = "cloudwatch"
    endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    role_arn: Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/.+")] | None = None
    memory_bytes: Annotated[int, Field(ge=8_388_608, le=2**40)] = 33_554_432
    spool_dir: Path | None = None
    spool_max_bytes: Bytes = 536_870_912
    local_path: Path | None = None
    local_max_bytes: Bytes = 268_435_456
    retry_base_seconds: Seconds = 0.2
    retry_max_seconds: Seconds = 20.0
    request_seconds: Seconds = 10.0
    drain_seconds: Seconds = 25.0

    def capacities(self) -> tuple[int, int]:
        """The most that may wait of metrics and of logs, bytes: in the spool, or without one in memory."""
        if self.spool_dir is not None:
            return self.spool_max_bytes, self.spool_max_bytes
        metrics = self.memory_bytes // METRICS_SHARE
        return metrics, self.memory_bytes - metrics


class Observe(_Section):
    """The log and self-metrics."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    publish: bool = False


class Config(_Section):
    """The whole configuration."""

    region: str | None = None
    namespace: Annotated[str, AfterValidator(_namespace)] = "Sidecar"
    dimensions: Annotated[dict[str, str], AfterValidator(_dimensions)] = {}
    listen: Listen = Listen()
    metrics: Metrics = Metrics()
    logs: Logs = Logs()
    emf: Emf = Emf()
    aws: Aws = Aws()
    deliver: Deliver = Deliver()
    observe: Observe = Observe()
    prices: PriceOverrides | None = None
    watch: Watch = Watch()


RULE_LISTS: Final = ("metrics.rules", "logs.redact", "logs.metrics", "logs.routes")
"""The keys that hold rules."""


def rules_of(config: Config, key: str) -> Sequence[BaseModel]:
    """The rules of one of `RULE_LISTS`."""
    section, name = key.split(".")
    rules: Sequence[BaseModel] = getattr(getattr(config, section), name)
    return rules


class Impossible(NamedTuple):
    """A combination of keys that cannot work, though each value is allowed.

    Attributes:
        keys: every key on which the sentence depends, dotted.
        sentence: which keys, and why.
        steps: the path of the element of a list that it is about; empty where there is none.
    """

    keys: tuple[str, ...]
    sentence: str
    steps: tuple[str | int, ...] = ()


def impossible(config: Config) -> list[Impossible]:
    """All combinations of a configuration that cannot work."""
    found = [*_listen_problems(config.listen), *_deliver_problems(config.deliver, config.listen)]
    if config.aws.pass_through and config.deliver.target != "cloudwatch":
        keys = ("aws.pass_through", "deliver.target")
        found.append(Impossible(keys, "aws.pass_through needs deliver.target cloudwatch: there is no AWS to ask"))
    found += _rollup_problems(config)
    return found


def _rollup_problems(config: Config) -> Iterator[Impossible]:
    """Rollups of metrics from log events over dimensions that these do not have."""
    for index, metric in enumerate(config.logs.metrics):
        known = {*config.dimensions, *metric.dimensions}
        unknown = sorted({name for names_ in metric.rollups for name in names_} - known)
        if unknown:
            sentence = (
                f"logs.metrics.{index}.rollups: {metric.name} has no dimension {unknown[0]!r}; it has"
                f" {', '.join(sorted(known)) or 'none'}"
            )
            yield Impossible(("logs.metrics", "dimensions"), sentence, ("logs", "metrics", index, "rollups"))


def _listen_problems(listen: Listen) -> list[Impossible]:
    found: list[Impossible] = []
    ways = ("statsd_port", "statsd_socket", "statsd_stream_socket", "emf_port", "http_port")
    if all(getattr(listen, way) is None for way in ways):
        keys = tuple(f"listen.{way}" for way in ways)
        found.append(Impossible(keys, f"{', '.join(keys)} are all null: nothing could be received"))
    # TCP and UDP have ports of their own; embedded metric format listens on both.
    for one, other in (("http", "admin"), ("http", "emf"), ("admin", "emf"), ("statsd", "emf")):
        port, other_port = getattr(listen, f"{one}_port"), getattr(listen, f"{other}_port")
        host, other_host = getattr(listen, f"{one}_host"), getattr(listen, f"{other}_host")
        if port is not None and port == other_port and _overlap(host, other_host):
            keys = (f"listen.{one}_port", f"listen.{other}_port")
            sentence = f"{' and '.join(keys)} are both {port}: they need one each"
            found.append(Impossible((*keys, f"listen.{one}_host", f"listen.{other}_host"), sentence))
    if listen.statsd_socket is not None and listen.statsd_socket == listen.statsd_stream_socket:
        keys = ("listen.statsd_socket", "listen.statsd_stream_socket")
        found.append(Impossible(keys, f"{' and '.join(keys)} are the same path: they need one each"))
    return found


def _overlap(host: str, other: str) -> bool:
    """Return True if two hosts certainly have an address in common; names are not resolved."""
    return host == other or bool({host, other} & _EVERY_ADDRESS) or {host, other} <= _OWN_ADDRESSES


def _deliver_problems(deliver: Deliver, listen: Listen) -> list[Impossible]:
    found: list[Impossible] = []
    # A metric body needs as many bytes as it has; in a log event every quote and backslash is encoded as two bytes.
    metrics, logs = deliver.capacities()
    most = min(metrics, logs // 2)
    if listen.http_port is not None and listen.max_body_bytes > most:
        capacity = "deliver.spool_max_bytes" if deliver.spool_dir is not None else "deliver.memory_bytes"
        sentence = (
            f"listen.max_body_bytes is {listen.max_body_bytes}, and {most} is the most that ever fits: lower it, or raise"
            f" {capacity}"
        )
        found.append(Impossible(("listen.max_body_bytes", "listen.http_port", "deliver.spool_dir", capacity), sentence))
    if deliver.retry_base_seconds > deliver.retry_max_seconds:
        keys = ("deliver.retry_base_seconds", "deliver.retry_max_seconds")
        found.append(Impossible(keys, "deliver.retry_base_seconds is above deliver.retry_max_seconds"))
    if deliver.endpoint_url is not None:
        own = {listen.http_port, listen.admin_port, listen.emf_port} - {None}
        url = urlsplit(deliver.endpoint_url)
        if url.port in own and url.hostname in _OWN_ADDRESSES | _EVERY_ADDRESS:
            sentence = f"deliver.endpoint_url {deliver.endpoint_url!r} is one of our own listeners"
            listeners = ("listen.http_port", "listen.admin_port", "listen.emf_port")
            found.append(Impossible(("deliver.endpoint_url", *listeners), sentence))
    return found
