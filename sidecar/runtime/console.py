"""Text to a stream that may be slow, full, closed or missing, without blocking the event loop.

A pipe that nobody reads blocks its writer for ever; one whose reader is gone raises. Lines are passed to a thread over
a bounded queue, and are dropped when the queue is full or the pipe is closed, so that neither stops the daemon.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

LINES: Final = 10_000
CHARACTERS: Final = 4_194_304  # of all queued text together


class Console:
    """A writer of one stream."""

    def __init__(self, stream: Callable[[], TextIO | None]) -> None:
        """Start the thread.

        Args:
            stream: called at each write, so that the stream may be replaced; None where there is none.

        Raises:
            RuntimeError: the system refuses another thread.
        """
        self._stream = stream
        self._lines: deque[str] = deque()
        self._characters = 0  # queued
        self._writing = False
        self._changed = threading.Condition()
        self.lost = 0  # pieces of text that were dropped
        threading.Thread(target=self._write_all, name="console", daemon=True).start()

    def write(self, text: str) -> None:
        """Queue text; never waits for the stream and never raises."""
        with self._changed:
            if len(self._lines) >= LINES or self._characters + len(text) > CHARACTERS:
                self.lost += 1
                return
            self._lines.append(text)
            self._characters += len(text)
            self._changed.notify_all()

    def flush(self) -> None:
        """Do nothing: the thread flushes. Part of the interface of a stream."""

    def close(self, seconds: float) -> None:
        """Wait until everything queued is written, at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                text = self._lines.popleft()
                self._characters -= len(text)
                self._writing = True
                last = not self._lines
            try:
                stream = self._stream()
                if stream is None:
                    self.lost += 1
                    continue
                stream.write(text)
                if last:
                    stream.flush()
            except (OSError, ValueError):  # the reader is gone, the disk is full, or the stream is closed
                self.lost += 1
