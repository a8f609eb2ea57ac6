"""A server names another one, and the request goes on there."""

from __future__ import annotations

import pytest
from redis_nodes import HALF, HIGH, LOW, ONE, THREE, TWO, Nodes

from metaproxy.codecs.redis import resp
from metaproxy.codecs.redis.layouts import slot


def answer(who: str) -> bytes:
    return resp.bulk(who.encode())


def moved() -> Nodes:
    """Where TWO has everything, which the proxy does not know yet."""
    nodes = Nodes()
    nodes.run()
    nodes.slots = {ONE: [], TWO: [(0, 16383)], THREE: []}
    return nodes


def test_a_request_goes_on_where_it_is_sent_to() -> None:
    nodes = moved()
    client = nodes.stage.client()
    assert nodes.ask(client, "SET", LOW, "1") == answer(TWO)
    assert nodes.got == [(TWO, b"SET bar 1")], "once"
    assert nodes.stage.cluster.counts.redirects == 1
    assert nodes.stage.cluster.breaker.requests == 0
    assert [one.active for one in nodes.stage.cluster.endpoints] == [0, 0, 0]


def test_the_servers_are_asked_soon_after() -> None:
    nodes = moved()
    client = nodes.stage.client()
    nodes.ask(client, "GET", LOW)
    nodes.run(0.1)
    nodes.ask(client, "GET", LOW)
    assert nodes.stage.cluster.counts.redirects == 1


def test_requests_of_one_client_keep_their_order() -> None:
    nodes = moved()
    client = nodes.stage.client()
    commands = [resp.encode([b"SET", LOW.encode(), b"%d" % number]) for number in range(5)]
    nodes.stage.say(client, b"".join(commands))
    nodes.run()
    assert client.take() == answer(TWO) * 5
    assert [words for _, words in nodes.got] == [b"SET bar %d" % number for number in range(5)]


def test_what_is_about_to_move_is_asked_for_with_a_word_in_front_of_it() -> None:
    nodes = Nodes()
    nodes.run()
    nodes.moving[slot(LOW)] = TWO
    client = nodes.stage.client()
    nodes.stage.say(client, b"".join(resp.encode([b"GET", key.encode()]) for key in (HIGH, LOW, HIGH)))
    nodes.run()
    assert client.take() == answer(TWO) * 3
    assert nodes.ask(client, "GET", LOW) == answer(TWO)
    assert nodes.stage.cluster.counts.redirects == 2, "each time, as it has not moved yet"


def test_a_server_that_nobody_told_of_is_waited_for() -> None:
    nodes = Nodes()
    nodes.run()
    four = "127.0.0.1:1003"
    nodes.roles[four] = "master"
    nodes.slots = {ONE: [], TWO: [(HALF, 16383)], THREE: [], four: [(0, HALF - 1)]}
    client = nodes.stage.client()
    assert nodes.ask(client, "GET", LOW) == b""
    nodes.run(0.2)
    assert client.take() == answer(four)


def test_a_server_that_is_never_told_of_is_the_client_s_error() -> None:
    nodes = Nodes()
    nodes.run()
    nodes.moving[slot(LOW)] = "127.0.0.1:1009"
    client = nodes.stage.client()
    nodes.ask(client, "GET", LOW)
    nodes.run(1.0)
    assert client.take() == b"-ASK %d 127.0.0.1:1009\r\n" % slot(LOW)
    assert nodes.stage.cluster.breaker.requests == 0


def test_servers_that_send_a_request_in_circles_are_not_believed_for_ever() -> None:
    nodes = Nodes()
    nodes.run()
    nodes.slots = {ONE: [(0, HALF - 1)], TWO: [(HALF, 16383)], THREE: []}
    nodes.owner = lambda number: "elsewhere"  # type: ignore[method-assign]
    client = nodes.stage.client()
    nodes.stage.say(client, resp.encode([b"GET", LOW.encode()]))
    for _ in range(10):
        for wire in nodes.stage.network.upstreams:
            if b"GET" in wire.take():
                other = TWO if wire.peer == ONE else ONE
                nodes.stage.say(wire, b"-MOVED %d %b\r\n" % (slot(LOW), other.encode()))
    assert client.take().startswith(b"-MOVED ")
    assert nodes.stage.cluster.counts.redirects == 5


def test_a_request_that_waits_for_its_server_ends_with_its_client() -> None:
    nodes = Nodes()
    nodes.run()
    nodes.moving[slot(LOW)] = "127.0.0.1:1009"
    client = nodes.stage.client()
    nodes.ask(client, "GET", LOW)
    client.end()
    nodes.run(1.0)
    assert nodes.stage.cluster.breaker.requests == 0


@pytest.mark.parametrize("words", [("BLPOP", LOW, "0"), ("GET", LOW)])
def test_also_one_that_has_a_connection_for_itself_goes_on(words: tuple[str, ...]) -> None:
    nodes = moved()
    client = nodes.stage.client()
    assert nodes.ask(client, *words) == answer(TWO)
    assert nodes.stage.cluster.breaker.connections == 2, "the one that it had before is free, and not lost"


def test_a_transaction_is_not_sent_elsewhere() -> None:
    nodes = moved()
    client = nodes.stage.client()
    nodes.ask(client, "MULTI")
    assert b"MOVED" in nodes.ask(client, "SET", LOW, "1")
