"""Streams through the real path, in memory: what passes, who waits for whom, and how they end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reel import Reel, ReelSession, credits_of, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.message import Chunk, ErrorKind, FrameError, Message, Reply, Side
from metaproxy.proxy.stream import REPLAY, WINDOW
from metaproxy.routing.table import Route, Target
from metaproxy.testing import Stage

ASK = frame("O", 7, b"ask")


def answered(stage: Stage) -> None:
    stage.say(stage.server, frame("O", 1, b"head"))


# -- what passes


def test_a_head_and_its_chunks_pass_as_they_come_under_the_ids_of_each_side() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, b"one"))
    assert frames(stage.server.take()) == [("O", 1, b"ask"), ("D", 1, b"one")]
    stage.say(client, frame("C", 7, b"two"))
    assert frames(stage.server.take()) == [("C", 1, b"two")]
    stage.say(stage.server, frame("O", 1, b"head") + frame("D", 1, b"three"))
    assert frames(client.take()) == [("O", 7, b"head"), ("D", 7, b"three")]
    stage.say(stage.server, frame("C", 1))
    assert frames(client.take()) == [("C", 7, b"")]
    assert stage.route.targets[0].counts.outcomes == {"ok": 1}
    assert stage.endpoints[0].active == 0


def test_a_whole_request_may_be_answered_by_a_stream_and_a_stream_by_a_whole_answer() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7, b"ask") + frame("O", 8, b"ask") + frame("C", 8))
    assert [one[:2] for one in frames(stage.server.take())] == [("W", 1), ("O", 2), ("C", 2)]
    stage.say(stage.server, frame("W", 2, b"whole") + frame("O", 1) + frame("C", 1, b"rest"))
    assert frames(client.take()) == [("W", 8, b"whole"), ("O", 7, b""), ("C", 7, b"rest")]
    assert stage.route.targets[0].counts.outcomes == {"ok": 2}


def test_both_halves_are_open_at_once() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    answered(stage)
    for number in range(3):
        stage.say(client, frame("D", 7, b"q%d" % number))
        stage.say(stage.server, frame("D", 1, b"a%d" % number))
    assert [one[2] for one in frames(stage.server.take())] == [b"ask", b"q0", b"q1", b"q2"]
    assert [one[2] for one in frames(client.take())] == [b"head", b"a0", b"a1", b"a2"]


def test_an_interim_answer_is_passed_on_and_ends_nothing() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.say(stage.server, frame("I", 1, b"go on"))
    assert frames(client.take()) == [("I", 7, b"go on")]
    stage.say(stage.server, frame("W", 1, b"done"))
    assert frames(client.take()) == [("W", 7, b"done")]


def test_a_failure_at_the_end_of_an_answer_is_an_error() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.server, frame("O", 1) + frame("X", 1))
    assert [one[0] for one in frames(client.take())] == ["O", "X"]
    assert stage.route.targets[0].counts.outcomes == {"error": 1}
    assert stage.endpoints[0].counts.errors == 1


def test_a_tunnel_ends_when_both_sides_have_ended() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7, b"connect"))
    stage.say(stage.server, frame("P", 1))
    stage.say(client, frame("D", 7, b"hello"))
    stage.say(stage.server, frame("T", 1, b"bye"))
    assert [one[0] for one in frames(client.take())] == ["P", "T"]
    stage.say(client, frame("D", 7, b"more") + frame("T", 7))
    assert [one[2] for one in frames(stage.server.take())] == [b"connect", b"hello", b"more", b""]
    assert stage.route.targets[0].counts.outcomes == {"ok": 1}


def test_a_tunnel_over_sockets_of_its_own_closes_each_direction_by_itself() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 7, b"connect"))
    stage.say(stage.server, frame("P", 1))
    stage.say(stage.server, frame("T", 1))
    assert client.finished and not client.closed
    stage.say(client, frame("T", 7))
    assert stage.server.finished


# -- who waits for whom


def test_what_the_server_took_is_credited_to_the_client_and_no_more() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, bytes(1000)))
    session = stage.downstream(client).session
    assert credits_of(session) == {7: 1000}
    stage.server.protocol.pauseProducing()
    stage.say(client, frame("D", 7, bytes(500)))
    assert credits_of(session) == {7: 1000}
    stage.server.protocol.resumeProducing()
    assert credits_of(session) == {7: 1500}


def test_a_client_whose_window_is_closed_holds_up_its_own_stream_only() -> None:
    stage = Stage(Reel(window=10))
    slow = stage.client()
    stage.say(slow, frame("W", 7) + frame("W", 8))
    stage.say(stage.server, frame("O", 1) + frame("O", 2) + frame("D", 1, bytes(20)) + frame("D", 1, bytes(5)))
    assert [one[:2] for one in frames(slow.take())] == [("O", 7), ("O", 8), ("D", 7)]
    windows = [one for one in frames(stage.server.take()) if one[0] == "w"]
    assert [int.from_bytes(one[2], "big") for one in windows] == [20]
    stage.say(stage.server, frame("C", 2, b"x"))
    assert frames(slow.take()) == [("C", 8, b"x")]
    stage.say(slow, frame("w", 7, (30).to_bytes(4, "big")))
    assert [one[:2] for one in frames(slow.take()) if one[0] == "D"] == [("D", 7)]
    assert ("w", 1, (5).to_bytes(4, "big")) in frames(stage.server.take())


def test_a_client_is_not_read_while_its_server_does_not_take_what_it_sends() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, ASK)
    stage.server.protocol.pauseProducing()
    for _ in range(WINDOW // 1000 + 1):
        stage.say(client, frame("D", 7, bytes(1000)))
    assert client.paused
    stage.server.protocol.resumeProducing()
    assert not client.paused


def test_a_server_is_not_read_while_its_client_does_not_take_the_answer() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 7))
    answered(stage)
    client.protocol.pauseProducing()
    stage.say(stage.server, frame("D", 1, bytes(WINDOW + 1)))
    assert stage.server.paused
    client.protocol.resumeProducing()
    assert not stage.server.paused


def test_a_stream_has_its_connection_alone_where_flow_is_by_connection() -> None:
    stage = Stage(Reel(flow="connection"))
    client, other = stage.client(), stage.client()
    stage.say(client, ASK)
    stage.say(other, frame("W", 1))
    assert len(stage.network.upstreams) == 2


def test_answers_behind_another_wait_for_it() -> None:
    stage = Stage(Reel(flow="connection", fifo=True))
    client = stage.client()
    stage.say(client, frame("W", 1) + frame("W", 2))
    first = stage.server
    stage.say(first, frame("O", 0, b"a") + frame("D", 0, b"b"))
    assert [one[2] for one in frames(client.take())] == [b"a", b"b"]
    stage.say(first, frame("C", 0, b"c") + frame("O", 0, b"d") + frame("C", 0, b"e"))
    assert [one[:1] + one[2:] for one in frames(client.take())] == [("C", b"c"), ("O", b"d"), ("C", b"e")]


def test_what_does_not_fit_on_a_connection_takes_another() -> None:
    stage = Stage(Reel(capacity=2))
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        stage.say(client, frame("O", 1))
    assert len(stage.network.upstreams) == 2
    stage.say(stage.network.upstreams[0], frame("W", 1))
    assert frames(clients[0].take()) == [("W", 1, b"")]


def test_requests_wait_for_their_turn_where_a_client_has_one_at_a_time() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 1, b"a") + frame("O", 2, b"b") + frame("D", 2, b"c") + frame("C", 2))
    assert frames(stage.server.take()) == [("W", 1, b"a")]
    stage.say(stage.server, frame("W", 1))
    assert [one[2] for one in frames(stage.network.upstreams[-1].take())] == [b"b", b"c", b""]


# -- ends


def test_a_client_that_resets_a_stream_ends_it_at_the_server() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.server.take()
    stage.say(client, frame("R", 7))
    assert [one[:2] for one in frames(stage.server.take())] == [("R", 1)]
    assert client.take() == b""
    assert stage.route.targets[0].counts.outcomes == {"downstream_gone": 1}
    stage.say(stage.server, frame("O", 1) + frame("C", 1))
    assert client.take() == b"" and not client.closed


def test_a_client_may_reset_a_whole_request() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7) + frame("O", 8))
    stage.say(client, frame("R", 7))
    assert [one[:2] for one in frames(stage.server.take())] == [("W", 1), ("O", 2), ("R", 1)]


def test_a_reset_by_the_server_before_the_head_is_an_error_in_the_protocols_words() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.say(stage.server, frame("R", 1, b"no"))
    ((kind, id, text),) = frames(client.take())
    assert (kind, id) == ("E", 7) and text.startswith(b"reset: ")


def test_a_reset_by_the_server_after_the_head_resets_the_client() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    answered(stage)
    stage.say(stage.server, frame("R", 1, b"no"))
    assert [one[0] for one in frames(client.take())] == ["O", "R"]
    assert stage.route.targets[0].counts.outcomes == {"reset": 1}


def test_where_there_is_no_word_for_a_reset_the_connection_ends() -> None:
    stage = Stage(Reel(flow="connection", capacity=1, resets=False))
    client = stage.client()
    stage.say(client, frame("W", 7))
    answered(stage)
    stage.server.end()
    assert client.closed


def test_a_server_that_answers_early_gets_no_more_and_the_client_may_go_on() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.say(stage.server, frame("W", 1, b"enough"))
    assert [one[:2] for one in frames(stage.server.take())] == [("O", 1), ("R", 1)]
    assert frames(client.take()) == [("W", 7, b"enough")]
    stage.say(client, frame("D", 7, bytes(100)) + frame("C", 7, b"x"))
    assert stage.server.take() == b""
    assert credits_of(stage.downstream(client).session)[7] == 101


def test_a_leased_connection_whose_request_was_not_finished_is_not_used_again() -> None:
    stage = Stage(Reel(flow="connection", capacity=1, resets=False))
    client = stage.client()
    stage.say(client, ASK)
    stage.say(stage.server, frame("W", 1, b"enough"))
    assert frames(client.take()) == [("W", 7, b"enough")]
    assert stage.server.closed


def test_a_leased_connection_is_used_again_behind_a_stream_that_is_over() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, ASK + frame("C", 7))
    stage.say(stage.server, frame("O", 1) + frame("C", 1))
    stage.say(client, frame("W", 8))
    assert len(stage.network.upstreams) == 1


def test_a_client_that_leaves_in_the_middle_of_its_request_ends_it() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, ASK)
    stage.finish(client)
    assert [one[0] for one in frames(stage.server.take())] == ["O", "R"]
    assert client.closed
    assert stage.endpoints[0].active == 0


def test_silence_ends_a_stream_and_what_either_side_sends_keeps_it_alive() -> None:
    stage = Stage(Reel(), stream_idle=60.0)
    client = stage.client()
    stage.say(client, ASK)
    for _ in range(5):
        stage.clock.advance(40)
        stage.say(client, frame("D", 7, b"x"))
    assert client.take() == b""
    stage.clock.advance(61)
    assert frames(client.take())[0][2].startswith(b"timeout: ")


def test_the_time_out_of_a_request_runs_from_its_end_until_the_head_of_the_answer() -> None:
    stage = Stage(Reel(), request_timeout=10.0)
    client = stage.client()
    stage.say(client, ASK)
    stage.clock.advance(50)
    stage.say(client, frame("C", 7))
    stage.clock.advance(9)
    assert client.take() == b""
    stage.clock.advance(2)
    assert frames(client.take())[0][2].startswith(b"timeout: ")
    assert stage.endpoints[0].counts.timeouts == 1


def test_a_long_answer_has_no_time_out() -> None:
    stage = Stage(Reel(), request_timeout=10.0)
    client = stage.client()
    stage.say(client, frame("W", 7))
    answered(stage)
    stage.clock.advance(100)
    stage.say(stage.server, frame("C", 1))
    assert [one[0] for one in frames(client.take())] == ["O", "C"]


# -- retries


def retrying(**settings: object) -> Stage:
    stage = Stage(Reel(), endpoints=2, **settings)  # type: ignore[arg-type]
    policy = RetryPolicy(attempts=2, on=("connect", "reset", "error"), unsafe=True)
    route = Route("all", targets=[Target(stage.cluster)], retry=policy)
    return Stage(Reel(), endpoints=2, routes=[route])


def test_another_try_gets_all_that_was_sent() -> None:
    stage = retrying()
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, b"one"))
    first = stage.network.upstreams[0]
    stage.say(first, frame("R", 1))
    stage.clock.advance(1)
    second = stage.network.upstreams[1]
    assert [one[2] for one in frames(second.take())] == [b"ask", b"one"]
    stage.say(client, frame("C", 7, b"two"))
    assert [one[2] for one in frames(second.take())] == [b"two"]
    stage.say(second, frame("O", 1) + frame("C", 1))
    assert [one[0] for one in frames(client.take())] == ["O", "C"]


def test_a_head_that_reports_failure_is_tried_again() -> None:
    stage = retrying()
    client = stage.client()
    stage.say(client, frame("W", 7))
    stage.say(stage.network.upstreams[0], frame("F", 1, b"busy"))
    stage.clock.advance(1)
    stage.say(stage.network.upstreams[1], frame("W", 1, b"good"))
    assert frames(client.take()) == [("W", 7, b"good")]


def test_a_request_of_which_not_all_was_kept_is_not_tried_again() -> None:
    stage = retrying()
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, bytes(REPLAY)) + frame("D", 7, b"x"))
    stage.say(stage.network.upstreams[0], frame("R", 1))
    stage.clock.advance(1)
    assert frames(client.take())[0][2].startswith(b"reset: ")


# -- filters


def filtered(on_chunk: Callable[..., object]) -> Stage:
    return Stage(Reel(), hooks={"on_chunk": (on_chunk,)})


def test_filters_see_each_chunk_of_both_sides_and_may_change_its_bytes() -> None:
    seen: list[tuple[Side, bytes]] = []

    def upper(exchange: object, chunk: Chunk, side: Side) -> bytes | None:
        seen.append((side, chunk.frame))
        return chunk.frame.upper() if side is Side.SERVER else None

    stage = filtered(upper)
    client = stage.client()
    stage.say(client, ASK + frame("C", 7, b"up"))
    stage.say(stage.server, frame("O", 1) + frame("C", 1, b"down"))
    assert frames(client.take())[-1] == ("C", 7, b"DOWN")
    assert seen == [(Side.CLIENT, b"up"), (Side.SERVER, b"down")]


def test_a_filter_that_waits_keeps_the_chunks_in_order_and_the_client_without_credit() -> None:
    waiting: list[Deferred[None]] = []

    def wait(exchange: object, chunk: Chunk, side: Side) -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    stage = filtered(wait)
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, b"one") + frame("D", 7, b"two"))
    assert [one[2] for one in frames(stage.server.take())] == [b"ask"]
    assert credits_of(stage.downstream(client).session) == {}
    waiting[0].callback(None)
    stage.clock.advance(0)
    assert [one[2] for one in frames(stage.server.take())] == [b"one"]
    waiting[1].callback(None)
    stage.clock.advance(0)
    assert [one[2] for one in frames(stage.server.take())] == [b"two"]
    assert credits_of(stage.downstream(client).session) == {7: 6}


@pytest.mark.parametrize("begun", [False, True])
def test_a_filter_may_end_the_exchange_at_a_chunk(begun: bool) -> None:
    def refuse(exchange: object, chunk: Chunk, side: Side) -> Reply:
        return Reply(ErrorKind.DENIED, "not this")

    stage = filtered(refuse)
    client = stage.client()
    stage.say(client, ASK)
    if begun:
        answered(stage)
        client.take()
    stage.say(client, frame("D", 7, b"x"))
    assert [one[:2] for one in frames(client.take())] == [("R" if begun else "E", 7)]
    assert [one[0] for one in frames(stage.server.take())] == ["O", "R"]


def test_a_filter_that_raises_at_a_chunk_ends_the_exchange_alone() -> None:
    def broken(exchange: object, chunk: Chunk, side: Side) -> None:
        raise ValueError("no")

    stage = filtered(broken)
    client = stage.client()
    stage.say(client, ASK + frame("D", 7, b"x") + frame("W", 8))
    assert frames(client.take())[0][:2] == ("E", 7)
    stage.say(stage.server, frame("W", 2))
    assert frames(client.take()) == [("W", 8, b"")]


# -- requests that can't be sent


class Picky(Reel):
    """Reel that sends no bytes of value 9."""

    def session(self, side: Side, max_frame: int) -> ReelSession:
        session = super().session(side, max_frame)
        send = session.send

        def checked(message: Message, id: int) -> bytes:
            if side is Side.SERVER and message.frame.endswith(b"\x09"):
                raise Refused("nine")
            return send(message, id)

        session.send = checked  # type: ignore[method-assign]
        return session


class Refused(FrameError):
    kind = ErrorKind.LIMITED


@pytest.mark.parametrize("said", [frame("W", 7, b"\x09"), ASK + frame("D", 7, b"\x09")])
def test_what_a_session_can_not_send_ends_its_exchange_as_the_error_says(said: bytes) -> None:
    stage = Stage(Picky())
    client = stage.client()
    stage.say(client, said)
    assert frames(client.take()) == [("E", 7, b"limited: nine")]
    assert stage.route.targets[0].counts.outcomes == {"limited": 1}


@pytest.mark.parametrize("last", ["C", "X"])
def test_an_end_that_the_clients_session_cannot_send_resets_the_client_once(last: str) -> None:
    class Picky(ReelSession):
        def send(self, message: Message, id: int) -> bytes:
            if isinstance(message, Chunk) and message.frame == b"bad":
                raise FrameError("trailers that no client takes")
            return super().send(message, id)

    class PickyReel(Reel):
        def session(self, side: Side, max_frame: int) -> ReelSession:
            return Picky(side, max_frame, self) if side is Side.CLIENT else super().session(side, max_frame)

    stage = Stage(PickyReel())
    client = stage.client()
    stage.say(client, frame("W", 7))
    answered(stage)
    stage.say(stage.server, frame(last, 1, b"bad"))
    assert [one[:2] for one in frames(client.take())] == [("O", 7), ("R", 7)]
    assert stage.route.targets[0].counts.outcomes == {"bad_response": 1}
    assert stage.listener.counts.plugin_errors == {} and stage.endpoints[0].active == 0
