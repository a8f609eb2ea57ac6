"""What a Dubbo frame costs to read: in the order of its bytes, and never much, whatever stands in it."""

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from call_count import count_calls

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.message import FrameError, Side

HEAD = bytes.fromhex("05322e302e32 0964656d6f2e4563686f 05302e302e30 046563686f") + b"\x12Ljava/lang/Object;"
LIST = b"\x58I"


def list_of(count: int, values: bytes) -> bytes:
    return LIST + struct.pack(">i", count) + values


ARGUMENTS: dict[str, Callable[[int], bytes]] = {
    "empty lists": lambda n: list_of(n, b"\x78" * n),
    "empty maps": lambda n: list_of(n, b"HZ" * n),
    "lists without a length": lambda n: b"\x57" + b"\x57Z" * n + b"Z",
    "a list after seven numbers": lambda n: list_of(8 * (n // 8), (b"\x90" * 7 + b"\x78") * (n // 8)),
    "references": lambda n: list_of(n, b"\x51\x90" * n),
    "objects without fields": lambda n: b"C\x01a\x90" + list_of(n, b"\x60" * n),
    "classes": lambda n: b"C\x01a\x90" * n + b"\x60",
    "fields of a class": lambda n: b"C\x01aI" + struct.pack(">i", n) + b"\0" * n + b"\x60" + b"N" * n,
    "pieces of a string": lambda n: b"R\0\1a" * n + b"\0",
    "pieces of bytes": lambda n: b"A\0\1a" * n + b"\x20",
    "strings beyond ASCII": lambda n: list_of(n, b"\x01\xc3\xa4" * n),
    "characters beyond the first plane": lambda n: list_of(n, b"\x01\xf0\x9f\x98\x80" * n),
    "keys of the attachments": lambda n: b"N" + b"H" + b"\x78\x78" * n,
}


def frame(flags: int, body: bytes) -> bytes:
    return struct.pack(">HBBQI", 0xDABB, flags, 0, 7, len(body)) + body


def calls(data: bytes) -> int:
    """Functions that are called, those in C included, to find an attachment that is not there."""
    (message,) = Dubbo().session(Side.CLIENT, 1 << 24).receive(data)

    def read() -> None:
        with suppress(FrameError):
            message.get("absent")

    return count_calls(read)


@pytest.mark.parametrize("argument", ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_twice_the_values_take_at_most_two_and_a_half_times_the_work(argument: Callable[..., Any]) -> None:
    # The first time expressions are compiled.
    _, one, two = (calls(frame(0xC2, HEAD + argument(count) + b"HZ")) for count in (1600, 800, 1600))
    assert two <= 2.5 * one + 100


@pytest.mark.parametrize("argument", ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_a_mebibyte_takes_a_bounded_number_of_steps(argument: Callable[..., Any]) -> None:
    unit = len(argument(1008)) / 1008
    assert calls(frame(0xC2, HEAD + argument(int((1 << 20) / unit)) + b"HZ")) <= 600_000


def test_of_methods_that_are_called_in_turn_the_heads_are_not_read_again() -> None:
    session = Dubbo().session(Side.CLIENT, 1 << 20)
    turns = []
    for _ in range(2):
        for method in (b"0001", b"0002", b"longer", b"0003"):
            head = HEAD.replace(b"\x04echo", bytes([len(method)]) + method)
            (message,) = session.receive(frame(0xC2, head + b"\x01aHZ"))
            turns.append(count_calls(partial(message.get, "method")))
            assert message.get("method") == method.decode()
            assert message.get("absent") is None
    assert turns[5] < turns[1] / 3, "it is as long as the one before it"


def test_a_body_beyond_the_bound_is_not_read_a_second_time() -> None:
    """Characters of four bytes may be counted in two ways, which is tried where the first finds no sense."""
    argument = list_of(1 << 18, b"\x78" * (1 << 18))
    plain, astral = (calls(frame(0xC2, HEAD + argument + text + b"HZ")) for text in (b"", b"\xf0\x9f\x98\x80"))
    assert astral <= 1.1 * plain


def counted(document: bytes) -> bytes:
    return struct.pack(">I", len(document)) + document


JSONB = b"".join(
    counted(bytes([0x49 + len(item)]) + item)
    for item in (b"2.0.2", b"demo.Echo", b"0.0.0", b"$invoke", b"Ljava/lang/Object;")
)
JSON = b'"2.0.2"\n"demo.Echo"\n"0.0.0"\n"$invoke"\n"Ljava/lang/Object;"\n'


def item(data: bytes) -> bytes:
    size, head = len(data), b""
    while size >= 0x80:
        head += bytes([size & 0x7F | 0x80])
        size >>= 7
    return head + bytes([size]) + data


PROTOBUF = b"".join(
    item(b"\x0a" + item(text)) for text in (b"2.0.2", b"demo.Echo", b"0.0.0", b"$invoke", b"Ljava/lang/Object;")
)
OTHERS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "lists in fastjson2": (
        0xD7,
        lambda n: (
            JSONB + counted(b"\xaf") + counted(b"\xa6\x4aa\xa4\x48" + struct.pack(">I", n) + b"\x94" * n + b"\xa5")
        ),
    ),
    "a generic call's list in fastjson2": (
        0xD7,
        lambda n: JSONB + counted(b"\xa4\x48" + struct.pack(">I", n) + b"\x94" * n) + counted(b"\xa6\xa5"),
    ),
    "fields in protobuf": (0xD6, lambda n: PROTOBUF + item(b"") + item(b"\x10\0" * n)),
    "fields of an attachment in protobuf": (
        0xD6,
        lambda n: PROTOBUF + item(b"") + item((b"\x0a" + item(b"\x18\0" * 100)) * (n // 100)),
    ),
    "fields of the head in protobuf": (0xD6, lambda n: item(b"\x18\0" * n) + PROTOBUF),
}


@pytest.mark.parametrize(("flags", "body"), OTHERS.values(), ids=list(OTHERS))
def test_other_serializations_are_bounded_too(flags: int, body: Callable[..., Any]) -> None:
    assert calls(frame(flags, body(1 << 19))) <= 600_000


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'"x"\n{"a":[' + b"[]," * 40000 + b"1]}\n", "lists and objects in the attachments"),
        (b"[" + b"[]," * 40000 + b"1]\n{}\n", None),
    ],
)
def test_in_json_an_argument_that_is_no_string_is_not_decoded_and_attachments_hold_so_much(
    body: bytes, error: str | None
) -> None:
    (message,) = Dubbo().session(Side.CLIENT, 1 << 24).receive(frame(0xC6, JSON + body))
    if error is None:
        assert message.get("generic.method") is None
    else:
        with pytest.raises(FrameError, match=error):
            message.get("generic.method")
            message.get("a")


def test_in_json_a_head_that_is_no_string_is_not_decoded() -> None:
    body = b"[" * 100_000 + b"\n" + JSON
    (message,) = Dubbo().session(Side.CLIENT, 1 << 24).receive(frame(0xC6, body))
    with pytest.raises(FrameError, match="a string expected"):
        message.get("method")
