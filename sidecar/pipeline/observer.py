"""What every part of the pipeline observes with: the ledger, the log and the clock, as one argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.observe.ledger import Ledger
from sidecar.observe.log import Limiter
from sidecar.pipeline.refusals import Refusals
from sidecar.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Observer:
    """Counts, logs and reads the clock.

    Attributes:
        ledger: where samples, log events, flushes and changes are counted.
        limiter: for log lines that may be due a million times.
        clock: wall time for windows and events, monotonic time for waiting and yielding to the event loop.
        refusals: counts and logs events that are refused.
    """

    ledger: Ledger
    limiter: Limiter
    clock: Clock
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        """Give refusals the same limiter."""
        object.__setattr__(self, "refusals", Refusals(self.limiter))
