"""
Properties of the Dubbo codec, over generated values, streams, damage and mutations.

Hessian 2 is written here by an encoder of its own, which knows every form that a value may have and takes one at
random: from a seed that hypothesis draws, as a draw for each of the forms took most of the tests' time.
"""

import struct
from itertools import pairwise
from random import Random
from typing import Any

from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.message import FrameError, Kind, Message, Mutation, Side

MAX = 1 << 16

seeds = st.randoms(use_true_random=True)

# -- an independent writer of Hessian 2


def units(text: str) -> list[int]:
    data = text.encode("utf-16-be", "surrogatepass")
    return [data[at] << 8 | data[at + 1] for at in range(0, len(data), 2)]


def written_units(piece: list[int]) -> bytes:
    return b"".join(chr(unit).encode("utf-8", "surrogatepass") for unit in piece)


def a_string(dice: Random, text: str) -> bytes:
    """Any of the forms of a string, chunks included."""
    left, out = units(text), b""
    while left and dice.randint(0, 5) == 0:
        size = dice.randint(0, len(left))
        out += b"R" + struct.pack(">H", size) + written_units(left[:size])
        left = left[size:]
    heads = [b"S" + struct.pack(">H", len(left))]
    if len(left) <= 0x3FF:
        heads.append(bytes([0x30 + (len(left) >> 8), len(left) & 0xFF]))
    if len(left) <= 0x1F:
        heads.append(bytes([len(left)]))
    return out + dice.choice(heads) + written_units(left)


def an_int(dice: Random, value: int) -> bytes:
    forms = [b"I" + struct.pack(">i", value)]
    for low, high, zero, extra in ((-16, 47, 0x90, 0), (-2048, 2047, 0xC8, 1), (-262144, 262143, 0xD4, 2)):
        if low <= value <= high:
            forms.append(bytes([zero + (value >> 8 * extra)]) + (value & ((1 << 8 * extra) - 1)).to_bytes(extra, "big"))
    return dice.choice(forms)


def a_long(dice: Random, value: int) -> bytes:
    forms = [b"L" + struct.pack(">q", value)]
    if -(1 << 31) <= value < 1 << 31:
        forms.append(b"Y" + struct.pack(">i", value))
    for low, high, zero, extra in ((-8, 15, 0xE0, 0), (-2048, 2047, 0xF8, 1), (-262144, 262143, 0x3C, 2)):
        if low <= value <= high:
            forms.append(bytes([zero + (value >> 8 * extra)]) + (value & ((1 << 8 * extra) - 1)).to_bytes(extra, "big"))
    return dice.choice(forms)


class Writer:
    """Writes one body: numbers class definitions, types and what references may mean."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.classes: dict[int, int] = {}
        self.types: list[str] = []
        self.places = 0

    def type(self) -> bytes:
        name = self.dice.choice(["[int", "java.util.List", "org.example.Map"])
        if name in self.types:
            return an_int(self.dice, self.types.index(name))
        self.types.append(name)
        return a_string(self.dice, name)

    def value(self, value: Any) -> bytes:
        dice = self.dice
        match value:
            case None | True | False:
                return {None: b"N", True: b"T", False: b"F"}[value]
            case str():
                return a_string(dice, value)
            case int():
                return (
                    a_long(dice, value)
                    if dice.random() < 0.5 or not -(1 << 31) <= value < 1 << 31
                    else an_int(dice, value)
                )
            case float():
                return b"D" + struct.pack(">d", value)
            case bytes():
                return self.binary(value)
            case list():
                return self.list(value)
            case dict():
                return self.map(value)
            case tuple():
                return self.object(value)
        return self.reference()

    def binary(self, value: bytes) -> bytes:
        cut = self.dice.randint(0, len(value))
        last = value[cut:]
        head = b"A" + struct.pack(">H", cut) + value[:cut] if cut else b""
        size = len(last)
        return head + (bytes([0x20 + size]) if size < 16 else bytes([0x34 + (size >> 8), size & 255])) + last

    def list(self, value: list[Any]) -> bytes:
        self.places += 1
        form = self.dice.choice("UVWXps" if len(value) < 8 else "UVWX")
        size = len(value)
        head = {
            "U": lambda: b"U" + self.type(), "V": lambda: b"V" + self.type() + an_int(self.dice, size),
            "W": lambda: b"W", "X": lambda: b"X" + an_int(self.dice, size),
            "p": lambda: bytes([0x70 + size]) + self.type(), "s": lambda: bytes([0x78 + size]),
        }[form]()  # fmt: skip
        return head + b"".join(map(self.value, value)) + (b"Z" if form in "UW" else b"")

    def map(self, value: dict[Any, Any]) -> bytes:
        self.places += 1
        head = b"M" + self.type() if self.dice.random() < 0.5 else b"H"
        return head + b"".join(self.value(key) + self.value(each) for key, each in value.items()) + b"Z"

    def object(self, fields: tuple[Any, ...]) -> bytes:
        head = b""
        if len(fields) not in self.classes:
            head = b"C" + a_string(self.dice, "org.example.T") + an_int(self.dice, len(fields))
            head += b"".join(a_string(self.dice, f"f{number}") for number in range(len(fields)))
            self.classes[len(fields)] = len(self.classes)
        number = self.classes[len(fields)]
        self.places += 1
        code = bytes([0x60 + number]) if self.dice.random() < 0.5 and number < 16 else b"O" + an_int(self.dice, number)
        return head + code + b"".join(map(self.value, fields))

    def reference(self) -> bytes:
        if not self.places:
            return b"N"
        return b"Q" + an_int(self.dice, self.dice.randint(0, self.places - 1))


class Reference:
    """To one of the lists, maps and objects before."""


texts = st.text(max_size=40) | st.text(alphabet="ab\u00e9\u4e2d\U0001f600", max_size=300)
plain = texts | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.booleans() | st.none()
values = st.recursive(
    plain | st.binary(max_size=600) | st.just(Reference()),
    lambda inner: (
        st.lists(inner, max_size=10)
        | st.dictionaries(texts, inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=20,
)
attachments = st.dictionaries(texts, plain, max_size=6)
OWN = {"interface", "method", "operation", "kind", "service.version", "types", "dubbo", "serialization",
       "generic.method", "status", "result"}  # fmt: skip


def shown(value: Any) -> str | None:
    """What metadata says of a plain value."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def whole(head: str, body: bytes, id: int = 7) -> bytes:
    return bytes.fromhex(f"dabb{head}") + struct.pack(">QI", id, len(body)) + body


def of(data: bytes, side: Side = Side.CLIENT) -> Message:
    session = Dubbo().session(side, max(MAX, len(data)))
    (message,) = session.receive(data)
    assert session.error is None
    return message


@st.composite
def calls(draw: Any) -> tuple[tuple[str, ...], list[Any], dict[str, Any], bytes]:
    """Head, arguments and attachments of a request, and its frame."""
    head = draw(st.tuples(texts, texts, texts, texts))
    arguments, attached = draw(st.lists(values, max_size=4)), draw(attachments)
    dice = draw(seeds)
    writer = Writer(dice)
    body = b"".join(a_string(dice, text) for text in (*head, "I" * len(arguments)))
    body += b"".join(map(writer.value, arguments)) + writer.value(attached)
    return head, arguments, attached, whole(draw(st.sampled_from(["c200", "8200"])), body)


def expected(attached: dict[str, Any]) -> dict[str, str]:
    return {
        key: text for key, value in attached.items() if (text := shown(value)) is not None and key.lower() not in OWN
    }


@given(calls())
def test_a_request_is_read_whatever_its_arguments_are_and_however_it_was_written(call: Any) -> None:
    (dubbo, service, version, method), arguments, attached, data = call
    message = of(data)
    assert (message.get("interface"), message.get("method")) == (service, method)
    known = message.known()
    assert (known["dubbo"], known["service.version"], known["types"]) == (dubbo, version, "I" * len(arguments))
    assert {key: known.get(key) for key in expected(attached)} == expected(attached)


@given(seeds, values, attachments, st.sampled_from([3, 4, 5]))
def test_an_answer_is_read_whatever_its_value_is(dice: Any, value: Any, attached: Any, result: Any) -> None:
    writer = Writer(dice)
    body = bytes([0x90 + result]) + (b"" if result == 5 else writer.value(value)) + writer.value(attached)
    message = of(whole("0214", body), Side.SERVER)
    assert message.kind is (Kind.ERROR if result == 3 else Kind.RESPONSE)
    known = message.known()
    assert known["result"] == str(result)
    assert {key: known.get(key) for key in expected(attached)} == expected(attached)


@given(calls(), st.dictionaries(texts, texts, max_size=3), st.lists(texts, max_size=2))
def test_a_mutation_changes_the_attachments_that_it_names_and_nothing_else(call: Any, set: Any, remove: Any) -> None:
    _, _, attached, data = call
    mutation = Mutation(set, tuple(remove))
    changed = Dubbo().mutate(of(data), mutation)
    wanted = {key: value for key, value in attached.items() if key not in remove} | set
    before, after = of(data).known(), of(changed).known()
    for key in ("interface", "method", "dubbo", "types", "service.version", "kind"):
        assert before[key] == after[key]
    assert {key: after.get(key) for key in expected(wanted)} == expected(wanted)
    for key in attached.keys() - wanted.keys():
        lower = [other for other in wanted if other.lower() == key]
        assert key in OWN or lower or after.get(key) is None
    assert of(changed).id == 7


@given(calls(), st.dictionaries(texts, texts, min_size=1, max_size=3))
def test_what_was_set_and_is_removed_again_leaves_the_frame_as_it_was(call: Any, set: Any) -> None:
    _, _, attached, data = call
    new = {key: value for key, value in set.items() if key not in attached}
    there = Dubbo().mutate(of(data), Mutation(new))
    assert Dubbo().mutate(of(there), Mutation({}, tuple(new))) == data


@st.composite
def streams(draw: Any) -> bytes:
    """Frames, some of them damaged."""
    pieces = draw(
        st.lists(
            calls().map(lambda call: call[3])
            | st.sampled_from([whole("e200", b"N"), whole("0214", b"\x95HZ"), whole("d700", b"\0\0\0\1\xaf")])
            | st.builds(
                whole, st.sampled_from(["c200", "d700", "d600", "c600", "0214", "1714"]), st.binary(max_size=40)
            ),
            max_size=4,
        )
    )
    data = bytearray(b"".join(pieces) + draw(st.binary(max_size=20)))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def all_of(message: Message) -> tuple[Any, ...]:
    try:
        message.get("no such key")
        failed = ""
    except FrameError as error:
        failed = str(error)
    return message.kind, message.id, message.frame, message.answer, message.known(), failed


@given(streams(), st.data(), st.sampled_from(Side))
def test_however_a_stream_is_cut_it_is_read_the_same(stream: Any, data: Any, side: Any) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    at_once, split = Dubbo().session(side, 4096), Dubbo().session(side, 4096)
    whole = at_once.receive(stream)
    ends = [0, *places, len(stream)]
    pieces = [message for start, end in pairwise(ends) for message in split.receive(stream[start:end])]
    assert list(map(all_of, pieces)) == list(map(all_of, whole))
    assert str(split.error) == str(at_once.error)
    assert 0 <= split.buffered <= 4096


TOKENS = [
    b"\x052.0.2", b"\x01I", b"\0", b"N", b"H", b"M", b"Z", b"Q\x90", b"\x90", b"\x93", b"\x94",
    b"C\x01a\x91\x01b", b"\x60", b"W", b"X\x92", b"R\0\x01a", b"S\0\x01a", b"\x01\xf0\x9f\x98\x80", b"\x02\xe4\xb8\xad",
    b"\0\0\0\x02Ja", b"\0\0\0\x01\xaf", b"\0\0\0\x02\xbd", b"\x04", b"\xa6", b"\xa5", b"Ja", b"\x92",
    b"\x93", b"\x7f", b"\x9f", b'"2.0.2"\n', b"null\n", b'{"a":', b'"b"}\n', b"[", b"4\n", b"{}", b"\n",
    b"\x03\x0a\x01I", b"\x02\x08\x04", b"\x08\x0a\x06\x0a\x01a\x12\x01b", b"\x80",
]  # fmt: skip
"""Pieces of bodies, whole and broken."""
bodies = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=24).map(b"".join)
HEADS = ["c200", "d700", "d600", "c600", "d000", "8200", "0214", "1714", "1614", "0614", "e200", "f700", "f600", "e600"]


@examples(250)
@given(st.sampled_from(HEADS), bodies | st.binary(max_size=100), st.sampled_from(Side))
def test_random_bodies_raise_nothing_but_the_protocols_error(head: Any, body: Any, side: Any) -> None:
    session = Dubbo().session(side, MAX)
    (message,) = session.receive(whole(head, body))
    all_of(message)
    try:
        changed = Dubbo().mutate(message, Mutation({"a": "b"}, ("c",)))
    except FrameError:
        return
    (again,) = Dubbo().session(side, MAX).receive(changed)
    assert again.kind is message.kind


@given(calls(), st.data())
def test_a_damaged_request_raises_nothing_but_the_protocols_error(call: Any, data: Any) -> None:
    frame = bytearray(call[3])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(16, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    message = of(bytes(frame))
    kind, _, _, _, known, _ = all_of(message)
    assert known["kind"] == kind.name.lower()
