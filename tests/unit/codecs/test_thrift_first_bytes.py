"""Bytes that are no Thrift end a connection at the first one that can't be right, on both sides and in every form."""

from typing import Any

import pytest

from metaproxy.codecs.thrift import Thrift, frames
from metaproxy.codecs.thrift.frames import PROFILES
from metaproxy.message import Kind, Message, Side

MAX = 1 << 24
STRICT = "80010001 00000004 6563686f 00000007 00"
COMPACT = "82 21 07 04 6563686f 00"
JSON = b'[1,"echo",1,7,{}]'


def wrong_at(session: Any, stream: bytes) -> tuple[int, str]:
    """The offset of the byte at which a stream that comes byte by byte is refused, and how."""
    for at in range(len(stream)):
        assert session.receive(stream[at : at + 1]) == []
        if session.error is not None:
            return at, str(session.error)
    return -1, ""


def sized(message: bytes, size: int = 0) -> bytes:
    return (size or len(message)).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    ("stream", "at"),
    [
        ("00000014" + "ff" * 20, 4),
        ("00000020 10000000 00000001 0003 00 00", -1),  # TTHeader
        ("47455420 2f20", 0),
        ("dabbc200", 0),
        ("16030100", 0),
        ("81", 0),
        ("8002", 1),
        ("80010005", 3),
        ("80010001ff", 4),
        ("80010001 00002001", 7),
        ("8201", 1),
        ("8222", 1),
        ("8221" + "ff" * 20, 11),
        ("8221 07" + "ff" * 20, 4),
        ("5b32", 1),
        ("5b312c31", 3),
        ("00000014 80010001 ff", 8),
        ("00000014 8002", 5),
        ("00000014 8221" + "ff" * 20, 15),
        ("00000014 5b31 2d", 6),
        ("00000014 0000 2001", 7),
        ("00000004 6563686f 05", 8),
        ("00000004 6563006f 05", 6),
        ("00000014 0ffe", 5),
        ("00000014 1001", 5),
        ("00000014 0fff 0000 00000001 0000", 13),
        ("00000014 0fff 0000 00000001 0003", 13),
        ("00000014 0fff 0000 00000001 0001 07", 14),
        ("00000014 1000 0000 00000001 0001 04", 14),
        ("02000000", 0),
        ("00000000", 3),
    ],
)
def test_what_begins_like_nothing_is_refused_at_its_first_such_byte(stream: str, at: int) -> None:
    data = bytes.fromhex(stream)
    found, text = wrong_at(Thrift().session(Side.CLIENT, MAX), data)
    assert found == at
    whole = Thrift().session(Side.CLIENT, MAX)
    whole.receive(data + bytes(64) if at >= 0 else data)
    assert str(whole.error or "") == text


CUT: dict[tuple[str, str], list[tuple[str, int]]] = {
    ("framed", "binary"): [("00000020 8003", 5), ("00000020 80010006", 7), ("00000020 80010001 00ff", 9), ("7f", 0)],
    ("framed", "compact"): [("00000020 80", 4), ("00000020 8221" + "80" * 12, 15), ("00000020 8221 01 ffff", 8)],
    ("framed", "json"): [("00000020 5b32", 5), ("00000020 5b312c22612c222c31", -1), ("00000020 7b", 4)],
    ("unframed", "binary"): [("8003", 1), ("80010000", 3), ("00ff", 1), ("00000004 6563686f 07", 8)],
    ("unframed", "compact"): [("80", 0), ("8221" + "80" * 12, 11), ("8201", 1)],
    ("unframed", "json"): [("5b5b", 1), ("7b", 0), ("5b312c2261222c39", 7)],
    ("header", "binary"): [
        ("00000020 8001", 4),
        ("00000020 0fff 0000 00000001 0001 02", 14),
        ("00000020 0fff 0000 00000001 0001 00000000 8003", 19),
        ("00000008", 3),
    ],
    ("header", "compact"): [("00000020 0fff 0000 00000001 0001 02000000 8221" + "ff" * 12, 29)],
    ("header", "json"): [("00000020 0fff 0000 00000001 0001 01000000 7b", 18)],
    ("ttheader", "binary"): [
        ("00000020 0fff", 4),
        ("00000020 1000 0000 00000001 0001 02", 14),
        ("00000020 1000 0000 00000001 0001 00000000 8003", 19),
        ("00000020 1000 0000 00000001 0001 00000000 00000010 8003", 23),
    ],
    ("ttheader", "compact"): [("00000020 1000 0000 00000001 0001 02000000 81", 18)],
}
KNOWN = [(profile, stream, at) for profile, cases in CUT.items() for stream, at in cases]


def test_every_form_has_such_bytes() -> None:
    assert set(CUT) == set(PROFILES)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("profile", "stream", "at"), KNOWN)
def test_where_the_form_is_known_as_well_on_both_sides(
    profile: tuple[str, str], stream: str, at: int, side: Side
) -> None:
    data = bytes.fromhex(stream)

    def session() -> Any:
        made = Thrift().session(side, MAX)
        made.open(profile, {})
        return made

    found, text = wrong_at(session(), data)
    assert found == at
    whole = session()
    whole.receive(data + bytes(64) if at >= 0 else data)
    assert str(whole.error or "") == text


def test_a_later_frame_is_looked_at_as_the_first() -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    assert len(session.receive(sized(bytes.fromhex(STRICT)))) == 1
    found, _ = wrong_at(session, bytes.fromhex("00000014 8003"))
    assert found == 5


@pytest.mark.parametrize("message", [bytes.fromhex(STRICT), bytes.fromhex(COMPACT), JSON])
def test_what_is_right_is_taken_however_it_comes(message: bytes) -> None:
    for stream in (message, sized(message)):
        session = Thrift().session(Side.CLIENT, MAX)
        found: list[Message] = []
        for byte in stream:
            found += session.receive(bytes([byte]))
            assert session.error is None
        assert [one.kind for one in found] == [Kind.REQUEST]


def test_a_frame_that_trickles_in_is_looked_at_only_while_its_head_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Thrift().session(Side.CLIENT, MAX)
    session.receive(sized(bytes.fromhex(STRICT), 1 << 20) + bytes(600))
    looked: list[int] = []
    monkeypatch.setattr(frames, "check", lambda *_: looked.append(1))
    for _ in range(100):
        session.receive(bytes(1000))
    assert len(looked) <= 1


@pytest.mark.parametrize("cut", [8, 20, 61, 70])
def test_a_name_for_which_there_is_no_room_is_refused_for_that_however_it_comes(cut: int) -> None:
    stream = b"\0\0\0\x38" + b"n" * 56 + b"\0" + b"s" * 20  # the type is none, either
    session = Thrift(transport="unframed", protocol="binary").session(Side.CLIENT, 64)
    session.receive(stream[:cut])
    if session.error is None:
        session.receive(stream[cut:])
    assert str(session.error) == "message of at least 65 bytes; allowed are 64"
