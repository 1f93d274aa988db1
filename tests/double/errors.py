"""Refusals: how the double says no.  No sockets, no state.

A `ServiceError` becomes an HTTP answer, a `ConnectionCut` becomes a TCP reset.
The pairs of error names come from the `awsQueryCompatible` trait of the CloudWatch
model: a client that sends `x-amzn-query-mode: true` is told the name of the old query
protocol in `x-amzn-query-error`, and SDKs show that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# {name on the JSON wire: name in the query protocol}.  The first four are in the service
# model (shape -> error.code); the others are the "Common Errors" pages of the JSON and
# of the query services, which have a name each for the same thing.
LEGACY_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "InvalidParameterValueException": "InvalidParameterValue",
        "MissingRequiredParameterException": "MissingParameter",
        "InvalidParameterCombinationException": "InvalidParameterCombination",
        "InternalServiceFault": "InternalServiceError",
        "ThrottlingException": "Throttling",
        "ServiceUnavailableException": "ServiceUnavailable",
        "AccessDeniedException": "AccessDenied",
        "ExpiredTokenException": "ExpiredToken",
        "UnrecognizedClientException": "InvalidClientTokenId",
        "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        "IncompleteSignatureException": "IncompleteSignature",
        "InvalidSignatureException": "SignatureDoesNotMatch",
    }
)


class DoubleError(Exception):
    """Base of everything the double raises on purpose."""


class ServiceError(DoubleError):
    """Raised when a request is answered with an AWS error.

    Args:
        code: the name on the JSON wire, e.g. `ThrottlingException`.
        message: the text a person reads.
        status: HTTP status; 400 to 499 blames the sender, 500 up the service.
        headers: further response headers, e.g. `Retry-After`.
        body: sent in place of the JSON document (a proxy's HTML page, say).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers: dict[str, str] = dict(headers or {})
        self.body = body

    @property
    def legacy_code(self) -> str:
        """The name the query protocol had for it; its own name if it had none."""
        return LEGACY_CODES.get(self.code, self.code)

    @property
    def blame(self) -> str:
        """`Sender` or `Receiver`, the second half of `x-amzn-query-error`."""
        return "Sender" if self.status < 500 else "Receiver"


class ConnectionCut(DoubleError):  # noqa: N818 - it is an order, not a mistake
    """Raised to end the connection with a TCP reset in place of an answer."""


class PercentileUnavailableError(DoubleError):
    """Raised when CloudWatch would show no percentile for the data it has."""


class DoubleTimeoutError(DoubleError, TimeoutError):
    """Raised when what a test waited for did not come about in time."""
