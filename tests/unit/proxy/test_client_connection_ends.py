"""How connections of clients end, and what is answered before."""

from __future__ import annotations

from typing import Any

from harness import HEAD, LineCodec, Quill, Stage, Wire, answer, call

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.message import ErrorKind, Message, Reply, Side


def with_unread(stage: Stage) -> tuple[Wire, Any]:
    """A client, and its transport as far as it tells whether something came that was not read yet."""
    client = stage.client()
    transport: Any = client
    transport.unread = True
    return client, transport


def test_what_came_before_a_client_could_know_of_draining_is_answered() -> None:
    stage = Stage()
    client, transport = with_unread(stage)
    done = stage.listener.drain()
    stage.clock.advance(0)
    assert not client.closed and not done.called
    transport.unread = False
    stage.say(client, call(7))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)
    assert client.closed and done.called


def test_half_a_frame_is_not_waited_for() -> None:
    stage = Stage()
    client, transport = with_unread(stage)
    done = stage.listener.drain()
    transport.unread = False
    stage.say(client, call(7)[:9])
    assert client.closed and done.called


def test_what_follows_a_goodbye_is_not_waited_for() -> None:
    stage = Stage(codec=LineCodec())
    client, _ = with_unread(stage)
    stage.say(client, b"bye\n")
    assert client.take() == b"bye\n"
    assert client.closed


def test_what_follows_a_bad_frame_is_not_waited_for() -> None:
    stage = Stage(codec=LineCodec())
    client, _ = with_unread(stage)
    stage.say(client, b"!!\n")
    assert client.closed
    assert stage.listener.counts.decode_errors == 1


def test_a_client_that_keeps_sending_while_it_drains_is_closed_at_drain_timeout() -> None:
    stage = Stage(drain_timeout=5.0)
    client, _ = with_unread(stage)
    done = stage.listener.drain()
    stage.clock.advance(4.9)
    assert not client.closed
    stage.clock.advance(0.2)
    assert client.closed and done.called


def test_a_codec_whose_error_is_no_bytes_costs_its_client_and_no_other() -> None:
    class Mute(Quill):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> Any:
            return None

    stage = Stage(codec=Mute(), routes=[])
    client, other = stage.client(), stage.client()
    stage.say(client, call(7))
    stage.say(other, call(8))
    assert stage.route.name == "all"
    assert stage.no_route.reply_target.counts.outcomes == {"internal": 2}
    assert stage.listener.counts.active_exchanges == 0
    assert (client.take(), other.take()) == (b"", b"")
    assert client.closed and other.closed, "else they would wait for ever"
    assert stage.listener.counts.plugin_errors == {"codec quill: reply": 2}


def test_a_client_whose_session_cannot_be_made_is_not_counted_as_there() -> None:
    class Bare(Quill):
        def session(self, side: Side, max_frame: int) -> Any:
            raise RuntimeError("its author's mistake")

    stage = Stage(codec=Bare())
    try:
        stage.client()
    except RuntimeError:
        pass
    counts = stage.listener.counts
    assert (counts.connections, counts.connections_active) == (1, 0)
    assert not stage.listener.clients


def test_a_client_of_pinned_connections_is_idle_when_nothing_is_under_way_b12() -> None:
    stage = Stage(connections=ConnectionSettings(mode="pinned"), idle_timeout=10.0)
    client = stage.client()
    stage.say(client, call(1))
    stage.clock.advance(12)
    stage.listener.sweep(stage.clock.seconds())
    assert not client.closed, "its answer may come yet"
    stage.say(stage.server, answer(1))
    stage.clock.advance(12)
    stage.listener.sweep(stage.clock.seconds())
    assert client.closed and stage.server.closed


def test_an_error_that_is_a_whole_frame_is_passed_as_it_is() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(7))
    failed = HEAD.pack(13, 1, 0x80) + b"oops"
    stage.say(stage.server, failed)
    assert client.take() == HEAD.pack(13, 7, 0x80) + b"oops"


def test_a_client_that_becomes_slow_while_its_server_is_being_reached_goes_on_afterwards_b22() -> None:
    stage = Stage()
    stage.network.accept = False
    client = stage.client()
    stage.say(client, call(7))
    downstream = stage.downstream(client)
    downstream.pauseProducing()
    downstream.resumeProducing()
    assert not client.paused
    ((where, protocol),) = stage.network.dialled
    stage.network.establish(protocol, where)
    stage.clock.advance(0)
    stage.say(stage.server, answer(1))
    assert client.take() == answer(7)


def test_what_was_asked_before_a_goodbye_in_the_same_read_is_answered_first() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"local\nget a\nbye\n")
    assert client.take() == b"local\n" and not client.closed
    stage.say(stage.server, b"value\n")
    assert client.take() == b"value\nbye\n"
    assert client.closed


class Told(LineCodec):
    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return f"fail {kind.value}\n".encode()


def test_a_client_whose_state_is_refused_gets_the_error_and_is_closed_with_what_it_sent_behind_it() -> None:
    for word in (b"subscribe a", b"begin"):
        stage = Stage(codec=Told(), hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED),)})
        client = stage.client()
        stage.say(client, word + b"\nget a\nget b\n")
        assert client.take() == b"fail denied\n"
        assert client.closed
        assert stage.network.upstreams == []
        assert stage.listener.counts.active_exchanges == 0


def test_a_refused_request_that_leaves_no_state_costs_no_connection() -> None:
    stage = Stage(codec=Told(), hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED),)})
    client = stage.client()
    stage.say(client, b"get a\nend\nblock a\n")
    assert client.take() == b"fail denied\n" * 3
    assert not client.closed


def test_a_client_that_ends_while_it_is_not_read_gets_nothing_off_a_list_and_nothing_behind_is_run() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=4)
    client = stage.client()
    stage.say(client, b"block q\n" + b"set behind\n" * 9)
    assert stage.server.take() == b"block q\n" and client.paused
    stage.downstream(client).end_seen()
    stage.clock.advance(0)
    assert client.closed and stage.server.closed and len(stage.network.upstreams) == 1
    assert stage.listener.counts.active_exchanges == stage.cluster.breaker.connections == 0


def test_a_blocking_command_that_waits_its_turn_is_not_run_for_a_client_that_has_ended() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=4)
    client = stage.client()
    stage.say(client, b"get a\nget b\nblock q\n" + b"set behind\n" * 9)
    stage.downstream(client).end_seen()
    stage.say(stage.server, b"a\nb\n")
    assert client.take() == b"a\nb\n" and client.closed
    assert stage.server.take() == b"get a\nget b\n" and len(stage.network.upstreams) == 1


def test_a_client_that_ends_while_no_server_takes_what_it_sent_is_let_go_after_stream_idle() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=4, stream_idle=60.0, request_timeout=0.0)
    client = stage.client()
    stage.say(client, b"get a\n" * 6)
    stage.downstream(client).end_seen()
    stage.downstream(client).end_seen()
    stage.clock.advance(59)
    assert client.paused and not client.closed
    stage.clock.advance(2)
    assert client.closed
    assert stage.listener.counts.active_exchanges == 0
    assert not stage.clock.getDelayedCalls()


def test_a_client_that_has_ended_and_still_gets_answers_stays_as_long_as_they_come() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=4, stream_idle=60.0, request_timeout=0.0)
    client = stage.client()
    stage.say(client, b"get a\n" * 6)
    stage.downstream(client).end_seen()
    stage.clock.advance(50)
    stage.say(stage.server, b"a\n")
    stage.clock.advance(50)
    assert client.paused and not client.closed
    stage.say(stage.server, b"a\n" * 5)
    assert client.take() == b"a\n" * 6
    stage.clock.advance(300)
    assert not (client.paused or client.closed)


def test_a_client_that_ends_while_it_is_not_read_gets_all_answers_if_nothing_blocks() -> None:
    stage = Stage(codec=LineCodec(), max_inflight=4)
    client = stage.client()
    stage.say(client, b"get a\n" * 6)
    stage.downstream(client).end_seen()
    stage.say(stage.server, b"a\n" * 4)
    stage.say(stage.server, b"a\n" * 2)
    assert client.take() == b"a\n" * 6
