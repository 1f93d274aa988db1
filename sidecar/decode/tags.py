"""Tags of StatsD lines in all five styles: DogStatsD's field, and those that are part of the name. Pure."""

from __future__ import annotations

import re
from typing import Final

from sidecar.decode.numbers import quoted, utf8
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import TAGS_PER_LINE
from sidecar.model.samples import Dimensions

UNIT_TAG: Final = "cw_unit"
RESOLUTION_TAG: Final = "cw_resolution"
# Tags that clients add for the Datadog agent: of no use as dimensions.
STRIPPED_TAGS: Final = frozenset({"dd.internal.entity_id", "dd.internal.card", "dd.internal.jmx_check_name"})

_MARKS: Final = re.compile(rb"([\[#,;])")  # what may open tags: SignalFx, Librato, Influx, Graphite


def split_name(line: bytes) -> tuple[str, bytes, list[tuple[str, str]] | None, bool]:
    """Split a line into its name, the tags that are part of the name, and the rest.

    Returns:
        The name without tags; what follows its colon; the tags of a style other than `|#`, or None; True if
        that colon is the first of the line.
    """
    end = line.find(b":")
    bracket = line.find(b"[", 0, max(end, 0))
    if bracket >= 0:
        # SignalFx: tag values may contain colons, so the name's colon is the one after the closing bracket.
        inside, closed, _ = line[bracket:].partition(b"]")
        if closed and b"=" in inside and b"|" not in inside:
            end = line.find(b":", bracket + len(inside))
    if end < 0:
        raise DecodeError(Reason.MALFORMED_LINE, f"{quoted(line)} is not <name>:<value>|<type>")
    name, rest = line[:end], line[end + 1 :]
    first_colon = b":" not in name
    if b"=" not in name:
        return utf8(name), rest, None, first_colon
    if sum(map(name.count, (b"[", b"#", b",", b";"))) > TAGS_PER_LINE:
        raise _too_many_tags(name)
    # A mark opens tags only where `key=value` follows before the next mark; else it is part of the name.
    pieces = _MARKS.split(name)
    openers = [mark for mark, text in zip(pieces[1::2], pieces[2::2], strict=True) if b"=" in text]
    if not openers:
        return utf8(name), rest, None, first_colon
    opener = openers[0]
    others = set(openers) - {opener} - ({b","} if opener in (b"[", b"#") else set())
    before = sum(map(len, pieces[: 1 + 2 * _first_opener(pieces)]))
    bare, pairs = name[:before], name[before + 1 :]
    if opener == b"[":
        pairs, closed, after = pairs.partition(b"]")
        if not closed:
            raise DecodeError(Reason.MALFORMED_LINE, f"{quoted(line)} has no closing bracket")
        if b"=" in after:
            others.add(after)
        bare += after
    if others:
        raise DecodeError(Reason.MIXED_TAG_STYLES, f"{quoted(name)} mixes two styles of tags")
    separator = b";" if opener == b";" else b","
    tags = [tag for pair in pairs.split(separator) if (tag := _tag(pair, b"=")) is not None]
    return utf8(bare), rest, tags, first_colon


def _first_opener(pieces: list[bytes]) -> int:
    """The index among the marks of the first that opens tags."""
    return next(index for index, text in enumerate(pieces[2::2]) if b"=" in text)


def dogstatsd_tags(text: bytes | None, ignored: list[str]) -> list[tuple[str, str]]:
    """Read the tags of a `|#` field; `invalid_tag` is appended to `ignored` for each that has no key.

    Raises:
        DecodeError: `too_many_dimensions` (over 100 tags) or `invalid_utf8`.
    """
    if not text:
        return []
    if text.count(b",") >= TAGS_PER_LINE:
        raise _too_many_tags(text)
    tags: list[tuple[str, str]] = []
    for piece in text.split(b","):
        # Some clients write the mark before each tag: `#a:b,#c:d`.
        tag = _tag(piece.removeprefix(b"#"), b":")
        if tag is not None:
            tags.append(tag)
        elif piece and piece[:1] == b":":
            ignored.append("invalid_tag")
    return tags


def _too_many_tags(text: bytes) -> DecodeError:
    return DecodeError(Reason.TOO_MANY_DIMENSIONS, f"{quoted(text)} has over {TAGS_PER_LINE} tags")


def _tag(piece: bytes, separator: bytes) -> tuple[str, str] | None:
    """One tag; None where it has no key, or a separator but no value."""
    key, found, value = piece.partition(separator)
    if not key or (found and not value):
        return None
    return utf8(key), utf8(value) if found else "true"


def reserved_tags(tags: list[tuple[str, str]]) -> tuple[str | None, int | None, Dimensions]:
    """Separate the reserved tags: returns unit, resolution, and the others as dimensions (the last of a key wins)."""
    if not tags:
        return None, None, ()
    pairs = {key: value for key, value in tags if key not in STRIPPED_TAGS}
    unit = pairs.pop(UNIT_TAG, None)
    resolution = pairs.pop(RESOLUTION_TAG, None)
    if resolution not in (None, "1", "60"):
        raise DecodeError(Reason.INVALID_RESOLUTION, f"{RESOLUTION_TAG} {resolution!r} is neither 1 nor 60")
    return unit, None if resolution is None else int(resolution), tuple(sorted(pairs.items()))
