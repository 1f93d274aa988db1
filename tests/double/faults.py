"""Scripted misbehaviour: which fault is next.  The kinds are in `fault_kinds`.

    double.faults.add("PutMetricData", throttle(times=3), reset_after_storing())

is for the next four PutMetricData requests, in this order; the fifth is served.  A fault
is used up by `times` requests, or stays until `clear` with `times=FOREVER`.

A fault is an object that acts on one exchange at one stage; anybody may write more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, TypeAlias

from .logs import Rejection

FOREVER: Final = None
"""For `times`: until the plan is cleared."""

ANY: Final = "*"
"""For `FaultPlan.add`: any operation that has no fault of its own waiting."""


class Stage(Enum):
    """When a fault acts."""

    ARRIVED = "the headers and a part of the body are read"
    READ = "the whole request is read, nothing is stored"
    STORED = "the request is stored, nothing is answered"


@dataclass(slots=True)
class Exchange:
    """The request a fault acts on.

    Attributes:
        operation: e.g. `PutLogEvents`.
        service: the name it is signed for.
        reject: set by a fault, which log events are to be dropped.
    """

    operation: str
    service: Literal["monitoring", "logs"]
    reject: Rejection | None = None


Act: TypeAlias = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of misbehaviour.

    Attributes:
        kind: its name in the request records.
        act: may wait, raise `ServiceError` or `ConnectionCut`, or change the exchange.
        times: how many requests it is for, or `FOREVER`.
        stage: when `act` is called.
        release: lets go what `act` still holds; called by `FaultPlan.clear`.
        applies: asked for each request; False lets this one through.
    """

    kind: str
    act: Act
    times: int | None = 1
    stage: Stage = Stage.READ
    release: Callable[[], None] = lambda: None
    applies: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class _Script:
    """The faults of one operation: those that are left, and all that may hold something."""

    queue: deque[Fault] = field(default_factory=deque)
    added: list[Fault] = field(default_factory=list)


class FaultPlan:
    """Which fault is next, by operation.  Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, _Script] = {}

    def add(self, operation: str, *faults: Fault) -> None:
        """Append faults for an operation, or for `ANY`."""
        with self._lock:
            script = self._scripts.setdefault(operation, _Script())
            script.queue.extend(faults)
            script.added.extend(faults)

    def clear(self, operation: str | None = None) -> None:
        """Remove the faults of an operation (None: all) and let go the requests they hold."""
        with self._lock:
            names = list(self._scripts) if operation is None else [operation]
            scripts = [self._scripts.pop(name) for name in names if name in self._scripts]
        for script in scripts:
            for fault in script.added:
                fault.release()

    def pending(self, operation: str) -> int:
        """How many faults of an operation are not used up; each counts once."""
        with self._lock:
            return len(self._scripts[operation].queue) if operation in self._scripts else 0

    def take(self, operation: str) -> Fault | None:
        """Take the fault for a request that has just arrived, if any; it is used up once."""
        with self._lock:
            for name in (operation, ANY):
                queue = self._scripts[name].queue if name in self._scripts else None
                if not queue:
                    continue
                fault = queue[0]
                if fault.times is not FOREVER:
                    queue.popleft()
                    if fault.times > 1:
                        queue.appendleft(replace(fault, times=fault.times - 1))
                return fault if fault.applies() else None
        return None
