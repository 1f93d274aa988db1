"""Responses of the HTTP listeners: counted, and logged at a limited rate where a request was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sidecar.observe.log import Limiter


class ResponseLog:
    """Counts the responses of one listener and logs those that somebody should look at."""

    def __init__(self, listener: str, responses: Counter[tuple[str, int]], limiter: Limiter) -> None:
        """Take the listener's name, the counter {(route, status): responses}, and what limits the log."""
        self._listener = listener
        self._responses = responses
        self._limiter = limiter

    def count(self, route: str, status: int) -> None:
        """Count a response. `route` is one of a bounded set: a path we serve, or a word for what is none."""
        self._responses[route, status] += 1

    def note(
        self,
        route: str,
        status: int,
        problem: str,
        error: BaseException | None = None,
        came: Mapping[str, str] | None = None,
    ) -> None:
        """Count a response and log why it was refused; `came` says what came, cut to a bounded length."""
        self.count(route, status)
        if error is not None:
            self._limiter.error(
                f"http {type(error).__name__}",
                "a bug in handling an HTTP request",
                listener=self._listener,
                exc_info=error,
            )
            return
        # Told apart by everything but the count, so that a second kind of client is not hidden by the first.
        key = f"http {self._listener} {route} {status} {problem[:200]} {came}"
        self._limiter.warning(
            key,
            "HTTP request refused",
            listener=self._listener,
            route=route,
            status=status,
            problem=problem,
            **(came or {}),
        )
