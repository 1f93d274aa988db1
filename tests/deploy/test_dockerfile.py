"""The Dockerfile, read as text: what the image promises and a reader can verify without building it."""

import fnmatch
import json
import re
from typing import Final, NamedTuple

import pytest

from tests.deploy.support import DEPLOY, ROOT, load

root: Final = load(DEPLOY / "image" / "root.py")
INSTRUCTION: Final = re.compile(r"(?P<word>[A-Za-z]+)\s+(?P<rest>.+)")


class Instruction(NamedTuple):
    """One instruction, its continuation lines joined and its comments gone."""

    word: str
    rest: str


def parse(text: str) -> list[Instruction]:
    """Split a Dockerfile into instructions: comment lines dropped, continuations joined by one space."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        match = INSTRUCTION.fullmatch(line.strip())
        assert match, line
        found.append(Instruction(match["word"].upper(), match["rest"]))
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[Instruction]:
    """Read every instruction, in order."""
    return parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stages(dockerfile: list[Instruction]) -> list[list[Instruction]]:
    """Cut the instructions into stages, each beginning with its FROM."""
    starts = [index for index, instruction in enumerate(dockerfile) if instruction.word == "FROM"]
    return [dockerfile[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.fixture(scope="module")
def final(stages: list[list[Instruction]]) -> list[Instruction]:
    """Give the last stage: what the image is."""
    return stages[-1]


def only(word: str, instructions: list[Instruction]) -> str:
    """Give the operand of the one instruction of that name; more than one would hide the first."""
    [instruction] = [instruction for instruction in instructions if instruction.word == word]
    return instruction.rest


def test_base_is_a_build_argument_and_the_image_starts_empty(
    dockerfile: list[Instruction], stages: list[list[Instruction]]
) -> None:
    """One ARG before the first FROM chooses where the interpreter is from; the image has nothing else of it."""
    assert dockerfile[0] == Instruction("ARG", "BASE=python:3.11-slim")
    assert [stage[0].rest.split()[0] for stage in stages] == ["${BASE}", "scratch"]


def test_image_has_no_shell_and_no_installer(stages: list[list[Instruction]], final: list[Instruction]) -> None:
    """Packages are pruned before they are compiled, and the final stage is one folder of the build stage."""
    steps = [instruction.rest for instruction in stages[0] if instruction.word == "RUN"]
    order = [next(i for i, step in enumerate(steps) if part in step) for part in ("prune.py", "compileall", "root.py")]

    assert order == sorted(order)
    assert steps[order[2]] == "python image/root.py /image /opt/sidecar"
    assert [i.rest for i in final if i.word == "COPY"] == ["--from=build /image /", "config/ /etc/sidecar/"]
    assert not [i for i in final if i.word in {"RUN", "ADD"}]


def test_no_registry_host_is_named_anywhere() -> None:
    """No image reference, index URL or copy source says where something is kept."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert "://" not in text
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE)
    assert not re.search(r"--(index|extra-index|trusted-host|find-links)", text)
    assert not re.search(r"\b[\w-]+(\.[\w-]+)*\.(io|com|org|dev|net|aws)(:\d+)?/", text)


def test_image_runs_as_a_numeric_user_that_is_not_root(final: list[Instruction]) -> None:
    """The number lets Kubernetes verify runAsNonRoot; it is the one that owns the folders of volumes."""
    user, _, group = only("USER", final).partition(":")

    assert int(user) == int(group) == root.USER > 0


def test_signals_and_arguments_reach_the_daemon_itself(final: list[Instruction]) -> None:
    """Exec form: process 1 is the daemon, not a shell that keeps SIGTERM to itself."""
    assert json.loads(only("ENTRYPOINT", final)) == ["sidecar"]
    assert json.loads(only("CMD", final)) == ["run"]
    assert only("STOPSIGNAL", final) == "SIGTERM"


def test_health_check_needs_no_shell(final: list[Instruction]) -> None:
    """The check is the daemon's own command in exec form, which ECS and Kubernetes use too."""
    options, _, command = only("HEALTHCHECK", final).partition(" CMD ")

    assert json.loads(command) == ["sidecar", "health"]
    assert all(option.startswith("--") for option in options.split())


def test_nothing_is_written_where_the_root_is_read_only(stages: list[list[Instruction]]) -> None:
    """Bytecode is made at build time and never at run time; that of the standard library by root.py."""
    build, final = stages
    environment = " ".join(instruction.rest for instruction in final if instruction.word == "ENV")

    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    [compiled] = [i.rest for i in build if i.word == "RUN" and "-m compileall" in i.rest]
    assert "--invalidation-mode unchecked-hash" in compiled


def test_directories_of_volumes_belong_to_the_user_before_they_are_volumes(final: list[Instruction]) -> None:
    """What is done to a volume's directory after VOLUME is lost, so its owner is set first: of the spool, of sockets."""
    words = [instruction.word for instruction in final]

    assert sorted(json.loads(only("VOLUME", final))) == sorted(f"/{folder}" for folder in root.FOLDERS)
    assert words.index("COPY") < words.index("VOLUME")


def test_dependencies_come_from_the_lock_file_alone(stages: list[list[Instruction]]) -> None:
    """The lock file decides every version: the project itself is installed without resolving anything."""
    installs = [i.rest for i in stages[0] if i.word == "RUN" and " install " in i.rest]

    assert len(installs) == 2
    assert installs[0].endswith("-r requirements.lock")
    assert installs[1].endswith("--no-deps .")


def test_image_sets_no_configuration(final: list[Instruction]) -> None:
    """No SIDECAR_ variable is baked in: the defaults hold until somebody says otherwise."""
    assert not [i for i in final if i.word == "ENV" and "SIDECAR_" in i.rest]


def test_every_copied_path_exists_and_is_let_through(stages: list[list[Instruction]]) -> None:
    """Each source of a COPY is in the repository and on the allowlist of .dockerignore."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    sources = [
        source.rstrip("/")
        for stage in stages
        for instruction in stage
        if instruction.word == "COPY" and not instruction.rest.startswith("--from=")
        for source in instruction.rest.split()[:-1]
    ]

    assert "*" in ignore
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatchcase(source, pattern) for pattern in allowed), source


def test_listeners_are_the_documented_ports(final: list[Instruction]) -> None:
    """StatsD over UDP, the embedded metric format over both, ingest and admin over TCP."""
    expected = {"8125/udp", "25888/tcp", "25888/udp", "8127/tcp", "9127/tcp"}

    assert set(only("EXPOSE", final).split()) == expected
