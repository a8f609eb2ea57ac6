"""Answers by id: a call that is one-way without saying so holds up none behind it."""

from __future__ import annotations

import pytest
from harness import HEAD, Quill, Stage, answer, call

from metaproxy.cluster.connection_settings import ConnectionSettings


def numbers(data: bytes) -> list[int]:
    """The ids of Quill frames."""
    found = []
    while data:
        found.append(HEAD.unpack_from(data)[1])
        data = data[4 + HEAD.unpack_from(data)[0] :]
    return found


class Sequential(Quill):
    """A server takes one client's calls in their order, and some get no answer."""

    connections = "pool"
    sequential = True


@pytest.mark.parametrize("mode", ["pool", "multiplex"])
def test_a_call_that_is_never_answered_holds_up_none_behind_it_and_costs_nothing(mode: str) -> None:
    stage = Stage(codec=Sequential(), request_timeout=5.0, connections=ConnectionSettings(mode=mode))
    client = stage.client()
    stage.say(client, call(1, "note"))
    stage.say(client, call(2, "add"))
    assert numbers(stage.server.take()) == [1, 2], "both over one connection, in order"
    stage.say(stage.server, answer(2))
    assert client.take() == answer(2)
    stage.say(client, call(3, "add"))
    stage.say(stage.server, answer(3))
    assert client.take() == answer(3)
    stage.clock.advance(5.1)
    assert client.take() == b"", "an error that the client does not wait for would be taken for the next answer"
    assert stage.endpoints[0].counts.timeouts == 0
    assert stage.route.targets[0].counts.outcomes == {"ok": 2, "oneway": 1}
    stage.say(client, call(4, "add"))
    stage.say(stage.server, answer(4))
    assert client.take() == answer(4)


def test_a_call_that_hangs_is_a_time_out_as_ever() -> None:
    stage = Stage(codec=Sequential(), request_timeout=5.0)
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    stage.say(client, call(2))
    client.take()
    stage.clock.advance(5.1)
    assert b"no answer within 5 s" in client.take()
    assert stage.endpoints[0].counts.timeouts == 1
    assert stage.server.closed, "its server is stuck on that call"


def test_two_clients_have_a_connection_each_while_their_calls_are_under_way() -> None:
    stage = Stage(codec=Sequential())
    one, two = stage.client(), stage.client()
    stage.say(one, call(1) + call(2))
    stage.say(two, call(1))
    assert [len(numbers(wire.take())) for wire in stage.network.upstreams] == [2, 1]
    stage.say(stage.network.upstreams[0], answer(2) + answer(1))
    assert numbers(one.take()) == [2, 1], "as the server gives them"
    stage.say(two, call(2))
    assert len(stage.network.upstreams) == 2


def test_many_calls_that_are_never_answered_hold_up_none_behind_them() -> None:
    stage = Stage(codec=Sequential(), request_timeout=5.0)
    client = stage.client()
    stage.say(client, b"".join(call(id, "note") for id in range(1, 301)) + call(301, "add"))
    assert numbers(stage.server.take())[-1] == 301
    stage.say(stage.server, answer(301))
    assert client.take() == answer(301)
