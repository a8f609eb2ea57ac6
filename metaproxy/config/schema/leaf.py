"""
What every kind of single value has in common: `Leaf`, and how a value that stands in the file is looked at.

Lives here: texts, scalars and mappings of a node, and how errors name them. Does not: any kind of value (`texts`,
`numbers`, `names`, `addresses`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from metaproxy.config.schema.nodes import Node, Scalar, resolve
from metaproxy.config.schema.reading import Kind, Reading, Schema


def shown(node: Node) -> str:
    """A value in an error: short, and as it was written."""
    if isinstance(node.value, (list, dict)):
        return "a list" if isinstance(node.value, list) else "a mapping"
    if node.value is None:
        return "nothing"
    return repr(node.text) if isinstance(node.value, str) or node.filled else node.text


def scalar(node: Node) -> Scalar:
    """A value that is meant to be no text; what variables made of a text in quotes counts as well."""
    if isinstance(node.value, (list, dict)):
        raise ValueError(f"{shown(node)} where a single value belongs")
    return resolve(node.text) if node.filled else node.value


def text(node: Node) -> str:
    """A value that is meant to be a text. Raises ValueError for numbers and the like, which want quotes."""
    if isinstance(node.value, str) or node.filled:
        return node.text
    quotes = "" if node.value is None or isinstance(node.value, (list, dict)) else f"; write '{node.text}' in quotes"
    raise ValueError(f"{shown(node)} is not a text{quotes}")


def entries(node: Node, words: str) -> dict[str, Node]:
    """What stands in a mapping."""
    if not isinstance(node.value, dict):
        raise ValueError(f"{shown(node)} is not {words}")
    return node.value


def variable(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema of a value in whose place a variable or a live value may stand."""
    definitions["variable"] = {
        "description": "${NAME} or ${NAME:-default}, or {runtime: NAME}",
        "anyOf": [
            {"type": "string", "pattern": r"\$\{"},
            {
                "type": "object",
                "properties": {"runtime": {"type": "string"}},
                "required": ["runtime"],
                "additionalProperties": False,
            },
        ],
    }
    return {"anyOf": [schema, {"$ref": "#/$defs/variable"}]}


T = TypeVar("T")


class Leaf(Kind[T]):
    """A single value, which is read without looking at anything else."""

    @abstractmethod
    def parse(self, node: Node) -> T:
        """As `read`."""

    def read(self, node: Node, reading: Reading) -> T:
        return self.parse(node)

    def default(self, written: object) -> T:
        if not isinstance(written, (str, int, float)):
            raise ValueError(f"{written!r} is no single value")
        return self.parse(Node(written, 0, 0, text=str(written)))
