"""What a failed request means, which datums the service names, and how long to wait."""

from __future__ import annotations

from typing import Final

import botocore.session
import pytest
from botocore.retries.standard import ThrottledRetryableChecker
from hypothesis import given
from hypothesis import strategies as st

from sidecar.deliver.retry import (
    _CODES,
    MAX_LANES,
    MAX_REFUSALS,
    SLOW,
    Backoff,
    Failure,
    Refusals,
    advice,
    classify,
    culprits,
)
from sidecar.model.errors import DeliveryError

OPERATIONS: Final = {
    "cloudwatch": ["PutMetricData"],
    "logs": ["PutLogEvents", "CreateLogStream", "CreateLogGroup", "PutRetentionPolicy"],
}
SLOW_ONES: Final = [failure for failure in Failure if failure in SLOW]  # in a stable order
BY_CODE: Final = [
    ("Throttling", 400, Failure.THROTTLE),
    ("ThrottlingException", 400, Failure.THROTTLE),
    ("RequestLimitExceeded", 400, Failure.THROTTLE),
    ("LimitExceededException", 400, Failure.THROTTLE),
    ("TooManyRequestsException", 429, Failure.THROTTLE),
    ("InternalServiceError", 500, Failure.SERVER),
    ("InternalServiceFault", 500, Failure.SERVER),
    ("InternalFailure", 500, Failure.SERVER),
    ("ServiceUnavailable", 503, Failure.SERVER),
    ("ServiceUnavailableException", 503, Failure.SERVER),
    ("OperationAbortedException", 400, Failure.SERVER),
    ("Network", 0, Failure.NETWORK),
    ("Timeout", 0, Failure.TIMEOUT),
    ("RequestTimeout", 400, Failure.TIMEOUT),
    ("NoCredentials", 0, Failure.CREDENTIALS),
    ("ExpiredToken", 403, Failure.CREDENTIALS),
    ("ExpiredTokenException", 400, Failure.CREDENTIALS),
    ("InvalidClientTokenId", 403, Failure.CREDENTIALS),
    ("UnrecognizedClientException", 400, Failure.CREDENTIALS),
    ("SignatureDoesNotMatch", 403, Failure.CREDENTIALS),
    ("AccessDenied", 403, Failure.ACCESS_DENIED),
    ("AccessDeniedException", 400, Failure.ACCESS_DENIED),
    ("NotAuthorized", 400, Failure.ACCESS_DENIED),
    ("ResourceNotFoundException", 400, Failure.MISSING_DESTINATION),
    ("RequestExpired", 400, Failure.CLOCK_SKEW),
    ("RequestTimeTooSkewed", 403, Failure.CLOCK_SKEW),
    ("RequestEntityTooLarge", 413, Failure.TOO_LARGE),
    ("InvalidParameterValue", 400, Failure.INVALID),
    ("InvalidParameterValueException", 400, Failure.INVALID),
    ("InvalidParameterException", 400, Failure.INVALID),
    ("InvalidParameterCombination", 400, Failure.INVALID),
    ("MissingParameter", 400, Failure.INVALID),
    ("MissingRequiredParameterException", 400, Failure.INVALID),
    ("ValidationError", 400, Failure.INVALID),
    ("ValidationException", 400, Failure.INVALID),
    ("InvalidParameterCombinationException", 400, Failure.INVALID),
    ("InvalidFormat", 400, Failure.INVALID),
    ("InvalidFormatFault", 400, Failure.INVALID),
    ("SerializationException", 400, Failure.INVALID),
    ("MalformedInput", 400, Failure.INVALID),
    ("ThrottledException", 400, Failure.THROTTLE),
    ("RequestThrottled", 400, Failure.THROTTLE),
    ("RequestThrottledException", 400, Failure.THROTTLE),
    ("SlowDown", 503, Failure.THROTTLE),
    ("LimitExceeded", 400, Failure.THROTTLE),
    ("LimitExceededFault", 400, Failure.THROTTLE),
    ("BandwidthLimitExceeded", 400, Failure.THROTTLE),
    ("TooManyRequests", 429, Failure.THROTTLE),
    ("EC2ThrottledException", 400, Failure.THROTTLE),
    ("ProvisionedThroughputExceededException", 400, Failure.THROTTLE),
    ("TransactionInProgressException", 400, Failure.THROTTLE),
    ("PriorRequestNotComplete", 400, Failure.THROTTLE),
    ("InternalServerError", 500, Failure.SERVER),
    ("RequestTimeoutException", 400, Failure.TIMEOUT),
    ("MissingAuthenticationToken", 403, Failure.CREDENTIALS),
    ("MissingAuthenticationTokenException", 403, Failure.CREDENTIALS),
    ("InvalidSignatureException", 403, Failure.CREDENTIALS),
    ("IncompleteSignature", 400, Failure.CREDENTIALS),
    ("InvalidAccessKeyId", 403, Failure.CREDENTIALS),
    ("OptInRequired", 403, Failure.ACCESS_DENIED),
    ("UnauthorizedOperation", 403, Failure.ACCESS_DENIED),
]
BY_STATUS: Final = [
    (413, Failure.TOO_LARGE),
    (429, Failure.THROTTLE),
    (408, Failure.TIMEOUT),
    (401, Failure.ACCESS_DENIED),
    (403, Failure.ACCESS_DENIED),
    (500, Failure.SERVER),
    (502, Failure.SERVER),
    (504, Failure.SERVER),
    (400, Failure.UNKNOWN),
    (200, Failure.UNKNOWN),
    (0, Failure.UNKNOWN),
]


UNCLASSIFIED: Final = {
    "InvalidSequenceTokenException",  # no longer returned
    "DataAlreadyAcceptedException",  # no longer returned
    "ResourceAlreadyExistsException",  # of the creating operations: success, decided where they are called
}


def throttling_codes() -> set[str]:
    """The union of the throttling codes the SDK has seen of any service."""
    return set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)


def modelled_errors() -> set[tuple[str, int]]:
    """Every error in the models of the operations we use: (code on the wire, status), and its legacy code."""
    session, errors = botocore.session.get_session(), set()
    for service, operations in OPERATIONS.items():
        model = session.get_service_model(service)
        for operation in operations:
            for shape in model.operation_model(operation).error_shapes:
                legacy = shape.metadata.get("error") or {}
                status = int(legacy.get("httpStatusCode", 400))
                errors |= {(shape.name, status), (str(legacy.get("code", shape.name)), status)}
    return errors


@pytest.mark.parametrize(("code", "status", "expected"), BY_CODE)
def test_a_known_code_decides(code: str, status: int, expected: Failure) -> None:
    assert classify(DeliveryError(code, "told", status=status)) is expected


@pytest.mark.parametrize(("status", "expected"), BY_STATUS)
def test_the_status_decides_where_the_code_is_not_known(status: int, expected: Failure) -> None:
    assert classify(DeliveryError("SomethingNew", "told", status=status)) is expected


@pytest.mark.parametrize(
    "detail",
    [
        "Signature expired: 20261120T100000Z is now earlier than 20261120T101000Z",
        "Signature not yet current: 20261120T102000Z is still later than 20261120T101500Z",
    ],
)
def test_a_signature_out_of_time_is_the_clock_and_not_the_credentials(detail: str) -> None:
    assert classify(DeliveryError("InvalidSignatureException", detail, status=403)) is Failure.CLOCK_SKEW
    assert classify(DeliveryError("SignatureDoesNotMatch", detail, status=403)) is Failure.CLOCK_SKEW


def test_the_table_above_has_every_code() -> None:
    assert sorted(code for code, _, _ in BY_CODE) == sorted(_CODES)


@pytest.mark.parametrize("code", sorted(throttling_codes()))
def test_what_the_sdk_calls_throttling_is_throttling(code: str) -> None:
    assert classify(DeliveryError(code, "Rate exceeded", status=400)) is Failure.THROTTLE


@pytest.mark.parametrize(("code", "status"), sorted(modelled_errors()))
def test_every_error_of_the_service_models_is_classified(code: str, status: int) -> None:
    assert code in _CODES or code in UNCLASSIFIED
    failure = classify(DeliveryError(code, "", status=status))
    assert failure is not Failure.INVALID or code.startswith(("InvalidParameter", "Missing"))


@given(
    st.one_of(
        st.text(max_size=30), st.from_regex(r"(Invalid|Malformed|Missing|Validation)[A-Za-z]{0,20}", fullmatch=True)
    ),
    st.integers(0, 599),
)
def test_only_what_the_service_calls_invalid_is_given_up(code: str, status: int) -> None:
    """An error nobody has seen before never costs data, however it is named."""
    if code not in _CODES:
        assert classify(DeliveryError(code, "", status=status)) is not Failure.INVALID


@pytest.mark.parametrize("failure", SLOW_ONES)
def test_what_a_person_has_to_end_says_what_to_do(failure: Failure) -> None:
    assert advice(failure, DeliveryError("Any", "detail"))


def test_what_passes_by_itself_gives_no_advice() -> None:
    assert advice(Failure.SERVER, DeliveryError("Any", "detail")) is None


@pytest.mark.parametrize(
    ("detail", "size", "expected"),
    [
        ("The parameter MetricData.member.3.Timestamp must specify a time within the past two weeks.", 5, [2]),
        ("MetricData.member.1.Value is invalid. MetricData.member.2.Value is invalid.", 2, [0, 1]),
        ("MetricData.member.2.Dimensions.member.1.Name, MetricData.member.2.Unit", 3, [1]),
        ("MetricData.member.1000.Value", 1_000, [999]),
        ("MetricData.member.1001.Value", 1_000, []),
        ("MetricData.member.0.Value", 3, []),
        ("MetricData.member.12345678901234567890.Value", 3, []),
        ("the namespace is invalid", 3, []),
        ("", 3, []),
    ],
)
def test_culprits_are_the_datums_the_message_names(detail: str, size: int, expected: list[int]) -> None:
    assert culprits(DeliveryError("InvalidParameterValue", detail, status=400), size) == expected


def highest(_low: float, high: float) -> float:
    return high


def lowest(low: float, _high: float) -> float:
    return low


def test_the_ceiling_doubles_to_its_maximum() -> None:
    backoff = Backoff(0.2, 20.0, highest)

    assert [backoff.after("a", Failure.SERVER, None) for _ in range(9)] == [
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        20.0,
        20.0,
    ]


def test_jitter_is_full() -> None:
    assert Backoff(0.2, 20.0, lowest).after("a", Failure.NETWORK, None) == 0.0


def test_a_thousand_failures_in_a_row_overflow_nothing() -> None:
    backoff = Backoff(0.2, 20.0, highest)

    assert {backoff.after("a", Failure.TIMEOUT, None) for _ in range(2_000)} <= {
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        20.0,
    }


def test_lanes_fail_on_their_own_and_success_starts_over() -> None:
    backoff = Backoff(0.2, 20.0, highest)
    backoff.after("a", Failure.SERVER, None)
    assert backoff.after("b", Failure.SERVER, None) == 0.2
    assert backoff.after("a", Failure.SERVER, None) == 0.4
    backoff.reset("a")
    backoff.reset("never failed")

    assert backoff.after("a", Failure.SERVER, None) == 0.2
    assert backoff.after("b", Failure.SERVER, None) == 0.4


@pytest.mark.parametrize("failure", SLOW_ONES)
def test_what_a_person_has_to_end_is_retried_slowly_from_the_first(failure: Failure) -> None:
    assert Backoff(0.2, 20.0, lowest).after("a", failure, None) == 10.0
    assert Backoff(0.2, 20.0, highest).after("a", failure, None) == 20.0


@pytest.mark.parametrize(("hint", "expected"), [(None, 0.2), (0.0, 0.2), (0.1, 0.2), (3.0, 3.0), (60.0, 60.0)])
def test_the_services_own_hint_is_the_least(hint: float | None, expected: float) -> None:
    assert Backoff(0.2, 20.0, highest).after("a", Failure.THROTTLE, hint) == expected


def test_lanes_that_never_succeed_again_are_forgotten() -> None:
    """A lane's batches may be pushed out of memory: then no success ever comes to forget the lane by."""
    backoff, refusals = Backoff(0.2, 20.0, highest), Refusals()
    for number in range(3 * MAX_LANES):
        backoff.after(f"lane {number}", Failure.SERVER, None)
        backoff.after("busy", Failure.SERVER, None)
        refusals.hopeless(f"lane {number}", "refused")

    assert len(backoff._failures) == len(refusals._lanes) == MAX_LANES
    assert backoff.failures("busy") == 3 * MAX_LANES
    assert backoff.failures("lane 0") == 0


def test_refusals_in_the_same_words_become_hopeless_until_a_request_succeeds() -> None:
    refusals = Refusals()

    assert not any(refusals.hopeless("a", "refused") for _ in range(MAX_REFUSALS))
    assert refusals.hopeless("a", "refused")
    assert not refusals.hopeless("b", "refused")
    assert not refusals.hopeless("a", "refused otherwise")
    assert not any(refusals.hopeless("a", "refused") for _ in range(MAX_REFUSALS))
    refusals.reset("a")
    refusals.reset("never refused")
    assert not refusals.hopeless("a", "refused")
