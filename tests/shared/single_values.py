"""What a kind of single value makes of a text, and what it says of one that it does not take."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from metaproxy.config.schema.load import load
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import BROKEN, Kind, Reading
from metaproxy.plugins import Registry
from metaproxy.units import Secret

T = TypeVar("T")

REGISTRY = Registry()
ENVIRON = {"N": "7", "T": "5s", "E": ""}


def outcome(kind: Kind[T], text: str) -> tuple[object, list[str]]:
    """The value of `key: TEXT`, and what is wrong. The secret `known` is there, `broken` could not be read."""
    root, problems = load(f"key: {text}", "x.yaml", ENVIRON)
    assert problems == [] and root is not None and isinstance(root.value, dict)
    reading = Reading("x.yaml", Path("/etc/metaproxy"), REGISTRY, {}, {}, {})
    reading.define("secret", "known", Node(None, 1, 1))
    reading.define("secret", "broken", Node(None, 1, 1))
    reading.secrets["known"] = Secret("hunter2")
    value = reading.read(kind, root.value["key"])
    reading.check_references()
    return value, [problem.text for problem in reading.problems]


def is_read(kind: Kind[T], text: str, value: object) -> None:
    """Asserts that the text is read as this value, and as one of its type."""
    read, problems = outcome(kind, text)
    assert problems == []
    assert read == value
    assert type(read) is type(value) or isinstance(value, Path)


def is_refused(kind: Kind[T], text: str, problem: str) -> None:
    """Asserts that the text is refused with these words."""
    value, problems = outcome(kind, text)
    assert problems == [problem]
    assert value is BROKEN
