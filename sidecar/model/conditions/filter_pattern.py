"""Filter patterns as CloudWatch Logs has them: for JSON in braces, for columns in brackets, else terms. Pure.

Terms: all of `ERROR timeout` have to be in the message, none of `-INFO`; of `?a ?b` one has to be, where there are no
others: beside terms of the other kinds AWS ignores them, and so do we. Case matters. A term with other characters than
letters, digits and underscores stands in double quotes; `%...%` is a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sidecar.model.conditions.columns import compile_columns
from sidecar.model.conditions.json_pattern import compile_json
from sidecar.model.conditions.lexer import PATTERN_CHARACTERS, Condition, ConditionError, Token, regex, unquoted, wrong

_TERM: Final = re.compile(r'\s*([-?]?)(?:("(?:[^"\\]|\\.)*")|(%(?:[^%\\]|\\.)*%)|(\w+))(?=\s|$)', re.DOTALL)


def compile_pattern(pattern: str) -> Condition:
    """Compile a filter pattern; one that is empty or blank holds of every event.

    Raises:
        ConditionError: a sentence with the position.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        raise ConditionError(f"a filter pattern has at most {PATTERN_CHARACTERS} characters, got {len(pattern)}")
    start = pattern.lstrip()[:1]
    if start == "{":
        return compile_json(pattern)
    if start == "[":
        return compile_columns(pattern)
    return _terms(pattern)


def _terms(pattern: str) -> Condition:
    tests: dict[str, list[Callable[[str], bool]]] = {"": [], "-": [], "?": []}
    end, at = len(pattern.rstrip()), 0
    while at < end:
        match = _TERM.match(pattern, at, end)
        if match is None:
            at += len(pattern[at:]) - len(pattern[at:].lstrip())
            raise wrong(at + 1, "a term is expected: a word, or anything else in double quotes")
        sign, text, pattern_, word = match.groups()
        place = match.end() - len(text or pattern_ or word) + 1
        if pattern_ is not None:
            tests[sign].append(regex(Token("regex", pattern_, place)))
        else:
            tests[sign].append(_contains(unquoted(Token("text", text, place)) if text is not None else word))
        at = match.end()
    wanted, unwanted, optional = tests[""], tests["-"], tests["?"]
    if optional and not wanted and not unwanted:
        return lambda _, message: any(test(message) for test in optional)
    return lambda _, message: all(test(message) for test in wanted) and not any(test(message) for test in unwanted)


def _contains(term: str) -> Callable[[str], bool]:
    return lambda message: term in message
