"""How many distinct members a set saw in one window. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import ClassVar, Final

from sidecar.aggregate.state import State
from sidecar.aggregate.tally import Tally
from sidecar.model.samples import Measurement

# A member may be as long as a datagram; a digest of 16 bytes bounds the memory of a set.
# Two of 10^9 members collide with a probability near 10^-21.
LONG_MEMBER: Final = 32


class Members:
    """The distinct members of one series in one window; one entry of the tally a member."""

    form: ClassVar[str] = "members"

    __slots__ = ("_members", "_saved", "_tally", "_unsaved", "samples", "until")

    def __init__(self, until: float, tally: Tally) -> None:
        """Start empty; `until` is the end of the window in wall seconds."""
        self.until = until
        self._tally = tally
        self._members: set[str] = set()
        self._unsaved: list[str] = []  # members since the last checkpoint
        self.samples = 0
        self._saved = 0  # samples the last checkpoint had

    def add_member(self, member: str) -> None:
        """See a member; seeing it again changes nothing but the number of samples."""
        self.samples += 1
        # The NUL distinguishes a digest from a member of the same bytes.
        long = len(member) > LONG_MEMBER
        self._add("\0" + blake2b(member.encode(), digest_size=16).hexdigest() if long else member)

    def _add(self, key: str) -> None:
        if key not in self._members:
            self._members.add(key)
            self._unsaved.append(key)
            self._tally.entries += 1

    def merge(self, other: Members) -> None:
        """See the members of another set."""
        for key in other._members:
            self._add(key)
        self.samples += other.samples

    def unsaved(self, *, full: bool) -> State | None:
        """The members since the last call, or all of them where `full` asks for it."""
        samples = self.samples - (0 if full else self._saved)
        if not samples:
            return None
        members = list(self._members) if full else self._unsaved
        self._saved, self._unsaved = self.samples, []
        return State(samples, members=members)

    def restore(self, state: State) -> None:
        """Add a state that a checkpoint stored."""
        self.samples += state.samples
        for key in state.members:
            self._add(key)

    def take(self) -> Measurement | None:
        """Empty the set, for good; None where it has nothing."""
        self.until = 0.0
        samples, self.samples = self.samples, 0
        if not samples:
            return None
        size = len(self._members)
        self._members, self._unsaved = set(), []
        self._tally.entries -= size
        self._tally.samples -= samples
        return Measurement(samples, values=(float(size),))
