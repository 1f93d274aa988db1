"""Every error this package raises, and every reason for which it refuses or drops something.

Blame is in the type: `ConfigError` is the operator's, `DecodeError` the sender's, `DeliveryError`
the destination's. Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a sample or log event was refused or dropped: the label of `…_dropped_total{reason}`.

    The values are stable names: HTTP answers, counters and log lines carry them.
    """

    # The bytes could not be read.
    MALFORMED_LINE = "malformed_line"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    INVALID_CBOR = "invalid_cbor"
    INVALID_FORM = "invalid_form"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    # The numbers.
    INVALID_VALUE = "invalid_value"
    NOT_FINITE = "not_finite"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    INVALID_RATE = "invalid_rate"
    INVALID_COUNTS = "invalid_counts"
    INVALID_STATISTICS = "invalid_statistics"
    # The names.
    INVALID_NAME = "invalid_name"
    NAME_TOO_LONG = "name_too_long"
    INVALID_NAMESPACE = "invalid_namespace"
    INVALID_DIMENSION = "invalid_dimension"
    DIMENSION_TOO_LONG = "dimension_too_long"
    TOO_MANY_DIMENSIONS = "too_many_dimensions"
    TOO_MANY_SERIES = "too_many_series"
    MIXED_TAG_STYLES = "mixed_tag_styles"
    UNKNOWN_UNIT = "unknown_unit"
    INVALID_RESOLUTION = "invalid_resolution"
    # The time.
    INVALID_TIMESTAMP = "invalid_timestamp"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    # Log events.
    EMPTY_MESSAGE = "empty_message"
    TOO_MANY_ITEMS = "too_many_items"
    LINE_TOO_LONG = "line_too_long"
    # Rules of the configuration drop these on purpose: see ASKED_FOR.
    RULE = "rule"
    SAMPLED = "sampled"
    REDACTED = "redacted"
    # The request around it.
    REQUEST_REFUSED = "request_refused"
    # On the way out.
    MEMORY_FULL = "memory_full"
    SPOOL_FULL = "spool_full"
    SPOOL_DAMAGED = "spool_damaged"
    REJECTED = "rejected"
    REQUEST_TOO_LARGE = "request_too_large"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    INTERNAL_ERROR = "internal_error"


ASKED_FOR: Final = (Reason.RULE, Reason.SAMPLED, Reason.REDACTED)
"""Why something was dropped that rules of the configuration say to drop: no loss."""


class SidecarError(Exception):
    """The base class of every error below."""


class ConfigError(SidecarError):
    """Raised at start-up when the configuration cannot be used.

    Attributes:
        problems: every problem found, one sentence each: the path, what was given, what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DecodeError(SidecarError):
    """Raised when one line, item or document cannot become a sample or a log event.

    Attributes:
        reason: the stable label.
        detail: a sentence for the sender, naming the field.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DeliveryError(SidecarError):
    """Raised by a destination when a request did not succeed.

    Attributes:
        code: the service's error code, or one of ours: `Timeout`, `Network`, `NoCredentials`.
        status: the HTTP status, or 0 where there was no answer.
        detail: the message that came with it.
        retry_after: seconds the service asked us to wait, or None.
        ambiguous: True if the request may have been stored although it failed.
        operation: the operation that failed, where it is another than the destination's own; such as
            `CreateLogStream`, which has a quota of its own.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        ambiguous: bool = False,
        operation: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.ambiguous = ambiguous
        self.operation = operation


class BusyError(SidecarError):
    """Raised when a body does not fit into memory now; nothing of it was ingested. Becomes a 429.

    Attributes:
        retry_after: whole seconds after which to try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"memory is full, try again in {retry_after} s")
        self.retry_after = retry_after


class DrainingError(SidecarError):
    """Raised for a body that arrives when the drain has stopped ingestion; nothing of it was ingested."""


class TooManyItemsError(SidecarError):
    """Raised when a body has more items than one request may; nothing of it was ingested."""


class BodyTooLargeError(SidecarError):
    """Raised when a body is larger than any that is accepted; nothing of it was ingested."""


class UnsupportedError(SidecarError):
    """Raised when a body is of a type that the route does not accept."""


class EmptyBodyError(UnsupportedError):
    """Raised when a body has nothing in it."""


def drop_traceback(error: BaseException) -> None:
    """Drop the traceback of a handled error, and of those behind it.

    A traceback refers to frames, and these to their local variables: a body of megabytes, a batch. Where a frame refers
    to the error in turn, as the SDK's do, only a full garbage collection would free them, and full collections are rare.
    """
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and (one is error or one.__traceback__ is not None):
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]
            one.__cause__ = one.__context__ = None
