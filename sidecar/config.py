"""The configuration, read from a file and the environment.

Environment beats file beats default. All errors are told at once, each with its path, what was given and what
is allowed. (pydantic alone, not pydantic-settings: that refuses an unknown nested variable, and Kubernetes puts
`SIDECAR_*` variables of its own making into a pod beside a Service of that name.)
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sidecar.errors import ConfigError
from sidecar.keys import NOT_BUILT, Config, Deliver, Emf, Listen, Logs, Metrics, Observe

__all__ = ["Config", "Deliver", "Emf", "Listen", "Logs", "Metrics", "Observe", "dump", "load", "warnings"]

PREFIX: Final = "SIDECAR_"
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


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
        problems += [line for detail in error.errors() for line in _problem(detail, origins).splitlines()]
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
        if section is not None and isinstance(value, dict | None):
            # Null is a section with every key commented out.
            filled[key] = _substituted(section, value or {}, environ, here, problems)
        elif isinstance(value, str) and _VARIABLE.search(value):
            text = _fill(value, environ, here, problems)
            if text is not None:
                filled[key] = _typed(text, annotation)
        else:
            filled[key] = _fill_within(value, environ, here, problems)
    return filled


def _fill_within(value: Any, environ: Mapping[str, str], path: tuple[str, ...], problems: list[str]) -> Any:
    if isinstance(value, str):
        return _fill(value, environ, path, problems)
    if isinstance(value, dict):
        items = {key: _fill_within(item, environ, (*path, str(key)), problems) for key, item in value.items()}
        # What could not be filled in was told, and is not to be told again for what it is not.
        return {key: item for key, item in items.items() if item is not None or value[key] is None}
    if isinstance(value, list):
        return [_fill_within(item, environ, (*path, str(i)), problems) for i, item in enumerate(value)]
    return value


def _fill(text: str, environ: Mapping[str, str], path: tuple[str, ...], problems: list[str]) -> str | None:
    """Fill the variables in; None where one has no value, which is told."""
    told = len(problems)

    def value(match: re.Match[str]) -> str:
        name, otherwise = match.groups()
        found = environ.get(name)
        if found is None and otherwise is None:
            problems.append(f"{'.'.join(path)}: ${{{name}}} is not set in the environment, and has no :-default")
        return found or otherwise or ""

    filled = _VARIABLE.sub(value, text)
    return filled if len(problems) == told else None


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
