"""An IDL of Thrift for tests of transcoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metaproxy.filters.transcode.thrift_idl import Definitions, read_idl
from metaproxy.filters.transcode.thrift_types import Struct
from metaproxy.filters.transcode.thrift_writing import WRITERS

SHOP = """
enum Size { SMALL = 1, LARGE = 2 }
struct Maker { 1: string name, 2: optional Maker parent }
struct Item {
  1: string name 2: bool sold 3: i8 tiny 4: i16 small 5: i32 medium 6: i64 large 7: double weight 8: binary image
  9: list<bool> flags 10: set<i32> numbers 11: map<i32, list<string>> words 12: Maker maker 13: Size size 14: uuid id
  40: required string last
}
union Either { 1: i32 number, 2: string text }
exception Missing { 1: i32 code, 2: string why }
service Shop {
  Item get(1: i64 id, 2: bool full) throws (1: Missing missing)
  void put(1: Item item, 2: list<string> tags)
  Either pick(1: Either either)
  oneway void note(1: string text)
}
"""


def shop(folder: Path) -> Definitions:
    return read_idl(path(folder))


def path(folder: Path) -> str:
    """A file with it."""
    file = folder / "shop.thrift"
    file.write_text(SHOP)
    return str(file)


ITEM: dict[str, Any] = {
    "name": "\u00fc", "sold": True, "tiny": -128, "small": -300, "medium": 1 << 30, "large": -(1 << 63), "weight": 0.5,
    "image": "AP8=", "flags": [True, False], "numbers": list(range(20)), "words": {"-7": ["a"], "8": []},
    "maker": {"name": "x", "parent": {"name": "y"}}, "size": "LARGE", "id": "00112233-4455-6677-8899-aabbccddeeff",
    "last": "z",
}  # fmt: skip
"""A value of Item, with every type."""


def struct_of(folder: Path, name: str) -> Struct:
    found = shop(folder).types[name].struct
    assert found is not None
    return found


def written(protocol: str, kind: Struct, values: dict[str, Any]) -> bytes:
    writer = WRITERS[protocol]()
    writer.struct(kind, values, "")
    return bytes(writer.out)
