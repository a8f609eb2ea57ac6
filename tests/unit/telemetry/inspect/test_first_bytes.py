from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from reel import Reel

from metaproxy.message import Chunk, FrameError, Kind, Message, Side
from metaproxy.telemetry.inspect.first_bytes import FIRST, FirstBytes, shown
from metaproxy.telemetry.roles import CompletedExchange


class Unreadable(Reel):
    def confidential(self, request: Message) -> bool:
        raise FrameError("no")


def exchange(codec: Reel | None = None) -> CompletedExchange:
    found = SimpleNamespace(snapshot=SimpleNamespace(codec=codec or Reel()), message=Message(Kind.STREAM_OPEN, b""))
    return cast(CompletedExchange, _Hashed(found))


class _Hashed:
    def __init__(self, found: SimpleNamespace) -> None:
        self.snapshot, self.message = found.snapshot, found.message


def data(payload: bytes) -> Chunk:
    return Chunk(Kind.STREAM_DATA, payload)


def test_the_halves_are_kept_apart_and_forgotten_once_taken() -> None:
    first, one = FirstBytes(), exchange()
    first.add(one, data(b"up"), Side.CLIENT)
    first.add(one, data(b"do"), Side.SERVER)
    first.add(one, Chunk(Kind.STREAM_CLOSE, b"wn", metadata={"grpc-status": "0", "token": "abc"}), Side.SERVER)
    up, down = first.take(one)
    assert up == {"first": {"text": "up"}}
    assert down == {"first": {"text": "down"}, "trailers": {"grpc-status": "0", "token": "****"}}
    assert first.take(one) == ({}, {})


def test_all_streams_together_have_so_much_room_which_those_that_end_give_back() -> None:
    first = FirstBytes(room=10)
    one, other, third = exchange(), exchange(), exchange()
    for stream in (one, other):
        first.add(stream, data(b"1234567"), Side.CLIENT)
    assert first.take(other) == ({"first": {"text": "123"}}, {})
    first.take(one)
    first.add(third, data(b"12345678901"), Side.CLIENT)
    assert first.take(third) == ({"first": {"text": "1234567890"}}, {})


def test_where_a_codec_can_not_tell_it_is_confidential() -> None:
    first, one = FirstBytes(), exchange(Unreadable())
    first.add(one, data(b"hunter2"), Side.CLIENT)
    assert first.take(one) == ({}, {})


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"a\tb\r\n", {"text": "a\tb\r\n"}),
        ("é".encode(), {"text": "é"}),
        ("x€".encode()[:-1], {"text": "x"}),  # cut within a character
        (b"\x1b[2J", {"base64": "G1sySg=="}),
        (b"a\xff", {"base64": "Yf8="}),
    ],
)
def test_text_is_shown_as_text_and_all_else_in_base64(payload: bytes, expected: dict[str, str]) -> None:
    assert shown(payload) == expected
    assert len(shown(b"x" * FIRST)["text"]) == FIRST
