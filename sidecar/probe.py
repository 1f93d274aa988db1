"""`sidecar health`: ask a running daemon whether it is alive. Standard library only, and little of it.

A bare socket and one request: http.client alone would double the time this takes.
"""

from __future__ import annotations

import os
import socket
import sys

TIMEOUT_SECONDS = 2.0
DEFAULT_HOST, DEFAULT_PORT = "localhost", "9127"
USAGE = """Usage: sidecar health [--host HOST] [--port PORT] [--config FILE]

Exit 0 when the daemon answers /health, 1 when it does not. The address is that of listen.admin_host and
listen.admin_port: from the options, else SIDECAR_LISTEN__ADMIN_HOST and SIDECAR_LISTEN__ADMIN_PORT, else the
configuration file (--config or SIDECAR_CONFIG), else localhost:9127.
"""


def main(arguments: list[str]) -> int:
    """Run the check and return the exit status: 0 alive, 1 not, 2 unusable arguments."""
    if "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or set(options) - {"--host", "--port", "--config"}:
        sys.stderr.write(USAGE)
        return 2
    written = _written(options.get("--config") or os.environ.get("SIDECAR_CONFIG"))
    host = (
        options.get("--host")
        or os.environ.get("SIDECAR_LISTEN__ADMIN_HOST")
        or written.get("admin_host")
        or DEFAULT_HOST
    )
    port = (
        options.get("--port")
        or os.environ.get("SIDECAR_LISTEN__ADMIN_PORT")
        or written.get("admin_port")
        or DEFAULT_PORT
    )
    if not port.isdigit():
        sys.stderr.write(f"the admin port is {port!r}: there is nothing to ask\n")
        return 1
    if host in ("0.0.0.0", "::"):  # noqa: S104  # where it listens on every address, ask on this machine's own
        host = "localhost"
    try:
        answer = _ask(host, int(port))
    except OSError as error:
        sys.stderr.write(f"{host}:{port} does not answer: {error}\n")
        return 1
    if b" 200 " in answer[:16]:
        sys.stdout.write("alive\n")
        return 0
    sys.stderr.write(f"{host}:{port} answers {answer[:80]!r}\n")
    return 1


def _ask(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(1_024)


def _written(path: str | None) -> dict[str, str]:
    """The two keys out of a configuration file, without a YAML parser: they are lines of their own."""
    found: dict[str, str] = {}
    if path:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123  # pathlib would cost a third of the time
                lines = file.read(1_048_576).splitlines()
        except OSError:
            return found
        for line in lines:
            key, colon, value = line.strip().partition(":")
            if colon and key in ("admin_host", "admin_port"):
                value = value.split(" #")[0].strip().strip("\"'")
                if value.startswith("${") and value.endswith("}"):
                    name, _, otherwise = value[2:-1].partition(":-")
                    value = os.environ.get(name) or otherwise
                found[key] = value
    return found
