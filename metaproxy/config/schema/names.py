"""
How names are written in a configuration: those that it gives, those that refer to one, and secrets, which may.

Lives here: a class for each; it says in one place what is read, what the docs call it and what an editor checks. Does
not: which names there are (`reading`).
"""

from __future__ import annotations

from metaproxy.config.schema.leaf import Leaf, text
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Kind, Reading, Schema
from metaproxy.units import Secret

MAX_NAME = 256
"""Characters of the name of a listener, cluster, route or secret."""


class Name(Kind[str]):
    """what: of what it is a name, of which no two may be the same; '' where that does not matter."""

    def __init__(self, what: str = "") -> None:
        self._what = what

    def read(self, node: Node, reading: Reading) -> str:
        name = check_name(text(node))
        if self._what:
            reading.define(self._what, name, node)
        return name

    def default(self, written: object) -> str:
        return str(written)

    def words(self) -> str:
        return "a name"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "minLength": 1, "maxLength": MAX_NAME}


def check_name(name: str) -> str:
    """Raises ValueError for what would not fit into a line of a log, a label of a metric, an address of the API."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} is not a name; write 1 to {MAX_NAME} printable characters")
    return name


class Reference(Leaf[str]):
    """The name of something that is defined anywhere in the file."""

    def __init__(self, what: str) -> None:
        self.what = what

    def parse(self, node: Node) -> str:
        return text(node)

    def read(self, node: Node, reading: Reading) -> str:
        name = self.parse(node)
        reading.refer(self.what, name, node)
        return name

    def words(self) -> str:
        return f"the name of a {self.what}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


class Hidden(Kind[Secret]):
    """A text that is never shown; by_name: or `{secret: NAME}`, which stands for one."""

    def __init__(self, by_name: bool = True) -> None:
        self._by_name = by_name

    def read(self, node: Node, reading: Reading) -> Secret:
        name = secret_name(node) if self._by_name else None
        return Secret(text(node)) if name is None else reading.secret(name)

    def words(self) -> str:
        return "a text, or `{secret: NAME}`" if self._by_name else "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        if not self._by_name:
            return {"type": "string"}
        definitions["hidden"] = {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"secret": {"type": "string"}},
                    "required": ["secret"],
                    "additionalProperties": False,
                },
            ],
            "description": "a text, or {secret: NAME}",
        }
        return {"$ref": "#/$defs/hidden"}


def secret_name(node: Node) -> str | None:
    """NAME where `{secret: NAME}` stands."""
    if isinstance(node.value, dict) and list(node.value) == ["secret"]:
        return text(node.value["secret"])
    return None
