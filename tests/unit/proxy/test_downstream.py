from __future__ import annotations

from harness import HEAD, LineCodec, Quill, Stage, answer, call

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.framing import LengthFramed
from metaproxy.message import Kind, Message, Side
from metaproxy.proxy.connection import HIGH_WATER


def lines(**settings: object) -> Stage:
    return Stage(codec=LineCodec(), **settings)


def test_a_bad_frame_closes_its_connection_and_loses_nothing_before_it() -> None:
    stage = Stage(max_frame=64)
    client, other = stage.client(), stage.client()
    stage.say(client, call(7) + bytes(13))
    assert client.paused and stage.server.take() == call(1)
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)
    assert client.closed and not other.closed
    assert stage.listener.counts.decode_errors == 1


def test_a_client_that_half_closes_gets_its_answers_first_b10() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(7) + call(8))
    stage.finish(client)
    assert not client.closed
    stage.say(stage.server, answer(1) + answer(2))
    assert client.take() == answer(7) + answer(8)
    assert client.closed


def test_an_idle_client_that_half_closes_is_closed() -> None:
    stage = Stage()
    client = stage.client()
    stage.finish(client)
    assert client.closed


def test_a_client_that_leaves_gets_no_answer_and_nobody_else_does_b13() -> None:
    stage = Stage()
    first, second = stage.client(), stage.client()
    stage.say(first, call(7, body=b"first"))
    first.end()
    stage.say(second, call(7, body=b"second"))
    stage.say(stage.server, answer(1, b"first") + answer(2, b"second"))
    assert second.take() == answer(7, b"second")
    assert stage.endpoints[0].counts.late == 1
    assert stage.listener.counts.destroyed_remote_active == 1


def test_a_pooled_connection_whose_client_left_serves_nobody_else_b13() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pool"))
    first, second = stage.client(), stage.client()
    stage.say(first, call(7))
    first.end()
    stage.clock.advance(0)
    assert stage.network.upstreams[0].closed
    stage.say(second, call(8))
    assert stage.network.upstreams[1].take() == call(1)


def test_a_late_answer_in_order_is_not_taken_for_the_next_b13() -> None:
    stage = lines()
    first, second = stage.client(), stage.client()
    stage.say(first, b"get a\n")
    stage.say(second, b"get b\n")
    first.end()
    stage.say(stage.server, b"value a\nvalue b\n")
    assert second.take() == b"value b\n"


def test_idle_means_nothing_in_flight_b12() -> None:
    stage = Stage(idle_timeout=10.0, request_timeout=100.0)
    busy, idle = stage.client(), stage.client()
    stage.say(busy, call(1))
    stage.clock.advance(11)
    stage.listener.sweep(stage.clock.seconds())
    assert (busy.closed, idle.closed) == (False, True)
    assert stage.listener.counts.idle_timeouts == 1
    stage.say(stage.server, answer(1))
    stage.clock.advance(9)
    stage.listener.sweep(stage.clock.seconds())
    assert not busy.closed, "an answer counts as activity too"


def test_a_goodbye_closes_when_everything_before_it_is_answered() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"get a\nbye\n")
    assert not client.closed
    stage.say(stage.server, b"value a\n")
    assert client.take() == b"value a\nbye\n"
    assert client.closed


def test_a_transaction_has_a_connection_of_its_own_until_it_ends() -> None:
    stage = lines()
    client, other = stage.client(), stage.client()
    stage.say(other, b"get o\n")
    stage.say(client, b"begin t\nset x\nend t\nget y\n")
    shared, own = stage.network.upstreams
    assert (shared.take(), own.take()) == (b"get o\n", b"begin t\nset x\nend t\n")
    stage.say(own, b"ok\nqueued\ndone\n")
    assert client.take() == b"ok\nqueued\ndone\n"
    assert shared.take() == b"get y\n", "what follows goes over the shared connection again"
    assert stage.downstream(client).session_pin is None


def test_a_connection_that_was_a_clients_own_serves_the_next_such_client() -> None:
    stage = lines()
    client, other = stage.client(), stage.client()
    stage.say(client, b"begin t\nend t\n")
    stage.say(stage.server, b"ok\ndone\n")
    stage.say(other, b"begin u\n")
    assert len(stage.network.upstreams) == 1


def test_events_reach_the_client_whose_connection_it_is_and_nobody_else() -> None:
    stage = lines()
    client, other = stage.client(), stage.client()
    stage.say(client, b"subscribe news\n")
    stage.say(other, b"get a\n")
    own, shared = stage.network.upstreams
    stage.say(own, b"event one\nevent two\n")
    stage.say(shared, b"event stray\nvalue a\n")
    assert client.take() == b"event one\nevent two\n"
    assert other.take() == b"value a\n"
    assert stage.endpoints[0].counts.unmatched == 1


def test_the_last_unsubscription_gives_the_connection_back() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"subscribe news\n")
    stage.say(client, b"unsubscribe news\n")
    stage.say(stage.server, b"unsubscribed\n")
    assert client.take() == b"unsubscribed\n"
    assert stage.downstream(client).session_pin is None
    assert not stage.server.closed


def test_a_subscriber_is_not_idle_b12() -> None:
    stage = lines(idle_timeout=10.0)
    client = stage.client()
    stage.say(client, b"subscribe news\n")
    stage.clock.advance(100)
    stage.listener.sweep(stage.clock.seconds())
    assert not client.closed


def test_a_lost_connection_of_its_own_ends_the_client_for_its_state_is_lost() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"begin t\nset x\n")
    stage.server.end()
    stage.clock.advance(0)
    assert client.take().startswith(b"fail reset")
    assert client.closed


def test_a_client_that_leaves_takes_its_own_connection_with_it() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"begin t\n")
    client.end()
    assert stage.server.closed
    assert stage.cluster.breaker.connections == 0


def test_another_state_of_the_connection_is_another_connection() -> None:
    stage = lines()
    client, other = stage.client(), stage.client()
    stage.say(client, b"select 3\nget a\n")
    stage.say(other, b"get b\n")
    third, plain = stage.network.upstreams
    assert (third.take(), plain.take()) == (b"profile 3\nget a\n", b"get b\n")


def test_reading_pauses_at_max_inflight_and_goes_on_at_half() -> None:
    stage = Stage(max_inflight=4)
    client = stage.client()
    stage.say(client, b"".join(call(id) for id in range(4)))
    assert client.paused
    stage.say(stage.server, answer(1))
    assert client.paused
    stage.say(stage.server, answer(2))
    assert not client.paused


def test_a_slow_client_pauses_itself_and_the_connection_that_it_has_alone() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pool"))
    client = stage.client()
    stage.say(client, call(1))
    stage.downstream(client).pauseProducing()
    assert client.paused and stage.server.paused
    stage.downstream(client).resumeProducing()
    assert not client.paused and not stage.server.paused


def test_a_slow_client_pauses_no_connection_that_others_share() -> None:
    stage = Stage()
    slow, other = stage.client(), stage.client()
    stage.say(slow, call(1))
    stage.say(other, call(1))
    stage.downstream(slow).pauseProducing()
    assert slow.paused and not stage.server.paused
    stage.say(stage.server, answer(1) + answer(2))
    assert other.take() == answer(1)


def test_a_client_that_takes_nothing_for_stall_timeout_is_closed() -> None:
    stage = Stage(stall_timeout=5.0, request_timeout=100.0)
    client = stage.client()
    stage.say(client, call(1))
    client.buffered = HIGH_WATER
    stage.downstream(client).pauseProducing()
    client.buffered -= 1
    stage.clock.advance(5.1)
    assert not client.closed, "it took a byte"
    stage.clock.advance(5.1)
    assert client.closed
    assert stage.listener.counts.stalled == 1
    assert not stage.server.paused


def test_what_is_for_a_slow_server_waits_and_its_client_is_read_on() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.server.take()
    stage.server.protocol.pauseProducing()
    stage.say(client, call(2) + call(3))
    assert stage.server.take() == b"" and not client.paused
    stage.server.protocol.resumeProducing()
    stage.clock.advance(0)
    assert stage.server.take() == call(2) + call(3)


def test_a_server_that_does_not_read_costs_a_request_its_time_out_and_no_other() -> None:
    stage = Stage(request_timeout=5.0)
    client = stage.client()
    stage.say(client, call(1))
    stage.server.protocol.pauseProducing()
    stage.say(client, call(2))
    stage.clock.advance(5.1)
    assert client.take().count(b"no answer within 5 s") == 2
    stage.say(client, call(3))
    assert stage.network.upstreams[-1].take() == call(1), "on another connection"


def test_two_reasons_to_pause_must_both_be_gone() -> None:
    stage = Stage()
    client = stage.client()
    downstream = stage.downstream(client)
    downstream.pause("one")
    downstream.pause("two")
    downstream.resume("one")
    assert client.paused
    downstream.resume("two")
    assert not client.paused


class BeatingSession(LengthFramed):
    """A heartbeat of either side is answered: a client's by its message, a server's by the session."""

    def __init__(self, codec: Quill, side: Side, max_frame: int) -> None:
        super().__init__(13, lambda data, at: 4 + HEAD.unpack_from(data, at)[0], codec.parse, max_frame, codec.renumber)
        self._side = side

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        for message in messages:
            if message.get("service") == "beat":
                message.kind = Kind.HEARTBEAT
                if self._side is Side.CLIENT:
                    message.answer = b"beat"
                else:
                    self.say(b"beat")
        return messages


class Beating(Quill):
    def session(self, side: Side, max_frame: int) -> LengthFramed:
        return BeatingSession(self, side, max_frame)


def test_heartbeats_are_answered_and_never_forwarded() -> None:

    stage = Stage(codec=Beating())
    client = stage.client()
    stage.say(client, call(1, "beat") + call(2))
    assert client.take() == b"beat"
    assert stage.server.take() == call(1)
    stage.say(stage.server, call(9, "beat") + answer(1))  # one that follows in the same read is not delayed (B6)
    assert stage.server.take() == b"beat"
    assert client.take() == answer(2)
    assert stage.listener.counts.heartbeats == 1


def test_a_client_that_answers_is_counted_and_not_believed_b14() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, answer(1) * 100)
    assert stage.listener.counts.unmatched_responses == 100
    assert stage.listener.counts.requests == 0


def test_a_server_that_speaks_first_is_asked_when_a_client_arrives() -> None:
    codec = LineCodec()
    codec.server_first = True
    stage = Stage(codec=codec, connections=ConnectionSettings(mode="pinned"))
    client = stage.client()
    stage.clock.advance(0)
    stage.say(stage.server, b"event welcome\n")
    assert client.take() == b"event welcome\n"


def test_a_replaced_codec_takes_over_between_two_requests_of_a_connection() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1)[:5])
    session = stage.downstream(client).session
    object.__setattr__(stage.snapshot, "codec", Quill())
    stage.say(client, call(1)[5:])
    assert stage.downstream(client).session is session, "half a frame is in it"
    stage.say(stage.server, answer(1))
    stage.say(client, call(2))
    assert stage.downstream(client).session is not session
    stage.say(stage.server, answer(2))
    assert client.take() == answer(1) + answer(2)


def test_keys_of_one_client_go_where_the_ring_says() -> None:
    stage = Stage(codec=LineCodec(), endpoints=3, balancer=lambda endpoints: RingHash(endpoints, key=["key"]))
    client = stage.client()
    stage.say(client, b"".join(b"get k%d\n" % number for number in range(15)))
    taken = [wire.take() for wire in stage.network.upstreams]
    assert len(taken) == 3
    stage.say(client, b"".join(b"get k%d\n" % number for number in range(15)))
    assert [wire.take() for wire in stage.network.upstreams] == taken
