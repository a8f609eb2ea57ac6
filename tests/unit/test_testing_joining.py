"""Streams as whole messages again, for checks that compare what differently cut bytes give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Side
from metaproxy.testing import check_codec
from metaproxy.testing.joining import join_bytes, joined

OPEN, DATA, CLOSE, RESET = Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET


def join(head: Message, chunks: Sequence[Chunk]) -> Message:
    message = join_bytes(head, chunks)
    message.kind = Kind.REQUEST
    return message


def frames(messages: list[Message], broken: bool = False) -> list[tuple[Kind, int, bytes]]:
    return [(message.kind, message.id, message.frame) for message in joined(messages, join, broken)]


def test_a_stream_stands_as_a_whole_message_where_its_head_stood() -> None:
    stream = [Message(OPEN, b"a", 1), Message(OPEN, b"b", 2), Chunk(DATA, b"1", 1), Chunk(CLOSE, b"2", 1)]
    assert frames([*stream, Message(Kind.REQUEST, b"c", 3), Chunk(CLOSE, b"3", 2, trailers=b"t")]) == [
        (Kind.REQUEST, 1, b"a12"),
        (Kind.REQUEST, 2, b"b3t"),
        (Kind.REQUEST, 3, b"c"),
    ]


def test_an_unfinished_stream_is_its_head_with_what_has_come() -> None:
    messages = [Message(OPEN, b"a", 1), Chunk(DATA, b"1", 1), Chunk(DATA, b"2", 1)]
    assert frames(messages) == [(OPEN, 1, b"a12")]
    assert frames(messages, broken=True) == []


def test_a_stream_that_was_reset_is_left_out() -> None:
    assert frames([Message(OPEN, b"a", 1), Chunk(RESET, b"", 1)]) == []


def test_a_chunk_without_a_head_stays() -> None:
    assert frames([Chunk(DATA, b"1", 1)]) == [(DATA, 1, b"1")]


class Notes(Codec):
    """A length in two digits, then so many bytes. Requests are counted; a body that comes later is a stream."""

    name = "notes"
    keys = {"from": "client or server"}
    lost = 0

    def session(self, side: Side, max_frame: int) -> NotesSession:
        return NotesSession(side, max_frame, self.lost)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> Message:
        return Message(Kind.ERROR, b"02no", request.id)


class NotesSession(Session):
    def __init__(self, side: Side, max_frame: int, lost: int) -> None:
        self._from = side.value
        self._kind = Kind.REQUEST if side is Side.CLIENT else Kind.RESPONSE
        self._max = max_frame
        self._lost = lost
        self._held = b""
        self._left = 0
        self._id = 0

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        while self.error is None and (data or self._held):
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                if not piece:
                    break
                self._left -= len(piece)
                messages.append(Chunk(DATA if self._left else CLOSE, piece[: len(piece) - self._lost], self._id))
                continue
            data, self._held = self._held + data, b""
            if not data[:2].ljust(2, b"0").isdigit():
                self.error = FrameError("no length")
                break
            if len(data) < 2:
                self._held = data
                break
            size = int(data[:2])
            if size + 2 > self._max:
                self.error = FrameError("too long")
                break
            self._id += 1
            metadata = {"from": self._from}
            if len(data) >= size + 2:
                messages.append(Message(self._kind, data[: size + 2], self._id, metadata))
            else:
                messages.append(Message(OPEN, data[:2], self._id, metadata))
                messages.append(Chunk(DATA, data[2:], self._id))
                self._left = size + 2 - len(data)
            data = data[size + 2 :]
        self.buffered = len(self._held)
        return messages


def join_notes(head: Message, chunks: Sequence[Chunk]) -> Message:
    message = join_bytes(head, chunks)
    message.kind = Kind.REQUEST if head.get("from") == "client" else Kind.RESPONSE
    return message


def test_a_codec_that_gives_whole_messages_or_streams_is_compared_by_what_they_mean() -> None:
    check_codec(Notes(), [b"05hello", b"00", b"0212"], [b"02ok"], join=join_notes, ids=False)


def test_a_byte_that_a_stream_loses_is_found() -> None:
    codec = Notes()
    codec.lost = 1
    with pytest.raises(AssertionError, match=r"at a time|cut into pieces"):
        check_codec(codec, [b"05hello", b"00", b"0212"], [b"02ok"], join=join_notes, ids=False)


def test_ids_that_are_not_in_the_frames_are_a_fault_where_they_should_be() -> None:
    with pytest.raises(AssertionError, match="decode with id 1"):
        check_codec(Notes(), [b"05hello", b"00", b"0212"], [b"02ok"], join=join_notes)
