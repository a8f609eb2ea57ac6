"""MongoDB's messages: sections, checksums that stay right when ids change, messages of our own."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mongodb_words import op_msg, op_query, section, sequence

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.message import FrameError

FIND = section({"find": "orders", "$db": "shop"})


def test_the_checksum_is_crc_32c() -> None:
    assert wire.crc32c(b"123456789") == 0xE3069283  # RFC 3720, and the catalogue of CRCs


@given(st.binary(min_size=12, max_size=12), st.binary(min_size=12, max_size=12), st.binary(max_size=300))
def test_a_checksum_is_corrected_without_reading_what_follows(before: bytes, after: bytes, rest: bytes) -> None:
    change = wire.checksum_change(before, after, len(rest))
    assert wire.crc32c(before + rest) ^ change == wire.crc32c(after + rest)


@pytest.mark.parametrize("sections", [(FIND,), (FIND, sequence("x", {"a": 1})), (sequence("x", {"a": 1}), FIND)])
def test_the_document_is_found_wherever_it_stands(sections: tuple[bytes, ...]) -> None:
    frame = op_msg(1, *sections)
    at, end = wire.body(frame)
    assert frame[at:end] == FIND[1:]
    assert wire.last_body(frame[:end]) == (at, end)
    assert wire.head_end(frame[:end], len(frame), 1 << 20) == end


def test_the_end_of_a_head_is_told_step_by_step() -> None:
    first = sequence("x", {"a": 1})
    frame = op_msg(1, first, FIND)
    assert wire.head_end(frame[:20], len(frame), 1 << 20) == 25
    assert wire.head_end(frame[:25], len(frame), 1 << 20) == 25 + len(first)
    assert wire.head_end(frame[: 25 + len(first)], len(frame), 1 << 20) == len(frame)


@pytest.mark.parametrize(
    "sections",
    [
        (),
        (FIND, FIND),
        (FIND, b"\2\5\0\0\0\0"),
        (FIND, b"\1\5\0\0\0"),
        (FIND, b"\1\xff\0\0\0x\0"),
        (FIND, b"\1\1"),
        (sequence("x", {"a": 1}),),
        (FIND[:-1],),
        (FIND, *[sequence("x")] * wire.MOST_SECTIONS),
    ],
)
def test_a_message_whose_sections_are_wrong_is_refused(sections: tuple[bytes, ...]) -> None:
    with pytest.raises(FrameError):
        wire.body(op_msg(1, *sections))


def test_a_head_behind_the_bound_is_refused() -> None:
    frame = op_msg(1, sequence("x", {"a": "b" * 200}), FIND)
    with pytest.raises(FrameError, match="max_frame"):
        wire.head_end(frame, len(frame), 128)


def test_unknown_flags_that_a_receiver_must_know_are_refused() -> None:
    with pytest.raises(FrameError, match="flags"):
        wire.flags(op_msg(1, FIND, flags=4))
    assert wire.flags(op_msg(1, FIND, flags=1 << 17)) == 1 << 17  # optional


def test_the_document_of_an_old_query_is_found() -> None:
    frame = op_query(1, {"isMaster": 1})
    collection, body = wire.query(frame)
    assert (collection, frame[body.at : body.end]) == (b"admin.$cmd", bson.document({"isMaster": 1}))


def test_our_messages_are_whole() -> None:
    document = bson.document({"ok": 1})
    assert wire.message(5, 7, document) == op_msg(5, section({"ok": 1}), to=7)
    frame = wire.reply(5, 7, document)
    assert struct.unpack_from("<iiii", frame) == (len(frame), 5, 7, 1)
    assert frame[slice(*wire.reply_body(frame))] == document
