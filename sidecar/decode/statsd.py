"""StatsD lines: bytes in, samples out. No sockets, no clock, no logging.

Grammar:  <name>:<value>[:<value>...]|<type>[|@<rate>][|#<tag>[:<value>],...][|T<seconds>][|c:..][|e:..][|card:..]
          <name>:<value>|<type>[|@<rate>]:<value>|<type>...          (etsy repeat)
          <name>,<k>=<v>:...   <name>;<k>=<v>:...   <name>#<k>=<v>:...   <name>[<k>=<v>]:...
Sources:  https://github.com/statsd/statsd/blob/master/docs/metric_types.md
          https://docs.datadoghq.com/developers/dogstatsd/datagram_shell (protocol 1.0 to 1.6)
          https://github.com/prometheus/statsd_exporter#tagging-extensions
Differs:  an unusable rate refuses the line, it never quietly becomes 1; a counter keeps its fraction; a tag
          without a value has the value `true`; an unknown field is ignored, the line is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Final, Literal, TypeAlias

from sidecar.errors import DecodeError, Reason
from sidecar.limits import MIN_RATE, VALUE_MAGNITUDE
from sidecar.model import Dimensions, Kind, Sample

SignedGauges: TypeAlias = Literal["auto", "delta", "value"]

KINDS: Final = {
    b"c": Kind.COUNTER,
    b"g": Kind.GAUGE,
    b"ms": Kind.TIMER,
    b"h": Kind.HISTOGRAM,
    b"d": Kind.DISTRIBUTION,
    b"s": Kind.SET,
}
UNRATED: Final = (Kind.GAUGE, Kind.SET)  # a rate means nothing for these

UNIT_TAG: Final = "cw_unit"
RESOLUTION_TAG: Final = "cw_resolution"
_STRIPPED_TAGS: Final = frozenset({"dd.internal.entity_id"})  # the Datadog agent's own, never a dimension

_NAME_STYLES: Final = (b"[", b"#", b",", b";")  # what opens the tags: SignalFx, Librato, Influx, Graphite
_COMMA_SEPARATED: Final = ([b"[", b","], [b"#", b","])  # not two styles: commas part these styles' tags


@dataclass(slots=True, frozen=True)
class Line:
    """What one line holds.

    Attributes:
        samples: in the order of the line; never empty.
        repeatable: everything but the value would read the same the next time, so that a reader may keep
            what it made of `(name, tail)`, the line split at its first colon and then at its first bar.
        ignored: what was read past, as bounded labels: `unknown_field`, `rate_on_gauge`, `rate_on_set`,
            `invalid_tag`.
    """

    samples: tuple[Sample, ...]
    repeatable: bool
    ignored: tuple[str, ...]


@dataclass(slots=True)
class _Fields:
    """What follows the type: everything of a line that its values share."""

    rate: bytes | None = None
    tags: bytes | None = None
    timestamp: float | None = None
    dogstatsd: bool = False


def plain_number(text: bytes) -> float | None:
    """Read an unsigned number the fast way.

    Returns:
        The number where `text` starts with a digit or a point and CloudWatch takes the value; None for
        everything else, which deserves the slow look of `number`.
    """
    # The range of the first byte keeps out signs, `nan` and `inf`; 95 is `_`, which float() would take.
    if b"." <= text < b":" and 95 not in text:
        try:
            value = float(text)
        except ValueError:
            return None
        if value <= VALUE_MAGNITUDE:
            return value
    return None


def number(text: bytes) -> float:
    """Read a value as decimal ASCII: sign, digits, point, exponent; nothing else.

    Raises:
        DecodeError: `invalid_value`, `not_finite` (NaN and infinity) or `value_out_of_range` (beyond 2^360).
    """
    # float() would also take "1_000" and surrounding blanks.
    if 95 in text or text != text.strip():
        raise DecodeError(Reason.INVALID_VALUE, f"{_shown(text)} is not a number")
    try:
        value = float(text)
    except ValueError:
        raise DecodeError(Reason.INVALID_VALUE, f"{_shown(text)} is not a number") from None
    return in_range(value, text)


def in_range(value: float, shown: object) -> float:
    """Check that CloudWatch takes the value: finite, within plus or minus 2^360.

    Raises:
        DecodeError: `not_finite` or `value_out_of_range`.
    """
    if -VALUE_MAGNITUDE <= value <= VALUE_MAGNITUDE:
        return value
    if isnan(value) or str(shown).lower().find("inf") >= 0:
        raise DecodeError(Reason.NOT_FINITE, f"{_shown(shown)} is not a finite number")
    raise DecodeError(Reason.VALUE_OUT_OF_RANGE, f"{_shown(shown)} is outside -2^360..2^360")


def decode_line(line: bytes, signed_gauges: SignedGauges = "auto") -> Line:
    """Decode one line.

    Args:
        line: one metric without its newline; a carriage return before it is taken off.
        signed_gauges: whether `+1` and `-1` on a gauge add to the remembered value (`delta`), are values
            (`value`), or are values only where the line has a DogStatsD field (`auto`: Datadog's clients
            send negative gauges that way).

    Raises:
        DecodeError: the line is unusable; `reason` is a stable label.
    """
    line = line.removesuffix(b"\r")
    name, rest, styled, first_colon = _split_name(line)
    values, bar, tail = rest.partition(b"|")
    if not bar:
        raise DecodeError(Reason.MALFORMED_LINE, f"{_shown(line)} has no |type")
    ignored: list[str] = []
    if _is_repeat(tail):
        parts, tail = _split_repeat(rest)
        fields = _read_fields(tail, ignored)
        fields.dogstatsd = False
    else:
        kind, _, tail = tail.partition(b"|")
        parts = [(values, kind, None)]
        fields = _read_fields(tail, ignored)
    if styled is not None and fields.tags is not None:
        raise DecodeError(Reason.MIXED_TAG_STYLES, f"{_shown(line)} mixes two styles of tags")
    tags = styled if styled is not None else _dogstatsd_tags(fields.tags, ignored)
    unit, resolution, dimensions = _reserved(tags)
    samples: list[Sample] = []
    for text, type_, own_rate in parts:
        sample_kind = KINDS.get(type_)
        if sample_kind is None:
            raise DecodeError(Reason.UNKNOWN_TYPE, f"{_shown(type_)} is none of c, g, ms, h, d, s")
        weight = _weight(own_rate if own_rate is not None else fields.rate, sample_kind, ignored)
        for sample in _samples(name, text, sample_kind, weight, signed_gauges, fields):
            sample.unit, sample.resolution, sample.dimensions = unit, resolution, dimensions
            sample.timestamp = fields.timestamp
            samples.append(sample)
    repeatable = (
        first_colon
        and len(parts) == 1
        and parts[0][2] is None
        and fields.timestamp is None
        and samples[0].kind is not Kind.SET
        and not samples[0].delta
    )
    return Line(tuple(samples), repeatable, tuple(ignored))


def _split_name(line: bytes) -> tuple[str, bytes, list[tuple[str, str]] | None, bool]:
    """Split off the name and the tags it may carry.

    Returns:
        The bare name; what follows the colon; the tags of a style other than `|#`, or None; and whether the
        colon was the first one of the line.
    """
    end = line.find(b":")
    bracket = line.find(b"[", 0, end)
    if bracket >= 0:  # SignalFx: tag values may hold colons, so the name's colon is the one after the bracket
        closing = line.find(b"]", bracket)
        end = line.find(b":", closing) if closing >= 0 else -1
    if end < 0:
        raise DecodeError(Reason.MALFORMED_LINE, f"{_shown(line)} is not <name>:<value>|<type>")
    name, rest = line[:end], line[end + 1 :]
    first_colon = b":" not in name
    # A comma, hash or semicolon that opens no `key=value` is just part of the name.
    openers = [mark for mark in _NAME_STYLES if mark in name and b"=" in name[name.index(mark) :]]
    if not openers:
        return _utf8(name), rest, None, first_colon
    if len(openers) > 1 and openers not in _COMMA_SEPARATED:
        raise DecodeError(Reason.MIXED_TAG_STYLES, f"{_shown(name)} mixes two styles of tags")
    opener = openers[0]
    bare, _, pairs = name.partition(opener)
    if opener == b"[":
        pairs, _, after = pairs.partition(b"]")
        bare += after
    separator = b";" if opener == b";" else b","
    tags = [tag for pair in pairs.split(separator) if (tag := _tag(pair, b"=")) is not None]
    return _utf8(bare), rest, tags, first_colon


def _is_repeat(tail: bytes) -> bool:
    """Tell an etsy repeat: a colon in the type, or in a rate that is followed by another value."""
    type_, _, more = tail.partition(b"|")
    return b":" in type_ or (more.startswith(b"@") and b":" in more.partition(b"|")[0])


def _split_repeat(rest: bytes) -> tuple[list[tuple[bytes, bytes, bytes | None]], bytes]:
    """Split `1|c:2|c|@0.1` into value, type and rate each; tags at the end are shared by all."""
    head, hash_, tags = rest.partition(b"|#")
    parts: list[tuple[bytes, bytes, bytes | None]] = []
    for piece in head.split(b":"):
        value, _, more = piece.partition(b"|")
        type_, _, rate = more.partition(b"|")
        if rate and not rate.startswith(b"@"):
            raise DecodeError(Reason.MALFORMED_LINE, f"{_shown(rate)} is not a rate")
        # A rate of 1 stated here keeps the shared one from applying.
        parts.append((value, type_, rate[1:] or b"1"))
    return parts, b"#" + tags if hash_ else b""


def _read_fields(tail: bytes, ignored: list[str]) -> _Fields:
    fields = _Fields()
    if not tail:
        return fields
    for field in tail.split(b"|"):
        mark = field[:1]
        if mark == b"@":
            fields.rate = field[1:]
            continue
        fields.dogstatsd = True
        if mark == b"#":
            fields.tags = field[1:] if fields.tags is None else fields.tags + b"," + field[1:]
        elif mark == b"T":
            fields.timestamp = _timestamp(field[1:])
        elif not field.startswith((b"c:", b"e:", b"card:")):  # whose container it came from: not ours to tell
            ignored.append("unknown_field")
    return fields


def _timestamp(text: bytes) -> float:
    if not text.isdigit() or len(text) > 12:
        raise DecodeError(Reason.INVALID_TIMESTAMP, f"T{_shown(text)} is not in whole seconds since 1970")
    return float(text)


def _dogstatsd_tags(text: bytes | None, ignored: list[str]) -> list[tuple[str, str]]:
    if not text:
        return []
    tags: list[tuple[str, str]] = []
    for piece in text.split(b","):
        tag = _tag(piece, b":")
        if tag is not None:
            tags.append(tag)
        elif piece and piece[:1] == b":":
            ignored.append("invalid_tag")
    return tags


def _tag(piece: bytes, separator: bytes) -> tuple[str, str] | None:
    """One tag; None where it has no key, or a separator but no value."""
    key, found, value = piece.partition(separator)
    if not key or (found and not value):
        return None
    return _utf8(key), _utf8(value) if found else "true"


def _reserved(tags: list[tuple[str, str]]) -> tuple[str | None, int | None, Dimensions]:
    """Take the reserved tags out: unit, resolution, and the dimensions that stay (the last of a key wins)."""
    if not tags:
        return None, None, ()
    pairs = {key: value for key, value in tags if key not in _STRIPPED_TAGS}
    unit = pairs.pop(UNIT_TAG, None)
    resolution = pairs.pop(RESOLUTION_TAG, None)
    if resolution not in (None, "1", "60"):
        raise DecodeError(Reason.INVALID_RESOLUTION, f"{RESOLUTION_TAG} {resolution!r} is neither 1 nor 60")
    return unit, None if resolution is None else int(resolution), tuple(sorted(pairs.items()))


def _weight(rate: bytes | None, kind: Kind, ignored: list[str]) -> float:
    if rate is None:
        return 1.0
    if kind in UNRATED:
        if rate != b"1":
            ignored.append(f"rate_on_{kind.value}")
        return 1.0
    try:
        value = number(rate)
    except DecodeError as error:
        raise DecodeError(Reason.INVALID_RATE, f"rate {error.detail}") from None
    if not MIN_RATE <= value <= 1.0:
        raise DecodeError(Reason.INVALID_RATE, f"rate {_shown(rate)} is outside {MIN_RATE}..1")
    return 1.0 / value


def _samples(
    name: str, text: bytes, kind: Kind, weight: float, signed_gauges: SignedGauges, fields: _Fields
) -> list[Sample]:
    if kind is Kind.SET:
        if not text:
            raise DecodeError(Reason.INVALID_VALUE, "a set member is empty")
        return [Sample(name, kind, members=(_utf8(text),))]
    texts = text.split(b":")
    values = tuple([number(piece) for piece in texts])
    if kind is not Kind.GAUGE:
        return [Sample(name, kind, values, (weight,) * len(values))]
    deltas_allowed = signed_gauges == "delta" or (signed_gauges == "auto" and not fields.dogstatsd)
    return [
        Sample(name, kind, (value,), (1.0,), delta=deltas_allowed and piece[:1] in (b"+", b"-"))
        for piece, value in zip(texts, values, strict=True)
    ]


def _utf8(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DecodeError(Reason.INVALID_UTF8, f"{_shown(text)} is not UTF-8") from None


def _shown(text: object) -> str:
    """Quote what a sender sent, short enough for a log line and an answer."""
    shown = ascii(text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text)
    return shown if len(shown) <= 80 else shown[:76] + "...'"
