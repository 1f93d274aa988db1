"""HCL as `terraform fmt` writes it: blocks, arguments aligned by their equals signs, expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, Union

_INDENT: Final = "  "
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ESCAPES: Final = {r"\b": r"\u0008", r"\f": r"\u000c"}
_ONE_LINE: Final = 100  # characters of a list that is written in one line


@dataclass(frozen=True, slots=True)
class Raw:
    """An expression, written as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Template:
    """Text with interpolations, `${...}`, which are written as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function called with one value."""

    name: str
    value: Hcl


@dataclass(frozen=True, slots=True)
class Block:
    """A block.

    Attributes:
        kind: such as `resource`.
        labels: in quotes after the kind.
        arguments: names with values, in their order.
        blocks: within it, after the arguments.
    """

    kind: str
    labels: Sequence[str] = ()
    arguments: Mapping[str, Hcl] = field(default_factory=dict)
    blocks: Sequence[Block] = ()


Hcl: TypeAlias = Union[bool, int, float, str, Raw, Template, Call, Sequence["Hcl"], Mapping[str, "Hcl"], None]  # noqa: UP007


def written(blocks: Sequence[Block]) -> str:
    """A file of blocks, an empty line between them."""
    return "\n\n".join("\n".join(_block(one, 0)) for one in blocks) + "\n"


def _block(block: Block, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    head = " ".join([block.kind, *(quoted(label) for label in block.labels)])
    if not block.arguments and not block.blocks:
        yield f"{indent}{head} {{}}"
        return
    yield f"{indent}{head} {{"
    yield from _arguments(block.arguments, depth + 1)
    for number, inner in enumerate(block.blocks):
        if number or block.arguments:
            yield ""
        yield from _block(inner, depth + 1)
    yield f"{indent}}}"


def _arguments(arguments: Mapping[str, Hcl], depth: int) -> Iterator[str]:
    """Arguments; the equals signs of neighbours that have one line each are aligned, as `terraform fmt` does."""
    indent = _INDENT * depth
    run: list[tuple[str, list[str]]] = []
    for name, value in arguments.items():
        lines = list(_value(value, depth))
        if len(lines) > 1:
            yield from _aligned(run, indent)
            run = []
            key = _key(name)
            yield f"{indent}{key} = {lines[0]}"
            yield from lines[1:]
        else:
            run.append((_key(name), lines))
    yield from _aligned(run, indent)


def _aligned(run: Sequence[tuple[str, list[str]]], indent: str) -> Iterator[str]:
    width = max((len(name) for name, _ in run), default=0)
    for name, lines in run:
        yield f"{indent}{name:<{width}} = {lines[0]}"


def _value(value: Hcl, depth: int) -> Iterator[str]:
    """The lines of a value; the first without indentation."""
    if isinstance(value, Call):
        inner = list(_value(value.value, depth))
        yield f"{value.name}({inner[0]}" + (")" if len(inner) == 1 else "")
        if len(inner) > 1:
            yield from inner[1:-1]
            yield f"{inner[-1]})"
    elif isinstance(value, Mapping):
        yield from _mapping(value, depth)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _list(value, depth)
    else:
        yield _scalar(value)


def _mapping(value: Mapping[str, Hcl], depth: int) -> Iterator[str]:
    if not value:
        yield "{}"
        return
    yield "{"
    yield from _arguments(value, depth + 1)
    yield f"{_INDENT * depth}}}"


def _list(value: Sequence[Hcl], depth: int) -> Iterator[str]:
    items = [list(_value(one, depth + 1)) for one in value]
    line = f"[{', '.join(lines[0] for lines in items)}]"
    if all(len(lines) == 1 for lines in items) and len(line) <= _ONE_LINE:
        yield line
        return
    yield "["
    for lines in items:
        yield _INDENT * (depth + 1) + lines[0] + ("," if len(lines) == 1 else "")
        if len(lines) > 1:
            yield from lines[1:-1]
            yield lines[-1] + ","
    yield f"{_INDENT * depth}]"


def _scalar(value: bool | float | str | Raw | Template | None) -> str:  # noqa: FBT001  # one value of any type
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Template):
        return _escaped(value.text)
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Text in quotes, in which nothing is interpolated."""
    return _escaped(text.replace("${", "$${").replace("%{", "%%{"))


def _escaped(text: str) -> str:
    """Text in quotes, with the escapes that HCL has: two of JSON's are none."""
    return re.sub(r"\\.", lambda one: _ESCAPES.get(one[0], one[0]), json.dumps(text, ensure_ascii=False))


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else quoted(name)
