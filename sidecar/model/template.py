"""Templates: text with `{field}` places, filled from an event's fields, configured dimensions and the environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

UNKNOWN: Final = "unknown"
_PLACE: Final = re.compile(r"\{([^{}]*)\}")


class Template:
    """One compiled template."""

    def __init__(self, text: str, hostname: str, context: Mapping[str, str]) -> None:
        """Compile.

        Args:
            text: the template.
            hostname: what `{hostname}` stands for.
            context: configured dimensions and environment, asked after the event's own fields.
        """
        # split() with one group gives literal, place, literal, place, ..., literal.
        parts = _PLACE.split(text.replace("{hostname}", hostname))
        self._literals = parts[0::2]
        self._places = [(place, context.get(place, UNKNOWN)) for place in parts[1::2]]

    @property
    def varies(self) -> bool:
        """Whether it depends on the event."""
        return bool(self._places)

    def render(self, fields: Mapping[str, object]) -> str:
        """Fill the places from the event's fields; numbers and text only, anything else is `unknown`."""
        if not self._places:
            return self._literals[0]
        rendered = [self._literals[0]]
        for (place, otherwise), literal in zip(self._places, self._literals[1:], strict=True):
            value = fields.get(place)
            usable = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
            rendered.append(str(value) if usable else otherwise)
            rendered.append(literal)
        return "".join(rendered)
