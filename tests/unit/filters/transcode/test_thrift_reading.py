"""Values in Thrift's encodings that the IDL has not, or that are none. test_thrift_writing.py reads what is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from thrift_shop import ITEM, struct_of, written

from metaproxy.filters.transcode.thrift_reading import READERS
from metaproxy.message import FrameError

PROTOCOLS = pytest.mark.parametrize("protocol", ["binary", "compact"])


@PROTOCOLS
def test_fields_that_the_idl_has_not_or_of_another_type_are_left_out(protocol: str, tmp_path: Path) -> None:
    data = written(protocol, struct_of(tmp_path, "Item"), ITEM)
    assert READERS[protocol](data, 0).struct(struct_of(tmp_path, "Maker")) == {"name": "\u00fc"}
    reader = READERS[protocol](data, 0)
    assert reader.struct(struct_of(tmp_path, "Either")) == {}
    assert reader.at == len(data)


@PROTOCOLS
def test_what_ends_too_early_or_announces_too_much_is_refused(protocol: str, tmp_path: Path) -> None:
    kind = struct_of(tmp_path, "Item")
    data = written(protocol, kind, ITEM)
    for end in range(len(data)):
        with pytest.raises(FrameError):
            READERS[protocol](data[:end], 0).struct(kind)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0f\0\x09\x02\x7f\xff\xff\xff", b"\x0b\0\x01\xff\xff\xff\xff", b"\x0f\0\x09\x08\0\0\0\x01\0\0\0\0\0",
        b"\x63\0\x01\0", b"\x0d\0\x0b\x08\x08\0\0\0\x01" + b"\0" * 9,
    ],
)  # fmt: skip
def test_a_container_of_another_type_or_size_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FrameError):
        READERS["binary"](data, 0).struct(struct_of(tmp_path, "Item"))
