"""Nothing of a connection is left behind: no count, no request without an end, no connection without a use."""

from __future__ import annotations

from typing import Any

import pytest
from harness import LineCodec, Quill, Stage, answer, call
from twisted.internet.defer import Deferred

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.message import Message, Side

FAULTS = [RuntimeError("boom"), SystemExit(1)]


# -- a slow client that goes away


def test_a_shared_connection_is_used_again_after_a_slow_client_went_away() -> None:
    stage = Stage(max_buffered=1000)
    slow, other = stage.client(), stage.client()
    stage.say(slow, call(1) + call(2))
    stage.say(other, call(1))
    stage.downstream(slow).pauseProducing()
    slow.buffered = 1001
    stage.say(stage.server, answer(1, b"x" * 900))
    slow.end()
    stage.say(stage.server, answer(3))
    stage.say(other, call(2))
    assert other.take() == answer(1)
    assert len(stage.network.upstreams) == 1


def test_a_slow_client_that_said_goodbye_is_closed_behind_answers_of_the_codec_itself() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=2)
    slow = stage.client()
    stage.say(slow, b"get a\nget b\nlocal\n")
    stage.downstream(slow).pauseProducing()
    stage.say(stage.server, b"a\nb\n")
    stage.finish(slow)
    stage.downstream(slow).resumeProducing()
    stage.clock.advance(0)
    assert slow.take() == b"a\nb\nlocal\n"
    assert slow.closed


# -- a connection that a one-way request made a client's own


def tell_all(stage: Stage, clients: int) -> list[Any]:
    wires = [stage.client() for _ in range(clients)]
    for wire in wires:
        stage.say(wire, b"tell x\n")
    return wires


def test_clients_that_sent_one_way_requests_leave_connections_to_those_who_come_later() -> None:
    stage = Stage(codec=LineCodec(), breaker=Breaker(max_connections=2))
    tell_all(stage, 4)
    late = stage.client()
    stage.say(late, b"get a\n")
    stage.say(stage.network.upstreams[-1], b"a\n")
    assert late.take() == b"a\n"
    assert stage.cluster.breaker.connections <= 2


def test_a_reserved_connection_closes_with_its_client_also_when_the_client_changed_its_state() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"tell x\n")
    stage.say(client, b"select 1\n")
    stage.say(client, b"get a\n")
    client.end()
    stage.clock.advance(0)
    assert stage.network.upstreams[0].closed


def test_a_reserved_connection_of_a_replaced_cluster_closes_when_it_is_idle() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"tell x\nget a\n")
    pool: Any = stage.endpoints[0].pool
    pool.retire()
    stage.say(stage.server, b"a\n")
    stage.clock.advance(0)
    assert client.take() == b"a\n"
    assert stage.server.closed and stage.cluster.breaker.connections == 0


def test_a_reserved_connection_that_is_idle_for_too_long_closes() -> None:
    stage = Stage(codec=LineCodec(), connections=ConnectionSettings(idle_timeout=10))
    stage.say(stage.client(), b"tell x\n")
    pool: Any = stage.endpoints[0].pool
    pool.sweep(stage.clock.seconds())
    stage.clock.advance(20)
    pool.sweep(stage.clock.seconds())
    pool.sweep(stage.clock.seconds())
    assert stage.server.closed


def test_a_push_on_a_reserved_connection_reaches_no_client() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"tell x\n")
    stage.say(stage.server, b"event x\n")
    assert client.take() == b""


@pytest.mark.parametrize("mode", ["multiplex", "pool"])
def test_an_answer_to_a_one_way_request_reaches_no_other_client_in_any_mode(mode: str) -> None:
    stage = Stage(codec=LineCodec(), connections=ConnectionSettings(mode=mode))
    rude, other = stage.client(), stage.client()
    stage.say(rude, b"tell x\n")
    stage.say(other, b"get a\n")
    for wire in stage.network.upstreams:
        if b"tell" in wire.written and not wire.closed:
            stage.say(wire, b"unasked\n")
    assert b"unasked" not in other.take()


# -- plugins that raise in unusual places


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_request_from_the_queue_that_a_codec_cannot_send_ends_at_once_and_others_go_on(fault: BaseException) -> None:
    class Picky(LineCodec):
        def session(self, side: Side, max_frame: int) -> Any:
            session: Any = super().session(side, max_frame)
            plain = session.send

            def send(message: Message, id: int) -> Any:
                if message.frame.startswith(b"get bad") and side is Side.SERVER:
                    raise fault
                return plain(message, id)

            session.send = send
            return session

    stage = Stage(
        codec=Picky(),
        connections=ConnectionSettings(mode="pool"),
        breaker=Breaker(max_connections=1),
        request_timeout=0.0,
    )
    clients = [stage.client() for _ in range(3)]
    for client, word in zip(clients, (b"good", b"bad", b"fine"), strict=True):
        stage.say(client, b"get " + word + b"\n")
    stage.say(stage.server, b"1\n")
    stage.clock.pump([0.0] * 5)
    for wire in stage.network.upstreams[1:]:
        stage.say(wire, b"3\n")
    assert clients[0].take() == b"1\n"
    assert clients[1].take().startswith(b"fail internal")
    assert clients[2].take() == b"3\n"
    assert stage.cluster.breaker.requests == stage.cluster.breaker.pending == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_codec_that_makes_no_session_for_a_server_costs_no_place_of_the_breaker(fault: BaseException) -> None:
    class Sometimes(Quill):
        broken = True

        def session(self, side: Side, max_frame: int) -> Any:
            if side is Side.SERVER and self.broken:
                raise fault
            return super().session(side, max_frame)

    codec = Sometimes()
    stage = Stage(codec=codec, breaker=Breaker(max_connections=2))
    client = stage.client()
    for id in range(5):
        stage.say(client, call(id))
    assert stage.cluster.breaker.connections == 0
    codec.broken = False
    client.take()
    stage.say(client, call(9))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(9)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_what_fails_behind_a_filter_that_waited_ends_the_exchange_at_once(hook: str, fault: BaseException) -> None:
    waiting: Deferred[None] = Deferred()

    class Late(Quill):
        broken = False

        def session(self, side: Side, max_frame: int) -> Any:
            session: Any = super().session(side, max_frame)
            plain = session.send

            def send(message: Message, id: int) -> Any:
                if self.broken:
                    raise fault
                return plain(message, id)

            session.send = send
            return session

    codec = Late()
    stage = Stage(codec=codec, hooks={hook: (lambda exchange: waiting,)}, request_timeout=0.0)
    client = stage.client()
    stage.say(client, call(7))
    if hook == "on_response":
        stage.say(stage.server, answer(1))
    codec.broken = True
    waiting.callback(None)
    stage.clock.advance(0)
    assert b"a plugin of the proxy failed" in client.take()
    assert stage.cluster.breaker.requests == stage.listener.counts.active_exchanges == 0


def test_a_balancer_that_fails_behind_a_filter_that_waited_ends_the_exchange_at_once() -> None:
    waiting: Deferred[None] = Deferred()

    class Failing(RoundRobin):
        def pick(self, hash_value: int = 0) -> Any:
            raise SystemExit(1)

    stage = Stage(hooks={"on_request": (lambda exchange: waiting,)}, request_timeout=0.0, balancer=Failing, endpoints=2)
    client = stage.client()
    stage.say(client, call(7))
    waiting.callback(None)
    stage.clock.advance(0)
    assert b"a plugin of the proxy failed" in client.take()


# -- connections that are leased


def test_a_request_that_found_no_place_to_wait_leaves_its_new_connection_to_others() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pool"), breaker=Breaker(max_connections=2, max_pending=1))
    stage.network.accept = False
    client = stage.client()
    stage.say(client, call(1) + call(2))
    assert b"max_pending" in client.take()
    waiting = [protocol for _, protocol in stage.network.dialled if protocol.alive]
    assert stage.cluster.breaker.connections == len(waiting)
    taken = [protocol for protocol in waiting if protocol.lease is not None and protocol.lease.done]
    assert not taken


def test_those_who_left_the_queue_leave_their_places_to_others() -> None:
    stage = Stage(
        connections=ConnectionSettings(mode="pool"),
        breaker=Breaker(max_connections=1, max_pending=2),
        request_timeout=0,
    )
    stage.say(stage.client(), call(1))
    for _ in range(5):
        impatient = stage.client()
        stage.say(impatient, call(2))
        impatient.end()
    late = stage.client()
    stage.say(late, call(9))
    assert late.take() == b"" and stage.cluster.breaker.pending == 1
    stage.say(stage.server, answer(1))
    stage.say(stage.server, answer(2))
    assert late.take() == answer(9)


# -- ids


def test_a_codec_with_few_ids_never_has_two_requests_under_one_on_a_connection() -> None:
    class Few(Quill):
        max_id = 3

    stage = Stage(codec=Few())
    client = stage.client()
    stage.say(client, b"".join(call(id) for id in range(10, 18)))
    sent = [data for wire in stage.network.upstreams for data in (wire.take(),)]
    assert sum(map(len, sent)) > 0
    stage.say(stage.network.upstreams[0], answer(1) + answer(2) + answer(3))
    assert client.take().count(b"hi") >= 3


def test_pushes_behind_an_answer_that_a_filter_keeps_are_bounded() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(codec=LineCodec(), hooks={"on_response": (lambda exchange: waiting,)}, max_buffered=1000)
    client = stage.client()
    stage.say(client, b"begin t\n")
    stage.say(stage.server, b"ok\n")
    stage.say(stage.server, b"event " + b"x" * 1000 + b"\n")
    for _ in range(10):
        stage.say(stage.server, b"event " + b"x" * 1000 + b"\n")
    assert client.closed or stage.server.paused


def test_no_other_client_waits_behind_a_one_way_request_for_a_connection_to_be_ready() -> None:
    stage = Stage(codec=LineCodec())
    stage.network.accept = False
    rude, other = stage.client(), stage.client()
    stage.say(rude, b"tell x\n")
    stage.say(other, b"get a\n")
    for peer, protocol in stage.network.dialled:
        stage.network.establish(protocol, peer)
    stage.clock.advance(0)
    for wire in stage.network.upstreams:
        if b"tell" in wire.written:
            stage.say(wire, b"unasked\n")
        if b"get" in wire.written and not wire.closed:
            stage.say(wire, b"a\n")
    assert other.take() == b"a\n"


# -- time-outs that are a client's own


@pytest.mark.parametrize("tries", [False, True])
def test_answers_that_a_slow_client_holds_up_are_no_time_outs_of_its_server(tries: bool) -> None:
    stage = Stage(request_timeout=0.0 if tries else 1.0)
    if tries:
        stage.route.retry = RetryPolicy(1, ["timeout"], per_try_timeout=1.0)
    slow = stage.client()
    stage.say(slow, call(1) + call(2))
    stage.downstream(slow).pauseProducing()
    slow.buffered = 1 << 30
    stage.server.protocol.pause_if_alone(stage.downstream(slow))
    stage.clock.advance(1.1)
    assert stage.listener.counts.active_exchanges == 0
    assert stage.endpoints[0].counts.timeouts == 0


def test_an_alteration_that_gives_no_bytes_is_its_filters_fault() -> None:
    stage = Stage(hooks={"on_response": (lambda exchange: exchange.alter(lambda data: None),)})
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert b"a filter failed" in client.take()
    assert stage.listener.counts.filter_errors == 1
