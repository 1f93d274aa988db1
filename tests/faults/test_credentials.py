"""The daemon whose requests cannot work until a person does something: it says what, and costs no memory."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.double import FOREVER, SECRET_ACCESS_KEY, ThreadedCloudWatchDouble, access_denied
from tests.support.daemon import AWS, Daemon

Start = Callable[..., Daemon]
MEGABYTE: Final = 1_048_576
FLAT_BYTES: Final = 10 * MEGABYTE
SOAK_SECONDS: Final = float(os.environ.get("SOAK_SECONDS", "600"))
NOBODY: Final = dict.fromkeys(AWS, "") | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
ROLE: Final = "arn:aws:iam::123456789012:role/sidecar"


def cloudwatch(**deliver: Any) -> dict[str, Any]:
    """A configuration with short waits, of which `deliver` is laid over."""
    return {
        "deliver": {
            "target": "cloudwatch",
            "retry_base_seconds": 0.05,
            "retry_max_seconds": 0.2,
            "request_seconds": 5,
            **deliver,
        }
    }


def assert_told(daemon: Daemon, phrase: str) -> None:
    """Wait until /ready and the log say what to fix, in words that hold the phrase."""

    def fix() -> str:
        return str(daemon.ready()[1]["delivery"]["metrics"].get("fix"))

    daemon.udp(b"hits:1|c")
    daemon.wait_until(lambda: phrase in fix(), f"told {phrase}")
    daemon.wait_until(lambda: fix() in [line.get("fix") for line in daemon.log_lines()], "logged")


# --- what to fix ----------------------------------------------------------------------------------


class Accepting(BaseHTTPRequestHandler):
    """Answers every request as CloudWatch answers an accepted one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve TLS with a certificate that nobody signed; gives the URL and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private endpoint")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "endpoint.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust the certificate breaks off."""

    with Quiet(("127.0.0.1", 0), Accepting) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}", path
        finally:
            server.shutdown()
            thread.join()


def test_a_certificate_that_is_not_trusted_is_told_with_what_to_set(daemon: Start, tmp_path: Path) -> None:
    """And what it says to set is what helps."""
    with tls_server(tmp_path) as (url, certificate):
        one = daemon(cloudwatch(endpoint_url=url))
        assert_told(one, "AWS_CA_BUNDLE")
        assert one.stats()["samples"]["ambiguous"] == 0
        one.kill()

        two = daemon(cloudwatch(endpoint_url=url), environ={"AWS_CA_BUNDLE": str(certificate)})
        two.udp(b"hits:1|c")
        assert two.settled(1)["samples"]["delivered"] == 1
        two.kill()


def test_an_endpoint_whose_name_has_no_address_is_told_with_what_to_check(daemon: Start) -> None:
    one = daemon(cloudwatch(endpoint_url="https://monitoring.eu-nowhere-9.invalid"))

    assert_told(one, "region exists")


def test_a_region_that_is_none_is_told_with_what_to_set(daemon: Start) -> None:
    one = daemon(cloudwatch() | {"region": "Europe (Ireland)"})

    assert_told(one, "AWS_REGION")


# --- read again -----------------------------------------------------------------------------------


def test_a_rewritten_credentials_file_ends_the_failure_without_a_restart(daemon: Start, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    with ThreadedCloudWatchDouble() as double:
        double.settings.secret_access_key = SECRET_ACCESS_KEY
        path.write_text("[default]\naws_access_key_id = AKIDWRONG\naws_secret_access_key = wrong\n")
        one = daemon(cloudwatch(endpoint_url=double.url), environ=NOBODY | {"AWS_SHARED_CREDENTIALS_FILE": str(path)})
        assert_told(one, "credentials")
        path.write_text(f"[default]\naws_access_key_id = AKIDRIGHT\naws_secret_access_key = {SECRET_ACCESS_KEY}\n")

        assert one.settled(1)["samples"]["delivered"] == 1
        assert double.requests.of("PutMetricData")[-1].access_key_id == "AKIDRIGHT"
        assert len([line for line in one.log_lines() if line["level"] == "warning"]) < 10
        one.kill()


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 120)
def test_memory_stays_flat_for_ten_minutes_of_failures(daemon: Start, tmp_path: Path) -> None:
    """Four daemons at once: no credentials, a wrong role, an endpoint that is away, access denied."""
    keys = AWS
    with ThreadedCloudWatchDouble() as double:
        for operation in ("PutMetricData", "PutLogEvents", "*"):
            double.faults.add(operation, access_denied(FOREVER))
        daemons = {
            "no credentials": daemon(cloudwatch(endpoint_url=double.url), environ=NOBODY),
            "wrong role": daemon(cloudwatch(endpoint_url=double.url, role_arn=ROLE), environ=keys),
            "endpoint away": daemon(cloudwatch(endpoint_url="http://127.0.0.1:9"), environ=keys),
            "access denied": daemon(cloudwatch(endpoint_url=double.url), environ=keys),
        }
        for one in daemons.values():
            one.udp(b"hits:1|c")
            one.post("/ingest/logs", {"message": "x"})
        time.sleep(10.0)
        before = {name: resident_bytes(one) for name, one in daemons.items()}
        time.sleep(SOAK_SECONDS)
        grown: dict[str, int] = {}
        for name, one in daemons.items():
            after = resident_bytes(one)
            grown[name] = after - before[name]
            stats = one.stats()
            print(
                f"{name}: {before[name] / MEGABYTE:.1f} MB, {SOAK_SECONDS:g} s later {after / MEGABYTE:.1f} MB; "
                f"{len(one.log_lines())} log lines; requests {json.dumps(stats.get('requests'))[:300]}"
            )
            assert stats["samples"]["pending"] == stats["log_events"]["pending"] == 1
            one.kill()

    assert max(grown.values()) < FLAT_BYTES


def resident_bytes(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes) * 1_024
