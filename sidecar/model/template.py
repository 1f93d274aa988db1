"""Templates: text with `{field}` placeholders for an event's fields, dimensions and environment variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sidecar.model.conditions.mapping import find

UNKNOWN: Final = "unknown"
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class Missed:
    """Counts the placeholders that were filled with `unknown`, over several templates."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0


class _Place:
    """One placeholder."""

    __slots__ = ("_name", "_otherwise", "_steps")

    def __init__(self, name: str, otherwise: str | None) -> None:
        self._name = name
        self._steps = tuple(name.split(".")) if "." in name else ()
        self._otherwise = otherwise

    def value(self, fields: Mapping[str, object]) -> str | None:
        """What it stands for; None if nothing has its name."""
        value = fields.get(self._name)
        if value is None and self._steps:
            value = find(fields, self._name, self._steps)
        if value.__class__ is str:
            return value or self._otherwise
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else self._otherwise


class Template:
    """One compiled template."""

    def __init__(self, text: str, hostname: str, context: Mapping[str, str], missed: Missed | None = None) -> None:
        """Compile.

        Args:
            text: the template.
            hostname: what `{hostname}` stands for.
            context: configured dimensions, environment variables and the like, for placeholders that are no field of
                the event.
            missed: where `render` counts the placeholders that nothing has the name of.
        """
        # split() with one group returns literal, name, literal, name, ..., literal.
        parts = _PLACEHOLDER.split(text.replace("{hostname}", hostname))
        self._literals = parts[0::2]
        self._places = [_Place(name, context.get(name) or None) for name in parts[1::2]]
        # The placeholder of a template that is nothing else, as most of dimensions are.
        self._only = self._places[0] if self._literals == ["", ""] else None
        self._missed = Missed() if missed is None else missed

    @property
    def varies(self) -> bool:
        """True if it depends on the event."""
        return bool(self._places)

    def lacks(self, fields: Mapping[str, object]) -> bool:
        """True if `render` would put `unknown` in the place of a placeholder, since nothing has its name."""
        return any(place.value(fields) is None for place in self._places)

    def render(self, fields: Mapping[str, object]) -> str:
        """Replace the placeholders.

        Each stands for the event's field of that name; else, where it has dots, for the field at that path; else for
        what the context has; else for `unknown`. A field that is neither text nor a number, or empty, is not used.
        """
        if self._only is not None:
            value = self._only.value(fields)
            return self._unknown() if value is None else value
        if not self._places:
            return self._literals[0]
        rendered = [self._literals[0]]
        for place, literal in zip(self._places, self._literals[1:], strict=True):
            value = place.value(fields)
            rendered.append(self._unknown() if value is None else value)
            rendered.append(literal)
        return "".join(rendered)

    def _unknown(self) -> str:
        self._missed.count += 1
        return UNKNOWN
