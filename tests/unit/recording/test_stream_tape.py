from __future__ import annotations

from typing import cast

from metaproxy.message import Chunk, Kind, Side
from metaproxy.recording.entries import Entry, Frame
from metaproxy.recording.stream_tape import EACH, StreamTape
from metaproxy.telemetry.roles import CompletedExchange


def exchange() -> CompletedExchange:
    return cast(CompletedExchange, object())


def data(size: int) -> Chunk:
    return Chunk(Kind.STREAM_DATA, bytes(size))


def test_both_halves_of_a_stream_have_one_bound_which_may_cut_one_and_not_the_other() -> None:
    tape, one = StreamTape(most=1000), exchange()
    tape.add(one, data(100), Side.CLIENT, 0.0)
    tape.add(one, data(2000), Side.SERVER, 0.1)
    tape.add(one, data(10), Side.SERVER, 0.2)  # behind what is missing
    tape.add(one, data(100), Side.CLIENT, 0.3)
    taken = tape.take(one)
    assert [len(half) for half in taken.pieces] == [2, 0]
    assert taken.cut == [False, True]


def test_small_chunks_count_more_than_their_bytes() -> None:
    tape, one = StreamTape(most=10 * (EACH + 1)), exchange()
    for _ in range(20):
        tape.add(one, data(1), Side.CLIENT, 0.0)
    assert len(tape.take(one).pieces[0]) == 10


def test_all_streams_together_are_bounded_and_those_that_end_give_their_room_back() -> None:
    tape = StreamTape(room=1000)
    one, other, third = exchange(), exchange(), exchange()
    tape.add(one, data(900), Side.CLIENT, 0.0)
    tape.add(other, data(900), Side.CLIENT, 0.0)
    assert tape.take(other).cut == [True, False]
    tape.take(one)
    tape.add(third, data(900), Side.CLIENT, 0.0)
    assert tape.take(third).cut == [False, False]


def test_a_whole_message_stays_whole_and_a_head_has_chunks_although_none_came() -> None:
    entry = Entry(0, 0.0, 0.1, "a/1", Frame(Kind.STREAM_OPEN, b""), Frame(Kind.RESPONSE, b""))
    StreamTape().take(exchange()).put(entry)
    assert entry.response is not None
    assert (entry.request.chunks, entry.response.chunks) == ([], None)


def test_a_whole_request_whose_client_went_on_in_a_tunnel_has_chunks() -> None:
    tape, one = StreamTape(), exchange()
    tape.add(one, data(3), Side.CLIENT, 0.5)
    entry = Entry(0, 0.0, 0.1, "a/1", Frame(Kind.REQUEST, b""), Frame(Kind.STREAM_OPEN, b""))
    tape.take(one).put(entry)
    assert [piece.at for piece in entry.request.chunks or ()] == [0.5]
