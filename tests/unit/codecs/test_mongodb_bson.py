"""BSON's fields, one after the other: every type is stepped over by its length, and what is no BSON is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.mongodb import bson
from metaproxy.message import FrameError

# A field of each type of bsonspec.org, called "x", its value written by hand.
VALUES = {
    0x01: bytes(8), 0x02: b"\3\0\0\0ab\0", 0x03: b"\5\0\0\0\0", 0x04: b"\5\0\0\0\0", 0x05: b"\2\0\0\0\0ab", 0x06: b"",
    0x07: bytes(12), 0x08: b"\1", 0x09: bytes(8), 0x0A: b"", 0x0B: b"a.*\0i\0", 0x0C: b"\2\0\0\0a\0" + bytes(12),
    0x0D: b"\2\0\0\0a\0", 0x0E: b"\2\0\0\0a\0", 0x0F: b"\x0f\0\0\0\2\0\0\0a\0\5\0\0\0\0", 0x10: bytes(4),
    0x11: bytes(8), 0x12: bytes(8), 0x13: bytes(16), 0x7F: b"", 0xFF: b"",
}  # fmt: skip


def doc(fields: bytes) -> bytes:
    return struct.pack("<i", len(fields) + 5) + fields + b"\0"


@pytest.mark.parametrize("type_", VALUES)
def test_a_field_of_each_type_is_stepped_over(type_: int) -> None:
    data = doc(bytes([type_]) + b"x\0" + VALUES[type_] + b"\x08last\0\1")
    first, last = bson.elements(data, 0, len(data))
    assert (first.type, first.name, data[first.at : first.stop]) == (type_, b"x", VALUES[type_])
    assert (last.name, bson.number(data, last)) == (b"last", 1)


@pytest.mark.parametrize("type_", VALUES)
def test_a_field_that_ends_behind_its_document_is_refused(type_: int) -> None:
    if not VALUES[type_]:
        return
    data = doc(bytes([type_]) + b"x\0" + VALUES[type_][:-1])
    with pytest.raises(FrameError):
        list(bson.elements(data, 0, len(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\5\0\0\0",
        b"\4\0\0\0\0",
        b"\6\0\0\0\0",
        b"\5\0\0\0\1",
        b"\xff\xff\xff\xff\0",
        doc(b"\x08x"),
        doc(b"\x20x\0\1"),
        doc(b"\x02x\0\xff\xff\xff\xff\0"),
        doc(b"\x03x\0\0\0\0\0\0"),
        doc(b"\x02x\0\0\0\0\0"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(bson.elements(data, 0, len(data)))


def test_a_document_with_more_fields_than_a_command_can_need_is_refused() -> None:
    data = doc(b"\x0ax\0" * (bson.MOST_FIELDS + 1))
    with pytest.raises(FrameError, match="4096 fields"):
        list(bson.elements(data, 0, len(data)))
    data = doc(b"\x0ax\0" * bson.MOST_FIELDS)
    assert len(list(bson.elements(data, 0, len(data)))) == bson.MOST_FIELDS


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        st.booleans()
        | st.integers(-(1 << 63), (1 << 63) - 1)
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.binary(),
    )
)
def test_what_was_written_is_read(fields: dict[str, bson.Value]) -> None:
    data = bson.document(fields)
    found: dict[str, object] = {}
    for one in bson.elements(data, 0, len(data)):
        value: object = bson.text(data, one)
        value = bson.binary(data, one) if value is None else value
        found[one.name.decode()] = bson.number(data, one) if value is None else value
    assert found == fields


def test_documents_within_documents_are_written() -> None:
    assert bson.document({"a": {"b": 1}, "c": ["d"]}) == doc(
        b"\x03a\0" + doc(b"\x10b\0\1\0\0\0") + b"\x04c\0" + doc(b"\x020\0\2\0\0\0d\0")
    )


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    data = doc(b"\x02x\0\2\0\0\0\xff\0")
    (element,) = bson.elements(data, 0, len(data))
    with pytest.raises(FrameError):
        bson.text(data, element)
