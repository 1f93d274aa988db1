"""Every configuration key, its default and what it allows; read from a file and the environment.

Environment beats file beats default. All errors are told at once, each with its path, what was given and what
is allowed. (pydantic alone, not pydantic-settings: that refuses an unknown nested variable, and Kubernetes puts
`SIDECAR_*` variables of its own making into a pod beside a Service of that name.)
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sidecar import naming
from sidecar.errors import ConfigError, DecodeError
from sidecar.limits import RETENTION_DAYS

PREFIX: Final = "SIDECAR_"
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PLACES: Final = re.compile(r"\{[^{}]+\}")


def _template(text: str) -> str:
    if not text or set(_PLACES.sub("", text)) & {"{", "}"}:
        raise ValueError("must be text with {field} places, every brace closed")
    return text


def _group_template(text: str) -> str:
    problem = naming.group_problem(_PLACES.sub("x", _template(text)))
    if problem:
        raise ValueError(problem)
    return text


def _stream_template(text: str) -> str:
    bare = _PLACES.sub("x", _template(text))
    if naming.stream(bare) != bare:
        raise ValueError("must have 1-512 characters, none of them : or *")
    return text


def _octal(value: object) -> object:
    # YAML 1.1 reads 0622 as a number and 0o622 as text: both mean the same here.
    return int(value, 8) if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{3,4}", value) else value


def _namespace(text: str) -> str:
    try:
        return naming.namespace(text)
    except DecodeError as error:
        raise ValueError(error.detail) from None


def _dimensions(pairs: dict[str, str]) -> dict[str, str]:
    try:
        return dict(naming.dimensions(tuple(pairs.items())))
    except DecodeError as error:
        raise ValueError(error.detail) from None


def _retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        raise ValueError(f"must be one of {', '.join(map(str, RETENTION_DAYS))}")
    return days


def _printable(text: str) -> str:
    if len(text) != 1 or not text.isascii() or not text.isprintable() or text in " :":
        raise ValueError("must be one printable ASCII character, neither a blank nor a colon")
    return text


Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Bytes = Annotated[int, Field(ge=65_536, le=2**40)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Rules = list[dict[str, Any]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Listen(_Section):
    """Where events arrive."""

    statsd_host: str = "localhost"
    statsd_port: Port | None = 8125
    statsd_socket: str | None = None
    statsd_stream_socket: str | None = None
    socket_mode: Annotated[int, BeforeValidator(_octal), Field(ge=0, le=0o777)] = 0o622
    emf_host: str = "localhost"
    emf_port: Port | None = 25888
    http_host: str = "localhost"
    http_port: Port | None = 8127
    admin_host: str = "localhost"
    admin_port: Port | None = 9127
    receive_buffer_bytes: Annotated[int, Field(ge=4_096, le=2**30)] = 4_194_304
    max_body_bytes: Annotated[int, Field(ge=1_024, le=2**30)] = 5_242_880


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
    rules: Rules = []


class Logs(_Section):
    """How log events become batches, and where they go."""

    group: Annotated[str, AfterValidator(_group_template)] = "/sidecar"
    stream: Annotated[str, AfterValidator(_stream_template)] = "{hostname}"
    events_group: Annotated[str, AfterValidator(_group_template)] | None = None
    retention_days: Annotated[int, AfterValidator(_retention)] | None = None
    create: bool = True
    flush_seconds: Seconds = 5.0
    flush_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 1_048_576
    max_streams: Count = 500
    routes: Rules = []
    redact: Rules = []
    metrics: Rules = []


class Emf(_Section):
    """What becomes of embedded metric format."""

    as_: Annotated[Literal["logs", "metrics", "both"], Field(alias="as")] = "logs"
    group: Annotated[str, AfterValidator(_group_template)] | None = None


class Deliver(_Section):
    """Where batches go, and what happens while that fails."""

    target: Literal["cloudwatch", "local"] = "cloudwatch"
    endpoint_url: str | None = None
    role_arn: Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+")] | None = None
    memory_bytes: Annotated[int, Field(ge=8_388_608, le=2**40)] = 33_554_432
    spool_dir: str | None = None
    spool_max_bytes: Bytes = 536_870_912
    local_path: str | None = None
    local_max_bytes: Bytes = 268_435_456
    retry_base_seconds: Seconds = 0.2
    retry_max_seconds: Seconds = 20.0
    request_seconds: Seconds = 10.0
    drain_seconds: Seconds = 25.0


class Observe(_Section):
    """What the daemon says of itself."""

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
    deliver: Deliver = Deliver()
    observe: Observe = Observe()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Refuse combinations that cannot work."""
        listen, deliver = self.listen, self.deliver
        if listen.statsd_port is None and listen.http_port is None:
            raise ValueError("listen.statsd_port and listen.http_port are both null: nothing could be received")
        tcp = [port for port in (listen.http_port, listen.admin_port) if port is not None]
        if len(set(tcp)) < len(tcp):
            raise ValueError(f"listen.http_port and listen.admin_port are both {tcp[0]}: they need one each")
        if deliver.retry_base_seconds > deliver.retry_max_seconds:
            raise ValueError("deliver.retry_base_seconds is above deliver.retry_max_seconds")
        if deliver.endpoint_url is not None:
            url = urlsplit(deliver.endpoint_url)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError(f"deliver.endpoint_url {deliver.endpoint_url!r} must be http://host or https://host")
            own = {listen.http_port, listen.admin_port, listen.emf_port} - {None}
            if url.port in own and url.hostname in ("localhost", "127.0.0.1", "::1", "0.0.0.0"):  # noqa: S104
                raise ValueError(f"deliver.endpoint_url {deliver.endpoint_url!r} is one of our own listeners")
        if self.logs.redact:
            # Accepting it would store what the operator asked to have removed.
            raise ValueError("logs.redact is not available in this version: nothing would be redacted")
        return self


NOT_BUILT: Final = (
    *("listen.statsd_socket", "listen.statsd_stream_socket", "listen.socket_mode", "listen.emf_host"),
    *("listen.emf_port", "metrics.max_series", "metrics.rules", "logs.events_group", "logs.routes", "logs.metrics"),
    *("emf.as", "emf.group", "deliver.spool_dir", "deliver.spool_max_bytes", "observe.publish"),
)
"""Keys that are known and do nothing yet: setting one is accepted with a warning."""


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration.

    Args:
        path: a YAML file, or None for defaults and environment alone.
        environ: the environment; `AWS_REGION` and `AWS_DEFAULT_REGION` fill a region that is not configured.

    Raises:
        ConfigError: with every problem there is.
    """
    problems: list[str] = []
    data = _substituted(Config, _read(path), environ, (), problems)
    origins = _overlay(Config, data, environ, problems)
    if data.get("region") is None:
        data["region"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    config = Config()
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_problem(detail, origins) for detail in error.errors()]
    if problems:
        raise ConfigError(problems)
    return config


def warnings(config: Config, environ: Mapping[str, str]) -> list[str]:
    """What is worth telling at start-up: keys that do nothing yet, variables that name no key."""
    defaults = Config()
    told = [
        f"{key} is set, but its feature is not in this version"
        for key in NOT_BUILT
        if _get(config, key) != _get(defaults, key)
    ]
    known = {variable for variable, _, _ in _variables(Config, ())} | {f"{PREFIX}CONFIG"}
    told += [
        f"{variable} names no configuration key and is ignored"
        for variable in sorted(environ)
        if variable.startswith(PREFIX) and variable not in known
    ]
    return told


def dump(config: Config) -> str:
    """The effective configuration as YAML, every key included."""
    return yaml.safe_dump(config.model_dump(by_alias=True), sort_keys=False)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"cannot read the configuration file {path}: {error}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path} is not YAML: {' '.join(str(error).split())}"]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError([f"{path} must hold keys and values at its top level"])
    return data


def _substituted(
    model: type[BaseModel],
    data: dict[str, Any],
    environ: Mapping[str, str],
    path: tuple[str, ...],
    problems: list[str],
) -> dict[str, Any]:
    """Fill `${VARIABLE}` and `${VARIABLE:-default}` in; a whole value then has the type its key asks for."""
    fields = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    filled: dict[str, Any] = {}
    for key, value in data.items():
        annotation = fields.get(key)
        here = (*path, str(key))
        section = _section(annotation)
        if section is not None and isinstance(value, dict):
            filled[key] = _substituted(section, value, environ, here, problems)
        elif isinstance(value, str) and _VARIABLE.search(value):
            filled[key] = _typed(_fill(value, environ, here, problems), annotation)
        else:
            filled[key] = _fill_within(value, environ, here, problems)
    return filled


def _fill_within(value: Any, environ: Mapping[str, str], path: tuple[str, ...], problems: list[str]) -> Any:
    if isinstance(value, str):
        return _fill(value, environ, path, problems)
    if isinstance(value, dict):
        return {key: _fill_within(item, environ, (*path, str(key)), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_within(item, environ, (*path, str(i)), problems) for i, item in enumerate(value)]
    return value


def _fill(text: str, environ: Mapping[str, str], path: tuple[str, ...], problems: list[str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, otherwise = match.groups()
        found = environ.get(name) or otherwise
        if found is None:
            problems.append(f"{'.'.join(path)}: ${{{name}}} is not set in the environment, and has no :-default")
            return "unset"
        return found

    return _VARIABLE.sub(value, text)


def _overlay(
    model: type[BaseModel], data: dict[str, Any], environ: Mapping[str, str], problems: list[str]
) -> dict[str, str]:
    """Lay the environment over the file's data; returns which variable each path came from."""
    origins: dict[str, str] = {}
    for variable, path, annotation in _variables(model, ()):
        text = environ.get(variable)
        if text is None:
            continue
        place = data
        for section in path[:-1]:
            inner = place.setdefault(section, {})
            if not isinstance(inner, dict):
                problems.append(f"{section}: must hold keys and values, so that {variable} can set one")
                break
            place = inner
        else:
            place[path[-1]] = _typed(text, annotation)
            origins[".".join(path)] = variable
    return origins


def _variables(model: type[BaseModel], path: tuple[str, ...]) -> list[tuple[str, tuple[str, ...], Any]]:
    """Every key as variable, path and type."""
    found: list[tuple[str, tuple[str, ...], Any]] = []
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        section = _section(info.annotation)
        if section is not None:
            found += _variables(section, here)
        else:
            found.append((PREFIX + "__".join(here).upper(), here, info.annotation))
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _typed(text: str, annotation: Any) -> Any:
    """Read text as the type its key asks for; what cannot be read stays text, for the validation to refuse."""
    kinds = _kinds(annotation)
    if type(None) in kinds and text in ("", "null"):
        return None
    if str in kinds:
        return text
    try:
        return yaml.safe_load(text)  # numbers, booleans and JSON alike
    except yaml.YAMLError:
        return text


def _kinds(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin in (Union, types.UnionType):
        return set().union(*[_kinds(option) for option in get_args(annotation)])
    return {origin or annotation}


def _problem(detail: Any, origins: Mapping[str, str]) -> str:
    path = ".".join(str(step) for step in detail["loc"])
    if not path:
        return str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        place = detail["loc"][:-1]
        model: type[BaseModel] = Config
        for step in place:
            model = _section(model.model_fields[str(step)].annotation) or model
        known = ", ".join(info.alias or name for name, info in model.model_fields.items())
        return f"{path}: unknown key; known here: {known}"
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    source = f" (from {origins[path]})" if path in origins else ""
    return f"{path}: {message}, got {detail['input']!r}{source}"


def _get(config: Config, key: str) -> object:
    section, name = key.split(".")
    return getattr(getattr(config, section), "as_" if name == "as" else name)
