from __future__ import annotations

from dataclasses import replace
from typing import Any

from examples import examples
from harness import LineCodec, call
from hypothesis import given
from hypothesis import strategies as st
from replay_hall import Hall

from metaproxy.codecs.redis import Redis
from metaproxy.message import Hold, Kind
from metaproxy.recording.entries import Entry, Frame


def entry(start: float, duration: float = 0.1, connection: str = "a/1", number: int = 0, **frame: Any) -> Entry:
    asked = {"kind": Kind.REQUEST, "data": call(5), "id": 5, **frame}
    return Entry(number, start, duration, connection, Frame(**asked), endpoint="127.0.0.1:1")


def test_requests_go_over_a_connection_for_each_recorded_one_which_ends_with_its_last() -> None:
    hall = Hall()
    hall.play(entry(0.0), entry(0.0, connection="b/1"), entry(0.0, number=1))
    assert [hall.answer(wire) for wire in hall.wires] == [2, 1]
    assert [wire.closed for wire in hall.wires] == [True, True]
    assert [one.answer.kind for one in hall.done[0]] == [Kind.RESPONSE] * 3


def test_the_spaces_between_requests_are_kept_and_scaled() -> None:
    for speed, space in ((1.0, 4.0), (2.0, 2.0), (0.5, 8.0)):
        hall = Hall(speed=speed)
        hall.play(entry(10.0), entry(14.0, number=1))
        assert hall.answer(hall.wires[0]) == 1
        hall.clock.advance(space - 0.01)
        assert hall.answer(hall.wires[0]) == 0
        hall.clock.advance(0.02)
        assert hall.answer(hall.wires[0]) == 1


def test_a_slow_server_is_not_asked_what_followed_from_an_answer_before_it_gave_it() -> None:
    hall = Hall(speed=0)
    hall.play(entry(0.0, 0.1), entry(0.05, 0.1, number=1), entry(0.2, 0.1, number=2))
    wire = hall.wires[0]
    assert wire.written.count(b"echo") == 2  # the second was sent before the first was answered
    hall.answer(wire)
    assert wire.written.count(b"echo") == 1


def test_ordered_play_takes_answers_of_other_connections_into_account_and_free_play_does_not() -> None:
    for ordered, connected in ((True, 1), (False, 2)):
        hall = Hall(speed=0, ordered=ordered)
        hall.play(entry(0.0, 0.1), entry(0.2, 0.1, "b/1"))
        assert len(hall.wires) == connected


def test_requests_under_way_are_bounded() -> None:
    hall = Hall(speed=0, max_inflight=3)
    hall.play(*(entry(0.0, 1.0, number=number) for number in range(10)))
    wire = hall.wires[0]
    assert wire.written.count(b"echo") == 3
    answered = 0
    while not hall.done:
        answered += hall.answer(wire)
    assert answered == 10


def test_no_answer_in_time_fails_the_request_and_the_rest_goes_on() -> None:
    hall = Hall(speed=0, timeout=2.0)
    hall.play(entry(0.0), entry(0.2, number=1))
    wire = hall.wires[0]
    wire.take()
    hall.clock.advance(2.0)
    assert hall.answer(wire) == 1
    first, second = hall.done[0]
    assert (first.error, first.answer, second.error) == ("no answer within 2 s", None, "")
    assert hall.clock.getDelayedCalls() == []


def test_a_request_whose_client_left_without_an_answer_is_left_again_after_as_long() -> None:
    """Such as one that is answered by a stream without end."""
    hall = Hall(speed=1.0, timeout=2.0)
    hall.play(replace(entry(0.0, 5.0), outcome="downstream_gone"))
    hall.clock.advance(4.9)
    assert not hall.done
    hall.clock.advance(0.2)
    assert [one.error for one in hall.done[0]] == [""]
    assert hall.clock.getDelayedCalls() == []


def test_an_oneway_request_is_sent_and_not_waited_for() -> None:
    hall = Hall(speed=0)
    hall.play(entry(0.0, kind=Kind.ONEWAY), entry(0.2, kind=Kind.ONEWAY))
    assert len(hall.done) == 1
    assert hall.wires[0].written.count(b"echo") == 2


def test_a_server_that_is_not_there_fails_every_request() -> None:
    hall = Hall(speed=0)
    hall.refuse = True
    hall.play(entry(0.0), entry(0.2, number=1))
    assert [one.error for one in hall.done[0]] == ["refused", "refused"]


def test_a_connection_that_ends_fails_what_was_under_way_and_the_next_request_has_a_new_one() -> None:
    hall = Hall(speed=0)
    hall.play(entry(0.0), entry(0.2, number=1))
    hall.wires[0].end()
    assert len(hall.wires) == 2
    hall.answer(hall.wires[1])
    first, second = hall.done[0]
    assert "closed" in first.error
    assert second.answer is not None


def test_bytes_that_are_not_the_protocol_fail_the_requests() -> None:
    hall = Hall(speed=0)
    hall.play(entry(0.0))
    hall.wires[0].protocol.dataReceived(bytes(20))
    assert "frame of 4 bytes" in hall.done[0][0].error
    assert hall.wires[0].closed


def test_answers_in_order_find_their_requests_also_behind_one_that_came_too_late() -> None:
    hall = Hall(LineCodec(), speed=0, timeout=1.0)
    lines = [entry(0.0, 9.0, data=b"get %d\n" % number, id=0, number=number) for number in range(3)]
    hall.play(*lines)
    wire = hall.wires[0]
    hall.clock.advance(1.0)
    assert {one.error for one in hall.done[0]} == {"no answer within 1 s"}
    again = Hall(LineCodec(), speed=0, timeout=1.0)
    again.play(*lines)
    again.wires[0].protocol.dataReceived(b"a\nb\nfail c\n")
    assert [one.answer.frame for one in again.done[0]] == [b"a\n", b"b\n", b"fail c\n"]
    assert wire.closed


def test_a_client_that_changed_its_state_has_a_connection_for_each() -> None:
    hall = Hall(Redis(), speed=0)
    ping = b"*1\r\n$4\r\nPING\r\n"
    hall.play(
        entry(0.0, data=ping, id=0),
        entry(0.2, data=ping, id=0, profile=(2, 3), number=1),
    )
    assert hall.wires[0].take() == ping
    hall.wires[0].protocol.dataReceived(b"+PONG\r\n")
    assert hall.wires[1].take() == b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
    hall.wires[1].protocol.dataReceived(b"+OK\r\n")
    assert hall.wires[1].take() == ping
    hall.wires[1].protocol.dataReceived(b"+PONG\r\n")
    assert [one.answer.frame for one in hall.done[0]] == [b"+PONG\r\n", b"+PONG\r\n"]


def test_a_transaction_stays_on_its_connection_with_the_command_that_opened_it() -> None:
    hall = Hall(Redis(), speed=0)
    multi, incr, run = b"*1\r\n$5\r\nMULTI\r\n", b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", b"*1\r\n$4\r\nEXEC\r\n"
    hall.play(
        entry(0.0, data=multi + incr, id=0, hold=Hold.OPEN),
        entry(0.2, data=run, id=0, hold=Hold.CLOSE, profile=(2, 0, "own"), number=1),
        entry(0.4, data=incr, id=0, number=2),
    )
    (wire,) = hall.wires
    assert wire.take() == multi + incr
    wire.protocol.dataReceived(b"+OK\r\n+QUEUED\r\n")
    assert wire.take() == run
    wire.protocol.dataReceived(b"*1\r\n:1\r\n")
    assert wire.take() == incr
    wire.protocol.dataReceived(b":2\r\n")
    assert [one.answer.frame for one in hall.done[0]] == [b"+QUEUED\r\n", b"*1\r\n:1\r\n", b":2\r\n"]


def test_a_refused_login_fails_the_requests_with_the_servers_words() -> None:
    hall = Hall(Redis(), speed=0, credentials={"password": "wrong"})
    hall.play(entry(0.0, data=b"*1\r\n$4\r\nPING\r\n", id=0))
    hall.wires[0].protocol.dataReceived(b"-WRONGPASS no\r\n")
    assert hall.done[0][0].error == "login refused: WRONGPASS no"


@examples(30)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2), st.sampled_from("abc")), min_size=1, max_size=25),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 7.0]),
)
def test_each_request_is_answered_once_and_none_before_what_it_followed(shapes: Any, ordered: Any, speed: Any) -> None:
    entries = [
        entry(start, duration, connection, number, data=call(1, body=b"%d" % number), id=1)
        for number, (start, duration, connection) in enumerate(sorted(shapes))
    ]
    hall = Hall(speed=speed, ordered=ordered)
    hall.play(*entries)
    for _ in range(500):
        if hall.done:
            break
        for wire in list(hall.wires):
            hall.answer(wire)
        hall.clock.advance(0.05)
    (calls,) = hall.done
    assert sorted(one.entry.number for one in calls) == [one.number for one in entries]
    assert all(one.answer is not None and not one.error for one in calls)
    order = {one.entry.number: place for place, one in enumerate(calls)}
    for one in entries:
        for other in entries:
            same = ordered or one.connection == other.connection
            if same and one.end < other.start:
                assert order[one.number] < order[other.number]
