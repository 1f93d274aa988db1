"""The configuration, read from a file and the environment.

Environment beats file beats default. All errors are reported at once, each with its path, what was given and what
is allowed. (pydantic alone, not pydantic-settings: that refuses an unknown nested variable, and Kubernetes puts
`SIDECAR_*` variables of its own making into a pod beside a Service of that name.)
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sidecar.config import file
from sidecar.config.lines import Lines
from sidecar.config.log_rules import REDACT_KEY
from sidecar.config.problems import bounded, key_of, path_of, section_of, sentence
from sidecar.config.schema import (
    RULE_LISTS,
    Config,
    Deliver,
    Emf,
    Listen,
    Logs,
    Metrics,
    Observe,
    impossible,
    rules_of,
)
from sidecar.model.errors import ConfigError

__all__ = ["Config", "Deliver", "Emf", "Listen", "Logs", "Metrics", "Observe", "dump", "load", "warnings"]

PREFIX: Final = "SIDECAR_"
_ABSENT: Final = object()


def load(path: Path | None, environ: Mapping[str, str], content: bytes | None = None) -> Config:
    """Read the configuration.

    Args:
        path: a YAML file or a pipe, or None for defaults and environment alone.
        environ: the environment; `AWS_REGION` and `AWS_DEFAULT_REGION` fill a region that is not configured.
        content: of the file, where it was read before.

    Raises:
        ConfigError: with every problem there is, up to `config_problems.MAX_PROBLEMS`.
    """
    reader = _Reader(environ)
    given, lines = ({}, None) if path is None else _read(path, content)
    data = reader.substituted(Config, given, ())
    reader.overlay(data)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            reader.problems.append(sentence(Config, detail, reader.origins) + reader.place(detail["loc"], lines))
            reader.refused.add(key_of(Config, detail["loc"]))
        config = _rest(data, reader.refused)
    # A combination is checked only if all its keys have their configured values: a refused key has its default.
    reader.problems += [
        one.sentence + reader.place(one.steps, lines)
        for one in impossible(config)
        if not any(map(reader.is_refused, one.keys))
    ]
    reader.problems += _missing_key(config, environ)
    if reader.problems:
        raise ConfigError(bounded(reader.problems))
    return config


def _rest(data: dict[str, Any], refused: set[str]) -> Config:
    """The configuration without the keys that are refused, and without those that cannot be used without them."""
    while True:
        try:
            return Config.model_validate(_without(Config, data, refused))
        except ValidationError as error:
            # A section whose keys refer to each other: the sentence about the key that is wrong is there already.
            further = {key_of(Config, detail["loc"]) for detail in error.errors(include_url=False)} - refused
            if not further:
                return Config()
            refused |= further


def _missing_key(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    """A problem for each rule that hashes where there is no key."""
    for index, rule in enumerate(config.logs.redact):
        if rule.replace == "hash" and not environ.get(REDACT_KEY):
            yield f"logs.redact.{index}.replace: hash needs a key, in the environment variable {REDACT_KEY}"


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Warnings for the start-up: variables that name no key."""
    known = {variable for variable, _, _ in _variables(Config, ())} | {f"{PREFIX}CONFIG", REDACT_KEY}
    found = [
        f"{path_of([variable])} names no configuration key and is ignored"
        for variable in sorted(environ)
        if variable.startswith(PREFIX) and variable not in known
    ]
    return bounded(found)


def dump(config: Config) -> str:
    """The effective configuration as YAML; read as a file it gives the same.

    Every key is included, except those of `watch` that are null, of which an alarm has a dozen.
    """
    shown = config.model_dump(by_alias=True)
    shown["watch"] = config.watch.model_dump(by_alias=True, exclude_none=True)
    return yaml.safe_dump(_escaped(shown), sort_keys=False)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return file.escaped(value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def rule_lines(path: Path | None, environ: Mapping[str, str], config: Config) -> dict[str, int]:
    """The line of each rule, by its path, such as `metrics.rules.0`; without those that are not from the file."""
    if path is None or not path.is_file():
        return {}
    try:
        _, lines = _read(path)
    except ConfigError:  # the file has changed meanwhile
        return {}
    found: dict[str, int] = {}
    for key in RULE_LISTS:
        if PREFIX + key.upper().replace(".", "__") not in environ:
            for number in range(len(rules_of(config, key))):
                line = lines.line([*key.split("."), number])
                if line is not None:
                    found[f"{key}.{number}"] = line
    return found


def _read(path: Path, content: bytes | None = None) -> tuple[dict[str, Any], Lines]:
    try:
        text = file.read_text(path, content)
    except ConfigError as error:
        raise ConfigError(bounded(error.problems)) from None
    try:
        data = file.parse(text)
    except ConfigError as error:
        raise ConfigError(bounded([f"{path_of([path])}: {problem}" for problem in error.problems])) from None
    if data is None:
        return {}, Lines(text)
    if not isinstance(data, dict):
        raise ConfigError(bounded([f"{path_of([path])} must have keys and values at its top level"]))
    return data, Lines(text)


class _Reader:
    """The state of reading one configuration: problems found, and where values come from.

    Attributes:
        problems: a sentence each.
        refused: the keys that have a problem.
        origins: the paths that came from variables, each with its variable.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._characters_left = file.MAX_BYTES
        self.problems: list[str] = []
        self.refused: set[str] = set()
        self.origins: dict[str, str] = {}

    def is_refused(self, key: str) -> bool:
        """Return True if the key, or the section it is in, has a problem."""
        return key in self.refused or key.partition(".")[0] in self.refused

    def place(self, steps: Sequence[Any], lines: Lines | None) -> str:
        """Where in the file an element of a list is, as the end of a sentence; empty for what is not from the file."""
        if lines is None or not any(isinstance(step, int) for step in steps):
            return ""
        paths = (".".join(map(str, steps[:length])) for length in range(1, len(steps) + 1))
        line = None if any(one in self.origins for one in paths) else lines.line(steps)
        return "" if line is None else f" (line {line})"

    def substituted(self, model: type[BaseModel], data: dict[Any, Any], path: tuple[str, ...]) -> dict[Any, Any]:
        """Fill `${VARIABLE}` and `${VARIABLE:-default}` in; a whole value then has the type its key asks for."""
        fields = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
        filled: dict[Any, Any] = {}
        for key, value in data.items():
            annotation = fields.get(key)
            here = (*path, str(key))
            section = section_of(annotation)
            if section is not None and isinstance(value, dict | None):
                # Null is a section with every key commented out.
                filled[key] = self.substituted(section, value or {}, here)
                continue
            value = self._filled(value, here)  # noqa: PLW2901  # the same value, filled in
            if annotation is not None and value is not _ABSENT and _is_variable(data[key]):
                value = self._typed(value, annotation, here)  # noqa: PLW2901  # likewise
            if value is not _ABSENT:
                filled[key] = value
        return filled

    def overlay(self, data: dict[Any, Any]) -> None:
        """Override the file's data by the environment."""
        for variable, path, annotation in _variables(Config, ()):
            text = self._environ.get(variable)
            if text is not None:
                self._set(data, path, self._typed(text, annotation, path, variable), variable)
        for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            text = self._environ.get(variable)
            if text and data.get("region") is None:
                self._set(data, ("region",), self._typed(text, str, ("region",), variable), variable)

    def _set(self, data: dict[Any, Any], path: tuple[str, ...], value: Any, variable: str) -> None:
        if value is _ABSENT:
            return
        target = data
        for section in path[:-1]:
            inner = target.setdefault(section, {})
            if not isinstance(inner, dict):
                self._refuse((section,), f"must hold keys and values, so that {variable} can set one")
                return
            target = inner
        target[path[-1]] = value
        self.origins[".".join(path)] = variable

    def _refuse(self, path: Sequence[str], problem: str) -> None:
        self.problems.append(f"{path_of(path)}: {problem}")
        self.refused.add(key_of(Config, path))

    def _filled(self, value: Any, path: tuple[str, ...]) -> Any:
        """Fill the variables of all text in; what cannot be filled in is reported and left out."""
        if isinstance(value, str):
            if not file.has_variable(value):
                return value
            text, problems = file.fill(value, self._environ, self._characters_left)
            self._characters_left = max(0, self._characters_left - len(text))
            for problem in problems:
                self._refuse(path, problem)
            return _ABSENT if problems else text
        if isinstance(value, dict):
            items = {key: self._filled(item, (*path, str(key))) for key, item in value.items()}
            return {key: item for key, item in items.items() if item is not _ABSENT}
        if isinstance(value, list):
            elements = [self._filled(item, (*path, str(i))) for i, item in enumerate(value)]
            return [item for item in elements if item is not _ABSENT]
        return value

    def _typed(self, text: str, annotation: Any, path: tuple[str, ...], variable: str | None = None) -> Any:
        """Read text as the type its key asks for; what cannot be read is reported and left out."""
        kinds = _kinds(annotation)
        if type(None) in kinds and text in ("", "null"):
            return None
        try:
            if str in kinds:
                return file.checked(text)
            return file.parse(text)  # numbers, booleans and JSON alike
        except ConfigError as error:
            source = f" (from {variable})" if variable else ""
            for problem in error.problems:
                self._refuse(path, problem + source)
            return _ABSENT


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and file.has_variable(value)


def _without(model: type[BaseModel], data: dict[Any, Any], refused: set[str], path: tuple[str, ...] = ()) -> Any:
    """The data without unknown and refused keys: these take their defaults."""
    known: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        key = info.alias or name
        here = (*path, key)
        if key not in data or ".".join(here) in refused:
            continue
        section = section_of(info.annotation)
        known[key] = data[key] if section is None else _without(section, data[key], refused, here)
    return known


def _variables(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every key as variable, path and type."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        section = section_of(info.annotation)
        if section is not None:
            yield from _variables(section, here)
        else:
            yield PREFIX + "__".join(here).upper(), here, info.annotation


def _kinds(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin in (Union, types.UnionType):
        return set().union(*[_kinds(option) for option in get_args(annotation)])
    return {origin or annotation}
