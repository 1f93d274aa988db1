"""Signature Version 4: what of it is checked.  Headers and body in, access key out.

Always: the header is there and has its parts, it is scoped to the right service, and the
headers that must be signed are.  With a secret key, also the signature itself.

Source: "Signature Version 4 signing process" and "Common Errors" (AWS General Reference).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .errors import ServiceError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
# SigV4 wants host and every x-amz-* header signed; content-encoding, because the service
# must not inflate what a middleman declared compressed.
_MUST_BE_SIGNED: Final = ("host", "x-amz-date", "x-amz-target", "x-amz-security-token", "content-encoding")
_HEADER: Final = re.compile(
    ALGORITHM + r" Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature covers.  Header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def check_signature(request: SignedRequest, service: str, secret_access_key: str | None = None) -> str:
    """Check how a request is signed.

    Args:
        request: as received, the body still compressed.
        service: the name it must be scoped to, `monitoring` or `logs`.
        secret_access_key: verify the signature with it; None takes any signature.

    Returns:
        The access key id.

    Raises:
        ServiceError: `MissingAuthenticationTokenException`, `IncompleteSignatureException`
            or `InvalidSignatureException`.
    """
    header = request.headers.get("authorization")
    if header is None:
        raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", status=403)
    match = _HEADER.fullmatch(header)
    if match is None or "x-amz-date" not in request.headers:
        message = "Authorization header requires 'Credential', 'SignedHeaders', 'Signature' and 'X-Amz-Date'."
        raise ServiceError("IncompleteSignatureException", message)
    if match["service"] != service:
        raise _invalid(f"Credential should be scoped to correct service: '{service}'.")
    signed = match["headers"].split(";")
    for name in _MUST_BE_SIGNED:
        if name in request.headers and name not in signed:
            raise _invalid(f"'{name}' must be a signed header")
    if secret_access_key is not None and not hmac.compare_digest(
        match["signature"],
        _signature(request, match, signed, secret_access_key),
    ):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS "
            "Secret Access Key and signing method. Consult the service documentation for details.",
        )
    return match["key"]


def _signature(request: SignedRequest, match: re.Match[str], signed: list[str], secret: str) -> str:
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed)
    digest = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, request.path, request.query, headers, ";".join(signed), digest])
    scope = f"{match['date']}/{match['region']}/{match['service']}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([ALGORITHM, request.headers["x-amz-date"], scope, hashed])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidSignatureException", message, status=403)
