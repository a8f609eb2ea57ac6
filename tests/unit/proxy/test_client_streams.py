"""Which exchange a client's chunk belongs to."""

from __future__ import annotations

from reel import Reel, credits_of, frame, frames

from metaproxy.testing import Stage


def test_chunks_of_nothing_that_is_known_are_credited_and_dropped() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("D", 3, b"lost") + frame("O", 4))
    assert frames(stage.server.take()) == [("O", 1, b"")]
    stage.say(client, frame("D", 9, b"lost, too"))
    assert credits_of(stage.downstream(client).session) == {3: 4, 9: 9}


def test_a_request_that_waits_for_its_turn_keeps_its_chunks_and_may_be_reset() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 1) + frame("O", 2, b"gone") + frame("D", 2, b"x") + frame("R", 2))
    stage.say(client, frame("O", 3, b"next") + frame("D", 3, b"y"))
    stage.say(stage.server, frame("W", 1))
    assert [one[2] for one in frames(stage.network.upstreams[-1].take())] == [b"next", b"y"]


def test_a_client_that_ends_in_the_middle_of_a_waiting_request_has_none() -> None:
    stage = Stage(Reel(flow="connection", capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 1) + frame("O", 2, b"half"))
    stage.finish(client)
    stage.say(stage.server, frame("W", 1, b"answer"))
    assert frames(client.take()) == [("W", 1, b"answer")]
    assert client.closed and len(stage.network.upstreams) == 1


def test_the_same_id_may_be_used_again_once_its_exchange_is_over() -> None:
    stage = Stage(Reel())
    client = stage.client()
    for number in (1, 2):
        stage.say(client, frame("O", 7, b"ask") + frame("C", 7))
        stage.say(stage.server, frame("O", number) + frame("C", number))
        assert [one[:2] for one in frames(client.take())] == [("O", 7), ("C", 7)]
    assert not stage.downstream(client).inflight


def test_many_streams_of_one_client_do_not_wait_for_each_other() -> None:
    stage = Stage(Reel())
    client = stage.client()
    for number in range(100):
        stage.say(client, frame("O", number))
    assert len(frames(stage.server.take())) == 100
    stage.say(stage.server, frame("W", 100, b"last"))
    assert frames(client.take()) == [("W", 99, b"last")]
    assert not client.paused
