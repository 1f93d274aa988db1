"""Values of dimensions, rewritten by patterns: ids in a path are replaced, texts of errors become classes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sidecar.model.regex import compile_regex
from sidecar.model.template import UNKNOWN

READ_CHARACTERS: Final = 4_096  # of a value, and of what each step makes of it; patterns do not see the rest
REPLACED: Final = 100  # matches of one step: each takes 2 us, and there may be 100 steps
CACHED_VALUES: Final = 4_096  # most endpoints and errors repeat, and a substitution costs 10 us
CACHED_CHARACTERS: Final = 256  # longer values are not cached


class Step(NamedTuple):
    """One pattern, and what is done where it is found.

    Attributes:
        pattern: in RE2's syntax.
        replacement: what each match is replaced with, literally; None where `value` is given.
        value: what the whole value becomes; later steps are not tried.
    """

    pattern: str
    replacement: str | None = None
    value: str | None = None


class Rewriting:
    """The steps of one dimension, in their order."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Compile the steps.

        Raises:
            ValueError: a pattern cannot be used; the schema of the configuration has refused those.
        """
        self._steps = [
            (compile_regex(step.pattern), None if step.replacement is None else step.replacement.encode(), step.value)
            for step in steps
        ]
        self._cache: dict[str, str] = {}

    def apply(self, value: str) -> str:
        """The rewritten value; `unknown` if it is empty."""
        found = self._cache.get(value)
        if found is None:
            found = self._rewritten(value)
            if len(value) <= CACHED_CHARACTERS:
                if len(self._cache) >= CACHED_VALUES:
                    self._cache.clear()
                self._cache[value] = found
        return found

    def _rewritten(self, value: str) -> str:
        # As bytes: for text the library counts the characters before each match.
        data = _start(value)
        for regex, replacement, whole in self._steps:
            if whole is None:
                data = regex.sub(lambda _, replacement=replacement: replacement, data, REPLACED)
                if len(data) > READ_CHARACTERS:  # each step may make it a thousand times as long
                    data = _start(data.decode("utf-8", "surrogatepass"))
            elif regex.search(data) is not None:
                return whole
        return data.decode("utf-8", "surrogatepass") or UNKNOWN


def _start(value: str) -> bytes:
    return value[:READ_CHARACTERS].encode("utf-8", "surrogatepass")
