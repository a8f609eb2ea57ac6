from __future__ import annotations

from typing import Any

import pytest
from harness import Quill, answer
from reel import Reel, frame

from metaproxy.codecs.thrift import Thrift
from metaproxy.message import Chunk, Kind, Message, Mutation
from metaproxy.recording.connection import Body
from metaproxy.recording.entries import Entry, Frame, Piece
from metaproxy.recording.recorded_answer import difference


def entry(data: bytes, kind: Kind = Kind.RESPONSE, id: int = 7, redacted: tuple[str, ...] = ()) -> Entry:
    return Entry(0, 0.0, 0.1, "front/1", Frame(Kind.REQUEST, b""), Frame(kind, data, id), redacted=redacted)


def told(data: bytes, kind: Kind = Kind.RESPONSE, id: int = 8) -> Message:
    return Message(kind, data, id)


def test_answers_that_differ_by_their_ids_alone_are_the_same() -> None:
    assert difference(Quill(), entry(answer(7)), told(answer(8))) == ""


def test_other_bytes_are_told_with_their_place() -> None:
    how = difference(Quill(), entry(answer(7, b"one two")), told(answer(8, b"one six")))
    assert how.startswith("from byte 17 on: ")
    assert "one two" in how
    assert "one six" in how


def test_a_longer_answer_is_told() -> None:
    assert "became" in difference(Quill(), entry(b"\0" * 13 + b"ab"), told(b"\0" * 13 + b"abc"))


def test_an_error_in_the_place_of_an_answer_is_told_even_with_the_same_bytes() -> None:
    assert difference(Quill(), entry(answer(7)), told(answer(8), Kind.ERROR)).startswith("response became error: ")


def test_what_was_never_answered_can_not_differ() -> None:
    assert difference(Quill(), Entry(0, 0.0, 0.1, "a/1", Frame(Kind.ONEWAY, b"")), told(b"x")) == ""


def test_thrift_sequence_numbers_do_not_count() -> None:
    def reply(seqid: int, value: int) -> bytes:
        body = bytes.fromhex("80010002 00000003 616464") + seqid.to_bytes(4, "big") + bytes.fromhex("080000")
        body += value.to_bytes(4, "big") + b"\0"
        return len(body).to_bytes(4, "big") + body

    assert difference(Thrift(), entry(reply(7, 5)), told(reply(8, 5))) == ""
    assert difference(Thrift(), entry(reply(7, 5)), told(reply(8, 6))) != ""


class Tagged(Quill):
    """Answers are `key=value;...`."""

    mutable = ""

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        pairs = dict(pair.split("=") for pair in message.frame[13:].decode().split(";"))
        kept = {**{key: one for key, one in pairs.items() if key not in mutation.remove}, **mutation.set}
        return answer(message.id, ";".join(f"{key}={value}" for key, value in kept.items()).encode())


def test_keys_that_may_differ_are_left_out_of_the_comparison() -> None:
    before, now = entry(answer(7, b"by=alpha;sum=5")), told(answer(8, b"by=beta;sum=5"))
    assert difference(Tagged(), before, now) != ""
    assert difference(Tagged(), before, now, ["by"]) == ""
    assert difference(Tagged(), before, told(answer(8, b"by=beta;sum=6")), ["by"]) != ""


def test_a_secret_that_was_masked_when_it_was_recorded_is_no_difference() -> None:
    before = entry(answer(7, b"token=****;sum=5"), redacted=("token",))
    now = told(answer(8, b"token=hunter2;sum=5"))
    now.metadata = {"token": "hunter2"}
    assert difference(Tagged(), before, now) == ""


# -- streams


def streamed(*pieces: bytes, cut: bool = False, failed: bool = False) -> Entry:
    """An answer that was recorded in these pieces."""
    chunks = [Piece(0.1, one) for one in pieces] + [Piece(0.2, b"", Kind.STREAM_CLOSE, failed=failed)]
    response = Frame(Kind.STREAM_OPEN, frame("O", 7, b"head"), 7, metadata={}, chunks=chunks, cut=cut)
    return Entry(0, 0.0, 0.1, "front/1", Frame(Kind.REQUEST, b""), response)


def came(*pieces: bytes, failed: bool = False) -> Body:
    body = Body(failed)
    for one in pieces:
        body.add(Chunk(Kind.STREAM_DATA, one))
    return body


HEAD = Message(Kind.STREAM_OPEN, frame("O", 8, b"head"), 8)


def test_a_stream_that_is_cut_in_other_places_is_the_same() -> None:
    assert difference(Reel(), streamed(b"one", b"two"), HEAD, (), came(b"o", b"netwo")) == ""


@pytest.mark.parametrize(
    ("pieces", "failed", "how"),
    [
        ((b"onetwo", b"x"), False, "6 bytes became 7"),
        ((b"onesix",), False, "the stream from byte 3 on: "),
        ((b"onetwo",), True, "response became error"),
    ],
)
def test_another_size_other_bytes_and_another_end_are_told(pieces: Any, failed: bool, how: str) -> None:
    assert difference(Reel(), streamed(b"one", b"two"), HEAD, (), came(*pieces, failed=failed)).startswith(how)


def test_another_head_is_told() -> None:
    other = Message(Kind.STREAM_OPEN, frame("O", 8, b"haed"), 8)
    assert "became" in difference(Reel(), streamed(b"one"), other, (), came(b"one"))


def test_of_a_stream_that_was_cut_the_beginning_is_compared() -> None:
    assert difference(Reel(), streamed(b"one", cut=True), HEAD, (), came(b"onetwo")) == ""
    assert difference(Reel(), streamed(b"one", cut=True), HEAD, (), came(b"sixtwo")) != ""


def test_the_same_bytes_whole_and_in_pieces_are_the_same() -> None:
    whole = Message(Kind.RESPONSE, b"head: x\r\n\r\nonetwo", 8)
    assert difference(Reel(), streamed(b"one", b"two"), whole) == ""
    assert difference(Reel(), entry(whole.frame), HEAD, (), came(b"one", b"two")) == ""
    assert "not in the whole answer" in difference(Reel(), entry(whole.frame), HEAD, (), came(b"one", b"six"))
    assert difference(Reel(), entry(whole.frame), HEAD, (), came(b"onetwo", failed=True)) == "response became error"
