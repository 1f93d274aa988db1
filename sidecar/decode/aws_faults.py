"""What an AWS call is refused with: the error names of CloudWatch and CloudWatch Logs, and their wording. Pure.

The names are those SDKs make typed exceptions of. CloudWatch has two for the same: the shape's, and that of its older
query protocol, which SDKs show as the code.
Sources: the service models of CloudWatch (2010-08-01) and CloudWatch Logs (2014-03-28); the "Common errors" pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from sidecar.model.errors import DecodeError, Reason

SHOWN: Final = 10  # of the elements that were refused, as many are described in one message


class Service(Enum):
    """The services whose calls are understood; the values are the names that requests are signed for."""

    METRICS = "monitoring"
    LOGS = "logs"


class Fault(NamedTuple):
    """An error as an AWS service would answer with.

    Attributes:
        code: its name in the JSON and CBOR protocols.
        message: a sentence for the caller.
        status: HTTP.
        query_code: its name in the query protocol; None: the same.
    """

    code: str
    message: str
    status: int = 400
    query_code: str | None = None


def invalid(service: Service | None, message: str) -> Fault:
    """A parameter has a value that is not taken."""
    if service is Service.LOGS:
        return Fault("InvalidParameterException", message)
    return Fault("InvalidParameterValueException", message, 400, "InvalidParameterValue")


def missing(service: Service | None, parameter: str) -> Fault:
    """A required parameter is missing."""
    if service is Service.LOGS:
        return constraint(parameter, None, "Member must not be null")
    message = f"The parameter {parameter} is required."
    return Fault("MissingRequiredParameterException", message, 400, "MissingParameter")


def constraint(parameter: str, value: object, rule: str) -> Fault:
    """A parameter of CloudWatch Logs breaks a rule, worded as the service does."""
    shown = "null" if value is None else ascii(value)[:80].strip("'\"")
    message = f"1 validation error detected: Value '{shown}' at '{parameter}' failed to satisfy constraint: {rule}"
    return Fault("InvalidParameterException", message)


def throttled(message: str = "Rate exceeded") -> Fault:
    """Not now: SDKs try again by themselves, after a pause."""
    return Fault("ThrottlingException", message, 400, "Throttling")


def unavailable(message: str) -> Fault:
    """Not here and now: SDKs try again by themselves, a few times."""
    return Fault("ServiceUnavailableException", message, 503, "ServiceUnavailable")


def already_exists(what: str) -> Fault:
    """A group or stream that is to be created exists; `what` is "log group" or "log stream"."""
    return Fault("ResourceAlreadyExistsException", f"The specified {what} already exists")


def too_large(message: str) -> Fault:
    """The body is larger than is taken."""
    return Fault("RequestEntityTooLarge", message, 413)


def unreadable(message: str) -> Fault:
    """The body is not what its protocol has."""
    return Fault("SerializationException", message, 400, "MalformedInput")


def unknown_operation(service: Service | None, operation: str, answered: Iterable[str]) -> Fault:
    """An operation that the sidecar does not answer.

    Args:
        service: whose it is; None: neither of the two.
        operation: its name.
        answered: those of the service that are answered.
    """
    shown = ascii(operation[:100]).strip("'")
    if service is None:
        advice = (
            "is not an operation of CloudWatch or CloudWatch Logs. AWS_ENDPOINT_URL sends the calls of every service "
            "to the sidecar; set AWS_ENDPOINT_URL_CLOUDWATCH and AWS_ENDPOINT_URL_CLOUDWATCH_LOGS in its place"
        )
    else:
        advice = (
            f"is not answered by the sidecar, which takes {', '.join(answered)}. Call it with a client that has the "
            "service's own endpoint (endpoint_url), or list it in aws.pass_through"
        )
    return Fault("UnknownOperationException", f"{shown} {advice}.", 400, "InvalidAction")


def of_error(service: Service | None, error: DecodeError) -> Fault:
    """The error for a whole request that could not be read."""
    if error.reason in (Reason.INVALID_JSON, Reason.INVALID_CBOR, Reason.INVALID_FORM, Reason.INVALID_UTF8):
        return unreadable(error.detail)
    if error.reason is Reason.REQUEST_TOO_LARGE:
        return too_large(error.detail)
    return invalid(service, error.detail)


def of_elements(service: Service, rejected: Iterable[tuple[str, str]], total: int) -> Fault:
    """The error for a request of which no element could be taken.

    Args:
        service: whose it is.
        rejected: the path of each (`MetricData.member.3`) and what is wrong with it; the first ten are named.
        total: how many there are.
    """
    lines = [f"The value for parameter {path} is invalid: {detail}" for path, detail in rejected][:SHOWN]
    if total > len(lines):
        lines.append(f"{total - len(lines)} more are invalid.")
    return invalid(service, "\n".join(lines))
