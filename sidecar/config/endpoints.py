"""Endpoint variables of AWS SDKs that lead back to the sidecar: set for the application, and inherited by it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sidecar.config.schema import Listen
from sidecar.runtime.http_hosts import is_loopback

VARIABLES: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")


def own_endpoints(environ: Mapping[str, str], listen: Listen) -> list[str]:
    """The variables whose URL is the ingest listener: with them the sidecar would deliver to itself."""
    return [name for name in VARIABLES if _is_own(environ.get(name, ""), listen.http_port)]


def _is_own(text: str, http_port: int | None) -> bool:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        return False
    return host is not None and port is not None and port == http_port and is_loopback(host)
