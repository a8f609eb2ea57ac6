"""Thrift's interface definition language."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.filters.transcode.thrift_idl import Definitions, read_idl

FULL = """
namespace java org.example   // a comment
namespace * example
include "base.thrift"
cpp_include "<map>" # nothing
/* of several
   lines */
const i32 LIMIT = 5
const map<string, list<i32>> TABLE = {"a": [1, 2]}
typedef map<string, Item> Items (cpp.template = "x")
enum Colour { RED, GREEN = 5; BLUE }
struct Item {
  1: required string name = "none" (key = "value"),
  2: optional list<set<i64>> numbers;
  3: Colour colour = Colour.RED
  4: base.Owner owner
  5: Item & next
  6: binary raw 7: byte small
}
union Either { 1: i32 number; 2: string text }
exception Bad { 1: string why }
service Shop extends base.Root {
  Items all(1: i32 page, 2: bool sold) throws (1: Bad bad, 2: base.Worse worse),
  void ping();
  oneway void note(1: string text)
}
"""
BASE = """
struct Owner { 1: i32 id }
exception Worse { }
service Root { Owner owner() }
"""


def read(tmp_path: Path, text: str, **others: str) -> Definitions:
    (tmp_path / "shop.thrift").write_text(text)
    for name, each in others.items():
        (tmp_path / f"{name}.thrift").write_text(each)
    return read_idl(str(tmp_path / "shop.thrift"))


def test_a_service_has_its_methods_and_those_of_the_one_that_it_extends(tmp_path: Path) -> None:
    shop = read(tmp_path, FULL, base=BASE).services["Shop"]
    assert shop.names() == ["owner", "all", "ping", "note"]
    found = shop.function("all")
    assert found is not None and found.returns is not None
    assert found.returns.kind == "map" and found.returns.parts[1].struct is not None
    assert list(found.arguments.by_name) == ["page", "sold"]
    assert [field.type.struct.name for field in found.thrown.fields if field.type.struct] == ["Bad", "Worse"]
    assert sorted(found.result.by_number) == [0, 1, 2]
    note, ping, owner = shop.function("note"), shop.function("ping"), shop.function("owner")
    assert note is not None and note.oneway
    assert ping is not None and ping.returns is None
    assert owner is not None and owner.returns is not None
    assert shop.function("none") is None


def test_a_struct_has_its_fields_with_numbers_and_types(tmp_path: Path) -> None:
    types = read(tmp_path, FULL, base=BASE).types
    item = types["Item"].struct
    assert item is not None
    kinds = {field.name: (field.number, field.type.kind, field.required) for field in item.fields}
    assert kinds == {
        "name": (1, "string", True), "numbers": (2, "list", False), "colour": (3, "enum", False),
        "owner": (4, "struct", False), "next": (5, "struct", False), "raw": (6, "binary", False),
        "small": (7, "i8", False),
    }  # fmt: skip
    assert item.by_name["next"].type.struct is item
    colour = types["Colour"].enum
    assert colour is not None and colour.values == {"RED": 0, "GREEN": 5, "BLUE": 6}
    either = types["Either"].struct
    assert either is not None and either.kind == "union"


def test_fields_without_numbers_count_down(tmp_path: Path) -> None:
    item = read(tmp_path, "struct A { string a, string b }").types["A"].struct
    assert item is not None and [field.number for field in item.fields] == [-1, -2]


@pytest.mark.parametrize(
    "text, error",
    [
        ("struct A {\n 1: string a\n 1: string b }", r"shop.thrift:3: A has the field 1: b twice"),
        ("struct A { 1: Nowhere a }", "no type 'Nowhere'"),
        ("struct A { 1: string }", "a name expected"),
        ("struct A { 1 string a }", "':' expected"),
        ("struct A { 1: string a", "ends in the middle"),
        ("struct A {} struct A {}", "defined twice"),
        ("service A extends B {}", "no service 'B' above"),
        ("service A { void a( }", "a name expected"),
        ("\n\nnothing", r"shop.thrift:3: 'nothing' begins no definition"),
        ("struct A { 1: string a } @", "nothing of Thrift"),
        ('include "none.thrift"', r"shop.thrift:1: .*none.thrift can't be read"),
        ('include "shop.thrift"', "includes itself"),
        ("enum A { B = x }", "a number expected"),
        ("struct A { 1: " + "list<" * 100 + "i32" + ">" * 100 + " a }", "containers in each other"),
        ("typedef B A\ntypedef i32 B", "defined by what follows"),
    ],
)
def test_what_is_no_idl_is_refused_with_its_line(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(tmp_path, text)
