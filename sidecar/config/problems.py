"""Problems of a configuration, as sentences of bounded length that are safe to print and to log."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

MAX_PROBLEMS: Final = 50
MAX_CHARACTERS: Final = 1_000  # of one sentence: the longest list of known keys has 300
MAX_PATH_CHARACTERS: Final = 200  # a key may be as long as the file

_USER_OF_URL: Final = re.compile(r"(?<=://)[^/\s]*@")
_SHOWN: Final = Repr()
_SHOWN.maxstring = _SHOWN.maxlong = _SHOWN.maxother = 100
_SHOWN.maxlevel = 3


def bounded(problems: Sequence[str]) -> list[str]:
    """Shorten a list of problems: the first `MAX_PROBLEMS` with `MAX_CHARACTERS` each, on one line and printable."""
    shown = [_cut(printable(problem[: MAX_CHARACTERS + 1]), MAX_CHARACTERS) for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        shown.append(f"and {len(problems) - MAX_PROBLEMS} more problems")
    return shown


def printable(text: str) -> str:
    """Escape control characters and what UTF-8 cannot encode."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def path_of(steps: Sequence[object]) -> str:
    """The dotted path of a key, short enough to be read."""
    return _cut(".".join(_cut(str(step), MAX_PATH_CHARACTERS) for step in steps), MAX_PATH_CHARACTERS)


def sentence(model: type[BaseModel], detail: Any, origins: Mapping[str, str]) -> str:
    """One error of pydantic: its path, what is allowed, what was given, and the variable that gave it.

    Args:
        model: the model that was validated.
        detail: an element of `ValidationError.errors()`.
        origins: the paths that came from variables, each with its variable.
    """
    steps = detail["loc"]
    path = path_of(steps)
    paths = (".".join(map(str, steps[:length])) for length in range(len(steps), 0, -1))
    origin = next((origins[one] for one in paths if one in origins), None)
    source = f" (from {origin})" if origin else ""
    if detail["type"] == "extra_forbidden":
        known = ", ".join(info.alias or name for name, info in _model_at(model, steps[:-1]).model_fields.items())
        return f"{path}: unknown key; known here: {known}{source}"
    if detail["type"] == "model_type":
        return f"{path}: must hold keys and values, got {_shown(detail['input'])}{source}"
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{path}: {message}, got {_shown(detail['input'])}{source}"


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a key that is a section, or None."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def key_of(model: type[BaseModel], steps: Sequence[object]) -> str:
    """The configuration key in which an error lies: a path within a list or mapping ends at the key that holds it."""
    path: list[str] = []
    for step in steps:
        path.append(str(step))
        inner = section_of(_fields(model).get(str(step)))
        if inner is None:
            break
        model = inner
    return ".".join(path)


def _model_at(model: type[BaseModel], steps: Sequence[object]) -> type[BaseModel]:
    annotation: Any = model
    for step in steps:
        inner = section_of(annotation)
        annotation = _unwrapped(_fields(inner).get(str(step)) if inner else _item(annotation))
    return section_of(annotation) or model


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _item(annotation: Any) -> Any:
    """The type of the elements of a list or mapping."""
    return (get_args(_unwrapped(annotation)) or (None,))[-1]


def _unwrapped(annotation: Any) -> Any:
    """A type without what it is annotated with, or the first of several types."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = get_args(annotation)[0]
    return annotation


def _shown(value: object) -> str:
    """A value, short, and without the password of a URL."""
    if isinstance(value, str):
        value = _USER_OF_URL.sub("...@", value[:1_000])
    return _SHOWN.repr(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
