"""Messages that MongoDB's clients compress, and answers that are compressed for them."""

from __future__ import annotations

import struct
import zlib

import cramjam
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from mongodb_words import EXHAUST, MORE, answer, command, document, sequence

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Chunk, Kind, Message, Side

MAX = 1 << 22
LARGE = 1 << 16
IDS = {"snappy": 1, "zlib": 2, "zstd": 3}
PACK = {
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
    "zlib": zlib.compress,
    "zstd": zstd.compress,
}
UNPACK = {
    "snappy": lambda data: bytes(cramjam.snappy.decompress_raw(data)),
    "zlib": zlib.decompress,
    "zstd": zstd.decompress,
}
SMALL = command(7, {"find": "orders", "filter": {"item": "x" * 500}})
BIG = command(7, {"insert": "orders"}, sequence("documents", *({"item": "x" * 1000} for _ in range(500))))
OVER = command(7, {"insert": "orders"}, sequence("documents", *({"item": "x" * 1000} for _ in range(70))))
"""Just long enough to come in chunks."""


def packed(frame: bytes, name: str, plain: int | None = None, compressor: int | None = None) -> bytes:
    """plain, compressor: what it says of itself, where that is not so."""
    size, id, to, code = struct.unpack_from("<iiii", frame)
    data = PACK[name](frame[16:])
    about = struct.pack("<iiB", code, size - 16 if plain is None else plain, compressor or IDS[name])
    return struct.pack("<iiii", 25 + len(data), id, to, 2012) + about + data


def hello(session: Session, *names: str) -> dict[str, object]:
    """What the proxy answers to the hello of a client that has these compressors."""
    (message,) = session.receive(command(1, {"hello": 1, "compression": [*names]}))
    said = answer(1, {"isWritablePrimary": True, "compression": ["snappy", "zstd", "zlib"], "ok": 1.0})
    return document(session.send(Message(Kind.RESPONSE, said, 1), message.id))


def client(*names: str, max_frame: int = MAX, **options: object) -> Session:
    codec = MongoDB(stream_over=LARGE, compressors=["zlib", "zstd", "snappy"], **options)  # type: ignore[arg-type]
    session = codec.session(Side.CLIENT, max_frame)
    assert hello(session, *names)["compression"] == [*names]
    return session


def joined(messages: list[Message]) -> bytes:
    return b"".join(bytes(message.frame) for message in messages)


def test_what_both_have_is_offered_in_the_clients_order() -> None:
    session = MongoDB(compressors=["zlib", "zstd"]).session(Side.CLIENT, MAX)
    assert hello(session, "snappy", "zstd", "zlib")["compression"] == ["zstd", "zlib"]


def test_without_the_option_or_without_a_wish_nothing_is_offered() -> None:
    assert "compression" not in hello(MongoDB().session(Side.CLIENT, MAX), "zlib")
    assert "compression" not in hello(MongoDB(compressors=["zlib"]).session(Side.CLIENT, MAX))


@pytest.mark.parametrize("name", IDS)
def test_a_message_is_what_it_was_before_and_its_answer_is_compressed_alike(name: str) -> None:
    session = client(name)
    (message,) = session.receive(packed(SMALL, name))
    assert (message.kind, message.id, message.frame) == (Kind.REQUEST, 7, SMALL)
    said = answer(3, {"cursor": {"firstBatch": [{"item": "y" * 500}], "id": 0}, "ok": 1.0})
    written = session.send(Message(Kind.RESPONSE, said, 3), 7)
    size, _, to, code = struct.unpack_from("<iiii", written)
    assert (size, to, code) == (len(written), 7, 2012)
    original, plain, compressor = struct.unpack_from("<iiB", written, 16)
    assert (original, plain, compressor) == (2013, len(said) - 16, IDS[name])
    assert UNPACK[name](written[25:]) == said[16:]


def test_small_answers_and_those_to_plain_requests_are_not_compressed() -> None:
    session = client("zlib")
    session.receive(packed(SMALL, "zlib"))
    assert session.send(Message(Kind.RESPONSE, answer(7), 7), 7) == answer(7)
    session.receive(SMALL)
    said = answer(7, {"item": "y" * 500, "ok": 1.0})
    assert session.send(Message(Kind.RESPONSE, said, 7), 7) == said


def test_an_answer_in_pieces_is_not_compressed() -> None:
    session = client("zlib")
    session.receive(packed(SMALL, "zlib"))
    said = answer(7, {"item": "y" * 500, "ok": 1.0})
    assert session.send(Message(Kind.STREAM_OPEN, said[:300], 7), 7) == said[:300]
    assert session.send(Chunk(Kind.STREAM_CLOSE, said[300:], 7), 7) == said[300:]


@pytest.mark.parametrize("flags", [MORE, EXHAUST])
def test_flags_mean_what_they_mean(flags: int) -> None:
    plain = command(7, {"insert": "a", "item": "x" * 500}, flags=flags)
    (message,) = client("zlib").receive(packed(plain, "zlib"))
    (other,) = client("zlib").receive(plain)
    assert (message.kind, message.hold, message.frame) == (other.kind, other.hold, other.frame)


@pytest.mark.parametrize("name", IDS)
def test_a_large_message_is_a_stream_of_small_pieces(name: str) -> None:
    messages = client(name).receive(packed(BIG, name))
    assert messages[0].kind is Kind.STREAM_OPEN
    assert messages[-1].kind is Kind.STREAM_CLOSE
    assert joined(messages) == BIG
    assert all(len(message.frame) <= 65536 for message in messages)
    assert messages[0].get("collection") == "orders"


@pytest.mark.parametrize("last", range(1, 17))
def test_the_last_bytes_of_a_large_message_may_come_alone(last: int) -> None:
    coder = zlib.compressobj()
    body = coder.compress(BIG[16:-last]) + coder.flush(zlib.Z_SYNC_FLUSH)
    data = body + (end := coder.compress(BIG[-last:]) + coder.flush())
    head = struct.pack("<iiii", 25 + len(data), 7, 0, 2012) + struct.pack("<iiB", 2013, len(BIG) - 16, IDS["zlib"])
    session = client("zlib")
    found = session.receive(head + body)
    found += session.receive(end)
    assert (session.error, joined(found)) == (None, BIG)


def test_a_hello_and_what_is_compressed_may_come_at_once() -> None:
    session = MongoDB(compressors=["zlib"]).session(Side.CLIENT, MAX)
    found = session.receive(command(1, {"hello": 1, "compression": ["zlib"]}) + packed(SMALL, "zlib"))
    assert (session.error, [message.id for message in found]) == (None, [1, 7])


@given(
    st.lists(st.tuples(st.sampled_from([SMALL, OVER]), st.sampled_from(["", *IDS])), max_size=4),
    st.lists(st.integers(1, 3000), min_size=1, max_size=20),
)
def test_wherever_they_are_cut_the_same_comes_out(plan: list[tuple[bytes, str]], cuts: list[int]) -> None:
    session = client(*IDS)
    sent = b"".join(packed(frame, name) if name else frame for frame, name in plan)
    found: list[Message] = []
    at = 0
    while at < len(sent):
        step = cuts[at % len(cuts)]
        found += session.receive(sent[at : at + step])
        at += step
    assert (session.error, session.buffered) == (None, 0)
    assert joined(found) == b"".join(frame for frame, _ in plan)
    assert sum(message.kind in (Kind.REQUEST, Kind.STREAM_OPEN) for message in found) == len(plan)


def refused(session: Session, data: bytes) -> str:
    session.receive(data)
    assert session.error is not None
    return str(session.error)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("step", [-1, 1])
def test_a_message_that_says_another_size_than_it_has_is_refused(name: str, step: int) -> None:
    assert "bytes" in refused(client(name), packed(SMALL, name, plain=len(SMALL) - 16 + step))


@pytest.mark.parametrize("name", IDS)
def test_what_is_not_compressed_so_is_refused(name: str) -> None:
    broken = bytearray(packed(SMALL, name))
    broken[25:] = bytes(len(broken) - 25)
    assert refused(client(name), bytes(broken))


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_bytes_behind_what_is_compressed_are_refused(name: str) -> None:
    data = packed(SMALL, name) + b"more"
    assert "bytes" in refused(client(name), struct.pack("<i", len(data)) + data[4:])


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_bytes_behind_what_is_compressed_are_refused_as_they_come(name: str, at_once: bool) -> None:
    data = struct.pack("<i", 1 << 20) + packed(SMALL, name)[4:]
    session = client(name)
    for piece in [data + b"more"] if at_once else [data, b"more"]:
        assert session.error is None
        session.receive(piece)
    assert str(session.error) == "a compressed message has more bytes than it says"


@pytest.mark.parametrize("frame", [SMALL, BIG])
def test_nothing_is_taken_for_a_whole_message_whose_end_is_broken(frame: bytes) -> None:
    data = bytearray(packed(frame, "zlib"))
    data[-1] ^= 1
    session = client("zlib")
    found = [message for at in range(len(data)) for message in session.receive(bytes(data[at : at + 1]))]
    assert session.error is not None
    assert not any(message.kind in (Kind.REQUEST, Kind.STREAM_CLOSE) for message in found)


def test_what_was_not_offered_is_refused() -> None:
    assert "not offered" in refused(client("zlib"), packed(SMALL, "zstd"))
    assert "not offered" in refused(client("zlib"), packed(SMALL, "zlib", compressor=9))
    assert "compress" in refused(MongoDB().session(Side.CLIENT, MAX), packed(SMALL, "zlib"))


def test_a_compressed_message_within_one_is_refused() -> None:
    inner = packed(SMALL, "zlib")
    assert "opCode 2012" in refused(client("zlib"), packed(inner, "zlib"))


def test_what_one_read_unpacks_to_is_bounded() -> None:
    """64 KiB of zlib may be 64 MiB of zeros."""
    bomb = packed(command(7, {"insert": "a"}, sequence("documents", {"item": "x" * 18_000_000})), "zlib")
    assert len(bomb) < 65536
    assert "in one read" in refused(client("zlib"), bomb)
    small = packed(command(7, {"find": "a", "item": "x" * 60_000}), "zlib")
    assert "in one read" in refused(client("zlib"), small * ((16 << 20) // 60_000 + 1))


def test_the_bound_begins_again_with_each_read() -> None:
    session = client("zlib")
    bomb = packed(command(7, {"insert": "a"}, sequence("documents", {"item": "x" * 18_000_000})), "zlib")
    for at in range(0, len(bomb), 2000):
        session.receive(bomb[at : at + 2000])
    assert session.error is None


def test_snappy_takes_no_more_than_a_frame() -> None:
    assert "max_frame" in refused(client("snappy", max_frame=1 << 17), packed(BIG, "snappy")[:25])


def test_a_login_at_the_proxy_comes_first_also_for_compressed_messages() -> None:
    session = client("zlib", users={"app": "pencil"})
    (message,) = session.receive(packed(SMALL, "zlib"))
    assert document(message.answer or b"")["code"] == 13
    assert "before a login" in refused(session, packed(BIG, "zlib"))


def test_unknown_compressors_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lz4"):
        MongoDB(compressors=["lz4"])


def test_bytes_may_come_one_by_one() -> None:
    session = client("zlib")
    plain = command(7, {"find": "a", "item": bson_noise(20_000)})
    data = packed(plain, "zlib")
    found = [message for at in range(len(data)) for message in session.receive(data[at : at + 1])]
    assert joined(found) == plain


def bson_noise(size: int) -> bson.Value:
    """Bytes that can't be compressed."""
    return b"".join(zlib.crc32(bytes([at & 255, at >> 8])).to_bytes(4, "big") for at in range(size // 4))
