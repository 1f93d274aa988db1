"""Regular expressions of the configuration: RE2, whose time is linear in the text whatever the pattern. Pure."""

from __future__ import annotations

from typing import Any, Final

PATTERN_CHARACTERS: Final = 1_000
PATTERN_BYTES: Final = 1 << 19  # memory for one compiled pattern: bounds `(a{100}){100}` and its like


def options(max_bytes: int = PATTERN_BYTES) -> Any:
    """RE2's options: errors are raised and not printed; `max_bytes` bounds the memory of a compiled pattern."""
    import re2  # an extension module, which only few configurations need

    chosen = re2.Options()
    chosen.log_errors = False  # to standard error, with the pattern
    chosen.max_mem = max_bytes
    return chosen


def compile_regex(pattern: str, *, limited: bool = True) -> Any:
    """Compile a pattern; it is searched for in text, or in bytes of UTF-8.

    Args:
        pattern: in RE2's syntax: no look-around, no back-references.
        limited: it is one an operator wrote, and has at most so many characters.

    Raises:
        ValueError: a sentence: it is too long, too large, or no regular expression.
    """
    import re2

    if limited and len(pattern) > PATTERN_CHARACTERS:
        raise ValueError(f"a regular expression has at most {PATTERN_CHARACTERS} characters, got {len(pattern)}")
    try:
        return re2.compile(pattern, options(PATTERN_BYTES if limited else 16 * PATTERN_BYTES))
    except re2.error as error:
        raise ValueError(f"not a regular expression: {error.args[0].decode('utf-8', 'replace')}") from None
    except UnicodeEncodeError:
        raise ValueError("not a regular expression: it has characters that UTF-8 cannot encode") from None
