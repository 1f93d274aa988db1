"""Every file, folder and section that the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENTS: Final = ["README.md", "CONTRIBUTING.md", "docs/architecture.md"]
PAGES: Final = sorted(str(one.relative_to(ROOT)) for one in ROOT.glob("docs/**/*.md"))
NAMED: Final = re.compile(r"`((?:sidecar|tests|docs|benchmarks)/[\w./-]*|pipeline/[\w.]+|\.ci/run|pyproject\.toml)`")
LINKED: Final = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
SECTIONS: Final = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
EXAMPLE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", dict.fromkeys([*DOCUMENTS, *PAGES]))
def test_every_file_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = {
        ROOT / name if not name.startswith("pipeline/") else ROOT / "sidecar" / name for name in NAMED.findall(text)
    }
    linked = {(ROOT / document).parent / name for name in LINKED.findall(text)}

    assert [str(path) for path in named | linked if not path.exists()] == []
    assert named or linked or document not in DOCUMENTS


@pytest.mark.parametrize("document", dict.fromkeys([*DOCUMENTS, *PAGES]))
def test_every_section_a_document_links_to_exists(document: str) -> None:
    path = ROOT / document
    linked = {(path.parent / page if page else path, anchor) for page, anchor in SECTIONS.findall(path.read_text())}

    assert [(str(page), anchor) for page, anchor in linked if anchor not in anchors(page)] == []


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", EXAMPLE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
