"""
Routes that an xDS server gives, in the place of a listener's own.

Lives here: `Rds`, a section of `model`, and how it is written. Does not: asking a server (`xds`), routes (`route`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

from metaproxy.config.schema.names import Name
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Refused, Schema
from metaproxy.config.schema.shape import ListOf, Nested, Section, option
from metaproxy.config.schema.texts import Text
from metaproxy.config.sections.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Rds(Section, Sequence[Route]):
    """
    Routes that an xDS server gives.

    To all who look for routes it is an empty list of them. The source that receives them gives a listener of the same
    name, which has them and takes the place of this one.
    """

    WITHIN: ClassVar = "rds"

    name: str = option(Name(), "Under which name the server has them.")
    server: str = option(Text(empty=True), "The `name` of the `xds` server that has them.", "", "the only one")

    @property
    def origin(self) -> str:
        """Where the routes come from, in words."""
        return f"routes come from rds {self.name!r}" + (f" of server {self.server!r}" if self.server else "")

    @overload
    def __getitem__(self, place: int) -> Route: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Route]: ...

    def __getitem__(self, place: int | slice) -> Route | Sequence[Route]:
        """Raise IndexError, for there are none; a slice is empty."""
        none: tuple[Route, ...] = ()
        return none[place]

    def __len__(self) -> int:
        return 0


class RoutesOrRds(Kind[Sequence[Route]]):
    """A list of routes, or `{rds: {name: NAME}}`. others: kinds besides the first, for the docs."""

    def __init__(self) -> None:
        self.kind = ListOf(Nested(Route))
        self.rds = Nested(Rds)
        self.others = (self.rds,)

    def read(self, node: Node, reading: Reading) -> Sequence[Route]:
        if not isinstance(node.value, dict):
            return self.kind.read(node, reading)
        if list(node.value) != ["rds"]:
            raise ValueError("a mapping of other keys than rds; write a list of routes, or {rds: {name: NAME}}")
        found = reading.read(self.rds, node.value["rds"])
        if found is BROKEN:
            raise Refused
        return found

    def default(self, written: object) -> Sequence[Route]:
        return self.kind.default(written)

    def words(self) -> str:
        return f"{self.kind.words()}; or `{{rds: ...}}`, {self.rds.words()}"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        rds: Schema = {
            "type": "object",
            "properties": {"rds": self.rds.schema(definitions)},
            "required": ["rds"],
            "additionalProperties": False,
        }
        return {"anyOf": [self.kind.schema(definitions), rds]}
