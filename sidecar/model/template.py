"""Templates: text with `{field}` placeholders for an event's fields, dimensions and environment variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

UNKNOWN: Final = "unknown"
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class Template:
    """One compiled template."""

    def __init__(self, text: str, hostname: str, context: Mapping[str, str]) -> None:
        """Compile.

        Args:
            text: the template.
            hostname: what `{hostname}` stands for.
            context: configured dimensions and environment variables, for placeholders that are no field of the event.
        """
        # split() with one group returns literal, name, literal, name, ..., literal.
        parts = _PLACEHOLDER.split(text.replace("{hostname}", hostname))
        self._literals = parts[0::2]
        self._fields = [(name, context.get(name, UNKNOWN)) for name in parts[1::2]]
        # The field of a template that is nothing else, as most of dimensions are.
        self._only = self._fields[0] if self._literals == ["", ""] else None

    @property
    def varies(self) -> bool:
        """True if it depends on the event."""
        return bool(self._fields)

    def lacks(self, fields: Mapping[str, object]) -> bool:
        """True if `render` would put `unknown` in the place of a placeholder, since nothing has its name."""
        return any(otherwise is UNKNOWN and fields.get(name) in (None, "") for name, otherwise in self._fields)

    def render(self, fields: Mapping[str, object]) -> str:
        """Replace the placeholders by the event's fields; a field that is neither text nor a number is not used."""
        if self._only is not None:
            name, otherwise = self._only
            return _text(fields.get(name), otherwise)
        if not self._fields:
            return self._literals[0]
        rendered = [self._literals[0]]
        for (name, otherwise), literal in zip(self._fields, self._literals[1:], strict=True):
            rendered.append(_text(fields.get(name), otherwise))
            rendered.append(literal)
        return "".join(rendered)


def _text(value: object, otherwise: str) -> str:
    """A field as text."""
    if value.__class__ is str:
        return value or otherwise
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
