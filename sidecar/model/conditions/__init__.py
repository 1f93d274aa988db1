"""Conditions on events: a mapping of fields, or CloudWatch Logs' own filter pattern. Pure.

They are words of the configuration (`when`), which checks them before anything starts, and of the rules, which
evaluate them: both rooms import them from here.
"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.model.conditions import filter_pattern, mapping
from sidecar.model.conditions.lexer import Condition, ConditionError

__all__ = ["Condition", "ConditionError", "compile_condition"]


def compile_condition(when: str | Mapping[str, object]) -> Condition:
    """Compile a condition.

    Args:
        when: a filter pattern, or a mapping of dotted paths to what their values have to be.

    Returns:
        A function of an event's fields and its message; True if the condition holds. It takes time linear in the event.

    Raises:
        ConditionError: a sentence; of a filter pattern, with the position.
    """
    if isinstance(when, str):
        return filter_pattern.compile_pattern(when)
    return mapping.compile_mapping(when)
