"""Values of JSON in Thrift's encodings, and what they are when they are read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from thrift_shop import ITEM, struct_of, written

from metaproxy.codecs.thrift.walk import WALKS
from metaproxy.filters.transcode.arguments import Text
from metaproxy.filters.transcode.thrift_reading import READERS
from metaproxy.message import FrameError

PROTOCOLS = pytest.mark.parametrize("protocol", ["binary", "compact"])


@PROTOCOLS
def test_every_type_comes_back_as_it_was(protocol: str, tmp_path: Path) -> None:
    kind = struct_of(tmp_path, "Item")
    data = written(protocol, kind, ITEM)
    reader = READERS[protocol](data, 0)
    assert (reader.struct(kind), reader.at) == (ITEM, len(data))
    assert READERS[protocol](written(protocol, kind, {"last": ""}), 0).struct(kind) == {"last": ""}
    small = {"last": "", "flags": [], "words": {}, "sold": False}
    assert READERS[protocol](written(protocol, kind, small), 0).struct(kind) == small


@PROTOCOLS
def test_the_proxys_own_walk_finds_the_end_of_what_is_written(protocol: str, tmp_path: Path) -> None:
    heads = {"binary": b"\x80\x01\0\x01\0\0\0\x01x\0\0\0\0", "compact": b"\x82\x21\0\x01x"}
    message = heads[protocol] + written(protocol, struct_of(tmp_path, "Item"), ITEM)
    walk = WALKS[protocol](1 << 20)
    walk.begin()
    assert walk.walk(message + b"more", 0) == len(message)


@PROTOCOLS
def test_texts_of_the_path_become_what_the_type_is(protocol: str, tmp_path: Path) -> None:
    kind = struct_of(tmp_path, "Item")
    given = {
        "sold": Text("true"), "large": Text("9007199254740993"), "weight": Text("NaN"), "numbers": Text("5"),
        "size": Text("2"), "last": Text("x"),
    }  # fmt: skip
    read = READERS[protocol](written(protocol, kind, given), 0).struct(kind)
    assert read == {
        "sold": True, "large": 9007199254740993, "weight": "NaN", "numbers": [5], "size": "LARGE", "last": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    "values, text",
    [
        ({}, "last is missing"), ({"colour": 1}, "Item has no field 'colour'"), ({"tiny": 128}, "more than 8 bits"),
        ({"medium": "x"}, "no whole number"), ({"medium": True}, "no whole number"), ({"weight": "x"}, "no number"),
        ({"sold": 1}, "true or false"), ({"name": 5}, "no text"), ({"image": "*"}, "no base64"),
        ({"size": "HUGE"}, "there are SMALL, LARGE"), ({"id": "x"}, "no UUID"), ({"flags": "x"}, "no array"),
        ({"words": []}, "no object"), ({"words": {"x": []}}, "the key 'x' of words"), ({"maker": "x"}, "no object"),
        ({"maker": {"parent": {"x": 1}}}, "Maker has no field 'x'"), ({"name": "\ud800"}, "surrogates"),
        ({"flags": [True, 2]}, r"flags\[1\]"),
    ],
)  # fmt: skip
def test_what_a_type_cannot_hold_is_refused(values: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        written("binary", struct_of(tmp_path, "Item"), values)


def test_of_a_union_there_is_one_field(tmp_path: Path) -> None:
    kind = struct_of(tmp_path, "Either")
    written("binary", kind, {"number": 1})
    for values in ({}, {"number": 1, "text": "x"}):
        with pytest.raises(ValueError, match="of a union there is one"):
            written("binary", kind, values)


def test_what_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    maker: dict[str, Any] = {}
    for _ in range(100):
        maker = {"parent": maker}
    kind = struct_of(tmp_path, "Maker")
    with pytest.raises(ValueError, match="nested"):
        written("binary", kind, maker)
    with pytest.raises(FrameError, match="nested"):
        READERS["binary"](b"\x0c\0\x02" * 100 + b"\0" * 101, 0).struct(kind)
    with pytest.raises(FrameError, match="nested"):
        READERS["compact"](b"\x9c" * 100 + b"\0" * 101, 0).struct(kind)  # a field that the IDL does not have
