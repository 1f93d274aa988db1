"""What is generated for the ready-made configurations, word by word: a change of it is seen in review.

`python -m tests.generate.test_golden` writes the files anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from sidecar.commands.generate import Format
from sidecar.generate.pack import What
from tests.generate.packs import NAMES, configured, written

GOLDEN: Final = Path(__file__).parent / "golden"
CASES: Final[list[tuple[str, What, Format, str]]] = [
    *((name, "all", "cloudformation", f"{name}.yaml") for name in NAMES),
    *((name, "all", "terraform", f"{name}.tf") for name in NAMES),
    ("axonflow", "all", "json", "axonflow.json"),
    ("llm", "iam", "json", "llm-iam.json"),
    ("genkit", "metric-filters", "cloudformation", "genkit-filters.yaml"),
    ("genkit", "metric-filters", "terraform", "genkit-filters.tf"),
]


@pytest.mark.parametrize(("name", "what", "form", "file"), CASES, ids=[case[-1] for case in CASES])
def test_what_is_generated_is_the_golden_file(name: str, what: What, form: Format, file: str) -> None:
    assert written(configured(name), form, what) == (GOLDEN / file).read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {case[-1] for case in CASES}


if __name__ == "__main__":
    for name, what, form, file in CASES:
        (GOLDEN / file).write_text(written(configured(name), form, what), encoding="utf-8")
