"""
How a cluster's `topology` is written: a word of its protocol, or one with a name behind it.

Lives here: `Topology`, `TopologyKind`. Does not: which words a protocol has (its codec).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.config.schema.leaf import Leaf, text
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Schema


@dataclass(frozen=True, slots=True)
class Topology:
    """kind: the word; name: what stands behind it, '' for nothing."""

    kind: str
    name: str = ""


class TopologyKind(Leaf[Topology]):
    """A word, or `{word: name}`."""

    def parse(self, node: Node) -> Topology:
        if not isinstance(node.value, dict):
            found = Topology(text(node))
        elif len(node.value) == 1:
            ((kind, inner),) = node.value.items()
            found = Topology(kind, text(inner))
        else:
            raise ValueError("write one word, or `{WORD: NAME}`")
        if not found.kind or (isinstance(node.value, dict) and not found.name):
            raise ValueError("an empty text; write one word, or `{WORD: NAME}`")
        return found

    def words(self) -> str:
        return "a word of the protocol, or `{WORD: NAME}`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        named: Schema = {"type": "object", "minProperties": 1, "maxProperties": 1}
        return {"anyOf": [{"type": "string"}, named | {"additionalProperties": {"type": "string"}}]}
