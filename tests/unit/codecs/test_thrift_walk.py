"""The walks that find an unframed message's end: bounds, and progress that is never lost."""

from typing import Any

import pytest

from metaproxy.codecs.thrift.walk import MAX_DEPTH, WALKS, BinaryWalk, CompactWalk, JsonWalk, Walk
from metaproxy.message import FrameError

BINARY_HEAD = bytes.fromhex("80010001 00000004 6563686f 00000007")
COMPACT_HEAD = bytes.fromhex("82 21 07 04 6563686f")
JSON_HEAD = b'[1,"echo",1,7,'

# One struct with every type, a list, set and map of fixed, sized and nested values each.
BINARY = BINARY_HEAD + bytes.fromhex(
    "02 0001 01  03 0002 7f  04 0003 0000000000000000  06 0004 0001  08 0005 00000001  0a 0006 0000000000000001"
    "0b 0007 00000003 616263  0c 0008 0c 0001 00 00  10 0009" + "11" * 16 + "0f 000a 08 00000002 00000001 00000002"
    "0e 000b 0b 00000002 00000000 00000001 61  0d 000c 0b 08 00000002 00000001 61 00000001 00000000 00000002"
    "0d 000d 03 0f 00000001 05 0f 00000001 0c 00000002 00 02 0001 00 00  0f 000e 00 00000000  0d 000f 00 00 00000000 00"
)
COMPACT = COMPACT_HEAD + bytes.fromhex(
    "11 12 13 7f 17 0000000000000000 14 02 15 8001 16 ffffffffffffffffff01 18 03 616263 1c 1c 00 00 1d"
    + "11" * 16
    + "19 25 8001 02 1a 28 00 0161 1b 02 85 0161 01 00 7f 1b 01 39 05 19 2c 00 11 00 19 f3 0f"
    + "22" * 15
    + "19 05 1b 00 1b 01 15 01 8001 1b 02 56 01 02 8001 8002 03"
    + "0b c801 00 19 32 02 01 00 00"
)
JSON = JSON_HEAD + (
    rb'{"1":{"str":"a\\\"]}"},"2":{"lst":["map",1,["str","i32",1,{"[":3}]]},"3":{"rec":{"1":{"dbl":"NaN"}}}}]'
)
WHOLE: list[tuple[type[Walk], bytes]] = [(BinaryWalk, BINARY), (CompactWalk, COMPACT), (JsonWalk, JSON)]
HEADS: list[tuple[type[Walk], bytes]] = [(BinaryWalk, BINARY_HEAD), (CompactWalk, COMPACT_HEAD), (JsonWalk, JSON_HEAD)]


@pytest.mark.parametrize(("walk", "message"), WHOLE)
def test_a_message_ends_where_its_struct_ends(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes
) -> None:
    assert walk(1000).walk(message + b"and more", 0) == len(message)


@pytest.mark.parametrize(("walk", "message"), WHOLE)
def test_the_messages_of_a_connection_are_found_one_after_the_other(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes
) -> None:
    walking = walk(1000)
    assert walking.walk(message * 2, 0) == len(message)
    assert walking.walk(message * 2, len(message)) == 2 * len(message)


@pytest.mark.parametrize(("walk", "message"), WHOLE)
def test_a_message_that_is_not_whole_has_no_end_yet(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes
) -> None:
    for size in range(len(message)):
        assert walk(1000).walk(message[:size], 0) == -1


@pytest.mark.parametrize(("walk", "message"), WHOLE)
def test_a_walk_goes_on_where_it_stopped(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes
) -> None:
    walking, data = walk(1000), bytearray()
    for byte in message[:-1]:
        data.append(byte)
        assert walking.walk(data, 0) == -1
    assert walking.walk(message, 0) == len(message)


@pytest.mark.parametrize(("walk", "message"), WHOLE)
def test_a_message_as_long_as_the_bound_passes_and_one_byte_more_does_not(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes
) -> None:
    assert walk(len(message)).walk(message, 0) == len(message)
    with pytest.raises(FrameError, match="allowed are"):
        walk(len(message) - 1).walk(message, 0)


class Looked(bytearray):
    """Bytes that count how often single ones of them are looked at."""

    count = 0  # type: ignore[assignment]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int):
            Looked.count += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0f 0001 0b 00001000") + b"\0\0\0\1a" * 4096 + b"\0"),
        (BinaryWalk, BINARY_HEAD + b"\x0b\0\1\0\0\x10\0" + bytes(4096) + b"\0"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("19 f8 8020") + b"\1a" * 4096 + b"\0"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("19 f5 8020") + b"\xff\1" * 4096 + b"\0"),
    ],
)
def test_a_big_message_that_trickles_in_is_walked_once(
    walk: type[BinaryWalk] | type[CompactWalk], message: bytes
) -> None:
    walking, data = walk(1 << 20), Looked()
    Looked.count = 0
    for byte in message:
        data.append(byte)
        end = walking.walk(data, 0)
    assert end == len(message)
    assert Looked.count < 8 * len(message)


def test_a_big_json_message_that_trickles_in_is_walked_once() -> None:
    message = JSON_HEAD + b'{"1":{"lst":["str",400' + b',"\\\\["' * 400 + b"]}}]"
    walking, data = JsonWalk(1 << 20), bytearray()
    for at, byte in enumerate(message):
        data.append(byte)
        end = walking.walk(data, 0)
        data[1 : max(1, at - 1)] = b"]" * max(0, at - 2)  # who looks back is misled
    assert end == len(message)


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        (BinaryWalk, BINARY_HEAD + b"\x0c\0\1" * MAX_DEPTH),
        (BinaryWalk, BINARY_HEAD + b"\x0f\0\1" + b"\x0f\0\0\0\1" * MAX_DEPTH),
        (CompactWalk, COMPACT_HEAD + b"\x1c" * MAX_DEPTH),
        (CompactWalk, COMPACT_HEAD + b"\x19" + b"\x19" * MAX_DEPTH),
        (JsonWalk, b"[" * 4 * MAX_DEPTH),
    ],
)
def test_nesting_is_bounded(walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes) -> None:
    with pytest.raises(FrameError, match="nested more than"):
        walk(10_000).walk(message, 0)


@pytest.mark.parametrize(("walk", "head"), [(BinaryWalk, BINARY_HEAD), (CompactWalk, COMPACT_HEAD)])
def test_nesting_up_to_the_bound_passes(walk: type[BinaryWalk] | type[CompactWalk], head: bytes) -> None:
    opening = b"\x0c\0\1" if walk is BinaryWalk else b"\x1c"
    message = head + opening * (MAX_DEPTH - 1) + bytes(MAX_DEPTH)
    assert walk(10_000).walk(message, 0) == len(message)


@pytest.mark.parametrize(
    ("walk", "message", "said"),
    [
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0b 0001 ffffffff"), "of -1 elements"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0f 0001 0b 80000000"), "elements"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0f 0001 0c 7fffffff"), "at least 2147483647 bytes"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0f 0001 08 7fffffff"), "allowed are 1000"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0d 0001 0b 08 7fffffff"), "allowed are 1000"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0f 0001 01 00000001"), "type that does not exist"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("11 0001 00000001"), "type that does not exist"),
        (BinaryWalk, BINARY_HEAD + bytes.fromhex("0d 0001 0b 11 00000001"), "type that does not exist"),
        (BinaryWalk, bytes.fromhex("8002000100000004"), "begins with 80 01"),
        (BinaryWalk, bytes.fromhex("00002001 00000004"), "method name of 8193 bytes"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("18 ffffffffffffffff7f"), "allowed are 1000"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("18 ffffffffffffffffffff7f"), "varint"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("19 fc ffffffff07"), "at least 2147483647 bytes"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("1b ffffffff07 88"), "at least 2147483647 bytes"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("1e"), "type that does not exist"),
        (CompactWalk, COMPACT_HEAD + bytes.fromhex("19 1f"), "type that does not exist"),
        (CompactWalk, bytes.fromhex("82220704"), "begins with 82 and version 1"),
        (CompactWalk, bytes.fromhex("8221078140"), "method name of 8193 bytes"),
        (JsonWalk, b"{}", "begins with ["),
        (JsonWalk, JSON_HEAD + b"{]", "closes with ]"),
    ],
)
def test_what_is_out_of_bounds_is_refused_as_soon_as_it_is_announced(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], message: bytes, said: str
) -> None:
    with pytest.raises(FrameError) as refused:
        walk(1000).walk(message, 0)
    assert said in str(refused.value)


@pytest.mark.parametrize(("walk", "head"), HEADS)
def test_a_message_without_end_is_given_up_at_the_bound(
    walk: type[BinaryWalk] | type[CompactWalk] | type[JsonWalk], head: bytes
) -> None:
    filler = {BinaryWalk: b"\3\0\1\1", CompactWalk: b"\x13\1", JsonWalk: b"1 "}[walk]
    walking, data = walk(500), bytearray(head)
    with pytest.raises(FrameError, match="allowed are 500"):
        for _ in range(500):
            data += filler
            assert walking.walk(data, 0) == -1
    assert len(data) < 510


def test_there_is_a_walk_for_each_encoding() -> None:
    assert {"binary": BinaryWalk, "compact": CompactWalk, "json": JsonWalk} == WALKS
