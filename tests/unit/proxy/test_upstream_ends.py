"""How connections to servers end, and what must not end with them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from harness import HEAD, LineCodec, Quill, Stage, answer, call
from present import present
from twisted.internet.defer import Deferred

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.proxy.fifo_upstream import FifoUpstream
from metaproxy.proxy.id_upstream import IdUpstream
from metaproxy.routing.matcher import compile_condition


class Tells(Quill):
    """Quill whose service `tell` wants no answer, and whose service `leave` is a server that drains."""

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        service = message.get("service")
        if service == "tell":
            message.kind = Kind.ONEWAY
        elif service == "leave":
            message.kind = Kind.DRAIN
        return message


def pooled(**settings: Any) -> ConnectionSettings:
    return ConnectionSettings(mode="pool", **settings)


def retire(stage: Stage) -> None:
    """What `service` does to a cluster that a new configuration replaces, now and at each sweep."""
    stage.cluster.retired = True
    for endpoint in stage.endpoints:
        if endpoint.pool is not None:
            endpoint.pool.retire()


@pytest.mark.parametrize(("codec", "kind"), [(Quill(), IdUpstream), (LineCodec(), FifoUpstream)])
def test_the_kind_of_connection_is_that_of_the_correlation(codec: Any, kind: type) -> None:
    stage = Stage(codec=codec)
    stage.say(stage.client(), b"get a\n" if kind is FifoUpstream else call(1))
    assert isinstance(stage.server.protocol, kind)


# -- a cluster that is replaced keeps what its clients have of it


def test_a_transaction_ends_where_it_began_although_its_cluster_was_replaced() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"begin\n")
    stage.say(stage.server, b"ok\n")
    retire(stage)
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"a\n")
    retire(stage)
    assert client.take() == b"ok\na\n"
    assert not client.closed
    stage.say(client, b"end\n")
    stage.say(stage.server, b"done\n")
    assert client.take() == b"done\n"
    assert not client.closed
    assert stage.server.closed, "nobody else may have it"


def test_a_request_that_is_given_up_in_a_transaction_does_not_end_it_on_a_replaced_cluster() -> None:
    stage = Stage(codec=LineCodec(), request_timeout=1.0)
    client = stage.client()
    stage.say(client, b"begin\n")
    stage.say(stage.server, b"ok\n")
    retire(stage)
    stage.say(client, b"get a\n")
    stage.clock.advance(1.0)
    assert client.take().startswith(b"ok\nfail timeout")
    assert not client.closed


def test_a_pinned_client_of_a_replaced_cluster_stays() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pinned"))
    client = stage.client()
    stage.say(client, call(1))
    retire(stage)
    stage.say(stage.server, answer(1))
    assert client.take() == answer(1)
    assert not client.closed
    stage.say(client, call(2))
    stage.say(stage.server, answer(2))
    assert client.take() == answer(2)


def test_an_exchange_that_reaches_a_replaced_cluster_late_leaves_no_connection_behind() -> None:
    """It waited in a filter while the configuration changed."""
    waiting: Deferred[None] = Deferred()
    for mode in ("multiplex", "pool"):
        waiting = Deferred()
        stage = Stage(
            hooks={"on_request": (lambda exchange, waiting=waiting: waiting,)},
            connections=ConnectionSettings(mode=mode),
        )
        client = stage.client()
        stage.say(client, call(1))
        retire(stage)
        waiting.callback(None)
        stage.clock.advance(0)
        stage.say(stage.server, answer(1))
        retire(stage)
        assert client.take() == answer(1)
        assert stage.server.closed, mode


# -- one-way requests leave before their connection does


@pytest.mark.parametrize("settings", [pooled(max_requests=1), pooled()], ids=["worn out", "to be replaced"])
def test_a_one_way_request_is_written_before_its_connection_is_let_go(settings: ConnectionSettings) -> None:
    stage = Stage(codec=Tells(), connections=settings)
    client = stage.client()
    stage.say(client, call(9, "echo"))
    stage.say(stage.server, answer(1))
    stage.server.take()
    if not settings.max_requests:  # a new configuration comes while the request is looked at
        stage.route.on_request = (lambda _: retire(stage),)
    stage.say(client, call(7, "tell"))
    last = stage.network.upstreams[-1]
    assert last.take() == call(2 if len(stage.network.upstreams) == 1 else 1, "tell")
    assert last.closed
    assert stage.route.targets[0].counts.outcomes == {"ok": 1, "oneway": 1}


def test_a_one_way_request_of_the_turn_in_which_its_server_drains_is_written() -> None:
    stage = Stage(codec=Tells())
    client = stage.client()
    stage.say(client, call(9))
    stage.say(stage.server, answer(1))
    stage.server.take()
    stage.network.turn.begin()
    client.protocol.dataReceived(call(7, "tell"))
    stage.server.protocol.dataReceived(call(0, "leave"))
    stage.network.turn.end()
    stage.clock.advance(0)
    assert stage.server.take() == call(2, "tell")
    assert stage.server.closed


# -- bounds


def test_states_that_found_no_connection_do_not_use_up_those_that_there_may_be() -> None:
    """Clients choose them: SELECT 1, SELECT 2 ..."""
    stage = Stage(codec=LineCodec(), breaker=Breaker(max_connections=1))
    first = stage.client()
    stage.say(first, b"get a\n")
    for number in range(300):
        client = stage.client()
        stage.say(client, f"select {number}\nget a\n".encode())
        assert b"fail overload" in client.take()
    stage.cluster.breaker.max_connections = 10
    for number in (998, 999):
        late = stage.client()
        stage.say(late, f"select {number}\nget a\n".encode())
        stage.say(stage.network.upstreams[-1], b"late\n")
        assert late.take() == b"selected\nlate\n"


def test_idle_connections_to_one_endpoint_do_not_keep_another_from_being_reached() -> None:
    stage = Stage(endpoints=2, breaker=Breaker(max_connections=2), connections=pooled())
    clients = [stage.client() for _ in range(3)]
    picks = iter([0, 0, 1])
    balancer: Any = Picks(stage.endpoints, picks)
    stage.cluster.balance_by(balancer)
    for client in clients[:2]:
        stage.say(client, call(1))
    for wire in stage.network.upstreams:
        stage.say(wire, answer(1))
    stage.say(clients[2], call(3))
    stage.say(stage.network.upstreams[-1], answer(1))
    assert clients[2].take() == answer(3)
    assert stage.cluster.breaker.connections == 2


class Picks:
    """Picks by number, in the order that a test wants."""

    uses_hash = False

    def __init__(self, endpoints: list[Endpoint], order: Iterator[int]) -> None:
        self._endpoints, self._order = endpoints, order

    def pick(self, hash_value: int) -> Endpoint:
        return self._endpoints[next(self._order)]


# -- time


def test_a_request_that_waited_in_a_filter_has_its_clusters_time_b11() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(hooks={"on_request": (lambda exchange: waiting,)}, request_timeout=60.0)
    client = stage.client()
    stage.say(client, call(7))
    waiting.callback(None)
    stage.clock.advance(0)
    stage.clock.advance(59.0)
    assert client.take() == b""
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)


def test_a_request_that_waited_in_a_filter_times_out_with_its_cluster() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(hooks={"on_request": (lambda exchange: waiting,)}, request_timeout=2.0)
    client = stage.client()
    stage.say(client, call(7))
    waiting.callback(None)
    stage.clock.advance(0)
    stage.clock.advance(2.0)
    assert b"no answer within 2 s" in client.take()
    assert stage.cluster.breaker.requests == 0


# -- a client's own connection


def test_a_further_try_takes_the_connection_that_its_client_has() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pinned"))
    stage.route.retry = RetryPolicy(2, on=["timeout"], per_try_timeout=1.0, backoff=(0.0, 0.0), unsafe=True)
    client = stage.client()
    stage.say(client, call(7))
    stage.clock.advance(1.0)
    stage.clock.advance(0)
    assert stage.server.take() == call(1) + call(2)
    stage.say(stage.server, answer(2))
    assert client.take() == answer(7)
    client.end()
    assert stage.server.closed
    assert stage.cluster.breaker.connections == 0


PINNED = ConnectionSettings(mode="pinned")


def test_with_pinned_connections_each_cluster_has_one_of_its_own() -> None:
    """`mode: pinned` says how connections are used, not that a client's routes end where its first request went."""
    stage = Stage(endpoints=2, connections=PINNED)
    other = Cluster("other", Quill(), [Endpoint("127.0.0.1:2000")], RoundRobin, connections=PINNED)
    route = Route("other", [compile_condition("service", "other")], [Target(other)])
    table = RouteTable([route, stage.route], random.Random(1))
    stage.listener.snapshot = dataclasses.replace(stage.snapshot, routes=table)
    client = stage.client()
    for id, service in enumerate(["echo", "other", "echo", "other"], 1):
        stage.say(client, call(id, service))
    first, second = stage.network.upstreams
    assert first.peer != second.peer == "127.0.0.1:2000"
    assert (first.take(), second.take()) == (call(1) + call(2), call(1, "other") + call(2, "other"))
    client.end()
    assert first.closed and second.closed


def test_with_pinned_connections_another_state_is_another_connection() -> None:
    """Or SELECT, which the codec answers itself, would leave the client in its old database."""
    stage = Stage(codec=LineCodec(), connections=PINNED)
    client = stage.client()
    stage.say(client, b"get a\nselect 3\n")
    stage.say(stage.server, b"a\n")
    stage.say(client, b"get b\n")
    first, second = stage.network.upstreams
    assert (first.take(), second.take()) == (b"get a\n", b"profile 3\nget b\n")


def test_with_pinned_connections_a_key_still_belongs_to_its_endpoint() -> None:
    stage = Stage(codec=LineCodec(), endpoints=3, balancer=partial(RingHash, key="key"), connections=PINNED)
    client = stage.client()
    for key in [*"abcdefgh"] * 2:
        stage.say(client, f"get {key}\n".encode())
    for wire in stage.network.upstreams:
        keys = [line.split()[1].decode() for line in wire.take().splitlines()]
        assert {present(stage.cluster.owner(key)).address for key in keys} == {wire.peer}
    assert len(stage.network.upstreams) == len({wire.peer for wire in stage.network.upstreams}) > 1


def test_a_pinned_connection_that_is_lost_ends_its_client_for_its_state_may_be_lost() -> None:
    stage = Stage(connections=PINNED)
    client = stage.client()
    stage.say(client, call(1))
    stage.server.end()
    assert b"connection lost" in client.take()
    assert client.closed


def test_a_slow_client_pauses_its_pinned_connections_b22() -> None:
    stage = Stage(connections=PINNED)
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    stage.downstream(client).pauseProducing()
    assert stage.server.paused
    stage.downstream(client).resumeProducing()
    assert not stage.server.paused


# -- a codec that does what it must not


def test_a_codec_that_gives_no_bytes_costs_the_connection_and_no_other() -> None:
    """An exception at the end of a turn would end the reader of all sockets."""

    class Odd(Quill):
        def renumber(self, frame: bytes, id: int) -> Any:
            return "a text" if frame.endswith(b"odd") else super().renumber(frame, id)

    stage = Stage(codec=Odd(), connections=pooled())
    bad, good = stage.client(), stage.client()
    for client in (bad, good):
        stage.say(client, call(1))
    for wire in stage.network.upstreams:
        stage.say(wire, answer(1))
        wire.take()
    good.take()
    stage.network.turn.begin()
    bad.protocol.dataReceived(call(7, body=b"odd"))
    good.protocol.dataReceived(call(8))
    stage.network.turn.end()
    stage.clock.advance(0)
    (closed,) = [wire for wire in stage.network.upstreams if wire.closed]
    (open_one,) = [wire for wire in stage.network.upstreams if not wire.closed]
    assert closed.take() == b""
    stage.say(open_one, answer(2))
    assert good.take() == answer(8)
    assert b"codec quill: send failed" in bad.take()
    assert stage.cluster.counts.plugin_errors == {"codec quill: send": 1}


def test_a_failed_answer_of_a_server_is_no_bad_frame() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(7))
    stage.say(stage.server, HEAD.pack(9, 1, 0x80))
    assert client.take() == HEAD.pack(9, 7, 0x80)
    assert stage.endpoints[0].counts.errors == 1
    assert stage.endpoints[0].counts.decode_errors == 0


@pytest.mark.parametrize(("kind", "request_", "frame"), [(Quill, call(1), answer(1)), (LineCodec, b"get a\n", b"v\n")])
def test_a_request_that_the_codec_cannot_send_gives_the_connection_back(
    kind: Any, request_: bytes, frame: bytes
) -> None:
    codec = kind()
    session, refusing = codec.session, False

    def refusing_session(side: Side, max_frame: int) -> Any:
        made = session(side, max_frame)
        send = made.send

        def refuse(message: Message, id: int) -> Any:
            if refusing:
                raise FrameError("no")
            return send(message, id)

        if side is Side.SERVER:
            made.send = refuse
        return made

    codec.session = refusing_session
    stage = Stage(codec=codec, connections=pooled())
    client = stage.client()
    stage.say(client, request_)
    stage.say(stage.server, frame)
    client.take()
    refusing = True
    stage.say(client, request_)
    assert b"no" in client.take()
    refusing = False
    stage.say(client, request_)
    stage.say(stage.server, answer(3) if isinstance(codec, Quill) else frame)
    assert client.take() == frame
    assert len(stage.network.upstreams) == 1
