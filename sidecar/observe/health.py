"""Health: are the listeners bound, does delivery work, and what is to be fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

SLOWED_FIX: Final = (
    "the service throttles requests: ask for a higher quota of the account and Region, or lengthen flush_seconds"
)


@dataclass(slots=True)
class DeliveryHealth:
    """The state of delivery of one signal.

    Attributes:
        up: True if the last request succeeded; None before the first. A throttled request counts as a failure
            once five in a row were throttled.
        error: the message of the last failure, or None.
        advice: what can be done about it, a sentence, or None.
        failing_since, last_success: wall seconds, or None.
        rate_limit: returns the requests per second that delivery is slowed to, or None where it is not slowed.
    """

    up: bool | None = None
    error: str | None = None
    advice: str | None = None
    failing_since: float | None = None
    last_success: float | None = None
    rate_limit: Callable[[], float | None] = lambda: None

    def succeeded(self, now: float) -> bool:
        """Note a success at `now` (wall seconds); True where it ends a failure."""
        recovered = self.up is False
        self.up, self.error, self.advice, self.failing_since = True, None, None, None
        self.last_success = now
        return recovered

    def failed(self, now: float, error: str, advice: str | None) -> bool:
        """Note a failure at `now` (wall seconds); True where it is the first or reads differently."""
        first = self.up is not False or self.advice != advice
        if self.up is not False:
            self.failing_since = now
        self.up, self.error, self.advice = False, error, advice
        return first

    def summary(self) -> dict[str, Any]:
        """As `/ready` and `/stats` show it."""
        limit = self.rate_limit()
        shown: dict[str, Any] = {"up": self.up, "slowed": limit is not None, "last_success": self.last_success}
        if limit is not None:
            shown |= {"requests_per_second_limit": round(limit, 3), "fix": SLOWED_FIX}
        if self.up is False:
            shown |= {"error": self.error, "fix": self.advice, "failing_since": self.failing_since}
        return shown


@dataclass(slots=True)
class ListenerHealth:
    """The state of one listener.

    Attributes:
        name: statsd, http or admin.
        addresses: on which it listens.
        bound: True if it listens.
        error: why it does not, or None.
        details: further states, such as the receive buffer that the kernel granted.
    """

    name: str
    addresses: list[str] = field(default_factory=list)
    bound: bool = False
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As `/ready` and `/stats` show it."""
        shown: dict[str, Any] = {"bound": self.bound, "addresses": self.addresses, **self.details}
        if self.error is not None:
            shown["error"] = self.error
        return shown


@dataclass(slots=True)
class Health:
    """The state of the daemon, for `/ready` and `/stats`.

    Attributes:
        spool: returns the state of the spool; None without one.
        configuration: returns the state of the configuration file; None without one.
        budget: returns the state of `metrics.budget`, None where there is none.
    """

    listeners: list[ListenerHealth] = field(default_factory=list)
    metrics: DeliveryHealth = field(default_factory=DeliveryHealth)
    logs: DeliveryHealth = field(default_factory=DeliveryHealth)
    draining: bool = False
    spool: Callable[[], dict[str, Any]] | None = None
    configuration: Callable[[], dict[str, Any]] | None = None
    budget: Callable[[], dict[str, Any] | None] = lambda: None

    @property
    def ready(self) -> bool:
        """True if the listeners are bound and the daemon is not draining; independent of AWS."""
        return not self.draining and all(listener.bound for listener in self.listeners)

    @property
    def delivering(self) -> bool:
        """True if delivery fails for neither signal."""
        return self.metrics.up is not False and self.logs.up is not False

    def summary(self) -> dict[str, Any]:
        """The JSON of `/ready`."""
        shown: dict[str, Any] = {
            "ready": self.ready,
            "draining": self.draining,
            "listeners": {listener.name: listener.summary() for listener in self.listeners},
            "delivery": {"metrics": self.metrics.summary(), "logs": self.logs.summary()},
        }
        if self.spool is not None:
            shown["spool"] = self.spool()
        if self.configuration is not None:
            shown["configuration"] = self.configuration()
        budget = self.budget()
        if budget is not None:
            shown["budget"] = budget
        return shown
