"""`sidecar health`: ask a running daemon whether it is alive. Imports a small part of the standard library only.

It starts every few seconds in every task: a bare socket and one request, since http.client alone would double its
duration. The two keys it needs are read from the configuration file line by line where they are written as in
`config/default.yaml`; only other files are parsed as YAML.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping

TIMEOUT_SECONDS = 2.0
MAX_BYTES = 1_048_576
KEYS = ("admin_host", "admin_port")
DEFAULT_HOST, DEFAULT_PORT = "localhost", "9127"
HOST, PORT = "SIDECAR_LISTEN__ADMIN_HOST", "SIDECAR_LISTEN__ADMIN_PORT"
USAGE = """Usage: sidecar health [--host HOST] [--port PORT] [--config FILE]

Exit 0 when the daemon answers /health, 1 when it does not. The address is that of listen.admin_host and
listen.admin_port: from the options, else SIDECAR_LISTEN__ADMIN_HOST and SIDECAR_LISTEN__ADMIN_PORT, else the
configuration file (--config or SIDECAR_CONFIG), else localhost:9127.
"""


def main(arguments: list[str]) -> int:
    """Run the check and return the exit status: 0 alive, 1 not, 2 unusable arguments."""
    if "--help" in arguments:
        _write(1, USAGE)
        return 0
    options = _options(arguments)
    if options is None or _port(options.get("--port", DEFAULT_PORT)) is None:
        _write(2, USAGE)
        return 2
    host, port = options.get("--host"), _port(options.get("--port", ""))
    if host is None or port is None:
        configured = listener(options.get("--config") or os.environ.get("SIDECAR_CONFIG"), os.environ)
        host = configured[0] if host is None else host
        port = configured[1] if port is None else port
    if port is None:
        _write(2, "listen.admin_port is null or not a port: there is nothing to ask\n")
        return 1
    if host in ("", "0.0.0.0", "::"):  # noqa: S104  # where it listens on every address, ask on loopback
        host = "localhost"
    try:
        answer = _ask(host, port)
    except (OSError, ValueError) as error:  # ValueError: not a host name
        _write(2, f"{host}:{port} does not answer: {error}\n")
        return 1
    if b" 200 " in answer[:16]:
        _write(1, "alive\n")
        return 0
    _write(2, f"{host}:{port} answers {answer[:80]!r}\n")
    return 1


def listener(path: str | None, environ: Mapping[str, str]) -> tuple[str, int | None]:
    """The address of the admin listener of a daemon with this configuration.

    A file that cannot be read or is not YAML is not refused: a daemon that started with an earlier version may be alive.

    Args:
        path: the configuration file, or None.
        environ: the environment, which overrides the file.

    Returns:
        The host, and the port or None where the listener is off.
    """
    written: Mapping[str, str] = {}
    if path and not (HOST in environ and PORT in environ):
        text = _text(path)
        scanned = _scanned(text, environ)
        written = _parsed(text, environ) if scanned is None else scanned
    host = environ.get(HOST, written.get("admin_host", DEFAULT_HOST))
    port = environ.get(PORT, written.get("admin_port", DEFAULT_PORT))
    return host, _port(port) or _yaml_port(port)


def _options(arguments: list[str]) -> dict[str, str] | None:
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in ("--host", "--port", "--config"):
            return None
        given = value if equals else next(rest, None)
        if given is None:
            return None
        options[name] = given
    return options


def _ask(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(1_024)


def _write(descriptor: int, text: str) -> None:
    """Write to a descriptor; errors are ignored, since the exit status is the result."""
    try:  # noqa: SIM105  # contextlib would be another import
        os.write(descriptor, text.encode(errors="backslashreplace"))
    except OSError:
        pass


def _port(text: str) -> int | None:
    """Read a port written as decimal digits; None for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and text[0] != "0":
        port = int(text)
        return port if port <= 65_535 else None
    return None


def _yaml_port(text: str) -> int | None:
    """Read a port as YAML, such as 0x23a7; None where there is none."""
    if text in ("", "null"):
        return None
    from sidecar.config.file import parse
    from sidecar.model.errors import ConfigError

    try:
        port = parse(text)
    except ConfigError:
        return None
    return port if type(port) is int and 1 <= port <= 65_535 else None


def _text(path: str) -> str:
    """The configuration file; empty where it cannot be read, or is a pipe, which only the daemon may read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # pathlib would take a third of the time
            return ""
        with open(path, "rb") as file:  # noqa: PTH123  # likewise
            return file.read(MAX_BYTES).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _scanned(text: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """Read the two keys line by line; None where the result might differ from YAML's.

    They must be written as `key: value`, indented like the first key below a line `listen:`, and no quoted text may span
    several lines. A file without backslashes cannot contain the keys in an escaped form.
    """
    found: dict[str, str] = {}
    if not any(key in text for key in KEYS) and not ("\\" in text and '"' in text):
        return found
    sections, within, indent = 0, False, -1
    for line in text.splitlines():
        code = line.partition(" #")[0].rstrip()
        start = code.lstrip()
        if not start or start[0] == "#":
            continue
        if code.count('"') % 2 or code.count("'") % 2 or ("\\" in code and '"' in code):
            return None
        if start == code:
            within = code == "listen:"
            sections += within
            indent = -1
        elif indent < 0:
            indent = len(code) - len(start)
        if not any(key in code for key in KEYS):
            continue
        key, _, value = start.partition(": ")
        filled = _value(value.strip(), environ)
        if not within or key not in KEYS or key in found or filled is None or len(code) - len(start) != indent:
            return None
        found[key] = filled
    return found if sections <= 1 else None


def _value(text: str, environ: Mapping[str, str]) -> str | None:
    """Read a scalar that is a host, a port or one variable, quoted or not; None for anything else."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    elif ":" in text and not text.startswith("${"):
        return None
    if text.startswith("${") and text.endswith("}"):
        name, default, otherwise = text[2:-1].partition(":-")
        if not (name.isascii() and name.isidentifier()) or any(mark in otherwise for mark in "{}$"):
            return None
        found = environ.get(name) or (otherwise if default else None)
        return None if found is None or name in KEYS else found
    plain = text.replace(".", "").replace("-", "").replace(":", "")
    return text if plain.isascii() and plain.isalnum() else None


def _parsed(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the two keys as the daemon does; in a file that is not YAML they are searched for line by line."""
    from sidecar.config.file import fill, parse
    from sidecar.model.errors import ConfigError

    try:
        data = parse(text)
    except ConfigError:
        lines = [line.partition(":") for line in text.splitlines()]
        return {key.strip(): value.partition("#")[0].strip("'\" ") for key, _, value in lines if key.strip() in KEYS}
    section = data.get("listen") if isinstance(data, dict) else None
    values = {key: section[key] for key in KEYS if key in section} if isinstance(section, dict) else {}
    return {
        key: fill(value, environ)[0] if isinstance(value, str) else "" if value is None else str(value)
        for key, value in values.items()
    }
