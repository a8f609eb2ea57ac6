"""What it costs to find the end of a Thrift message: in the order of its bytes, and never much."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from call_count import count_calls

from metaproxy.codecs.thrift.walk import WALKS
from metaproxy.codecs.thrift.walking import BYTES_A_STEP, MAX_DEPTH, MAX_STEPS
from metaproxy.message import FrameError

HEADS = {
    "binary": bytes.fromhex("80010001 00000004 6563686f 00000007"),
    "compact": bytes.fromhex("8221 07 04 6563686f"),
    "json": b'[1,"echo",1,7,',
}
MIB = 1 << 20


def binary(*fields: bytes) -> Callable[[int], bytes]:
    """A struct with many of these fields in turn."""
    return lambda size: HEADS["binary"] + b"".join(fields) * (size // len(b"".join(fields))) + b"\0"


def binary_list(type: int, *values: bytes) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        count = size // len(b"".join(values))
        counted = struct.pack(">i", count * len(values)) + b"".join(values) * count
        return HEADS["binary"] + b"\x0f\0\1" + bytes((type,)) + counted + b"\0"

    return made


def binary_map(first: int, second: int, pair: bytes) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        count = size // len(pair)
        return HEADS["binary"] + b"\x0d\0\1" + bytes((first, second)) + struct.pack(">i", count) + pair * count + b"\0"

    return made


def compact(*fields: bytes) -> Callable[[int], bytes]:
    return lambda size: HEADS["compact"] + b"".join(fields) * (size // len(b"".join(fields))) + b"\0"


def varint(value: int) -> bytes:
    made = b""
    while value >= 0x80:
        made += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return made + bytes((value,))


def compact_list(type: int, *values: bytes) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        count = size // len(b"".join(values))
        counted = bytes((0xF0 | type,)) + varint(count * len(values)) + b"".join(values) * count
        return HEADS["compact"] + b"\x19" + counted + b"\0"

    return made


def compact_map(types: int, pair: bytes) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        count = size // len(pair)
        return HEADS["compact"] + b"\x1b" + varint(count) + bytes((types,)) + pair * count + b"\0"

    return made


def json(value: bytes) -> Callable[[int], bytes]:
    return lambda size: HEADS["json"] + b'{"1":{"lst":["rec",9,' + value * (size // len(value)) + b"1]}}]"


DENSE: dict[str, Callable[[int], bytes]] = {
    "binary: fields of all sizes": binary(
        b"\2\0\1\1", b"\6\0\2\0\1", b"\x08\0\3\0\0\0\1", b"\x0a\0\4" + bytes(8), b"\x0b\0\5\0\0\0\1a"
    ),
    "binary: fields of all kinds": binary(
        b"\2\0\1\1", b"\x0c\0\2\0", b"\x0f\0\3\2\0\0\0\1\1", b"\x0f\0\4\x0b\0\0\0\1\0\0\0\1a", b"\x0d\0\5\2\2\0\0\0\0"
    ),
    "binary: strings, some empty": binary_list(11, b"\0\0\0\0", b"\0\0\0\1a"),
    "binary: structs, some empty": binary_list(12, b"\2\0\1\1\0", b"\0"),
    "binary: structs of structs": binary_list(12, b"\x0c\0\1\x0c\0\1\3\0\1\1\0\0\0"),
    "binary: lists, some empty": binary_list(15, b"\2\0\0\0\0", b"\2\0\0\0\1\1"),
    "binary: lists of lists": binary_list(15, b"\x0f\0\0\0\1\x0b\0\0\0\1\0\0\0\0"),
    "binary: maps of bytes": binary_list(13, b"\3\3\0\0\0\1\1\1", b"\3\3\0\0\0\0"),
    "binary: a map of strings to bytes": binary_map(11, 3, b"\0\0\0\1a\1"),
    "binary: a map of structs": binary_map(12, 12, b"\0\3\0\1\1\0"),
    "binary: strings that are just too long for a leap, with short ones": binary_list(
        11, *[b"\0\0\0\0"] * 7, b"\0\0\0\x20" + bytes(32)
    ),
    "compact: fields of no bytes": compact(b"\x11"),
    "compact: fields of all sizes": compact(b"\x11", b"\x13\1", b"\x15\1", b"\x18\1a", b"\x15\x80\1", b"\3\x02\1"),
    "compact: fields of all kinds": compact(b"\x11", b"\x1c\0", b"\x18\0", b"\x19\0", b"\x1b\0", b"\x19\x11\1"),
    "compact: strings, some empty": compact_list(8, b"\0", b"\1a"),
    "compact: structs, some empty": compact_list(12, b"\0", b"\x11\0"),
    "compact: structs of structs": compact(b"\x1c\x1c\x1c\0\0\0"),
    "compact: lists, some empty": compact_list(9, b"\0", b"\x11\1"),
    "compact: lists of strings": compact_list(9, b"\x08", b"\x18\0", b"\x28\1a\0"),
    "compact: lists of lists": compact(b"\x19\x19\x19\x18\0"),
    "compact: lists of structs": compact(b"\x19\x1c\x19\x1c\0\0"),
    "compact: maps of bytes": compact_list(11, b"\0", b"\1\x33\1\1"),
    "compact: a map of strings": compact_map(0x88, b"\1a\1b"),
    "compact: a map of structs": compact_map(0xCC, b"\0\x11\0"),
    "compact: varints of two bytes": compact_list(5, b"\x80\1"),
    "json: empty strings": json(b'"",'),
    "json: brackets": json(b"[],{},"),
    "json: structs": json(b'{"1":{"str":"a\\"b"},"2":{"lst":["i32",2,1,2]}},'),
}
"""Many small values, of kinds that one meets."""

ABSURD: dict[str, Callable[[int], bytes]] = {
    "compact: structs ten deep": compact(b"\x1c" * 10 + b"\0" * 10),
    "compact: lists twenty deep": compact(b"\x19" * 20 + b"\x18\0"),
    "compact: lists and structs": compact(b"\x19\x1c" * 10 + b"\0" * 10),
    "binary: structs twenty deep": binary(b"\x0c\0\1" * 20 + b"\0" * 20),
    "json: brackets twenty deep": json(b"[" * 20 + b"]" * 20 + b","),
}


def walked(name: str, data: bytes) -> tuple[int, int]:
    """Where the message ends, 0 if it is refused; and functions that are called for it, those in C included."""
    walk = WALKS[name.partition(":")[0]](1 << 24)
    end = 0

    def find() -> None:
        nonlocal end
        with suppress(FrameError):
            end = walk.walk(data, 0)

    calls = count_calls(find)
    return end, calls


@pytest.mark.parametrize("name", DENSE)
def test_a_mebibyte_of_small_values_ends_where_it_ends_in_a_bounded_number_of_steps(name: Any) -> None:
    walked(name, DENSE[name](4000))  # the first time expressions are compiled
    data = DENSE[name](MIB)
    end, calls = walked(name, data)
    assert end == len(data)
    assert calls <= 600_000


@pytest.mark.parametrize("name", ABSURD)
def test_small_values_that_are_absurdly_deep_are_refused_before_they_cost_much(name: Any) -> None:
    """Those that are refused soonest are tried with the least."""
    walked(name, ABSURD[name](4000))
    size = {"compact: structs ten deep": MIB // 2, "binary: structs twenty deep": MIB}.get(name, MIB // 4)
    walk, data = WALKS[name.partition(":")[0]](1 << 24), ABSURD[name](size)

    def refused() -> None:
        with pytest.raises(FrameError, match=f"{MAX_STEPS} are allowed"):
            walk.walk(data, 0)

    assert count_calls(refused) <= 10 * (MAX_STEPS + size // BYTES_A_STEP)


@pytest.mark.parametrize("name", ABSURD)
def test_small_values_may_be_deep_within_each_other_as_long_as_they_are_not_very_many(name: Any) -> None:
    data = ABSURD[name](50_000)
    assert WALKS[name.partition(":")[0]](1 << 24).walk(data, 0) == len(data)


@pytest.mark.parametrize("name", [*DENSE, *ABSURD])
def test_twice_the_values_take_at_most_two_and_a_half_times_the_steps(name: Any) -> None:
    made = {**DENSE, **ABSURD}[name]
    walked(name, made(4000))
    (_, one), (_, two) = walked(name, made(5_000)), walked(name, made(10_000))
    assert two <= 2.5 * one + 100


@pytest.mark.parametrize("name", [*DENSE, *ABSURD])
def test_however_it_is_cut_a_message_ends_where_it_ends(name: Any) -> None:
    message = {**DENSE, **ABSURD}[name](600)
    for size in (1, 3, 64):
        walk, data = WALKS[name.partition(":")[0]](1 << 20), bytearray()
        ends = []
        for at in range(0, len(message), size):
            data += message[at : at + size]
            ends.append(walk.walk(data, 0))
        assert ends[:-1] == [-1] * (len(ends) - 1)
        assert ends[-1] == len(message)


def test_a_long_value_that_comes_byte_by_byte_is_not_a_step_each() -> None:
    walk, data = WALKS["json"](1 << 24), bytearray(HEADS["json"] + b'{"1":{"str":"')
    for _ in range(MAX_STEPS * 5 // 4):
        data += b"a"
        assert walk.walk(data, 0) == -1


@pytest.mark.parametrize(
    ("name", "opening"),
    [("binary", b"\x0c\0\1"), ("compact", b"\x1c"), ("compact", b"\x19\x1c")],
)
@pytest.mark.parametrize("depth", range(MAX_DEPTH - 8, MAX_DEPTH + 3))
def test_nesting_is_bounded_where_values_are_skipped_at_once_too(name: Any, opening: Any, depth: Any) -> None:
    levels = depth * (2 if opening == b"\x19\x1c" else 1)
    if levels > MAX_DEPTH + 2:
        levels, depth = levels // 2, depth // 2
    message = HEADS[name] + opening * depth + b"\0" * (depth + 1)
    walk = WALKS[name](1 << 20)
    if 1 + levels <= MAX_DEPTH:
        assert walk.walk(message, 0) == len(message)
    else:
        with pytest.raises(FrameError, match="nested more than"):
            walk.walk(message, 0)
