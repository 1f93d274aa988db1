"""HTTP as other programs speak it: broken, half-closed, compressed, from browsers, from SDKs, by the thousand."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import logging.handlers
import socket
import threading
import zlib
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]
GOOD: Final = b'{"name": "good", "value": 1}'
TOKEN: Final = "Bearer eyJhbGciOi.SECRET"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    started = Daemon(tmp_path_factory.mktemp("edge"), {"listen": {"allowed_hosts": ["metrics.test"]}})
    started.start()
    yield started
    assert_balanced(started.stop())


def exchange(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """Send pieces over one connection and return everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=40) as sock:
        for piece in pieces:
            sock.sendall(piece)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(65_536):
            answer += part
        return answer


def head(path: str = "/ingest/metrics", *headers: str, method: str = "POST", host: str = "localhost") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def responses(one: Daemon, route: str) -> dict[int, int]:
    return {int(code): count for code, count in one.stats()["responses"].get(route, {}).items()}


# --- what is not HTTP -----------------------------------------------------------------------------

MALFORMED: Final = [
    f"GET / HTTP/1.1\r\nAuthorization: {TOKEN}\r\nBad Header\x01: x\r\n\r\n".encode(),
    f"POST /ingest/metrics HTTP/9.9\r\nAuthorization: {TOKEN}\r\n\r\n".encode(),
    f"POST /ingest/metrics HTTP/1.1\r\nAuthorization: {TOKEN}\r\nContent-Length: nan\r\n\r\n".encode(),
    f"GET / HTTP/1.1\r\nAuthorization: {TOKEN}\r\nX: {'x' * 20_000}\r\n\r\n".encode(),
]


def test_what_is_not_http_is_counted_and_one_line_without_a_header_value(daemon: Start) -> None:
    own = daemon()
    size = len(own.log())
    for port in (own.http_port, own.admin_port):
        for _ in range(50):
            for request in MALFORMED:
                status = exchange(port, request).split(b" ")[1]
                assert status in (b"400", b"431")
    own.wait_until(lambda: sum(responses(own, "malformed").values()) == 400, "counted")

    assert "SECRET" not in own.log()
    assert "Traceback" not in own.log()
    lines = [line for line in own.log_lines() if line.get("route") == "malformed"]
    assert 0 < len(lines) <= 2 * len(MALFORMED)
    assert all(line["level"] == "warning" for line in lines)
    assert len(own.log()) - size < 4_000
    assert own.post("/ingest/metrics", GOOD)[0] == 202


def test_a_request_head_without_end_is_431(one: Daemon) -> None:
    pieces = [head()[:-2], *[b"X-%d: %s\r\n" % (number, b"x" * 4_000) for number in range(8)]]
    try:
        answer = exchange(one.http_port, *pieces)
    except ConnectionError:
        answer = b""  # closed while more was being sent
    assert answer.startswith(b"HTTP/1.1 431") or not answer
    one.wait_until(lambda: responses(one, "malformed").get(431, 0) >= 1, "counted")


# --- bodies ---------------------------------------------------------------------------------------


def test_a_client_that_half_closes_gets_every_answer(one: Daemon) -> None:
    request = head("/ingest/metrics", f"Content-Length: {len(GOOD)}") + GOOD
    assert exchange(one.http_port, request, half_close=True).startswith(b"HTTP/1.1 202")
    three = exchange(one.http_port, request * 3, half_close=True)
    assert three.count(b"HTTP/1.1 202") == 3
    packed = gzip.compress(GOOD)
    request = head("/ingest/metrics", "Content-Encoding: gzip", f"Content-Length: {len(packed)}") + packed
    assert exchange(one.http_port, request, half_close=True).startswith(b"HTTP/1.1 202")
    assert exchange(one.admin_port, head("/stats", method="GET"), half_close=True).startswith(b"HTTP/1.1 200")


def test_a_body_that_ends_too_soon_is_400(one: Daemon) -> None:
    request = head("/ingest/metrics", "Content-Length: 1000") + GOOD
    assert exchange(one.http_port, request, half_close=True).startswith(b"HTTP/1.1 400")
    whole = head("/ingest/metrics", f"Content-Length: {len(GOOD)}") + GOOD
    answer = exchange(one.http_port, whole + request, half_close=True)
    assert answer.startswith(b"HTTP/1.1 202")
    assert b"HTTP/1.1 400" in answer


@pytest.mark.parametrize(
    ("given", "pack", "status"),
    [
        (["x-gzip"], gzip.compress, 202),
        (["X-GZIP"], gzip.compress, 202),
        (["identity, gzip"], gzip.compress, 202),
        (["identity", "deflate"], zlib.compress, 202),
        (["gzip, gzip"], gzip.compress, 415),
        (["gzip", "gzip"], gzip.compress, 415),
        (["gzip", "deflate"], gzip.compress, 415),
        (["br"], gzip.compress, 415),
    ],
)
def test_content_encodings(one: Daemon, given: list[str], pack: Callable[[bytes], bytes], status: int) -> None:
    body = pack(GOOD)
    lines = [f"Content-Encoding: {value}" for value in given]
    request = head("/ingest/metrics", *lines, f"Content-Length: {len(body)}", "Connection: close") + body
    assert exchange(one.http_port, request).startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.parametrize("kind", ["gzip", "chunked"])
def test_two_hundred_small_bodies_at_once_all_have_room(one: Daemon, kind: str) -> None:
    """What they take is what they are, not what they might have been."""
    body = json.dumps([{"name": f"m{number}", "value": number} for number in range(40)]).encode()
    if kind == "gzip":
        packed = gzip.compress(body)
        request = head("/ingest/metrics", "Content-Encoding: gzip", f"Content-Length: {len(packed)}") + packed
    else:
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        request = head("/ingest/metrics", "Transfer-Encoding: chunked") + chunk + b"0\r\n\r\n"
    held = [socket.create_connection(("127.0.0.1", one.http_port), timeout=40) for _ in range(200)]
    for sock in held:
        sock.sendall(request[:-1])
    for sock in held:
        sock.sendall(request[-1:])
    statuses = [sock.recv(65_536)[9:12] for sock in held]
    for sock in held:
        sock.close()
    assert statuses == [b"202"] * 200


def test_bombs_at_once_stay_within_the_memory_of_bodies(daemon: Start) -> None:
    """Each asks for more as it inflates; what has no room is told to wait, and nothing of it was taken."""
    own = daemon({"listen": {"max_body_bytes": 1_000_000}})
    bomb = gzip.compress(b'{"message": "' + b"x" * 900_000 + b'"}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(own.post("/ingest/logs", bomb, headers)[0])) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = own.settled(log_events=1)

    assert set(statuses) <= {202, 429}
    assert stats["log_events"]["delivered"] == statuses.count(202) > 0


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "latin-1", "iso-8859-15", "windows-1252", "utf-16", "utf-16le"])
def test_the_charset_of_text_is_honoured(daemon: Start, charset: str) -> None:
    own = daemon({"deliver": {"target": "local"}})
    body = "Größe ä\nzweite Zeile é\n".encode(charset)
    status, answer, _ = own.post("/ingest/logs", body, {"Content-Type": f"text/plain; charset={charset}"})
    assert (status, answer["accepted"]) == (202, 2)
    own.wait_until(lambda: "Größe ä" in own.console() and "zweite Zeile é" in own.console(), "shown")


@pytest.mark.parametrize("charset", ["zip", "hex", "punycode", "unicode_escape", "utf-7", "nonsense", "x" * 500])
def test_a_charset_that_is_not_read_is_415(one: Daemon, charset: str) -> None:
    assert one.post("/ingest/logs", b"x", {"Content-Type": f"text/plain; charset={charset}"})[0] == 415


def test_text_that_is_not_of_its_charset_is_refused_by_the_line_or_as_a_whole(one: Daemon) -> None:
    text = {"Content-Type": "text/plain; charset=shift_jis"}
    status, answer, _ = one.post("/ingest/logs", b"good\nbad \xfd\xff\ngood", text)
    assert (status, answer["accepted"], [item["index"] for item in answer["rejected"]]) == (202, 2, [1])
    assert one.post("/ingest/logs", b"odd", {"Content-Type": "text/plain; charset=utf-16"})[0] == 400


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # HTTPHandler leaves its socket open
def test_a_form_is_a_log_event_of_its_fields(daemon: Start) -> None:
    """As the HTTPHandler of Python's own logging sends it."""
    own = daemon({"deliver": {"target": "local"}})
    logger = logging.getLogger("edge form")
    logger.propagate = False
    handler = logging.handlers.HTTPHandler(f"127.0.0.1:{own.http_port}", "/ingest/logs", method="POST")
    logger.addHandler(handler)
    try:
        logger.warning("größer & <besser>=%d", 7)
    finally:
        logger.removeHandler(handler)
    own.settled(log_events=1)
    own.wait_until(lambda: '"name":"edge form","msg":"größer & <besser>=%d","args":"(7,)"' in own.console(), "shown")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"hello", 415),
        (b"a=%ff", 400),
        (b"&".join(b"a%d=1" % number for number in range(2_000)), 400),
        (b"a=" + b"%41" * 100_000, 413),
        (b'{"message": "json, whatever the type says"}', 202),
        (b"message=x&message=y&empty=", 202),
    ],
)
def test_forms_that_are_none(one: Daemon, body: bytes, status: int) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert one.post("/ingest/logs", body, form)[0] == status


@pytest.mark.parametrize("path", ["/ingest/metrics/", "//ingest/metrics", "/ingest//metrics///", "/ingest/metrics?a=b"])
def test_slashes_too_many_are_read_past(one: Daemon, path: str) -> None:
    request = head(path, f"Content-Length: {len(GOOD)}", "Connection: close") + GOOD
    before = responses(one, "/ingest/metrics").get(202, 0)
    assert exchange(one.http_port, request).startswith(b"HTTP/1.1 202")
    assert responses(one, "/ingest/metrics")[202] == before + 1


@pytest.mark.parametrize("path", ["/ingest/metrics", "/ingest/logs"])
@pytest.mark.parametrize("type_", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_an_empty_body_is_400(one: Daemon, path: str, type_: str) -> None:
    for body in (b"", b" \r\n"):
        status, answer, _ = one.post(path, body, {"Content-Type": type_})
        assert (status, answer["error"]) == (400, "the body is empty")


def test_a_body_that_can_never_fit_is_413_and_not_429(daemon: Start) -> None:
    own = daemon({"deliver": {"memory_bytes": 8_388_608}, "listen": {"max_body_bytes": 2_000_000}})
    lines = b"x\n" * 90_000  # each line may become an event, and takes 100 bytes beside its own
    status, answer, _ = own.post("/ingest/logs", lines, {"Content-Type": "text/plain"})
    assert status == 413
    assert "deliver.memory_bytes" in answer["error"]
    assert own.stats()["log_events"]["received"] == 0


def test_413_never_comes_after_something_was_taken(daemon: Start) -> None:
    own = daemon({"listen": {"max_body_bytes": 2_000_000}})
    large = b'{"Namespace": "N", "MetricData": [' + b",".join([b"0"] * 100_001) + b"]}"
    status, answer, _ = own.post("/ingest/metrics", GOOD + b"\n" + large + b"\n" + GOOD)
    assert (status, answer["accepted"]) == (202, 2)
    (rejected,) = answer["rejected"]
    assert rejected["error"].startswith("too_many_items")
    assert own.post("/ingest/metrics", large)[0] == 413
    stats = own.settled(samples=3)
    assert stats["samples"]["received"] == 3
    assert_balanced(stats)


# --- who asks -------------------------------------------------------------------------------------

LOCAL: Final = ["localhost", "localhost:8127", "LOCALHOST", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "app.localhost"]
FOREIGN: Final = ["evil.test", "evil.test:8127", "localhost.evil.test", "192.168.1.5", "[::2]", "127.0.0.1.evil.test"]


@pytest.mark.parametrize("host", [*LOCAL, "metrics.test", "metrics.test:80"])
def test_hosts_that_are_this_machine_are_answered(one: Daemon, host: str) -> None:
    request = head("/ingest/metrics", f"Content-Length: {len(GOOD)}", "Connection: close", host=host) + GOOD
    assert exchange(one.http_port, request).startswith(b"HTTP/1.1 202")
    assert exchange(one.admin_port, head("/stats", "Connection: close", method="GET", host=host))[9:12] == b"200"


@pytest.mark.parametrize("host", FOREIGN)
def test_a_host_of_elsewhere_is_403_but_for_probes(one: Daemon, host: str) -> None:
    """By DNS rebinding a web page makes the browser take our answers for its own."""
    before = responses(one, "/ingest/metrics").get(403, 0)
    request = head("/ingest/metrics", f"Content-Length: {len(GOOD)}", "Connection: close", host=host) + GOOD
    answer = exchange(one.http_port, request)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"listen.allowed_hosts" in answer
    assert responses(one, "/ingest/metrics")[403] == before + 1
    for path, status in (("/stats", b"403"), ("/health", b"200"), ("/ready", b"200"), ("/metrics", b"200")):
        answer = exchange(one.admin_port, head(path, "Connection: close", method="GET", host=host))
        assert answer[9:12] == status, path


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.test", 403),
        ("null", 403),
        ("http://localhost.evil.test:8127", 403),
        ("http://localhost:3000", 202),
        ("http://127.0.0.1", 202),
        ("https://metrics.test", 202),
    ],
)
def test_a_foreign_web_page_cannot_post(one: Daemon, origin: str, status: int) -> None:
    before = one.stats()["samples"]["received"]
    assert one.post("/ingest/metrics", GOOD, {"Origin": origin, "Content-Type": "text/plain"})[0] == status
    assert one.stats()["samples"]["received"] == before + (status == 202)


def test_two_hosts_are_none_and_no_host_is_fine(one: Daemon) -> None:
    old = b"POST /ingest/metrics HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    assert exchange(one.http_port, old)[9:12] == b"202"
    twice = head("/ingest/metrics", "Host: evil.test", f"Content-Length: {len(GOOD)}", "Connection: close") + GOOD
    assert exchange(one.http_port, twice)[9:12] in (b"403", b"400")


def test_a_listener_on_every_address_asks_nobody_for_its_name(daemon: Start) -> None:
    own = daemon({"listen": {"http_host": "0.0.0.0"}})
    assert own.post("/ingest/metrics", GOOD, {"Host": "pod.cluster", "Origin": "https://evil.test"})[0] == 202


# --- what is not ours -----------------------------------------------------------------------------


def test_an_unknown_path_is_counted_and_logged_once_with_what_to_do(daemon: Start) -> None:
    own = daemon()
    for _ in range(100):
        assert own.post("/v1/metrics", b"x" * 10, {"Authorization": TOKEN})[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", own.http_port, timeout=40)
    connection.request("PUT", "/ingest/logs")
    assert connection.getresponse().status == 405
    connection.close()
    assert own.get("/nothing")[0] == 404

    assert responses(own, "other") == {404: 101}
    assert responses(own, "/ingest/logs") == {405: 1}
    own.wait_until(lambda: '"/nothing"' in own.log(), "logged")
    lines = [line for line in own.log_lines() if line["event"] == "HTTP request refused"]
    assert [(line["listener"], line["method"], line.get("path")) for line in lines] == [
        ("http", "POST", "/v1/metrics"),
        ("http", "PUT", None),
        ("admin", "GET", "/nothing"),
    ]
    assert "POST /ingest/metrics" in lines[0]["problem"]
    assert "SECRET" not in own.log()


def test_paths_without_end_neither_fill_the_log_nor_the_metrics(daemon: Start) -> None:
    own = daemon()
    connection = http.client.HTTPConnection("127.0.0.1", own.http_port, timeout=40)
    for number in range(1_500):
        connection.request("POST", f"/path/{number}", b"x")
        assert connection.getresponse().read()
    connection.close()
    assert responses(own, "other") == {404: 1_500}
    assert len(own.log_lines()) < 1_100
    assert sum(map(len, own.stats()["responses"].values())) < 5
