"""Unix sockets: stale files are replaced, live ones and other files are left alone, and ours is removed."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from sidecar.runtime.sockets import PathAddress

KINDS = [socket.SOCK_DGRAM, socket.SOCK_STREAM]


@pytest.mark.parametrize("kind", KINDS)
def test_the_mode_is_as_configured_and_the_file_goes_with_us(tmp_path: Path, kind: socket.SocketKind) -> None:
    path = tmp_path / "s"
    address = PathAddress(str(path), 0o622)
    (sock,) = address.open(kind)

    assert stat.S_IMODE(path.stat().st_mode) == 0o622
    assert address.shown(sock) == str(path)
    address.release()
    sock.close()
    assert not path.exists()
    address.release()


@pytest.mark.parametrize("left", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_file_is_replaced(tmp_path: Path, kind: socket.SocketKind, left: socket.SocketKind) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, left) as old:
        old.bind(str(path))
        if left == socket.SOCK_STREAM:
            old.listen()
    assert path.exists()  # as after a process that was killed

    (sock,) = PathAddress(str(path), 0o600).open(kind)

    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(str(path))
    sock.close()


@pytest.mark.parametrize("held", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_live_socket_is_not_stolen(tmp_path: Path, kind: socket.SocketKind, held: socket.SocketKind) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, held) as other:
        other.bind(str(path))
        if held == socket.SOCK_STREAM:
            other.listen()
        address = PathAddress(str(path), 0o600)
        with pytest.raises(OSError, match="another process listens there"):
            address.open(kind)
        address.release()
        with socket.socket(socket.AF_UNIX, held) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        PathAddress(str(path), 0o600).open(socket.SOCK_DGRAM)
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(str(target))
    path.symlink_to(target)
    with pytest.raises(OSError, match="no socket"):
        PathAddress(str(path), 0o600).open(socket.SOCK_DGRAM)
    assert target.exists()


def test_a_missing_folder_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing/s"):
        PathAddress(str(tmp_path / "missing" / "s"), 0o600).open(socket.SOCK_DGRAM)


def test_a_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        PathAddress(str(tmp_path / ("x" * 200)), 0o600).open(socket.SOCK_DGRAM)


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    address = PathAddress(str(path), 0o600)
    (sock,) = address.open(socket.SOCK_DGRAM)
    path.unlink()
    (next_,) = PathAddress(str(path), 0o600).open(socket.SOCK_DGRAM)

    address.release()
    sock.close()

    assert path.exists()
    next_.close()
