"""Checks of single values that several sections of the configuration have."""

from __future__ import annotations

import re
from typing import Final

from sidecar.model import names
from sidecar.model.errors import DecodeError
from sidecar.model.limits import RETENTION_DAYS

_PLACEHOLDERS: Final = re.compile(r"\{[^{}]+\}")


def template(text: str) -> str:
    """Check a template: every brace closed.

    Raises:
        ValueError: a sentence.
    """
    if not text or set(_PLACEHOLDERS.sub("", text)) & {"{", "}"}:
        raise ValueError("must be text with placeholders such as {field}, every brace closed")
    return text


def metric_name(name: str) -> str:
    """Check the name of a metric.

    Raises:
        ValueError: a sentence.
    """
    try:
        return names.metric_name(name)
    except DecodeError as error:
        raise ValueError(error.detail) from None


def group_template(text: str) -> str:
    """Check the template of a log group.

    Raises:
        ValueError: a sentence.
    """
    problem = names.group_problem(_PLACEHOLDERS.sub("x", template(text)))
    if problem:
        raise ValueError(problem)
    return text


def stream_template(text: str) -> str:
    """Check the template of a log stream.

    Raises:
        ValueError: a sentence.
    """
    bare = _PLACEHOLDERS.sub("x", template(text))
    if names.stream(bare) != bare:
        raise ValueError("must have 1-512 characters, none of them : or *")
    return text


def namespace(text: str) -> str:
    """Check a namespace of metrics.

    Raises:
        ValueError: a sentence.
    """
    try:
        return names.namespace(text)
    except DecodeError as error:
        raise ValueError(error.detail) from None


def unit(name: str) -> str:
    """Check a unit of CloudWatch.

    Raises:
        ValueError: a sentence.
    """
    try:
        return names.unit(name)
    except DecodeError as error:
        raise ValueError(error.detail) from None


def retention(days: int) -> int:
    """Check a number of days that CloudWatch Logs can retain events.

    Raises:
        ValueError: a sentence.
    """
    if days not in RETENTION_DAYS:
        raise ValueError(f"must be one of {', '.join(map(str, RETENTION_DAYS))}")
    return days
