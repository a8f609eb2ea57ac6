"""
A configuration as a tree of values that know where they stood, and what is wrong with it.

Lives here: `Node`, `within`, `Problem`, `ConfigErrors`, what a plain scalar means. Does not: making a tree of a text
(`load`); what keys there are (`model`, `shape`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from weakref import ref

from metaproxy.config.slices import checkpoint

MAX_TEXT = 500
"""Characters of a problem's text, and of its path."""
MAX_PROBLEMS = 500
"""Reported of one file; the others are reported once these are mended."""


Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """
    What is wrong at one place. line, column: from 1, or 0 for values that never were text; path: such as
    listeners[0].routes[2].cluster, may be ''.
    """

    file: str
    line: int
    column: int
    path: str
    text: str

    def __post_init__(self) -> None:
        # Both may quote what a file of megabytes holds; a line of a log or an answer of the admin API shall not.
        for name in ("path", "text"):
            value = getattr(self, name)
            if len(value) > MAX_TEXT:
                object.__setattr__(self, name, f"{value[: MAX_TEXT // 2]} ... {value[-MAX_TEXT // 4 :]}")

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {path}{self.text}"


class ConfigErrors(Exception):
    """A configuration that is refused; `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        super().__init__("\n".join([*map(str, problems), count]))
        self.problems = problems


@dataclass(slots=True, eq=False, weakref_slot=True)
class Node:
    """
    One value of the file. text: a scalar as it was written, variables replaced; filled: whether there were any;
    broken: whether it was reported already, so that nothing more is to be said about it; line, column: where it begins,
    from 1, or 0 where the value comes from no text; key, parent: where it hangs; key_line, key_column: where the key
    stood.
    A value that an alias stands for is a node of its own, with the place of the original. A node does not keep its
    parent: a tree without cycles is gone as soon as its root is.
    """

    value: Scalar | list[Node] | dict[str, Node]
    line: int
    column: int
    text: str = ""
    filled: bool = False
    broken: bool = False
    _parent: ref[Node] | None = None
    key: str | int | None = None
    key_line: int = 0
    key_column: int = 0

    @property
    def parent(self) -> Node | None:
        return self._parent() if self._parent is not None else None

    @property
    def path(self) -> str:
        """Such as listeners[0].routes[2].match['source.address']."""
        parts: list[str] = []
        node: Node | None = self
        while node is not None and node.key is not None:
            parts.append(_step(node.key))
            node = node.parent
        return "".join(reversed(parts)).removeprefix(".")

    @property
    def place(self) -> str:
        """Where it stands, for an error about another node: `in line 3`, or its path where there are no lines."""
        return f"in line {self.line}" if self.line else f"at {self.path or 'the top'}"

    def hang(self, parent: Node, key: str | int, line: int = 0, column: int = 0) -> Node:
        """Makes it what stands at `key` of `parent`; line and column: of a mapping's key."""
        self._parent, self.key, self.key_line, self.key_column = ref(parent), key, line, column
        return self


def take_apart(root: Node) -> None:
    """Free a tree that is not needed any more, in slices: at once it takes tens of milliseconds for 10,000 routes."""
    waiting = [root]
    while waiting:
        checkpoint()
        node = waiting.pop()
        value, node.value = node.value, None
        if isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch(r"[\w-]+", key) else f"[{key!r}]"


def resolve(text: str) -> Scalar:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and isfinite(float(text)):
        return float(text)
    return text


_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,29}")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?")


def within(node: Node, path: Iterable[str | int]) -> Node:
    """Return the node to which a path leads, as far as it is in the file."""
    for step in path:
        inner = node.value
        if isinstance(inner, dict) and step in inner:
            node = inner[str(step)]
        elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
            node = inner[step]
        else:
            break
    return node
