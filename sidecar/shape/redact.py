"""Redaction of log events: `logs.redact`. Pure, and of linear time.

One RE2 set tells which of all patterns are in a text; only these are then replaced. What was found is never logged,
counted by its content or raised: counts are by rule. An event is redacted as text, so that what is not redacted stays as it came.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from sidecar.model.events import LogEvent
from sidecar.model.regex import compile_regex, options
from sidecar.shape.finders import FINDERS
from sidecar.shape.json_text import blanked, plain, replace_tokens, replace_values

SET_BYTES: Final = 16 << 20  # for all patterns together, and the states they are in
SET_PROGRAM: Final = 50_000  # instructions: of more the set could run out of memory in a text, and find nothing
HASH_CHARACTERS: Final = 16  # of a hash in hexadecimal: 64 bits, enough to tell a million values apart


@dataclass(frozen=True, slots=True)
class Redaction:
    """One rule of `logs.redact`: what to look for is one of `find`, `fields` and `pattern`.

    Attributes:
        find: names of built-in finders.
        fields: globs of field names, or of their paths; `*` is any characters, case does not matter.
        pattern: RE2.
        replace: `mask` puts the rule's name in its place, `hash` adds a keyed hash, `drop_event` drops the event.
        name: in the mask and in counts; by default the finder's, else `redacted`.
    """

    find: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    pattern: str | None = None
    replace: Literal["mask", "hash", "drop_event"] = "mask"
    name: str | None = None


@dataclass(slots=True)
class _Search:
    """One pattern: where it is from, what it looks for, and what replaces it."""

    rule: int
    name: str
    replace: str
    pattern: str
    regex: Any
    check: Callable[[bytes, int, int], bool] | None = None
    grouped: bool = False  # only the pattern's group is replaced
    fields: bool = False  # `regex` is of names of fields, whose values are replaced


class Redactor:
    """Redacts texts and log events.

    Attributes:
        hits: {(index of the rule, name): what it replaced, or events that it dropped}.
    """

    def __init__(self, rules: Sequence[Redaction], key: bytes | None) -> None:
        """Compile the rules.

        Args:
            rules: at least one.
            key: of hashes; needed where a rule has `replace: hash`.

        Raises:
            ValueError: a pattern cannot be compiled.
        """
        self._key = key
        self._searches = [search for index, rule in enumerate(rules) for search in _searches(index, rule)]
        self.hits: Counter[tuple[int, str]] = Counter({(one.rule, one.name): 0 for one in self._searches})
        self._match = _set_of(self._searches)

    def redact(self, text: str) -> tuple[str, bool]:
        """Redact a text.

        Returns:
            The text, the same object where nothing was found; True if an event of this text is to be dropped.
        """
        plain_text = plain(text)
        data = plain_text.encode("utf-8", "surrogatepass")
        found = self._match(blanked(data))
        return self._replaced(plain_text, found, otherwise=text) if found else (text, False)

    def redact_event(self, event: LogEvent) -> bool:
        """Redact the message, the fields and the group and stream of an event, in place.

        Returns:
            True if the event is to be dropped; what is in it is redacted all the same.
        """
        message, drop = self.redact(event.message)
        if message is not event.message:
            event.message = message
            event.fields = _fields(message) if event.fields else event.fields
        for name in ("group", "stream"):
            given = getattr(event, name)
            if given is not None:
                redacted, _ = self.redact(given)
                setattr(event, name, redacted)
        return drop

    def _replaced(self, text: str, found: Sequence[int], otherwise: str) -> tuple[str, bool]:
        """Replace what the searches found; `otherwise` is returned where all they found turned out not to be it."""
        counts: Counter[tuple[int, str]] = Counter()
        searches = [self._searches[index] for index in sorted(found)]
        redacted = self._apply(text, searches, counts)
        if not counts:
            return otherwise, False
        if text.startswith("{") and _is_json(text) and not _is_json(redacted):
            # Something was in a number, or reached over the end of a string. Each string and number by itself then.
            counts_, whole = Counter[tuple[int, str]](), redacted
            by_name, by_pattern = ([one for one in searches if one.fields is named] for named in (True, False))
            redacted = self._apply(text, by_name, counts_)
            redacted = replace_tokens(redacted, lambda token: self._apply(token, by_pattern, counts_))
            left: Counter[tuple[int, str]] = Counter()
            self._apply(redacted, searches, left)
            if left or not _is_json(redacted):
                redacted = whole  # no JSON any more: better than what was to be redacted
            else:
                counts = counts_
        self.hits.update(counts)
        return redacted, any(one.replace == "drop_event" and counts[one.rule, one.name] for one in searches)

    def _apply(self, text: str, searches: Sequence[_Search], counts: Counter[tuple[int, str]]) -> str:
        for search in searches:
            text = self._by_name(text, search, counts) if search.fields else self._by_pattern(text, search, counts)
        return text

    def _by_name(self, text: str, search: _Search, counts: Counter[tuple[int, str]]) -> str:
        matches = search.regex.fullmatch

        def replacement(value: str) -> str:
            if self._is_mask(search, value):
                return value
            counts[search.rule, search.name] += 1
            return self._mask(search, value.encode("utf-8", "surrogatepass"))

        return replace_values(
            text,
            lambda name, path: matches(name) is not None or (path != name and matches(path) is not None),
            replacement,
        )

    def _by_pattern(self, text: str, search: _Search, counts: Counter[tuple[int, str]]) -> str:
        data = text.encode("utf-8", "surrogatepass")
        view = blanked(data)
        pieces: list[bytes] = []
        end = at = 0
        while (match := search.regex.search(view, at)) is not None:
            group = 1 if search.grouped and match.start(1) >= 0 else 0
            first, last = match.span(group)
            if last <= first or (search.check is not None and not search.check(view, first, last)):
                # Something may begin within what it is not.
                at = max(match.start() + 1, first) if last > first else last + 1
                if at > len(view):
                    break
                continue
            pieces += [data[end:first], self._mask(search, data[first:last]).encode()]
            end = at = last
            counts[search.rule, search.name] += 1
        if not pieces:
            return text
        return b"".join([*pieces, data[end:]]).decode("utf-8", "surrogatepass")

    def _mask(self, search: _Search, value: bytes) -> str:
        if search.replace != "hash" or self._key is None:
            return f"[{search.name}]"
        digest = hmac.new(self._key, value, hashlib.sha256).hexdigest()
        return f"[{search.name}:{digest[:HASH_CHARACTERS]}]"

    @staticmethod
    def _is_mask(search: _Search, value: str) -> bool:
        """True if a value is what this search puts in place of one."""
        bare = value.removeprefix(f"[{search.name}")
        if bare == "]":
            return True
        return (
            len(bare) == HASH_CHARACTERS + 2 < len(value)
            and bare[0] == ":"
            and bare[-1] == "]"
            and bare[1:-1].isalnum()
        )


def _searches(index: int, rule: Redaction) -> list[_Search]:
    """The patterns of one rule."""
    if rule.pattern is not None:
        regex = compile_regex(rule.pattern)
        return [_Search(index, rule.name or "redacted", rule.replace, rule.pattern, regex)]
    if rule.fields:
        paths = [_glob(field) for field in rule.fields]
        lasts = sorted({_glob(field.rpartition(".")[2] or field) for field in rule.fields} | set(paths))
        within = rf'(?i)"(?:{"|".join(lasts)})\\*"\s*:'
        names = compile_regex(f"(?is)(?:{'|'.join(paths)})", limited=False)
        return [_Search(index, rule.name or "redacted", rule.replace, within, names, fields=True)]
    return [
        _Search(
            index,
            name if rule.name is None else rule.name,
            rule.replace,
            FINDERS[name].pattern,
            compile_regex(FINDERS[name].pattern),
            FINDERS[name].check,
            grouped=compile_regex(FINDERS[name].pattern).groups > 0,
        )
        for name in rule.find
    ]


def _glob(field: str) -> str:
    """A glob of a field's name as RE2."""
    import re2

    return r'[^"\\]*'.join(re2.escape(part) for part in field.split("*"))


def _set_of(searches: Sequence[_Search]) -> Callable[[bytes], Sequence[int]]:
    """A function of a text: the indices of the patterns that are in it; empty or None for none."""
    import re2

    if sum(compile_regex(one.pattern, limited=False).programsize for one in searches) > SET_PROGRAM:
        every = [(index, compile_regex(one.pattern, limited=False)) for index, one in enumerate(searches)]
        return lambda data: [index for index, regex in every if regex.search(data) is not None]
    patterns = re2.Set.SearchSet(options(SET_BYTES))
    for one in searches:
        patterns.Add(one.pattern)
    patterns.Compile()
    match: Callable[[bytes], Sequence[int]] = patterns.Match
    return match


def _fields(message: str) -> dict[str, object]:
    try:
        fields = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
