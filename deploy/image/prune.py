"""Remove from installed packages what the sidecar never reads: `python prune.py SITE_PACKAGES`.

botocore brings the models of about 430 services, of which the sidecar uses six. Sources of compiled extensions go too. Prints the bytes
removed. Exits with 1 and a sentence where botocore does not look as expected, so that a new release fails the build and
not the daemon.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

SERVICES: Final = (
    *("cloudwatch", "logs"),  # what is delivered, and aws.pass_through
    *("sts", "sso", "sso-oidc", "signin"),  # credentials: assumed roles, web identities, IAM Identity Center, aws login
)
FILES: Final = ("_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json")
SOURCES: Final = ("*.pyx", "*.pxd", "*.pxi", "*.c", "*.h", "*.hash")  # of extensions that are compiled already
INSTALLERS: Final = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")


def prune(packages: Path) -> int:
    """Remove it from one site-packages folder and return the bytes removed.

    Raises:
        LookupError: what is to be kept is not there.
    """
    data = packages / "botocore" / "data"
    missing = [name for name in (*SERVICES, *FILES) if not (data / name).exists()]
    if missing:
        raise LookupError(f"not in {data}: {', '.join(missing)}")
    unused = [path for path in data.iterdir() if path.name not in (*SERVICES, *FILES)]
    unused += data.glob("*/*/examples-1.*")
    unused += (path for pattern in SOURCES for path in packages.rglob(pattern))
    unused += (path for name in INSTALLERS for path in packages.glob(f"{name}*") if _is_installer(path, name))
    return sum(_remove(path) for path in unused)


def _is_installer(path: Path, name: str) -> bool:
    """Return True for `pip` and `pip-25.0.dist-info`, False for packages whose names only begin with it."""
    return path.name == name or path.name.startswith(f"{name}-")


def _remove(path: Path) -> int:
    """Remove a file or a folder and return its bytes; 0 where it went with its folder."""
    if path.is_dir() and not path.is_symlink():
        size = sum(one.lstat().st_size for one in path.rglob("*") if not one.is_dir())
        shutil.rmtree(path)
        return size
    size = path.lstat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return size


def main() -> int:
    """Prune the folder named on the command line and return the exit status."""
    try:
        removed = prune(Path(sys.argv[1]))
    except LookupError as error:
        print(f"prune: {error}", file=sys.stderr)
        return 1
    print(f"prune: removed {removed / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
