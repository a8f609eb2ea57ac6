"""Streams that are sent again: what is sent when, and what becomes of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from reel import Reel, frame, frames
from replay_hall import Hall

from metaproxy.message import Kind
from metaproxy.recording.connection import Call
from metaproxy.recording.entries import Entry, Frame, Piece
from metaproxy.recording.recorded_answer import difference


def piece(at: float, payload: bytes = b"", last: bool = False, **more: Any) -> Piece:
    return Piece(at, payload, Kind.STREAM_CLOSE if last else Kind.STREAM_DATA, **more)


UPLOAD = (piece(0.0, b"one"), piece(1.0, b"two", last=True))
DOWNLOAD = (piece(2.0, b"three"), piece(2.0, b"four", last=True))


def _list(pieces: tuple[Piece, ...] | None) -> list[Piece] | None:
    return None if pieces is None else list(pieces)


def entry(
    up: tuple[Piece, ...] | None = UPLOAD, down: tuple[Piece, ...] | None = DOWNLOAD, start: float = 0.0, **more: Any
) -> Entry:
    """A stream of 3 seconds; None for a half that was whole."""
    kind = Kind.REQUEST if up is None else Kind.STREAM_OPEN
    request = Frame(kind, frame("W" if up is None else "O", 7, b"ask"), 7, metadata={}, chunks=_list(up))
    kind = Kind.RESPONSE if down is None else Kind.STREAM_OPEN
    response = Frame(kind, frame("W" if down is None else "O", 7, b"ok"), 7, metadata={}, chunks=_list(down))
    return Entry(0, start, 3.0, "a/1", request, response, endpoint="127.0.0.1:1", **more)


def hall(*entries: Entry, codec: Reel | None = None, **pace: Any) -> Hall:
    made = Hall(codec or Reel(), **pace)
    made.play(*entries)
    return made


def sent(hall: Hall) -> list[tuple[str, bytes]]:
    return [(kind, payload) for kind, _, payload in frames(hall.wires[-1].take())]


def say(hall: Hall, *pieces: tuple[str, bytes]) -> None:
    hall.wires[-1].protocol.dataReceived(b"".join(frame(kind, 1, payload) for kind, payload in pieces))


def call(hall: Hall) -> Call:
    ((found,),) = hall.done
    assert isinstance(found, Call)
    return found


def test_the_pieces_of_a_request_are_sent_at_their_times() -> None:
    play = hall(entry())
    assert sent(play) == [("O", b"ask"), ("D", b"one")]
    play.clock.advance(0.9)
    assert sent(play) == []
    play.clock.advance(0.2)
    assert sent(play) == [("C", b"two")]


def test_an_answer_in_pieces_ends_the_call_with_its_last() -> None:
    play = hall(entry(), speed=0)
    say(play, ("O", b"ok"), ("D", b"th"))
    assert not play.done
    say(play, ("C", b"reefour"))
    found = call(play)
    assert (found.error, found.answer is not None) == ("", True)
    assert difference(Reel(), found.entry, found.answer, (), found.body) == ""  # type: ignore[arg-type]
    assert play.wires[0].closed
    assert play.clock.getDelayedCalls() == []


def test_nothing_is_sent_before_as_much_of_the_answer_has_come_as_its_sender_had() -> None:
    up = (piece(0.0, b"hi"), piece(1.0, b"again"), piece(2.0, b"", last=True))
    down = (piece(0.5, b"hello"), piece(1.5, b"bye", last=True))
    play = hall(entry(up, down), speed=0)
    assert sent(play) == [("O", b"ask"), ("D", b"hi")]
    say(play, ("O", b"ok"), ("D", b"hel"))
    assert sent(play) == []
    say(play, ("D", b"lo"))
    assert sent(play) == [("D", b"again")]


def test_a_whole_request_goes_on_in_a_tunnel_once_the_head_has_come() -> None:
    up = (piece(1.0, b"ping"), piece(2.0, b"", last=True, final=False))
    down = (piece(1.5, b"pong", last=True, final=False),)
    tunnel = entry(None, down)
    tunnel.request.chunks = list(up)
    play = hall(tunnel, speed=0)
    assert sent(play) == [("W", b"ask")]
    say(play, ("P", b"ok"))
    assert sent(play) == [("D", b"ping")]
    say(play, ("T", b"pong"))
    assert sent(play) == [("T", b"")]
    assert call(play).error == ""


def test_a_client_that_left_leaves_again_when_it_has_what_it_had() -> None:
    watch = entry(None, (piece(1.0, b"event"),), outcome="downstream_gone")
    play = hall(watch)
    say(play, ("O", b"ok"))
    play.clock.advance(4.0)
    assert not play.done
    say(play, ("D", b"event"))
    assert (call(play).error, sent(play)[-1][0]) == ("", "R")


def test_a_server_that_stops_within_its_answer_is_out_of_time_after_silence_and_not_before() -> None:
    play = hall(entry(), speed=0, timeout=5.0)
    say(play, ("O", b"ok"))
    for _ in range(3):
        play.clock.advance(4.0)
        say(play, ("D", b"x"))
    assert not play.done
    play.clock.advance(5.0)
    assert call(play).error == "no more of the answer within 5 s"


@pytest.mark.parametrize(("kind", "why"), [("R", "the server reset the stream: no"), ("gone", "closed")])
def test_a_stream_that_is_cut_off_has_failed(kind: str, why: str) -> None:
    play = hall(entry(), speed=0)
    say(play, ("O", b"ok"))
    if kind == "gone":
        play.wires[0].end()
    else:
        say(play, ("R", b"no"))
    assert why in call(play).error


def test_what_came_is_credited_to_the_server_and_its_windows_are_kept() -> None:
    play = hall(entry(), speed=0, codec=Reel(window=4))
    assert [kind for kind, _ in sent(play)] == ["O", "D", "C"]
    say(play, ("O", b"ok"), ("D", b"12345"))
    assert ("w", (5).to_bytes(4, "big")) in sent(play)


def test_requests_wait_where_a_server_takes_one_at_a_time() -> None:
    play = hall(entry(), entry(start=0.1), speed=0, codec=Reel(flow="connection", capacity=1))
    assert [kind for kind, _ in sent(play)] == ["O", "D", "C"]
    say(play, ("W", b"ok"))
    assert [kind for kind, _ in sent(play)] == ["O", "D", "C"]


def test_a_server_that_wants_no_more_requests_gets_the_next_on_a_new_connection() -> None:
    play = hall(entry(), entry(start=5.0), speed=0)
    say(play, ("G", b""), ("W", b"ok"))
    assert len(play.wires) == 2
