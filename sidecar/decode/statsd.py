"""StatsD lines: bytes in, samples out. Pure.

Grammar:  <name>:<value>[:<value>...]|<type>[|@<rate>][|#<tag>[:<value>],...][|T<seconds>][|c:..][|e:..][|card:..]
          <name>:<value>|<type>[|@<rate>]:<value>|<type>...          (etsy repeat)
          <name>,<k>=<v>:...   <name>;<k>=<v>:...   <name>#<k>=<v>:...   <name>[<k>=<v>]:...
Sources:  https://github.com/statsd/statsd/blob/master/docs/metric_types.md
          https://docs.datadoghq.com/developers/dogstatsd/datagram_shell (protocol 1.0 to 1.6)
          https://github.com/prometheus/statsd_exporter#tagging-extensions
Differs:  an unusable rate refuses the line, it never silently becomes 1; a counter keeps its fraction; a tag
          without a value has the value `true`; an unknown field is ignored, the line is not lost; an empty packed
          value is skipped; blanks around a line are trimmed.
Bounds:   100 tags, 64 fields and 2,048 parts a line; `split_values` divides a line of very many values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from sidecar.decode.numbers import number, quoted, utf8
from sidecar.decode.tags import dogstatsd_tags, reserved_tags, split_name
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import (
    FIELDS_PER_LINE,
    MIN_RATE,
    PARTS_PER_LINE,
)
from sidecar.model.samples import Kind, Sample, SignedGauges

SignedGaugesOf: TypeAlias = Callable[[str], SignedGauges]
"""How the signs of a gauge of this name are read."""

KINDS: Final = {
    b"m": Kind.COUNTER,  # a meter counts events; rates are computed by those who read the metric
    b"c": Kind.COUNTER,
    b"g": Kind.GAUGE,
    b"ms": Kind.TIMER,
    b"h": Kind.HISTOGRAM,
    b"d": Kind.DISTRIBUTION,
    b"s": Kind.SET,
}
UNRATED: Final = (Kind.GAUGE, Kind.SET)  # a rate means nothing for these

VALUES_AT_ONCE: Final = 256  # values of one line decoded without yielding to the event loop: under 0.5 ms


@dataclass(slots=True, frozen=True)
class Line:
    """The content of one line.

    Attributes:
        samples: in the order of the line; never empty.
        repeatable: True if any line with the same name and tail decodes to the same but for the value. Name and tail
            are what is before the first colon, and what is after the first bar behind it.
        assumed_value: True if a gauge with a sign was read as a value only because of its DogStatsD fields; it may
            have been meant as a change.
    """

    samples: tuple[Sample, ...]
    repeatable: bool
    assumed_value: bool = False


@dataclass(slots=True)
class _Fields:
    """The fields behind the type, which all values of a line share."""

    rate: bytes | None = None
    tags: bytes | None = None
    timestamp: float | None = None
    dogstatsd: bool = False


def decode(line: bytes, signed_gauges: SignedGauges | SignedGaugesOf = "auto") -> Line | DecodeError:
    """Decode one line, as `decode_line` does; an unusable one is returned as the error."""
    try:
        return decode_line(line, signed_gauges)
    except DecodeError as error:
        return error


def decode_line(line: bytes, signed_gauges: SignedGauges | SignedGaugesOf = "auto") -> Line:
    """Decode one line.

    Args:
        line: one metric without its newline; blanks around it are removed.
        signed_gauges: whether `+1` and `-1` on a gauge add to the remembered value (`delta`), are values
            (`value`), or are values only where the line has a DogStatsD field or packed values (`auto`:
            Datadog's clients send negative gauges that way); or a function that returns one of these for a
            gauge's name.

    Returns:
        Samples whose `adjusted` names what was ignored: `unknown_field`, `invalid_tag`, `rate_on_gauge`,
        `rate_on_set`.

    Raises:
        DecodeError: the line is unusable; `reason` is a stable label.
    """
    line = line.strip()
    name, rest, styled, first_colon = split_name(line)
    parts, tail = _split_parts(rest, line)
    ignored: list[str] = []
    fields = _read_fields(tail, ignored)
    if styled is not None and fields.tags is not None:
        raise DecodeError(Reason.MIXED_TAG_STYLES, f"{quoted(line)} mixes two styles of tags")
    tags = styled if styled is not None else dogstatsd_tags(fields.tags, ignored)
    unit, resolution, dimensions = reserved_tags(tags)
    if fields.rate is not None and parts[-1].rate is None:
        parts[-1] = parts[-1]._replace(rate=fields.rate)  # a rate behind the tags
    samples: list[Sample] = []
    assumed_value = False
    for part in parts:
        adjusted = ignored.copy()
        read, assumed = _samples(name, part, signed_gauges, adjusted, dogstatsd=fields.dogstatsd)
        assumed_value |= assumed
        for sample in read:
            sample.unit, sample.resolution, sample.dimensions = unit, resolution, dimensions
            sample.timestamp = fields.timestamp
            if adjusted:
                sample.adjusted = tuple(dict.fromkeys(adjusted))
            samples.append(sample)
    repeatable = (
        first_colon
        and len(parts) == 1
        and fields.timestamp is None
        and samples[0].kind is not Kind.SET
        and not any(sample.delta for sample in samples)
    )
    return Line(tuple(samples), repeatable, assumed_value)


def split_values(line: bytes) -> Iterator[bytes] | None:
    """Divide a line of very many values into lines of at most 256, so that the caller may yield between them.

    Returns:
        Lines that together decode to the same as the whole, generated one by one; None where the line has at most
        256 values, or cannot be decoded.
    """
    line = line.strip()
    try:
        _, rest, _, _ = split_name(line)
        parts, fields = _split_parts(rest, line)
    except DecodeError:
        return None  # decoding the line raises the same error
    if sum([1 if part.is_set else 1 + part.values.count(b":") for part in parts]) <= VALUES_AT_ONCE + 1:
        return None
    return _pieces(line[: len(line) - len(rest)], parts, fields)


def _pieces(opening: bytes, parts: list[_Part], fields: list[bytes]) -> Iterator[bytes]:
    # A rate behind the tags is that of the last part alone.
    rates = [field[1:] for field in fields if field[:1] == b"@"]
    if rates and parts[-1].rate is None:
        parts[-1] = parts[-1]._replace(rate=rates[-1])
    ending = b"".join([b"|" + field for field in fields if field[:1] != b"@"])
    for part in parts:
        values = [part.values] if part.is_set else _packed(part.values) or [b""]
        rate = b"" if part.rate is None else b"|@" + part.rate
        first = 0
        while first < len(values):
            # A last line of one value is avoided: a gauge's sign is read differently where values are packed.
            last = first + VALUES_AT_ONCE if len(values) - first > VALUES_AT_ONCE + 1 else len(values)
            yield opening + b":".join(values[first:last]) + b"|" + part.type_ + rate + ending
            first = last


class _Part(NamedTuple):
    """One `<values>|<type>[|@<rate>]`; a line has one, an etsy repeat several."""

    values: bytes
    type_: bytes
    rate: bytes | None

    @property
    def is_set(self) -> bool:
        """True if the value is a member of a set, which may contain colons."""
        return KINDS.get(self.type_) is Kind.SET


def _split_parts(rest: bytes, line: bytes) -> tuple[list[_Part], list[bytes]]:
    """Split what follows the name into parts and the fields they share.

    A colon behind a type, or behind the rate that follows one, starts the next part of an etsy repeat; any other
    colon belongs to packed values, or to a field.
    """
    tokens = rest.split(b"|", PARTS_PER_LINE)
    if len(tokens) > PARTS_PER_LINE:
        raise DecodeError(Reason.MALFORMED_LINE, f"{quoted(line)} has over {PARTS_PER_LINE} parts")
    parts: list[_Part] = []
    values = tokens[0]
    at = 1
    while True:
        if at >= len(tokens):
            raise DecodeError(Reason.MALFORMED_LINE, f"{quoted(line)} has no |type")
        type_, again, following = tokens[at].partition(b":")
        rate: bytes | None = None
        at += 1
        if not again and at < len(tokens) and tokens[at][:1] in (b"@", b":"):
            field, again, following = tokens[at].partition(b":")
            rate = field[1:] if field else None
            at += 1
        parts.append(_Part(values, type_, rate))
        if not again:
            return parts, tokens[at:]
        values = following


def _read_fields(tokens: list[bytes], ignored: list[str]) -> _Fields:
    if len(tokens) > FIELDS_PER_LINE:
        raise DecodeError(Reason.MALFORMED_LINE, f"over {FIELDS_PER_LINE} fields behind the type")
    fields = _Fields()
    for field in tokens:
        mark = field[:1]
        if mark == b"@":
            fields.rate = field[1:]
            continue
        if not field:
            continue
        fields.dogstatsd = True
        if mark == b"#":
            fields.tags = field[1:] if fields.tags is None else fields.tags + b"," + field[1:]
        elif mark == b"T":
            fields.timestamp = _timestamp(field[1:])
        elif not field.startswith(
            (b"c:", b"e:", b"card:")
        ):  # origin fields, for the Datadog agent: the sender's container
            ignored.append("unknown_field")
    return fields


def _timestamp(text: bytes) -> float:
    if not text.isdigit() or len(text) > 12:
        raise DecodeError(Reason.INVALID_TIMESTAMP, f"T{quoted(text)} is not in whole seconds since 1970")
    return float(text)


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
        raise DecodeError(Reason.INVALID_RATE, f"rate {quoted(rate)} is outside {MIN_RATE}..1")
    return 1.0 / value


def _samples(
    name: str, part: _Part, signed_gauges: SignedGauges | SignedGaugesOf, ignored: list[str], *, dogstatsd: bool
) -> tuple[list[Sample], bool]:
    """The samples of one part, and `Line.assumed_value`."""
    kind = KINDS.get(part.type_)
    if kind is None:
        raise DecodeError(Reason.UNKNOWN_TYPE, f"{quoted(part.type_)} is none of c, g, ms, h, d, s, m")
    weight = _weight(part.rate, kind, ignored)
    if kind is Kind.SET:
        if not part.values:
            raise DecodeError(Reason.INVALID_VALUE, "a set member is empty")
        return [Sample(name, kind, members=(utf8(part.values),))], False
    texts = _packed(part.values)
    if not texts:
        raise DecodeError(Reason.INVALID_VALUE, "there is no value")
    values = tuple([number(text) for text in texts])
    if kind is not Kind.GAUGE:
        return [Sample(name, kind, values, (weight,) * len(values))], False
    signed = [text[:1] in (b"+", b"-") for text in texts]
    mode = signed_gauges if isinstance(signed_gauges, str) else signed_gauges(name)
    dogstatsd = dogstatsd or len(texts) > 1  # only DogStatsD packs values
    deltas = mode == "delta" or (mode == "auto" and not dogstatsd)
    if deltas and any(signed):
        pairs = zip(values, signed, strict=True)
        return [Sample(name, kind, (value,), (1.0,), delta=sign) for value, sign in pairs], False
    return [Sample(name, kind, values, (1.0,) * len(values))], mode == "auto" and any(signed)


def _packed(text: bytes) -> list[bytes]:
    """Packed values without the empty ones, which some clients leave when they join buffers."""
    return [value for value in text.split(b":") if value]
