"""Configuration text to plain data: bounded in bytes, nesting, nodes, digits and time. Knows YAML, and no key of the configuration.

A configuration may be written by a template or a script, and nothing in it may exhaust the process: `yaml.safe_load`
follows aliases of aliases for ever and overflows the stack. The text is therefore measured as a stream of events first,
and data is built only if it is small. Imports nothing but PyYAML: `sidecar health` uses it.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from sidecar.model.errors import ConfigError

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # a PyYAML that was built without libyaml reads the same, 10 times slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000  # keys, values and list items; each alias counts as the nodes it refers to
# The longest float64 has 24; with thousands, reading and printing take quadratic time.
MAX_NUMBER_CHARACTERS: Final = 100
READ_SECONDS: Final = 10.0  # a pipe that is not closed by then is refused

_VARIABLE: Final = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_TAG: Final = "tag:yaml.org,2002:"
_NUMBERS: Final = (f"{_TAG}int", f"{_TAG}float")
_NOT_RESOLVED: Final = (f"{_TAG}timestamp", f"{_TAG}value")  # no key has a date: 2026-01-02 is text


class _Loader(_SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_RESOLVED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Source(NamedTuple):
    """A regular file that a configuration was read from.

    Attributes:
        path: of the file.
        fingerprint: of its content before it was read.
    """

    path: Path
    fingerprint: str | None


def source(path: Path | None) -> Source | None:
    """The file at a path, to be called before it is read; None for no path, and for a pipe, which is read only once."""
    if path is None or not path.is_file():
        return None
    return Source(path, fingerprint(path))


def fingerprint(path: Path) -> str | None:
    """The SHA-256 of a file's content, in hexadecimal; None where it cannot be read."""
    return sha256_of(content(path))


def content(path: Path) -> bytes | None:
    """A file's content, one byte more than `MAX_BYTES` at most; None where it cannot be read."""
    try:
        return _read(path)
    except (OSError, ValueError):
        return None


def sha256_of(data: bytes | None) -> str | None:
    """The SHA-256, in hexadecimal; None for None."""
    from hashlib import sha256

    return None if data is None else sha256(data).hexdigest()


def read_text(path: Path, data: bytes | None = None) -> str:
    """Read a regular file or a pipe, at most `MAX_BYTES`; `data` is its content where that was read before.

    Raises:
        ConfigError: it cannot be read, is too large, is no UTF-8, or is a pipe that nobody closes.
    """
    try:
        data = _read(path) if data is None else data
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"cannot read the configuration file {path}: {reason}"]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"the configuration file {path} is longer than {MAX_BYTES} bytes"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            [f"the configuration file {path} is not UTF-8: {error.reason} at byte {error.start}"]
        ) from None


def parse(text: str) -> Any:
    """Read YAML, which JSON is as well.

    Raises:
        ConfigError: it is no YAML, exceeds a limit of this module, or has a repeated key; each with its line.
    """
    loader: Any = None
    try:
        _measure(checked(text))
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        problems = _node_problems(root, loader.construct_object)
        if problems:
            raise ConfigError(problems)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigError([_sentence(error)]) from None
    finally:
        if loader is not None:
            loader.dispose()


def checked(text: str) -> str:
    """Return the text of an environment variable, which may have any content.

    Raises:
        ConfigError: it is too long or no UTF-8: the environment's other bytes are lone surrogates in Python.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError([f"is longer than {MAX_BYTES} characters"])
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(["holds bytes that are not UTF-8"]) from None
    return text


def fill(text: str, environ: Mapping[str, str], limit: int = MAX_BYTES) -> tuple[str, list[str]]:
    """Fill `${VARIABLE}` and `${VARIABLE:-default}` in; `$${VARIABLE}` stands for the text `${VARIABLE}`.

    Args:
        text: any text; without variables it is returned unchanged.
        environ: the environment variables; the default replaces one that is missing or empty.
        limit: characters that the variables may add.

    Returns:
        The text, and a sentence for each variable that could not be filled in.
    """
    problems: list[str] = []
    added = 0

    def value(match: re.Match[str]) -> str:
        nonlocal added
        if match[0].startswith("$$"):
            return match[0][1:]
        name, otherwise = match.groups()
        found = environ.get(name)
        if found is None and otherwise is None:
            problems.append(f"${{{name}}} is not set in the environment, and has no :-default")
        found = found or otherwise or ""
        try:
            checked(found)
        except ConfigError as error:
            problems.extend(f"${{{name}}} {problem}" for problem in error.problems)
        added += len(found)
        return found if added <= limit else ""

    # There is no variable behind the last brace: without this, each "${A:-" of many would be searched to the end.
    end = text.rfind("}") + 1
    filled = _VARIABLE.sub(value, text[:end]) + text[end:]
    if added > limit:
        problems.append(f"the variables in it are too long: all together may have {MAX_BYTES} characters")
    return filled, problems


def escaped(text: str) -> str:
    """The text from which `fill` makes this one, whatever the environment."""
    end = text.rfind("}") + 1
    return _VARIABLE.sub(lambda match: match[0].replace("${", "$${", 1), text[:end]) + text[end:]


def has_variable(text: str) -> bool:
    """Return True if `fill` would change the text or refuse it."""
    return _VARIABLE.search(text, 0, text.rfind("}") + 1) is not None


def _read(path: Path) -> bytes:
    """Read at most one byte more than is allowed."""
    info = os.stat(path)  # noqa: PTH116  # before it is opened: opening a device may have effects
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISFIFO(info.st_mode) or _is_null_device(info)):
        raise OSError(0, "it is neither a regular file nor a pipe")
    # Not blocking: a named pipe that nobody opens for writing, or never closes, must not block the start.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        ends = time.monotonic() + READ_SECONDS
        data = bytearray()
        while len(data) <= MAX_BYTES:
            left = ends - time.monotonic()
            if left <= 0 or not poller.poll(left * 1_000):
                raise OSError(0, f"it has not ended after {READ_SECONDS:g} s")
            try:
                part = os.read(descriptor, MAX_BYTES + 1 - len(data))
            except BlockingIOError:
                continue
            if not part:
                break
            data += part
        return bytes(data)
    finally:
        os.close(descriptor)


def _is_null_device(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3)


class _Frame:
    """An open list or mapping: its nodes so far; each alias counts as the nodes it refers to."""

    __slots__ = ("anchor", "characters", "height", "nodes")

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.nodes = 1
        self.characters = 0
        self.height = 1

    def add(self, nodes: int, characters: int, height: int) -> None:
        self.nodes += nodes
        self.characters += characters
        self.height = max(self.height, height + 1)


def _measure(text: str) -> None:
    """Refuse a text that is too deep, or too large with its aliases followed, before data is built."""
    anchors: dict[str, tuple[int, int, int]] = {}  # name: nodes, characters, height
    stack = [_Frame(None)]
    for event in yaml.parse(text, Loader=_Loader):
        refused = _added(event, stack, anchors)
        if refused:
            mark: Any = event.start_mark
            raise ConfigError([f"line {mark.line + 1}: {refused}"])


def _added(event: yaml.Event, stack: list[_Frame], anchors: dict[str, tuple[int, int, int]]) -> str | None:
    """Count one event; returns why it is refused, or None."""
    size = (0, 0, 0)
    anchor = getattr(event, "anchor", None)
    tag = getattr(event, "tag", None)
    if tag is not None and tag != f"{_TAG}str":
        return f"the tag {_quoted(tag)} is not supported"
    if isinstance(event, yaml.AliasEvent):
        if any(frame.anchor == anchor for frame in stack):
            return f"the alias *{anchor} stands inside of what it names"
        size = anchors.get(str(anchor), (1, 0, 0))  # one that names nothing is refused when nodes are built
    elif isinstance(event, yaml.ScalarEvent):
        size = (1, len(event.value), 0)
    elif isinstance(event, yaml.CollectionStartEvent):
        stack.append(_Frame(anchor))
    elif isinstance(event, yaml.CollectionEndEvent):
        closed = stack.pop()
        size = (closed.nodes, closed.characters, closed.height)
        anchor = closed.anchor
    if anchor is not None and not isinstance(event, yaml.AliasEvent | yaml.CollectionStartEvent):
        anchors[anchor] = size
    stack[-1].add(*size)
    if len(stack) - 1 + size[2] > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} levels deep"
    if sum(frame.nodes for frame in stack) > MAX_NODES:
        return f"more than {MAX_NODES} keys, values and list items, aliases included"
    if sum(frame.characters for frame in stack) > MAX_BYTES:
        return f"more than {MAX_BYTES} characters of text, aliases included"
    return None


def _node_problems(root: yaml.Node, construct: Callable[[yaml.Node], object]) -> list[str]:
    """Repeated keys and invalid numbers, in the order of their lines."""
    found: list[tuple[int, str]] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            keys: set[tuple[str, str]] = set()
            for key, value in node.value:
                waiting += (key, value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if (key.tag, key.value) in keys:
                    at = key.start_mark.line + 1
                    found.append((at, f"line {at}: the key {_quoted(key.value)} is repeated"))
                keys.add((key.tag, key.value))
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node.tag in _NUMBERS:
            if len(node.value) > MAX_NUMBER_CHARACTERS:
                found.append((line, f"line {line}: a number of {len(node.value)} characters"))
                continue
            try:
                construct(node)
            except ValueError:
                found.append((line, f"line {line}: {_quoted(node.value)} is not a number"))
    return [sentence for _, sentence in sorted(found)]


def _sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or problem is None:
        return f"not YAML: {' '.join(str(error).split())}"
    context = getattr(error, "context", None)
    detail = f"{context}: {problem}" if context else problem
    return f"line {mark.line + 1}, column {mark.column + 1}: not YAML: {detail}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
