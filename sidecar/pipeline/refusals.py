"""What is counted and logged of an event that is refused."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

from sidecar.model.errors import DecodeError, Reason, drop_traceback
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter

SHOWN_BYTES: Final = 200  # of a line, in the log
REDACTED_BYTES: Final = 65_536  # of a line that is redacted before; none over UDP is longer


class Refusals:
    """Counts refused events, and logs them at a limited rate.

    Attributes:
        redact: redacts what is logged of them; None where nothing is to be redacted.
    """

    def __init__(self, limiter: Limiter) -> None:
        """Log through `limiter`."""
        self._limiter = limiter
        self.redact: Callable[[str], str] | None = None

    def refuse(
        self, account: SignalLedger, error: DecodeError, units: int, input_: str, line: bytes | None = None
    ) -> None:
        """Count units that could not be decoded or were not accepted; `line` is shown in the log."""
        account.dropped[error.reason] += units
        drop_traceback(error)  # the caller stores the error, and a frame of its traceback refers to the whole body
        redact = self.redact
        detail = error.detail if redact is None else redact(error.detail)
        fields: dict[str, object] = {"input": input_, "reason": error.reason, "detail": detail}
        if line is not None and redact is None:
            fields["line"] = line[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
        elif line is not None and redact is not None:
            # Redacted before it is cut: of what is cut in two, neither part would be found.
            fields["line"] = redact(line[:REDACTED_BYTES].decode("utf-8", "backslashreplace"))[:SHOWN_BYTES]
        self._limiter.warning(f"refused {input_} {error.reason}", "refused", **fields)

    def bug(self, account: SignalLedger, units: int, input_: str) -> DecodeError:
        """Count units lost to a bug of the sidecar's, and log its traceback; to be called within `except`.

        Returns:
            What a sender who waits is answered.
        """
        account.dropped[Reason.INTERNAL_ERROR] += units
        self._limiter.error(
            f"internal_error {input_}", "a bug: one event was dropped", input=input_, traceback=traceback.format_exc()
        )
        return DecodeError(Reason.INTERNAL_ERROR, "an internal error of the sidecar, see its log")
