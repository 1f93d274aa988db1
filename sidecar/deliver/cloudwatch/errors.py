"""Errors of the SDK as `DeliveryError`.

Imported together with the SDK, before the first request: an import while an error is handled would need file
descriptors, and having none may be that very error.
"""

from __future__ import annotations

import errno
import re
import socket
from typing import Final

from aiohttp import ClientConnectorError
from botocore import exceptions as sdk

from sidecar.model.errors import DeliveryError

MESSAGE_CHARACTERS: Final = 500
_TOKEN: Final = re.compile(r"(?i)(x-amz-security-token\W{1,3})[^\s'\",;&]+")
_CREDENTIALS: Final = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.UnauthorizedSSOTokenError,
    sdk.SSOTokenLoadError,
    sdk.ConfigNotFound,
    sdk.ProfileNotFound,
)
_SET_REGION: Final = "set region, AWS_REGION or AWS_DEFAULT_REGION"


def translate(error: Exception, *, sent: bool) -> DeliveryError:
    """Translate any error of a call; the SDK raises what it does not expect of an answer as it comes.

    Args:
        error: what was raised.
        sent: whether the request may have left this process by then.
    """
    if isinstance(error, DeliveryError):
        return error
    if isinstance(error, sdk.ClientError):
        return _answered(error)
    message = clean(str(error))
    if isinstance(error, _CREDENTIALS):
        return DeliveryError("NoCredentials", message)
    if isinstance(error, sdk.NoRegionError):
        return DeliveryError("NoCredentials", f"no region is known: {_SET_REGION}")
    if isinstance(error, sdk.InvalidRegionError) or (isinstance(error, ValueError) and "Invalid endpoint" in message):
        return DeliveryError("NoCredentials", f"{message}: {_SET_REGION}")
    if isinstance(error, sdk.ReadTimeoutError):
        return DeliveryError("Timeout", message, ambiguous=True)
    if isinstance(error, sdk.ConnectTimeoutError | sdk.ProxyConnectionError):
        return DeliveryError("Network", message)
    if isinstance(error, sdk.EndpointConnectionError | sdk.SSLError):
        # aiobotocore 3.10 raises the same for a connection that was never established and for one that was reset.
        cause = error.kwargs.get("error")
        never_established = isinstance(cause, ClientConnectorError | socket.gaierror)
        return DeliveryError("Network", clean(f"{error} {_reason(cause)}"), ambiguous=not never_established)
    if isinstance(error, sdk.HTTPClientError):
        # The connection broke after it was established: whether the request was stored is unknown.
        cause = error.kwargs.get("error")
        no_descriptor = isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE)
        return DeliveryError("Network", message, ambiguous=not no_descriptor)
    if isinstance(error, OSError):
        return DeliveryError("Network", message, ambiguous=sent)
    if isinstance(error, sdk.BotoCoreError):
        return DeliveryError("Unknown", message)
    return DeliveryError("Unknown", clean(f"{type(error).__name__}: {error}"), ambiguous=sent)


def clean(text: str) -> str:
    """Make a message fit for a log line and `/ready`: short, without a session token the service quotes back."""
    return _TOKEN.sub(r"\1[redacted]", text)[:MESSAGE_CHARACTERS]


def _answered(error: sdk.ClientError) -> DeliveryError:
    metadata = error.response.get("ResponseMetadata", {})
    detail = error.response.get("Error", {})
    return DeliveryError(
        str(detail.get("Code", "Unknown"))[:100],
        clean(str(detail.get("Message", error))),
        status=int(metadata.get("HTTPStatusCode", 0)),
        retry_after=_seconds(metadata.get("HTTPHeaders", {}).get("retry-after")),
    )


def _reason(cause: object) -> str:
    """Why there is no connection, which the SDK's own message leaves out."""
    if isinstance(cause, ClientConnectorError):
        cause = cause.os_error
    if isinstance(cause, socket.gaierror):
        return "(the host name has no address)"
    return f"({cause})" if cause is not None else ""


def _seconds(text: str | None) -> float | None:
    """A Retry-After header in seconds; its date form is not used by these services."""
    usable = text is not None and text.isascii() and text.isdigit() and len(text) < 6
    return min(float(text or 0), 3_600.0) if usable else None
