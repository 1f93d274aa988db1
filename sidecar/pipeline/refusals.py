"""What is counted and told of an event that was not taken."""

from __future__ import annotations

import traceback

from sidecar.model.errors import DecodeError, Reason, drop_traceback
from sidecar.observe.ledger import SignalLedger
from sidecar.observe.log import Limiter


class Refusals:
    """Moves the counter and says it, at a limited rate."""

    def __init__(self, limiter: Limiter) -> None:
        """Take what limits the rate."""
        self._limiter = limiter

    def refuse(
        self, account: SignalLedger, error: DecodeError, units: int, input_: str, line: bytes | None = None
    ) -> None:
        """Count units that could not be read or would not be accepted; `line` is shown where it helps."""
        account.dropped[error.reason] += units
        drop_traceback(error)  # the caller goes on to hold the error, and a frame of its traceback the whole body
        fields: dict[str, object] = {"input": input_, "reason": error.reason, "detail": error.detail}
        if line is not None:
            fields["line"] = line[:200].decode("utf-8", "backslashreplace")
        self._limiter.warning(f"refused {input_} {error.reason}", "refused", **fields)

    def bug(self, account: SignalLedger, units: int, input_: str) -> DecodeError:
        """Count units that met an error of our own; to be called while it is handled."""
        account.dropped[Reason.INTERNAL_ERROR] += units
        self._limiter.error(
            f"internal_error {input_}", "a bug: one event was dropped", input=input_, traceback=traceback.format_exc()
        )
        return DecodeError(Reason.INTERNAL_ERROR, "an error of the sidecar's own, see its log")
