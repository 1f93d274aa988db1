"""Requests that foreign web pages cause: a listener on a loopback address refuses them. Pure.

A web page anywhere can have a browser send a simple POST to localhost (the browser names the page in `Origin`),
and by DNS rebinding can read what localhost answers (the browser names the page's host in `Host`).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from multidict import CIMultiDictProxy

CACHED_HOSTS: Final = 64  # Host headers found to be local; a client sends the same one every time
SHOWN_CHARACTERS: Final = 100


class HostCheck:
    """Distinguishes requests of local programs from those that a foreign web page caused."""

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        """Allow these host names, without a port, besides loopback names and addresses."""
        self._allowed = {host.lower().rstrip(".").strip("[]") for host in allowed_hosts}
        self._local_hosts: set[str] = set()

    def problem(self, headers: CIMultiDictProxy[str]) -> str | None:
        """Why a request is refused, a sentence; None if it is not. A request without Host (HTTP/1.0) is accepted."""
        host = headers.get("Host")
        if host is not None and host not in self._local_hosts:
            hosts = headers.getall("Host")
            if len(hosts) > 1 or not self._local(f"//{host}"):
                return (
                    f"the Host {host[:SHOWN_CHARACTERS]!r} is no loopback name or address, nor in listen.allowed_hosts"
                )
            if len(self._local_hosts) < CACHED_HOSTS:
                self._local_hosts.add(host)
        if "Origin" in headers:
            for origin in headers.getall("Origin"):
                if not self._local(origin):
                    return f"the Origin {origin[:SHOWN_CHARACTERS]!r} is foreign, and not in listen.allowed_hosts"
        return None

    def _local(self, url: str) -> bool:
        try:
            name = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return False
        return is_loopback(name) or name in self._allowed


def is_loopback(host: str) -> bool:
    """True if a host is `localhost`, a name below it (RFC 6761), or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
