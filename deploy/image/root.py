"""Assemble the root file system of the image: `python root.py OUT ENVIRONMENT`, run in the build stage.

OUT receives this interpreter, its standard library without what only developers use, the virtual environment
ENVIRONMENT, the shared libraries that these need, certificates, and the few files and folders a process expects. There
is no shell, no package manager and no pip. Everything has the path that it has in the build stage, so that the
environment still fits its interpreter.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

USER: Final = 65532
LEFT_OUT: Final = shutil.ignore_patterns(
    *("site-packages", "dist-packages", "__pycache__", "test", "tests", "config-*", "*.a"),
    *("idlelib", "lib2to3", "tkinter", "turtledemo", "turtle.py", "ensurepip", "venv", "pydoc_data", "_tkinter*"),
)
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
FILES: Final = {
    "etc/passwd": f"root:x:0:0:root:/:/nonexistent\nsidecar:x:{USER}:{USER}:sidecar:/nonexistent:/nonexistent\n",
    "etc/group": f"root:x:0:\nsidecar:x:{USER}:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",  # engines put their own in its place
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# For a spool (deliver.spool_dir), and for Unix sockets (listen.statsd_socket), shared with the application's container.
FOLDERS: Final = {"var/lib/sidecar": 0o750, "var/run/sidecar": 0o755}


def assemble(out: Path, environment: Path) -> None:
    """Fill `out`.

    Raises:
        LookupError: a shared library is missing in the build stage.
    """
    library = Path(sysconfig.get_path("stdlib"))
    for folder in ("bin", "lib", "lib64", "sbin"):  # links into /usr where the build stage has them
        if Path("/", folder).is_symlink():
            (out / "usr" / folder).mkdir(parents=True, exist_ok=True)
            (out / folder).symlink_to(f"usr/{folder}")
    shutil.copytree(environment, _in(out, environment), symlinks=True)
    shutil.copytree(library, _in(out, library), ignore=LEFT_OUT, ignore_dangling_symlinks=True)
    _compile(_in(out, library), out)
    python = environment / "bin" / "python"
    while python.is_symlink():
        python = Path(os.path.normpath(python.parent / python.readlink()))
        _copy(python, out)
    modules = (Path("/", copied.relative_to(out)) for copied in _in(out, library).rglob("*.so"))
    found = [one for module in modules for one in libraries(module, missing_ok=True)]  # such as one for a database
    found += [one for path in [python, *environment.rglob("*.so*")] for one in libraries(path)]
    for needed in found:
        _copy(needed, out)
    _copy(Path("/etc/ld.so.cache"), out)
    _certificates(out)
    for name, text in FILES.items():
        (out / name).write_text(text, encoding="ascii")
    for name, mode in FOLDERS.items():
        (out / name).mkdir(parents=True)
        (out / name).chmod(mode)
        os.chown(out / name, USER, USER)
    (out / "tmp").mkdir()
    (out / "tmp").chmod(0o1777)


def _in(out: Path, path: Path) -> Path:
    """Where `out` has an absolute path."""
    return out / path.relative_to("/")


def _copy(path: Path, out: Path) -> None:
    """Copy a file to the same path below `out`; a link with the file it leads to."""
    target = _in(out, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        _copy(Path(os.path.normpath(path.parent / path.readlink())), out)
        if not target.exists():
            target.symlink_to(path.readlink())
    elif not target.exists():
        shutil.copy2(path, target)


def libraries(path: Path, *, missing_ok: bool = False) -> list[Path]:
    """The shared libraries of a program or library, dynamic loader included.

    Raises:
        LookupError: one is missing, and that is not ok.
    """
    run = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    if "not found" in run.stdout and not missing_ok:
        raise LookupError(f"{path} needs a library that is not here: {run.stdout}")
    return [Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", run.stdout, re.MULTILINE)]


def _certificates(out: Path) -> None:
    _copy(CERTIFICATES, out)
    default = _in(out, Path(ssl.get_default_verify_paths().openssl_cafile))
    if not default.exists():
        default.parent.mkdir(parents=True, exist_ok=True)
        default.symlink_to(CERTIFICATES)


def _compile(library: Path, out: Path) -> None:
    # On a read-only root file system it would be compiled again at every start. unchecked-hash: it stays valid whatever
    # a copy or a snapshot does to modification times.
    mode = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(library, quiet=1, workers=0, stripdir=str(out), invalidation_mode=mode):
        raise LookupError("a file of the standard library could not be compiled")


if __name__ == "__main__":
    try:
        assemble(Path(sys.argv[1]), Path(sys.argv[2]))
    except LookupError as error:
        sys.exit(f"root: {error}")
