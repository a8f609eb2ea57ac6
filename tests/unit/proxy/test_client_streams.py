"""Which exchange a client's chunk belongs to."""

from __future__ import annotations

from reel import Reel, credits_of, frame, frames

from metaproxy.proxy.upstream import MOST_MOVES
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


def test_a_second_head_under_the_id_of_a_request_under_way_ends_the_connection_and_its_chunks_go_nowhere() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("C", 7))
    assert [one[0] for one in frames(stage.server.take())] == ["O", "C"]
    stage.say(client, frame("O", 7, b"again") + frame("D", 7, b"stray") + frame("W", 8, b"behind it"))
    assert frames(stage.server.take()) == []
    stage.say(stage.server, frame("W", 1, b"answer"))
    assert frames(client.take()) == [("W", 7, b"answer")]
    assert client.closed


def test_chunks_behind_the_end_of_a_request_go_nowhere() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("C", 7) + frame("D", 7, b"stray"))
    assert [one[0] for one in frames(stage.server.take())] == ["O", "C"]
    stage.say(client, frame("W", 8, b"whole"))
    assert [one[0] for one in frames(stage.server.take())] == ["W"]
    stage.say(stage.server, frame("O", 2, b"an answer in pieces"))
    stage.say(client, frame("D", 8, b"stray"))
    assert frames(stage.server.take()) == []
    assert credits_of(stage.downstream(client).session) == {7: 5, 8: 5}


def test_many_streams_of_one_client_do_not_wait_for_each_other() -> None:
    stage = Stage(Reel())
    client = stage.client()
    for number in range(100):
        stage.say(client, frame("O", number))
    assert len(frames(stage.server.take())) == 100
    stage.say(stage.server, frame("W", 100, b"last"))
    assert frames(client.take()) == [("W", 99, b"last")]
    assert not client.paused


def test_a_client_may_reset_a_whole_request() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 1, b"ask") + frame("W", 2, b"ask"))
    stage.server.take()
    stage.say(client, frame("R", 1))
    assert [one[:2] for one in frames(stage.server.take())] == [("R", 1)]
    stage.say(stage.server, frame("W", 2, b"answer"))
    assert frames(client.take()) == [("W", 2, b"answer")]
    assert not stage.downstream(client).inflight
    stage.say(client, frame("R", 9))  # of nothing that is known
    assert not client.closed


def test_a_whole_request_that_waits_for_its_turn_may_be_reset() -> None:
    stage = Stage(Reel(capacity=1))
    client = stage.client()
    stage.say(client, frame("W", 1, b"first") + frame("W", 2, b"second"))
    stage.say(client, frame("R", 2))
    assert [one[1:] for one in frames(stage.server.take())] == [(1, b"first")]
    stage.say(stage.server, frame("W", 1, b"answer"))
    assert frames(client.take()) == [("W", 1, b"answer")]
    assert len(stage.network.upstreams) == 1
    assert not stage.downstream(client).inflight


def test_what_a_server_refuses_unseen_is_sent_once_more() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7, b"ask"))
    stage.server.take()
    stage.say(stage.server, frame("U", 1))
    assert frames(stage.server.take()) == [("W", 2, b"ask")]
    stage.say(stage.server, frame("W", 2, b"answer"))
    assert frames(client.take()) == [("W", 7, b"answer")]
    assert stage.cluster.breaker.requests == 0


def test_what_servers_refuse_too_often_has_failed() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7, b"ask"))
    for id in range(1, MOST_MOVES + 2):
        assert client.take() == b""
        stage.say(stage.server, frame("U", id))
    assert [one[:2] for one in frames(client.take())] == [("E", 7)]
    assert stage.cluster.breaker.requests == 0


def test_what_a_server_had_not_looked_at_as_it_went_away_goes_over_another_connection() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("W", 7, b"seen") + frame("W", 8, b"unseen"))
    first = stage.server
    stage.say(first, frame("G", 0) + frame("U", 2))
    second = stage.network.upstreams[-1]
    assert second is not first and frames(second.take()) == [("W", 1, b"unseen")]
    stage.say(second, frame("W", 1, b"second"))
    stage.say(first, frame("W", 1, b"first"))
    assert frames(client.take()) == [("W", 8, b"second"), ("W", 7, b"first")]
    assert first.closed


def test_a_request_that_is_not_whole_is_not_sent_once_more() -> None:
    stage = Stage(Reel())
    client = stage.client()
    stage.say(client, frame("O", 7, b"ask") + frame("D", 7, b"half"))
    stage.say(stage.server, frame("U", 1))
    assert [one[:2] for one in frames(client.take())] == [("E", 7)]
