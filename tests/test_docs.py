"""Every file and folder that the documents for contributors name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENTS: Final = ["CONTRIBUTING.md", "docs/architecture.md"]
NAMED: Final = re.compile(r"`((?:sidecar|tests|docs|benchmarks)/[\w./-]*|pipeline/[\w.]+|\.ci/run|pyproject\.toml)`")
LINKED: Final = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize("document", [*DOCUMENTS, *(str(one.relative_to(ROOT)) for one in ROOT.glob("docs/**/*.md"))])
def test_every_file_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = {
        ROOT / name if not name.startswith("pipeline/") else ROOT / "sidecar" / name for name in NAMED.findall(text)
    }
    linked = {(ROOT / document).parent / name for name in LINKED.findall(text)}

    assert [str(path) for path in named | linked if not path.exists()] == []
    assert named or linked or document not in DOCUMENTS
