"""`sidecar spool` on what is missing, damaged or set aside: sentences and a status, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from sidecar.model.batches import LogBatch
from sidecar.spool.codec import LogCodec
from sidecar.spool.files import files_set_aside
from sidecar.spool.rows import BatchRow, insert_batch
from sidecar.spool.store import SpoolStore
from tests.support.batches import encoded, event_columns
from tests.support.forks import forks

ROWS: Final = 200


def sidecar_spool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return forks().run("spool", *map(str, arguments))


def filled(directory: Path) -> Path:
    """A spool of log events, and nobody uses it."""
    store = SpoolStore.open(directory)
    for number in range(1, ROWS + 1):
        batch = LogBatch("/app", "s", event_columns([encoded(number, f"{number} " + "x" * 3_000)]))
        row = BatchRow(number, "logs", *LogCodec().encode(batch), 1, 1_790_000_000.0, in_flight=False, place=number)
        store.run([insert_batch(lambda row=row: row)])  # type: ignore[misc]
    store.close()
    return directory / "spool.db"


def spoil_the_middle(path: Path) -> None:
    middle = path.stat().st_size // 2 // 4_096 * 4_096
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(os.urandom(4_096 * 8))


def put_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: Final[dict[str, Callable[[Path], object]]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"no database " * 1_000),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "middle": spoil_the_middle,
    "directory": put_a_directory,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", [("show",), ("export",), ("purge", "--yes")], ids=lambda command: command[0])
def test_a_damaged_spool_is_told_in_sentences(tmp_path: Path, damage: str, command: tuple[str, ...]) -> None:
    path = filled(tmp_path / "spool")
    DAMAGES[damage](path)
    done = sidecar_spool("--dir", tmp_path / "spool", *command)

    assert "Traceback" not in done.stderr
    if (damage, command[0]) == ("empty", "purge"):
        return  # an empty file is an empty database
    assert done.returncode == 1, done
    assert done.stderr.strip()
    assert files_set_aside(tmp_path / "spool") == []


@pytest.mark.parametrize("command", [("show",), ("export",), ("purge", "--yes")], ids=lambda command: command[0])
def test_a_directory_that_is_missing_or_none_is_told_and_not_created(tmp_path: Path, command: tuple[str, ...]) -> None:
    missing = sidecar_spool("--dir", tmp_path / "nowhere", *command)
    assert (missing.returncode, missing.stderr) == (1, f"{tmp_path / 'nowhere'} does not exist\n")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").write_text("no directory")
    none = sidecar_spool("--dir", tmp_path / "file", *command)
    assert (none.returncode, none.stderr) == (1, f"{tmp_path / 'file'} is not a directory\n")


def test_what_can_be_read_of_a_damaged_file_is_exported_from_both_ends(tmp_path: Path) -> None:
    path = filled(tmp_path / "spool")
    spoil_the_middle(path)
    done = sidecar_spool("--dir", tmp_path / "spool", "export")

    assert done.returncode == 1
    assert "damaged" in done.stderr
    numbers = {json.loads(line)["timestamp"] for line in done.stdout.splitlines()}
    print(f"{len(numbers)} of {ROWS} rows")
    assert {1, ROWS} <= numbers
    assert len(numbers) > ROWS // 2


def test_a_file_that_was_set_aside_is_listed_and_exported(tmp_path: Path) -> None:
    path = filled(tmp_path / "spool")
    spoil_the_middle(path)
    SpoolStore.open(tmp_path / "spool").close()
    (aside,) = files_set_aside(tmp_path / "spool")

    assert str(aside) in sidecar_spool("--dir", tmp_path / "spool", "show").stdout
    done = sidecar_spool("--file", aside, "export")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) > ROWS // 2
    shown = sidecar_spool("--file", aside, "show")
    assert "Traceback" not in shown.stderr
    purged = sidecar_spool("--file", aside, "purge", "--yes")
    assert purged.returncode == 1
    assert aside.exists()


def test_a_row_that_makes_no_sense_is_told_and_the_others_are_exported(tmp_path: Path) -> None:
    filled(tmp_path / "spool")
    store = SpoolStore.open(tmp_path / "spool")
    store._database.execute("UPDATE batches SET parts = x'0102' WHERE id = 7")
    store.close()
    done = sidecar_spool("--dir", tmp_path / "spool", "export")

    assert done.returncode == 1
    assert "batches 7 cannot be read" in done.stderr
    assert len(done.stdout.splitlines()) == ROWS - 1
