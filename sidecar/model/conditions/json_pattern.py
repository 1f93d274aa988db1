"""Filter patterns for JSON events: `{ $.status >= 500 && $.service = "api*" }`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sidecar.model.conditions.expression import COMPARES, Reader
from sidecar.model.conditions.lexer import ABSENT, Condition, Token, comparison, tokens, wrong

Fields: TypeAlias = Mapping[str, object]
Step: TypeAlias = str | int | None
"""A property, an index, or None for `*`: every property or element."""

WILDCARDS: Final = 3  # `*` in one selector, as AWS allows
_STEPS: Final = re.compile(r"""\.?\[([0-9]+)\]|\.?\[(\*)\]|\.?\['([^']*)'\]|\.?\["([^"]*)"\]|\.(\*)|\.([\w-]+)""")


def compile_json(pattern: str) -> Condition:
    """Compile a pattern in braces; it holds of no event that is not a JSON object.

    Raises:
        ConditionError: it cannot be read.
    """
    end = len(pattern.rstrip())
    if pattern[end - 1] != "}":
        raise wrong(end, "'}' is expected at the end")
    first = len(pattern) - len(pattern.lstrip()) + 1
    reader: Reader[Fields] = Reader(tokens(pattern, first, end - 1), _operand)
    test = reader.expression()
    reader.expect_end()
    return lambda fields, _: test(fields)


def _operand(reader: Reader[Fields]) -> Callable[[Fields], bool]:
    selector = reader.take()
    if selector.kind != "selector" or selector.text == "$":
        raise wrong(selector.at, "a selector is expected, such as $.status")
    steps = _steps(selector)
    sign = reader.take()
    if sign.kind == "word" and sign.text in ("IS", "NOT"):
        return _state(steps, sign, reader.take())
    if sign.kind != "sign" or sign.text not in COMPARES:
        raise wrong(sign.at, f"=, !=, <, <=, >, >=, IS or NOT EXISTS is expected behind {selector.text}")
    test = comparison(sign, reader.take())
    return _over(steps, test)


def _state(steps: tuple[Step, ...], sign: Token, state: Token) -> Callable[[Fields], bool]:
    if sign.text == "NOT":
        if state.text != "EXISTS":
            raise wrong(state.at, "EXISTS is expected behind NOT")
        exists = _over(steps, lambda value: value is not ABSENT)
        return lambda fields: not exists(fields)
    values: dict[str, bool | None] = {"NULL": None, "TRUE": True, "FALSE": False}
    if state.kind != "word" or state.text not in values:
        raise wrong(state.at, "NULL, TRUE or FALSE is expected behind IS")
    wanted = values[state.text]
    return _over(steps, lambda value: value is wanted)


def _steps(selector: Token) -> tuple[Step, ...]:
    steps: list[Step] = []
    for index, every, single, double, star, name in _STEPS.findall(selector.text):
        steps.append(int(index) if index else None if every or star else single or double or name)
    if steps.count(None) > WILDCARDS:
        raise wrong(selector.at, f"more than {WILDCARDS} wildcards in a selector")
    return tuple(steps)


def _over(steps: tuple[Step, ...], test: Callable[[object], bool]) -> Callable[[Fields], bool]:
    """A test that holds if it holds of one of the values that a selector finds."""
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]
        return lambda fields: test(fields.get(name, ABSENT))
    return lambda fields: _any(fields, steps, 0, test)


def _any(value: object, steps: tuple[Step, ...], at: int, test: Callable[[object], bool]) -> bool:
    while at < len(steps):
        step = steps[at]
        at += 1
        if step is None:
            inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
            return any(_any(one, steps, at, test) for one in inner)
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else ABSENT
        else:
            value = value.get(step, ABSENT) if isinstance(value, Mapping) else ABSENT
    return test(value)
