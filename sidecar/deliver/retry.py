"""What a failed request means, and how long to wait before the next. Pure.

Source of the codes: the CommonErrors pages of both services, the PutMetricData and PutLogEvents pages and the
service models, read 2026-11-20; the throttling codes are those of botocore's retry tables and of the CloudWatch
agent. A request that fails with an unknown code is retried: data is dropped only where the service calls it invalid.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeVar

from sidecar.model.errors import DeliveryError

V = TypeVar("V")

MAX_LANES: Final = 2_000  # remembered; a lane's batches may be dropped without any of its requests succeeding again
MAX_REFUSALS: Final = 32  # over twice the 15 that halving takes to isolate the first of 10,000 elements


class Failure(Enum):
    """What a failed request calls for."""

    THROTTLE = "throttle"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    CREDENTIALS = "credentials"
    ACCESS_DENIED = "access_denied"
    MISSING_DESTINATION = "missing_destination"
    CLOCK_SKEW = "clock_skew"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    UNKNOWN = "unknown"


SLOW: Final = frozenset({Failure.CREDENTIALS, Failure.ACCESS_DENIED, Failure.MISSING_DESTINATION, Failure.CLOCK_SKEW})
"""Failures a person has to end: retried, but at the slowest pace."""

_CODES: Final[dict[str, Failure]] = {
    **dict.fromkeys(
        (
            *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
            *("RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown"),
            *("LimitExceeded", "LimitExceededException", "LimitExceededFault", "BandwidthLimitExceeded"),
            *("TooManyRequests", "EC2ThrottledException", "ProvisionedThroughputExceededException"),
            *("TransactionInProgressException", "PriorRequestNotComplete"),
        ),
        Failure.THROTTLE,
    ),
    **dict.fromkeys(
        (
            *("InternalServiceError", "InternalServiceFault", "InternalFailure", "InternalServerError"),
            *("ServiceUnavailable", "ServiceUnavailableException", "OperationAbortedException"),
        ),
        Failure.SERVER,
    ),
    "Network": Failure.NETWORK,
    "Timeout": Failure.TIMEOUT,
    "RequestTimeout": Failure.TIMEOUT,
    "RequestTimeoutException": Failure.TIMEOUT,
    **dict.fromkeys(
        (
            *("NoCredentials", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"),
            *("UnrecognizedClientException", "MissingAuthenticationToken", "InvalidSignatureException"),
            *("MissingAuthenticationTokenException", "IncompleteSignature", "InvalidAccessKeyId"),
            "SignatureDoesNotMatch",
        ),
        Failure.CREDENTIALS,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired", "UnauthorizedOperation"),
        Failure.ACCESS_DENIED,
    ),
    "ResourceNotFoundException": Failure.MISSING_DESTINATION,
    "RequestExpired": Failure.CLOCK_SKEW,
    "RequestTimeTooSkewed": Failure.CLOCK_SKEW,
    "RequestEntityTooLarge": Failure.TOO_LARGE,
    **dict.fromkeys(
        (
            *("InvalidParameterValue", "InvalidParameterValueException", "InvalidParameterException"),
            *("InvalidParameterCombination", "InvalidParameterCombinationException", "MissingParameter"),
            *("MissingRequiredParameterException", "ValidationError", "ValidationException"),
            *("InvalidFormat", "InvalidFormatFault", "SerializationException", "MalformedInput"),
        ),
        Failure.INVALID,
    ),
}

_ADVICE: Final[dict[Failure, str]] = {
    Failure.CREDENTIALS: "check the task role, the service account or AWS_* variables: these credentials do not work",
    Failure.ACCESS_DENIED: "grant the role cloudwatch:PutMetricData, logs:PutLogEvents, logs:CreateLogStream and "
    "logs:CreateLogGroup for what is configured",
    Failure.MISSING_DESTINATION: "create the log group and stream, or allow logs:CreateLogGroup and CreateLogStream",
    Failure.CLOCK_SKEW: "set the machine's clock: it differs from the service's by more than the service accepts",
    Failure.THROTTLE: "the service throttles requests: ask for a higher quota of the account and Region, "
    "or lengthen flush_seconds",
    Failure.NETWORK: "check the route to the endpoint: NAT, VPC endpoint, security group or deliver.endpoint_url",
    Failure.TIMEOUT: "the endpoint does not answer in time: check the route, or raise deliver.request_seconds",
}

# Advice for errors whose detail is more precise than their code: the first phrase found in it decides.
_ADVICE_BY_DETAIL: Final[tuple[tuple[Failure, str, str], ...]] = (
    (
        Failure.ACCESS_DENIED,
        "sts:AssumeRoleWithWebIdentity",
        "let the service account assume its role: correct the role's trust policy",
    ),
    (
        Failure.ACCESS_DENIED,
        "sts:AssumeRole",
        "let the credentials found assume deliver.role_arn: its trust policy, and sts:AssumeRole for them",
    ),
    (
        Failure.CREDENTIALS,
        "region",
        "set region, AWS_REGION or AWS_DEFAULT_REGION to the name of a region, such as eu-west-1",
    ),
    (
        Failure.NETWORK,
        "certificate",
        "the endpoint's TLS certificate is not trusted: set AWS_CA_BUNDLE, or correct deliver.endpoint_url",
    ),
    (
        Failure.NETWORK,
        "host name has no address",
        "check that the region exists, the host of deliver.endpoint_url, and DNS: the endpoint's name is not known",
    ),
    (Failure.NETWORK, "Too many open files", "raise the limit of open files (ulimit -n)"),
)

_SKEW: Final = ("signature expired", "signature not yet current", "request expired")
_MEMBER: Final = re.compile(r"MetricData\.member\.(\d{1,4})\b")


def classify(error: DeliveryError) -> Failure:
    """Decide what a failed request calls for, by its code, then by its status."""
    known = _CODES.get(error.code)
    if known is Failure.CREDENTIALS and error.detail.lower().startswith(_SKEW):
        return Failure.CLOCK_SKEW
    if known is not None:
        return known
    if error.status == 413:
        return Failure.TOO_LARGE
    if error.status == 429:
        return Failure.THROTTLE
    if error.status == 408:
        return Failure.TIMEOUT
    if error.status in (401, 403):
        return Failure.ACCESS_DENIED
    return Failure.SERVER if error.status >= 500 else Failure.UNKNOWN


def advice(failure: Failure, error: DeliveryError) -> str | None:
    """What a person can do about it, or None where waiting is all."""
    for kind, phrase, text in _ADVICE_BY_DETAIL:
        if failure is kind and phrase in error.detail:
            return text
    return _ADVICE.get(failure)


def culprits(error: DeliveryError, size: int) -> list[int]:
    """The indices (from 0) of the datums the message names, of a batch of `size`; empty where it names none.

    The service counts from 1: `MetricData.member.3.Timestamp`.
    """
    named = {int(number) - 1 for number in _MEMBER.findall(error.detail)}
    return sorted(index for index in named if 0 <= index < size)


class Backoff:
    """Full jitter: uniform between zero and a ceiling that doubles with each failure in a row.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
    """

    def __init__(self, base_seconds: float, max_seconds: float, uniform: Callable[[float, float], float]) -> None:
        """Take the first ceiling, the last one, and the source of randomness (`random.uniform`)."""
        self._base = base_seconds
        self._max = max_seconds
        self._uniform = uniform
        self._failures: dict[str, int] = {}  # {lane: failures in a row}, at most MAX_LANES

    def failures(self, lane: str) -> int:
        """How often requests of a lane have failed in a row."""
        return self._failures.get(lane, 0)

    def after(self, lane: str, failure: Failure, retry_after: float | None) -> float:
        """Seconds to wait after one more failure of a lane; the server's own hint is the least."""
        failures = self.failures(lane)
        _remember(self._failures, lane, failures + 1)
        if failure in SLOW:
            delay = self._uniform(self._max / 2, self._max)
        else:
            # 2^32 times any base is beyond any maximum: the exponent need not grow further.
            delay = self._uniform(0.0, min(self._max, self._base * 2 ** min(failures, 32)))
        return max(delay, retry_after or 0.0)

    def reset(self, lane: str) -> None:
        """A request of the lane succeeded."""
        self._failures.pop(lane, None)


class Refusals:
    """Tells requests with a few culprits in them, which are found by halving, from requests that are refused as a whole.

    Halving finds one culprit of n elements in 2*log2(n) requests, but where the cause is outside the elements (the
    destination, the credentials' account) it takes 2n - 1 to drop n. The culprits' batch shows itself soon: one of its
    parts succeeds. So a batch is given up when MAX_REFUSALS requests of its lane in a row were refused with the same
    message and none succeeded.
    """

    def __init__(self) -> None:
        """Start without refusals."""
        self._lanes: dict[str, tuple[str, int]] = {}  # {lane: (message, how often in a row)}, at most MAX_LANES

    def hopeless(self, lane: str, message: str) -> bool:
        """Count one more refusal; True where halving is not worth another request."""
        last, times = self._lanes.get(lane, (message, 0))
        times = times + 1 if last == message else 1
        _remember(self._lanes, lane, (message, times))
        return times > MAX_REFUSALS

    def reset(self, lane: str) -> None:
        """A request of the lane succeeded."""
        self._lanes.pop(lane, None)


def _remember(table: dict[str, V], lane: str, value: V) -> None:
    """Set a lane's value; beyond MAX_LANES the lane that was set longest ago starts over."""
    table.pop(lane, None)
    table[lane] = value
    if len(table) > MAX_LANES:
        del table[next(iter(table))]
