"""Responses of the HTTP listeners: counted, and logged at a limited rate where a request was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sidecar.observe.log import Limiter


class ResponseLog:
    """Counts the responses of one listener, and logs refused requests and bugs."""

    def __init__(self, listener: str, responses: Counter[tuple[str, int]], limiter: Limiter) -> None:
        """Count in `responses`, {(route, status): responses}; `listener` is its name in the log."""
        self._listener = listener
        self._responses = responses
        self._limiter = limiter

    def count(self, route: str, status: int) -> None:
        """Count a response. `route` is one of a bounded set: a path that is served, or a word for all others."""
        self._responses[route, status] += 1

    def note(
        self,
        route: str,
        status: int,
        problem: str,
        error: BaseException | None = None,
        came: Mapping[str, str] | None = None,
    ) -> None:
        """Count a response and log why the request was refused; `came` has parts of the request, of bounded length."""
        self.count(route, status)
        if error is not None:
            self._limiter.error(
                f"http {type(error).__name__}",
                "a bug in handling an HTTP request",
                listener=self._listener,
                exc_info=error,
            )
            return
        # One key for each kind of refusal and client, so that the limiter does not hide a second client behind the first.
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
