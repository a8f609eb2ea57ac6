"""Which requests of a client begin, and which wait for their turn. `test_downstream.py` has the rest of the path."""

from __future__ import annotations

from harness import LineCodec, Stage, call


def lines(**settings: object) -> Stage:
    return Stage(codec=LineCodec(), **settings)


def test_a_transaction_waits_for_what_its_client_asked_before() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"set x\nbegin t\n")
    assert [wire.take() for wire in stage.network.upstreams] == [b"set x\n"]
    stage.say(stage.server, b"ok\n")
    assert stage.network.upstreams[1].take() == b"begin t\n"


def test_a_blocking_request_delays_its_own_client_only() -> None:
    stage = lines()
    client, other = stage.client(), stage.client()
    stage.say(client, b"block list\nget a\n")
    stage.say(other, b"get b\n")
    own, shared = stage.network.upstreams
    assert (own.take(), shared.take()) == (b"block list\n", b"get b\n")
    stage.say(shared, b"value b\n")
    stage.clock.advance(3600)  # no request timeout: the client asked to wait
    stage.say(own, b"element\n")
    assert client.take() == b"element\n"
    assert shared.take() == b"get a\n"


def test_a_client_that_leaves_while_it_blocks_takes_no_element() -> None:
    stage = lines()
    client = stage.client()
    stage.say(client, b"block list\n")
    stage.finish(client)
    assert stage.server.closed


def test_reading_pauses_too_for_what_waits_behind_a_blocking_request() -> None:
    stage = lines(max_inflight=4)
    client = stage.client()
    stage.say(client, b"block list\n")
    stage.say(client, b"get a\nlocal\nget b\n")
    assert client.paused
    stage.say(stage.server, b"element\n")
    stage.say(stage.network.upstreams[1], b"a\nb\n")
    assert not client.paused
    assert client.take() == b"element\na\nlocal\nb\n"


def test_nothing_more_of_a_slow_client_is_sent_until_it_caught_up() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(1))
    stage.downstream(client).pauseProducing()
    stage.server.take()
    stage.say(client, call(2))  # was on its way already
    assert stage.server.take() == b""
    stage.downstream(client).resumeProducing()
    stage.clock.advance(0)
    assert stage.server.take() == call(2)
