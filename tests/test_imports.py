"""The direction of imports, and that the pure parts stay pure: the contracts of pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
COMMAND: Final = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_the_import_contracts_are_kept(tmp_path: Path) -> None:
    """Stages never import one another, nothing imports upwards, and pure modules do no I/O."""
    checked = subprocess.run(
        [sys.executable, "-c", COMMAND, "--cache-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout
