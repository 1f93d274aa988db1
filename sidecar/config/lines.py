"""Lines of a configuration file: where an element of a list stands, so that an error or a rule can be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class Lines:
    """Finds lines in a text that is YAML."""

    def __init__(self, text: str) -> None:
        """Keep the text; it is read when a line is asked for the first time."""
        self._text = text
        self._root: yaml.Node | None = None
        self._read = False

    def line(self, steps: Sequence[object]) -> int | None:
        """The line, from 1, of what is at a path of keys and positions, or of the last step of it that exists.

        Returns None where no step does.
        """
        if not self._read:
            self._read = True
            self._root = _composed(self._text)
        node, line = self._root, None
        for step in steps:
            key, node = _step(node, step)
            if node is None:
                break
            line = (key or node).start_mark.line + 1
        return line


def _composed(text: str) -> yaml.Node | None:
    try:
        root: Any = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None
    return root if isinstance(root, yaml.Node) else None


def _step(node: yaml.Node | None, step: object) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The node of a key and that of its value; of a position, the element alone."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return None, node.value[step]
    return None, None
