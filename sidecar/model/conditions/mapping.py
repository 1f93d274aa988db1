"""Conditions as a mapping: `{level: [error, fatal], http.status: 500, path: "/health*"}`. Pure.

All entries must hold. A key is the path of a field: a top-level field of that name, else one step for each part between
dots. A value is a number, true, false, null (the field is absent or null), or a glob (`*`, `?`, `[seq]`; case matters);
a list is one of its elements. A field that is an array fulfils what one of its elements does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import Final

from sidecar.model.conditions.lexer import ABSENT, Condition, ConditionError, Test, text_of

KEYS: Final = 100
CHOICES: Final = 1_000  # of one list
GLOB_CHARACTERS: Final = 1_024
_GLOB: Final = re.compile(r"[*?\[]")


def compile_mapping(when: Mapping[str, object]) -> Condition:
    """Compile a mapping; an empty one holds of every event.

    Raises:
        ConditionError: a value of a type that no field has, or too many.
    """
    if len(when) > KEYS:
        raise ConditionError(f"has {len(when)} fields; at most {KEYS} are allowed")
    tests = [(str(path), tuple(str(path).split(".")), _test(str(path), value)) for path, value in when.items()]
    if len(tests) == 1:
        ((path, steps, test),) = tests
        return lambda fields, _: test(find(fields, path, steps))
    return lambda fields, _: all(test(find(fields, path, steps)) for path, steps, test in tests)


def find(fields: Mapping[str, object], path: str, steps: tuple[str, ...]) -> object:
    """The value at a path, or `ABSENT`.

    Args:
        fields: of an event.
        path: a top-level field of this name is preferred.
        steps: the parts of the path; one of digits is an index where there is an array.
    """
    value: object = fields.get(path, ABSENT)
    if value is not ABSENT or len(steps) == 1:
        return value
    value = fields
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and step.isdecimal() and len(step) <= 6 and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value


def _test(path: str, wanted: object) -> Test:
    if isinstance(wanted, list):
        if not wanted or len(wanted) > CHOICES:
            raise ConditionError(f"{path}: a list has 1 to {CHOICES} elements")
        plain = frozenset(one for one in wanted if isinstance(one, str) and not _GLOB.search(one))
        tests = [_one(path, one) for one in wanted if not (isinstance(one, str) and one in plain)]
        return _each(lambda value: text_of(value) in plain or any(test(value) for test in tests))
    return _each(_one(path, wanted))


def _each(test: Test) -> Test:
    return lambda value: any(map(test, value)) if isinstance(value, list) else test(value)


def _one(path: str, wanted: object) -> Test:
    if wanted is None:
        return lambda value: value is None or value is ABSENT
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, int | float):
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == wanted
    if not isinstance(wanted, str):
        raise ConditionError(f"{path}: must be text, a number, true, false, null or a list of these")
    if len(wanted) > GLOB_CHARACTERS:
        raise ConditionError(f"{path}: a glob has at most {GLOB_CHARACTERS} characters")
    if not _GLOB.search(wanted):
        return lambda value: text_of(value) == wanted
    match = re.compile(translate(wanted)).match

    return lambda value: (text := text_of(value)) is not None and match(text) is not None
