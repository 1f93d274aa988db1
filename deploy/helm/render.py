"""Render the charts of examples/ into golden/: `python deploy/helm/render.py`. Needs helm.

Without helm the golden files are what the tests look at; with it they are rendered again and compared.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent


class Case(NamedTuple):
    """One golden file: the name of the release, its chart under examples/, and further files of values."""

    release: str
    chart: str
    values: tuple[str, ...] = ()


CASES: Final = {
    "application.yaml": Case("my-app", "application"),
    "application-with-spool.yaml": Case("my-app", "application", ("with-spool.yaml",)),
    "daemonset.yaml": Case("cloudwatch-sidecar", "node"),
}


def render(case: Case, folder: Path) -> str:
    """What helm makes of a case, in a copy of the charts below `folder`.

    Raises:
        subprocess.CalledProcessError: helm refuses; its complaint is on standard error.
    """
    charts = folder / "charts"
    if not charts.exists():
        shutil.copytree(HERE, charts, ignore=shutil.ignore_patterns("golden", "charts", "*.lock", "__pycache__"))
    chart = charts / "examples" / case.chart
    if not (chart / "charts").exists():
        helm("dependency", "build", chart)
    files = [option for name in case.values for option in ("--values", chart / name)]
    helm("lint", "--strict", chart, *files)
    return helm("template", case.release, chart, *files, "--kube-version", "1.33.0")


def helm(*arguments: str | Path) -> str:
    """Run helm and return what it prints."""
    done = subprocess.run(["helm", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    if shutil.which("helm") is None:
        sys.exit("render: helm is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        for name, case in CASES.items():
            (HERE / "golden" / name).write_text(render(case, Path(temporary)), encoding="utf-8")
