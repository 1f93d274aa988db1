"""Which log events go to which group, and which are dropped or sampled: `logs.routes`. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from sidecar.model.conditions import Condition
from sidecar.model.conditions.lexer import text_of
from sidecar.model.conditions.mapping import find
from sidecar.model.events import LogEvent
from sidecar.model.log_groups import GroupSettings
from sidecar.model.template import Template

WEIGHT_FIELD: Final = "sample_weight"
"""The field that sampled JSON events get: how many events each stands for."""
_HASHES: Final = 2**64


@dataclass(slots=True)
class Route:
    """One rule of `logs.routes`.

    Attributes:
        when: which events it is for; None for all.
        group, stream: templates; None for the configured default.
        settings: of the group, where it is created.
        drop: drop the events.
        rate: the share of events that is delivered, in (0, 1]; None for all.
        by: the path of a field: events with the same value are delivered all or not at all, by every sidecar alike.
            None, or an event without it: every so many events one is delivered.
        hits: events that matched, and that no route before did.
    """

    when: Condition | None
    group: Template | None = None
    stream: Template | None = None
    settings: GroupSettings | None = None
    drop: bool = False
    rate: float | None = None
    by: str | None = None
    hits: int = 0
    _due: float = 0.5  # events that should have been delivered by now, less those that were

    def sampled_out(self, event: LogEvent) -> bool:
        """True if a sampled route does not deliver this event; the message of one that it does gets its weight."""
        rate = self.rate
        if rate is None or rate >= 1.0:
            return False
        value = None if self.by is None else text_of(find(event.fields, self.by, tuple(self.by.split("."))))
        if value is None:
            self._due += rate
            if self._due < 1.0:
                return True
            self._due -= 1.0
        elif _hash(value) >= rate * _HASHES:
            return True
        event.message = weighted(event.message, event.fields, 1.0 / rate)
        return False


def _hash(value: str) -> int:
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def weighted(message: str, fields: dict[str, object], weight: float) -> str:
    """A JSON event with its weight as a further field; text, or an event that has one, as it is."""
    text = message.rstrip()
    if not fields or WEIGHT_FIELD in fields or not text.endswith("}"):
        return message
    number = int(weight) if weight == int(weight) else weight
    return f'{text[:-1]},"{WEIGHT_FIELD}":{number}}}'
