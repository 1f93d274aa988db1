"""The metrics that have been sent, each with its sets of dimensions, for `sidecar generate --from`. Bounded."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sidecar.model.samples import Form, Series

SETS: Final = 1_000  # of dimensions, of all metrics together; beyond, further ones are not noted
VALUES: Final = 20  # combinations of values of one set that are noted
CHARACTERS: Final = 2_097_152  # of names and values in all, with some more for each; what does not fit is not noted
PAIR_CHARACTERS: Final = 32  # for a name or a value besides its own


class _Set(NamedTuple):
    """A metric with one set of dimensions."""

    namespace: str
    name: str
    dimensions: tuple[str, ...]
    resolution: int
    form: Form


class SentSeries:
    """Notes series as they are sent.

    Attributes:
        more: True if more sets were sent than are noted.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._sets: dict[_Set, dict[tuple[str, ...], None]] = {}
        self._room = CHARACTERS
        self._cut: set[_Set] = set()  # of which not all values are noted
        self.more = False

    def note(self, series: Series, form: Form) -> None:
        """Note a series and the form of its datums; noting it again changes nothing."""
        names = tuple([name for name, _ in series.dimensions])
        found = _Set(series.namespace, series.name, names, series.resolution, form)
        values = self._sets.get(found)
        if values is None:
            if len(self._sets) >= SETS or not self._fits((found.namespace, found.name, *names)):
                self.more = True
                return
            values = self._sets[found] = {}
        combination = tuple([value for _, value in series.dimensions])
        if combination in values:
            return
        if len(values) < VALUES and self._fits(combination):
            values[combination] = None
        else:
            self._cut.add(found)

    def _fits(self, texts: tuple[str, ...]) -> bool:
        """True if there is room for these texts, which is then taken."""
        size = sum([len(text) + PAIR_CHARACTERS for text in texts])
        if size > self._room:
            return False
        self._room -= size
        return True

    def summary(self) -> dict[str, Any]:
        """The JSON of `/series`: names, and up to 20 combinations of values of each set; `more` where there were more."""
        return {
            "more": self.more,
            "sent": [
                {**one._asdict(), "values": list(values), "more": one in self._cut}
                for one, values in self._sets.items()
            ],
        }
