"""Embedded metric format: one document in; the log event, or the samples that CloudWatch would extract of it, out. Pure.

A document is a JSON object whose `_aws` names log group and stream, and says which of its other members are metrics
and which their dimensions. As a log event it is delivered as it came, and CloudWatch extracts the metrics. As samples,
each metric is read once for each of its dimension sets.
Also read are two older forms that the CloudWatch agent takes: the group and stream as `log_group_name` and
`log_stream_name`, and `CloudWatchMetrics` and `Timestamp` without an `_aws` around them.

Sources: "Embedded metric format specification" (CloudWatch user guide); the agent's exporter awscloudwatchlogs, which
also compares the names of the group and the stream without case; documents of aws-embedded-metrics. Read 2026-11-21.
Differs: over 100 metrics in a directive or values in an array are read; numbers and booleans may be dimension values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import orjson

from sidecar.decode import large, scan
from sidecar.decode.emf_metrics import samples, stamp_of
from sidecar.decode.fields import check_timestamp, read_timestamp, wrong_type
from sidecar.decode.items import Item
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Events, Signal
from sidecar.model.samples import Sample

EmfAs: TypeAlias = Literal["logs", "metrics", "both"]

_METADATA: Final = ("_aws", "CloudWatchMetrics")


class Decoder:
    """Decodes documents as the configuration says.

    Attributes:
        signal: the ledger in which a document is counted that cannot be decoded.
    """

    def __init__(self, as_: EmfAs) -> None:
        """Describe how documents are read: see `decode`."""
        self._as = as_
        self.signal: Signal = "samples" if as_ == "metrics" else "log_events"

    def decode(self, document: bytes, now: float) -> Events | DecodeError:
        """Decode one document, as bytes."""
        return decode(document, now, self._as)

    def decode_item(self, item: Item, now: float) -> Events | DecodeError:
        """Decode one document of a body, parsed already."""
        if item.error is not None:
            return item.error
        text = orjson.dumps(item.value).decode() if item.text is None else item.text
        return decode_parsed(item.value, text, now, self._as)


def decode(document: bytes, now: float, as_: EmfAs = "logs") -> Iterator[Sample | LogEvent | DecodeError | None]:
    """Read one document.

    Args:
        document: one JSON object; blanks and newlines around it do not matter.
        now: the time of arrival, seconds since the epoch.
        as_: `logs`: a log event. `metrics`: its samples. `both`: its samples, and a log event without `_aws`, since
            CloudWatch would extract the metrics a second time. A document without metrics is a log event in both.

    Yields:
        The log event first; then sample by sample, of at most 100,000 values. What is wrong with one metric is a
        DecodeError in its place. None before that, where the document is large: a moment to let others run.
    """
    document = document.strip()
    containers: list[large.Container] = []
    value = yield from large.parse(document, containers)
    if isinstance(value, DecodeError):
        yield value
        return
    yield from decode_parsed(value, (yield from large.text(document)), now, as_)
    yield from large.release(containers)


def decode_parsed(
    value: object, text: str, now: float, as_: EmfAs = "logs"
) -> Iterator[Sample | LogEvent | DecodeError | None]:
    """Read one document that is parsed; `text` is its own, without blanks around it. Otherwise as `decode`."""
    if not isinstance(value, dict):
        yield wrong_type("an EMF document", "an object", value)
        return
    has_metrics = "_aws" in value or "CloudWatchMetrics" in value
    if as_ == "both" and has_metrics:
        metadata = [name for name in _METADATA if name in value]
        if len(metadata) == len(value):
            text = ""
        elif len(text) > large.WHOLE_BYTES:
            text = yield from scan.without_in_turns(text, metadata)
        else:
            text = scan.without(text, metadata)
    if as_ != "metrics" and text:
        yield _log_event(value, text, now)
    if as_ == "metrics" or (as_ == "both" and has_metrics):
        yield from samples(value)


# --- as a log event -----------------------------------------------------------------------------------


def _log_event(document: dict[str, Any], text: str, now: float) -> LogEvent | DecodeError:
    if not document:
        return DecodeError(Reason.EMPTY_MESSAGE, "the EMF document has no fields")
    metadata = document.get("_aws")
    if not isinstance(metadata, dict):
        metadata = {}
    group = _name(metadata, "loggroupname") or document.get("log_group_name")
    stream = _name(metadata, "logstreamname") or document.get("log_stream_name")
    for name, given in (("LogGroupName", group), ("LogStreamName", stream)):
        if given is not None and not isinstance(given, str):
            return wrong_type(name, "text", given)
    timestamp, late_stamped = now, False
    stamp = stamp_of(document)
    if stamp is not None:
        try:
            timestamp = read_timestamp(stamp)
        except DecodeError:
            late_stamped = True
        else:
            try:
                check_timestamp(timestamp, now)
            except DecodeError as error:
                return DecodeError(error.reason, error.detail)  # without the traceback, which holds the document
    return LogEvent(int(timestamp * 1_000), text, document, group or None, stream or None, late_stamped, from_emf=True)


def _name(metadata: dict[str, Any], lower: str) -> Any:
    return next((value for key, value in metadata.items() if key.lower() == lower), None)
