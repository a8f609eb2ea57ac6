"""
The types of Thrift, as an IDL defines them, and what they are called on the wire.

Lives here: plain values. Does not: reading an IDL (`thrift_idl`); values of the types (`thrift_reading`,
`thrift_writing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_DEPTH = 64
"""Structs and containers in each other, of what is read and written."""
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "enum": 32}
BINARY = {
    "bool": 2, "i8": 3, "double": 4, "i16": 6, "i32": 8, "enum": 8, "i64": 10, "string": 11, "binary": 11, "struct": 12,
    "map": 13, "set": 14, "list": 15, "uuid": 16,
}  # fmt: skip
COMPACT = {
    "bool": 1, "i8": 3, "i16": 4, "i32": 5, "enum": 5, "i64": 6, "double": 7, "string": 8, "binary": 8, "list": 9,
    "set": 10, "map": 11, "struct": 12, "uuid": 13,
}  # fmt: skip


@dataclass(eq=False)
class Type:
    """kind: a base type, "list", "set", "map", "enum" or "struct". parts: of a container, its key and its values."""

    kind: str
    parts: tuple[Type, ...] = ()
    struct: Struct | None = None
    enum: Enum | None = None


@dataclass(eq=False)
class Field:
    number: int
    name: str
    type: Type
    required: bool = False


@dataclass(eq=False)
class Struct:
    """Also a union (of which one field is there) or an exception."""

    name: str
    kind: str = "struct"
    fields: list[Field] = field(default_factory=list)

    def index(self) -> None:
        self.by_name = {each.name: each for each in self.fields}
        self.by_number = {each.number: each for each in self.fields}


@dataclass(eq=False)
class Enum:
    name: str
    values: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names: dict[int, str] = {}


@dataclass(eq=False)
class Function:
    """returns: None for void. thrown: its exceptions. result: what answers it, with what it returns as field 0."""

    name: str
    arguments: Struct
    returns: Type | None
    thrown: Struct
    oneway: bool
    result: Struct = field(default_factory=lambda: Struct("result"))


@dataclass(eq=False)
class Service:
    name: str
    functions: dict[str, Function]
    extends: Service | None = None

    def function(self, name: str) -> Function | None:
        return self.functions.get(name) or (self.extends.function(name) if self.extends is not None else None)

    def names(self) -> list[str]:
        return [*(self.extends.names() if self.extends is not None else ()), *self.functions]
