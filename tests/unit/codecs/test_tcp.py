"""Raw TCP: a connection is one exchange, with the bytes of both sides as they came, and the end of each half."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.codecs.tcp import Tcp
from metaproxy.interfaces import ICompletedExchange
from metaproxy.message import Chunk, ErrorKind, Kind, Reply, Side
from metaproxy.testing.stage import Stage, Wire


def connected(stage: Stage) -> tuple[Wire, Wire]:
    """A client and what it was connected to."""
    client = stage.client()
    stage.clock.advance(0)
    stage.clock.advance(0)
    return client, stage.network.upstreams[-1]


def ended(stage: Stage) -> list[ICompletedExchange]:
    found: list[ICompletedExchange] = []
    stage.route.on_complete = (found.append,)
    return found


def test_the_first_read_opens_the_exchange_also_without_bytes() -> None:
    session = Tcp().session(Side.CLIENT, 1 << 20)
    assert [message.kind for message in session.receive(b"")] == [Kind.STREAM_OPEN]
    assert session.receive(b"") == []
    assert session.receive(b"abc") == [Chunk(Kind.STREAM_DATA, b"abc")]


def test_the_end_of_a_connection_that_said_nothing_is_an_exchange_too() -> None:
    opened, closed = Tcp().session(Side.SERVER, 1 << 20).eof()
    assert (opened.kind, closed.kind) == (Kind.STREAM_OPEN, Kind.STREAM_CLOSE)


def test_chunks_are_of_64_kib_at_most() -> None:
    _, *chunks = Tcp().session(Side.CLIENT, 1 << 20).receive(b"x" * 150_000)
    assert [len(chunk.frame) for chunk in chunks] == [65536, 65536, 18928]


def test_the_server_is_connected_before_the_client_says_anything() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    stage.say(server, b"220 ready\r\n")
    assert client.take() == b"220 ready\r\n"


def test_bytes_pass_both_ways() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    stage.say(client, b"PING")
    assert server.take() == b"PING"
    stage.say(server, b"PONG")
    assert client.take() == b"PONG"


def test_what_a_client_says_while_the_server_is_not_connected_yet_waits_for_it() -> None:
    stage = Stage(Tcp())
    client = stage.client()
    stage.network.turn.begin()
    client.protocol.dataReceived(b"PING")
    client.protocol.dataReceived(b"PING")
    stage.network.turn.end()
    stage.clock.advance(0)
    assert stage.server.take() == b"PINGPING"


def test_a_clients_end_is_the_end_of_its_half_only() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    stage.say(client, b"all of it")
    stage.finish(client)
    assert (server.take(), server.finished, server.closed) == (b"all of it", True, False)
    stage.say(server, b"the answer")
    assert (client.take(), client.closed) == (b"the answer", False)
    stage.finish(server)
    assert (client.closed, server.closed) == (True, True)


def test_a_servers_end_is_the_end_of_its_half_only() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    stage.say(server, b"bye")
    stage.finish(server)
    assert (client.take(), client.finished, client.closed) == (b"bye", True, False)
    stage.say(client, b"one more")
    assert server.take() == b"one more"
    stage.finish(client)
    assert (client.closed, server.closed) == (True, True)


def test_a_client_that_has_ended_its_half_may_wait_for_longer_than_a_request() -> None:
    stage = Stage(Tcp(), request_timeout=1.0)
    client, server = connected(stage)
    stage.finish(client)
    stage.clock.advance(60)
    stage.say(server, b"done")
    assert client.take() == b"done"


def test_it_is_one_exchange_with_the_bytes_of_both_sides() -> None:
    stage = Stage(Tcp())
    found = ended(stage)
    client, server = connected(stage)
    for _ in range(3):
        stage.say(client, b"12345")
        stage.say(server, b"1234567")
    stage.finish(client)
    stage.finish(server)
    (exchange,) = found
    assert (exchange.outcome, exchange.request_bytes, exchange.response_bytes) == ("ok", 15, 21)


def test_every_client_has_a_connection_of_its_own_and_none_is_used_again() -> None:
    stage = Stage(Tcp())
    first, _ = connected(stage)
    second, _ = connected(stage)
    assert len(stage.network.upstreams) == 2
    for client, server in zip((first, second), stage.network.upstreams, strict=True):
        stage.finish(client)
        stage.finish(server)
        assert server.closed
    connected(stage)
    assert len(stage.network.upstreams) == 3


@pytest.mark.parametrize("mode", ["multiplex", "pool", "pinned"])
def test_whatever_the_mode_of_the_cluster(mode: str) -> None:
    stage = Stage(Tcp(), connections=ConnectionSettings(mode=mode))
    pairs = [connected(stage) for _ in range(2)]
    for number, (client, server) in enumerate(pairs):
        stage.say(client, b"%d" % number)
        assert server.take() == b"%d" % number
        stage.finish(server)
        stage.finish(client)
        assert (client.closed, server.closed) == (True, True)


def test_a_client_that_is_gone_ends_its_servers_connection() -> None:
    stage = Stage(Tcp())
    found = ended(stage)
    client, server = connected(stage)
    client.end()
    assert server.closed
    assert [exchange.outcome for exchange in found] == ["downstream_gone"]


def test_a_server_that_is_lost_ends_its_clients_connection() -> None:
    stage = Stage(Tcp())
    found = ended(stage)
    client, server = connected(stage)
    stage.say(server, b"begun")
    server.end()
    assert client.closed
    assert [exchange.outcome for exchange in found] == ["reset"]


def test_a_server_that_can_not_be_reached_ends_its_clients_connection_without_a_word() -> None:
    stage = Stage(Tcp())
    stage.network.accept = False
    found = ended(stage)
    client = stage.client()
    ((_, protocol),) = stage.network.dialled
    protocol.connectionFailed("refused", False)
    stage.clock.advance(0)
    assert (client.take(), client.closed) == (b"", True)
    assert [exchange.outcome for exchange in found] == ["connect"]


def retrying(stage: Stage) -> list[ICompletedExchange]:
    policy = RetryPolicy(attempts=2, on=("connect",))
    stage.route.retry = policy
    return ended(stage)


def test_another_server_is_tried_when_one_can_not_be_reached() -> None:
    stage = Stage(Tcp(), endpoints=2)
    retrying(stage)
    stage.network.accept = False
    client = stage.client()
    stage.network.turn.begin()
    client.protocol.dataReceived(b"hello")
    stage.network.turn.end()
    (_, first), *_ = stage.network.dialled
    stage.network.accept = True
    first.connectionFailed("refused", False)
    stage.clock.advance(1)
    assert stage.server.take() == b"hello"


def test_no_other_is_tried_once_a_server_was_connected() -> None:
    stage = Stage(Tcp(), endpoints=2)
    found = retrying(stage)
    client, server = connected(stage)
    stage.say(client, b"hello")
    server.end()
    stage.clock.advance(1)
    assert (client.closed, len(stage.network.dialled)) == (True, 1)
    assert [exchange.outcome for exchange in found] == ["reset"]


def test_a_connection_on_which_nothing_passes_ends_after_stream_idle() -> None:
    stage = Stage(Tcp(), stream_idle=30.0)
    found = ended(stage)
    client, server = connected(stage)
    stage.clock.advance(20)
    stage.say(server, b"still here")
    stage.clock.advance(20)
    assert not client.closed
    stage.clock.advance(11)
    assert (client.closed, server.closed) == (True, True)
    assert [exchange.outcome for exchange in found] == ["timeout"]


def test_a_filter_that_refuses_it_ends_the_connection_and_no_server_sees_it() -> None:
    stage = Stage(Tcp(), hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED, "not you"),)})
    client = stage.client()
    stage.clock.advance(0)
    assert (client.take(), client.closed, stage.network.dialled) == (b"", True, [])


def test_routes_see_where_the_client_comes_from_and_what_it_asked_tls_for() -> None:
    seen: list[str | None] = []
    keys = ("source.address", "destination.port", "tls.sni")
    stage = Stage(Tcp(), hooks={"on_request": (lambda exchange: seen.extend(map(exchange.get, keys)),)})
    wire = Wire(host="127.0.0.1:80", peer="127.0.0.9:4321")
    wire.facts = {"tls.sni": "db.example"}
    wire.protocol = stage.listener.accepted(wire)
    wire.protocol.makeConnection(wire)
    assert seen == ["127.0.0.9", "80", "db.example"]


def test_a_server_that_reads_slowly_is_sent_no_more_than_the_window() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    server.protocol.pauseProducing()
    sent = 0
    while not client.paused and sent < 1 << 20:
        stage.say(client, b"x" * 16384)
        sent += 16384
    assert client.paused and sent <= 128 * 1024
    server.protocol.resumeProducing()
    assert not client.paused


def test_a_client_that_reads_slowly_has_its_server_read_no_more() -> None:
    stage = Stage(Tcp())
    client, server = connected(stage)
    client.protocol.pauseProducing()
    stage.say(server, b"x" * 100_000)
    assert server.paused
    client.protocol.resumeProducing()
    assert not server.paused


@given(st.lists(st.tuples(st.sampled_from(["client", "server", "time"]), st.binary(max_size=40))), st.booleans())
def test_bytes_are_the_same_both_ways_however_they_are_cut(
    said: list[tuple[str, bytes]], client_ends_first: bool
) -> None:
    stage = Stage(Tcp())
    client = stage.client()
    sent = {"client": b"", "server": b""}
    for who, data in said:
        if who == "client":
            stage.network.turn.begin()  # without a step of the clock: the server may not be connected yet
            client.protocol.dataReceived(data)
            stage.network.turn.end()
        elif who == "time":
            stage.clock.advance(0)
        elif stage.network.upstreams:
            stage.say(stage.server, data)
        else:
            continue
        if who != "time":
            sent[who] += data
    stage.clock.advance(0)
    for wire in (client, stage.server) if client_ends_first else (stage.server, client):
        stage.finish(wire)
    assert {"client": stage.server.take(), "server": client.take()} == sent
    assert (client.closed, stage.server.closed) == (True, True)
