from __future__ import annotations

from typing import Any

import pytest
from harness import LineCodec, Quill, Stage, answer, call

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings


def pooled(**settings: Any) -> Stage:
    return Stage(connections=ConnectionSettings(mode="pool"), **settings)


def test_clients_of_a_multiplexed_cluster_share_one_connection() -> None:
    stage = Stage()
    for _ in range(5):
        stage.say(stage.client(), call(1))
    assert len(stage.network.upstreams) == 1


def test_per_endpoint_says_how_many_connections_are_shared() -> None:
    stage = Stage(connections=ConnectionSettings(per_endpoint=3))
    for _ in range(9):
        stage.say(stage.client(), call(1))
    assert sorted(wire.written.count(b"echo") for wire in stage.network.upstreams) == [3, 3, 3]


def test_a_pooled_connection_has_one_exchange_at_a_time_and_is_used_again() -> None:
    stage = pooled()
    client = stage.client()
    stage.say(client, call(1) + call(2))
    assert len(stage.network.upstreams) == 2
    for wire in stage.network.upstreams:
        stage.say(wire, answer(1))
    stage.say(client, call(3))
    assert len(stage.network.upstreams) == 2


def test_beyond_max_connections_requests_wait_and_then_go_in_order() -> None:
    stage = pooled(breaker=Breaker(max_connections=1))
    client = stage.client()
    stage.say(client, call(1, body=b"a") + call(2, body=b"b"))
    assert stage.server.take() == call(1, body=b"a")
    assert stage.cluster.breaker.pending == 1
    stage.say(stage.server, answer(1, b"a"))
    assert stage.server.take() == call(2, body=b"b")
    assert stage.cluster.breaker.pending == 0


def test_beyond_max_pending_requests_are_refused_at_once_b8() -> None:
    stage = pooled(breaker=Breaker(max_connections=1, max_pending=1))
    client = stage.client()
    stage.say(client, call(1))
    stage.say(client, call(2) + call(3))
    assert b"no connection to 127.0.0.1:1000 is free (breaker)" in client.take()
    assert stage.cluster.counts.overflow_requests == 1


def test_who_waits_in_the_queue_of_a_lost_connection_gets_a_new_one() -> None:
    stage = pooled(breaker=Breaker(max_connections=1))
    client = stage.client()
    stage.say(client, call(1) + call(2))
    stage.server.end()
    stage.clock.advance(0)
    stage.clock.advance(0)
    assert len(stage.network.upstreams) == 2
    assert stage.network.upstreams[1].take() == call(1)


def test_a_request_that_timed_out_in_the_queue_is_never_sent() -> None:
    stage = pooled(breaker=Breaker(max_connections=1), request_timeout=1.0)
    client = stage.client()
    stage.say(client, call(1) + call(2))
    stage.server.take()
    stage.clock.advance(1.1)
    for wire in stage.network.upstreams:
        assert wire.take() == b""
    assert stage.cluster.breaker.pending == 0


def test_an_idle_connection_is_closed_after_its_timeout() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pool", idle_timeout=10))
    stage.say(stage.client(), call(1))
    stage.say(stage.server, answer(1))
    pool: Any = stage.endpoints[0].pool
    stage.clock.advance(9)
    pool.sweep(stage.clock.seconds())
    assert not stage.server.closed
    stage.clock.advance(2)
    pool.sweep(stage.clock.seconds())
    assert stage.server.closed


def test_a_worn_out_shared_connection_answers_what_it_owes_and_then_closes() -> None:
    stage = Stage(connections=ConnectionSettings(max_requests=2))
    client = stage.client()
    stage.say(client, call(1) + call(2))
    pool: Any = stage.endpoints[0].pool
    pool.sweep(stage.clock.seconds())
    stage.say(client, call(3))
    old, new = stage.network.upstreams
    assert new.take() == call(1)
    stage.say(old, answer(1) + answer(2))
    assert old.closed
    assert client.take() == answer(1) + answer(2)


def test_a_server_that_drains_gets_no_new_request_b28() -> None:
    class Draining(Quill):
        def parse(self, frame: bytes) -> Any:
            message = super().parse(frame)
            if message.id == 99:
                message.kind = type(message.kind).DRAIN
            return message

    stage = Stage(codec=Draining())
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(99))
    assert not stage.server.closed
    stage.say(client, call(2))
    old, new = stage.network.upstreams
    assert new.take() == call(1)
    stage.say(old, answer(1))
    assert client.take() == answer(1) and old.closed


class LoggingOff(Quill):
    """Quill whose answer 98 says that its server leaves, and 99 that one connection does."""

    def parse(self, frame: bytes) -> Any:
        message = super().parse(frame)
        if message.id in (98, 99):
            message.kind = type(message.kind).DRAIN
            if message.id == 98:
                message.logoff = True
        return message


@pytest.mark.parametrize(("word", "connections"), [(98, 2), (99, 3)])
def test_no_new_connection_is_opened_to_a_server_that_says_that_it_leaves_while_there_are_others(
    word: int, connections: int
) -> None:
    stage = Stage(codec=LoggingOff(), endpoints=2)
    client = stage.client()
    stage.say(client, call(1) + call(2))
    one, other = stage.network.upstreams
    stage.say(one, answer(word))
    for id in range(3, 7):
        stage.say(client, call(id))
    assert len(stage.network.upstreams) == connections
    assert not one.closed, "it still answers what was sent before"
    assert other.peer != one.peer
    stage.clock.advance(10)
    stage.cluster.sweep(stage.clock.seconds())
    stage.say(client, call(7) + call(8))
    assert len(stage.network.upstreams) == 3


def test_a_full_breaker_closes_an_idle_connection_for_one_that_is_needed() -> None:
    stage = Stage(codec=LineCodec(), breaker=Breaker(max_connections=1))
    client = stage.client()
    stage.say(client, b"begin t\nend t\n")
    stage.say(stage.server, b"ok\ndone\n")
    stage.say(client, b"get a\n")
    idle, shared = stage.network.upstreams
    assert idle.closed and shared.take() == b"get a\n"
    assert stage.cluster.breaker.connections == 1
