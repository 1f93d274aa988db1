"""The kinds of misbehaviour that can be scripted; see `faults` for the plan they go in.

Codes and statuses: "Common Errors" of both services, and their models.  `times` is how
many requests a fault is for, `FOREVER` for as long as the plan is not cleared.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from .errors import ConnectionCut, ServiceError
from .faults import Exchange, Fault, Stage

# --- answers in place of the service's --------------------------------------------------------


def error(
    code: str,
    message: str,
    *,
    status: int = 400,
    times: int | None = 1,
    stored: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Answer with an AWS error; `stored` first stores what was sent."""
    return _refusal(code, lambda _: ServiceError(code, message, status=status, headers=headers), times, stored=stored)


def throttle(times: int | None = 1, *, retry_after_seconds: float | None = None) -> Fault:
    """400 `ThrottlingException` (legacy `Throttling`), with a hint when to come back if given."""
    hint: dict[str, str] = {}
    if retry_after_seconds is not None:
        # Retry-After is whole seconds (RFC 9110); x-amz-retry-after, newer SDKs, milliseconds.
        hint = {
            "Retry-After": str(round(retry_after_seconds)),
            "x-amz-retry-after": str(round(retry_after_seconds * 1_000)),
        }
    return error("ThrottlingException", "Rate exceeded", times=times, headers=hint)


def server_error(status: int = 500, times: int | None = 1, *, stored: bool = False) -> Fault:
    """500, 503 or 504 as the service answers them; 502 as a load balancer does, in HTML."""

    def refusal(exchange: Exchange) -> ServiceError:
        metrics = exchange.service == "monitoring"
        body = b"<html><body><h1>502 Bad Gateway</h1></body></html>" if status == 502 else None
        if status == 503:
            return ServiceError("ServiceUnavailableException", "Service Unavailable", status=status)
        code = "InternalServiceFault" if metrics else "InternalFailure"
        return ServiceError(code, "Internal failure", status=status, body=body)

    return _refusal(f"server_error_{status}", refusal, times, stored=stored)


def access_denied(times: int | None = 1) -> Fault:
    """`AccessDeniedException` in IAM's words."""

    def refusal(exchange: Exchange) -> ServiceError:
        return access_denied_error(exchange.operation, exchange.service)

    return _refusal("access_denied", refusal, times)


def expired_token(times: int | None = 1) -> Fault:
    """`ExpiredTokenException`: temporary credentials past their time."""
    return error("ExpiredTokenException", "The security token included in the request is expired", times=times)


def unrecognized_client(times: int | None = 1) -> Fault:
    """`UnrecognizedClientException`: no such access key."""
    message = "The security token included in the request is invalid."
    return error("UnrecognizedClientException", message, times=times)


def clock_skew(times: int | None = 1, *, behind_seconds: float = 900.0) -> Fault:
    """`InvalidSignatureException`: the client's clock is behind by more than 5 minutes."""

    def refusal(_: Exchange) -> ServiceError:
        now = datetime.now(UTC)
        signed, limit = now - timedelta(seconds=behind_seconds), now - timedelta(minutes=5)
        stamps = [f"{at:%Y%m%dT%H%M%SZ}" for at in (signed, limit, now)]
        message = "Signature expired: {} is now earlier than {} ({} - 5 min.)".format(*stamps)
        return ServiceError("InvalidSignatureException", message, status=403)

    return _refusal("clock_skew", refusal, times)


def request_expired(times: int | None = 1) -> Fault:
    """`RequestExpired`: the request took over 15 minutes to arrive, or is dated so."""
    return error("RequestExpired", "Request has expired.", times=times)


def too_large(times: int | None = 1, *, size: int = 1_000_001, limit: int = 1_000_000) -> Fault:
    """413 `RequestEntityTooLarge`, whatever the size."""
    return _refusal("too_large", lambda _: too_large_error(size, limit), times)


def limit_exceeded(times: int | None = 1) -> Fault:
    """`LimitExceededException`, as CreateLogGroup answers at the quota of groups."""
    return error("LimitExceededException", "Resource limit exceeded.", times=times)


def operation_aborted(times: int | None = 1) -> Fault:
    """`OperationAbortedException`: a concurrent change of the same resource."""
    message = "A conflicting operation is currently in progress against this resource. Please try again."
    return error("OperationAbortedException", message, times=times)


def reject_half(times: int | None = 1) -> Fault:
    """PutLogEvents answers 200 and drops the older half of the batch as too old."""

    async def act(exchange: Exchange) -> None:
        exchange.reject = lambda events: {"tooOldLogEventEndIndex": events // 2}

    return Fault("reject_half", act, times)


# --- the connection ---------------------------------------------------------------------------


def reset(times: int | None = 1) -> Fault:
    """TCP reset once the request is read; nothing is stored."""
    return Fault("reset", _cut, times)


def reset_mid_body(times: int | None = 1) -> Fault:
    """TCP reset while the body is on its way; nothing is stored."""
    return Fault("reset_mid_body", _cut, times, Stage.ARRIVED)


def reset_after_storing(times: int | None = 1) -> Fault:
    """TCP reset in place of the answer, all is stored: the client cannot know."""
    return Fault("reset_after_storing", _cut, times, Stage.STORED)


def slow(seconds: float, times: int | None = 1, *, stored: bool = False) -> Fault:
    """Wait before serving the request, or with `stored` after storing it."""

    async def act(_: Exchange) -> None:
        await asyncio.sleep(seconds)

    return Fault("slow", act, times, _stage(stored=stored))


def hang(times: int | None = 1, *, stored: bool = False) -> Fault:
    """Hold the request until the plan is cleared, then go on; a client that leaves is not served.

    With `stored` the request is stored first: a timeout that counted.
    """
    gate = _Gate()

    async def act(_: Exchange) -> None:
        await gate.wait()

    return Fault("hang", act, times, _stage(stored=stored), release=gate.open)


# --- composition ------------------------------------------------------------------------------


def served(times: int | None = 1) -> Fault:
    """No fault: lets requests through before the next one in the plan."""

    async def act(_: Exchange) -> None:
        return

    return Fault("served", act, times)


def sometimes(fault: Fault, probability: float, *, seed: int) -> Fault:
    """Let only a share of the requests suffer a fault; the others are served and use it up too."""
    dice = random.Random(seed)
    return replace(fault, applies=lambda: dice.random() < probability)


def access_denied_error(operation: str, service: str) -> ServiceError:
    """Make the refusal of an operation no policy allows."""
    metrics = service == "monitoring"
    action = f"{'cloudwatch' if metrics else 'logs'}:{operation}"
    message = (
        "User: arn:aws:sts::111122223333:assumed-role/app/session is not authorized to perform: "
        f"{action} because no identity-based policy allows the {action} action"
    )
    return ServiceError("AccessDeniedException", message, status=403 if metrics else 400)


def too_large_error(size: int, limit: int) -> ServiceError:
    """Make the refusal of a body that is too large (seen: "Request size 45305 exceeded 40960 bytes")."""
    return ServiceError("RequestEntityTooLarge", f"Request size {size} exceeded {limit} bytes", status=413)


class _Gate:
    """Shut until opened; opened from any thread, waited for on any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Future[None]] = []
        self._is_open = False

    async def wait(self) -> None:
        turn: Future[None] = Future()
        with self._lock:
            if self._is_open:
                return
            self._waiting.append(turn)
        await asyncio.wrap_future(turn)

    def open(self) -> None:
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for turn in waiting:
            with suppress(Exception):  # its request was cancelled
                turn.set_result(None)


def _refusal(
    kind: str,
    make: Callable[[Exchange], ServiceError],
    times: int | None,
    *,
    stored: bool = False,
) -> Fault:
    async def act(exchange: Exchange) -> None:
        raise make(exchange)

    return Fault(kind, act, times, _stage(stored=stored))


def _stage(*, stored: bool) -> Stage:
    return Stage.STORED if stored else Stage.READ


async def _cut(_: Exchange) -> None:
    raise ConnectionCut
