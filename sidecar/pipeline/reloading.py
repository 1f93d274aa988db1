"""Reload: the rules of a changed configuration file replace those in effect, whole or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from sidecar.config.differences import differing, with_rules
from sidecar.config.file import Source, content, sha256_of
from sidecar.config.load import load
from sidecar.config.schema import RULE_LISTS, Config
from sidecar.model.errors import ConfigError
from sidecar.observe.ledger import Ledger
from sidecar.pipeline.intake import Pipeline
from sidecar.runtime.clock import Clock
from sidecar.runtime.threads import Background
from sidecar.shape.shape import Shape

POLL_SECONDS: Final = 5.0  # between two reads of the file
SETTLED_SECONDS: Final = 0.5  # content that has not changed for so long is complete
SETTLING_LOOKS: Final = 10  # reads of content that changes each time; then it is refused
LISTED_KEYS: Final = 50  # of those that need a restart


class _Read(NamedTuple):
    """A configuration read from the file, because its content has changed or a reload was requested.

    Attributes:
        fingerprint: of the content.
        config: the whole configuration.
        shape: its shape; None if its rules are those in effect.
        rebuilt: how often the shape had been rebuilt when this was read.
    """

    fingerprint: str | None
    config: Config
    shape: Shape | None
    rebuilt: int


class Reloader:
    """Replaces the rules when the content of the configuration file changes, and on request.

    Only `metrics.rules` and the three lists of rules under `logs` are reloaded: open windows, buffers, the spool and
    listeners stay as they are. Other keys that differ from those in effect are named, since they need a restart.
    A file that is refused changes nothing.
    """

    def __init__(
        self,
        source: Source | None,
        config: Config,
        *,
        make: Callable[[Config, Shape], Shape],
        pipeline: Pipeline,
        environ: Mapping[str, str],
        ledger: Ledger,
        clock: Clock,
        thread: Background | None = None,
    ) -> None:
        """Describe what is in effect.

        Args:
            source: the file that `config` was read from; None if there is none, so that nothing is reloaded.
            config: in effect.
            make: returns the shape of a configuration, given the shape that it replaces; also called in a thread.
            pipeline: its shape is replaced.
            environ: variables override the file, as at the start.
            ledger: counts reloads.
            clock: wall time.
            thread: where the file is read and checked; None creates one.
        """
        self._path = None if source is None else source.path
        self._seen = self._effective = None if source is None else source.fingerprint
        self._config = config
        self._make = make
        self._pipeline = pipeline
        self._environ = environ
        self._reloads = ledger.reloads
        self._clock = clock
        self._thread = thread or Background("configuration")
        self._loaded = clock.wall()
        self._problems: list[str] = []
        self._needs_restart: list[str] = []
        self._requested = asyncio.Event()
        self._rebuilt = 0
        self._log = structlog.get_logger()

    def request(self) -> None:
        """Reload soon, whether or not the file's content has changed; a request during a reload is carried out after it."""
        if self._path is None:
            self._log.info("SIGHUP ignored: there is no configuration file to reload")
        self._requested.set()

    def rebuild(self) -> None:
        """Replace the shape by a new one of the same configuration, because values of placeholders have changed."""
        self._rebuilt += 1
        self._pipeline.shape = self._make(self._config, self._pipeline.shape)

    def summary(self) -> dict[str, Any]:
        """The state of the configuration, for `/ready` and `/stats`."""
        shown: dict[str, Any] = {"file": str(self._path), "sha256": self._effective, "loaded": self._loaded}
        if self._problems:
            shown |= {"error": self._problems, "fix": "correct the file; until then the rules before it stay in effect"}
        if self._needs_restart:
            shown["needs_restart"] = self._needs_restart
        return shown

    async def run(self) -> None:
        """Read the file every 5 s and at each request; return at once if there is no file."""
        while self._path is not None:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._requested.wait()
            except TimeoutError:
                await self._reload(self._path, forced=False)
            else:
                self._requested.clear()
                await self._reload(self._path, forced=True)

    async def _reload(self, path: Path, *, forced: bool) -> None:
        """Read the file and replace the rules.

        Args:
            path: of the file.
            forced: also if its content has not changed.
        """
        try:
            found = await self._thread.run(partial(self._read, path, forced=forced))
        except ConfigError as error:
            self._refuse(error.problems)
        except Exception:  # noqa: BLE001  # a bug in reading rules must not end a daemon that has others; counted
            self._log.exception("a bug: the configuration was not reloaded")
            self._refuse(["an internal error, which is in the log"])
        else:
            if found is not None:
                self._replace(found)

    def _read(self, path: Path, *, forced: bool) -> _Read | None:
        """In the thread: read the file; None if its content has not changed.

        Raises:
            ConfigError: the configuration in it is refused.
        """
        data, rebuilt = self._settled(path), self._rebuilt
        found = sha256_of(data)
        if found == self._seen and not forced:
            return None
        self._seen = found
        if data is not None and _is_empty(data):
            raise ConfigError([f"the configuration file {path} is empty: what has no rules on purpose is {{}}"])
        given = load(path, self._environ, data)
        config = with_rules(self._config, given)
        if config == self._config:
            return _Read(found, given, None, rebuilt)
        return _Read(found, given, self._make(config, self._pipeline.shape), rebuilt)

    def _settled(self, path: Path) -> bytes | None:
        """In the thread: the content once it is no longer being written; None where it cannot be read.

        What writes a file in place truncates it first. A part of a configuration is mostly valid, and has fewer rules:
        events would be delivered without those that redact them.

        Raises:
            ConfigError: it changes all the time.
        """
        before = _changed(path), content(path)
        for _ in range(SETTLING_LOOKS):
            if sha256_of(before[1]) == self._seen:
                return before[1]
            time.sleep(SETTLED_SECONDS)
            found = _changed(path), content(path)
            if found == before:
                return found[1]
            before = found
        raise ConfigError(
            [f"the configuration file {path} is being written all the time: replace it by renaming another"]
        )

    def _refuse(self, problems: list[str]) -> None:
        self._reloads["refused"] += 1
        self._problems = problems
        self._log.error("configuration refused: the rules before it stay in effect", problems=problems)

    def _replace(self, read: _Read) -> None:
        if read.shape is not None:
            # Between two events: nothing else runs on the event loop while this does.
            self._pipeline.shape = read.shape
            self._config = with_rules(self._config, read.config)
            if read.rebuilt != self._rebuilt:
                self.rebuild()
        outcome = "unchanged" if read.shape is None else "applied"
        self._reloads[outcome] += 1
        self._effective, self._loaded, self._problems = read.fingerprint, self._clock.wall(), []
        self._needs_restart = differing(self._config, read.config)[:LISTED_KEYS]
        self._log.info("configuration reloaded", rules=outcome, sha256=read.fingerprint)
        if self._needs_restart:
            self._log.warning(
                "only rules are reloaded: other keys have changed and need a restart",
                keys=self._needs_restart,
                reloaded=list(RULE_LISTS),
            )


def _changed(path: Path) -> tuple[int, int] | None:
    """Which file it is and when it was changed: one that is written again and again may be twice at the same part."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return info.st_ino, info.st_mtime_ns


def _is_empty(data: bytes) -> bool:
    """True if there is nothing but comments and blank lines."""
    lines = (line.strip() for line in data.splitlines())
    return not any(line and not line.startswith(b"#") for line in lines)
