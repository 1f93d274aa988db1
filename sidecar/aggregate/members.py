"""How many distinct members a set saw in one window. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from sidecar.aggregate.tally import Tally
from sidecar.model import Measurement

# A member may be as long as a datagram; a digest of 16 bytes keeps what a set holds small.
# Two of 10^9 members collide with a probability near 10^-21.
LONG_MEMBER: Final = 32


class Members:
    """The distinct members of one series in one window; one entry of the tally a member."""

    __slots__ = ("_members", "_tally", "samples", "until")

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty; `until` is the end of the window in wall seconds."""
        self.until = until
        self._tally = tally
        self._members: set[str | bytes] = set()
        self.samples = 0

    def add_member(self, member: str) -> None:
        """See a member; seeing it again changes nothing but the number of samples."""
        self.samples += 1
        key = member if len(member) <= LONG_MEMBER else blake2b(member.encode(), digest_size=16).digest()
        if key not in self._members:
            self._members.add(key)
            self._tally.entries += 1

    def take(self) -> Measurement | None:
        """Empty the set, for good; None where it has nothing."""
        self.until = 0.0
        samples, self.samples = self.samples, 0
        if not samples:
            return None
        size = len(self._members)
        self._members = set()
        self._tally.entries -= size
        self._tally.samples -= samples
        return Measurement(samples, values=(float(size),))
