"""TLS that begins when the protocol has asked for it, on both sides."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from bank import BankStage
from harness import Wire

from metaproxy.proxy.certificates import Pair, client_context, server_context
from metaproxy.proxy.tls import ClientTls, ServerTls


class Contexts:
    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        issued = authority.issue("bank.example.org", "bank.example.org", "127.0.0.1")
        pair = Pair(issued.certificate, issued.key)
        self.server, _ = server_context([pair], None, False, "1.2", (), "")
        self.client = client_context(authority.ca, None, True, True, "1.2", "", ())


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("certificates"))


class Peer:
    """The other end of a wire once it speaks TLS."""

    def __init__(self, stage: BankStage, wire: Wire, context: ssl.SSLContext, server: bool) -> None:
        self.stage, self.wire = stage, wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else "bank.example.org"
        self.tls = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=name)

    def shake(self) -> None:
        for _ in range(4):
            self._in.write(self.wire.take())
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                assert self.wire.closed, "the proxy has said why, and has left"
                return
            self._send()

    def hello(self) -> bytes:
        """The first bytes of a handshake."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._out.read()

    def _send(self) -> None:
        data = self._out.read()
        if data:
            self.stage.say(self.wire, data)

    def say(self, data: bytes) -> None:
        self.tls.write(data)
        self._send()

    def take(self) -> bytes:
        self._in.write(self.wire.take())
        read = b""
        while True:
            try:
                read += self.tls.read(65536)
            except ssl.SSLWantReadError:
                return read


def towards_clients(contexts: Contexts, start: str = "required", **more: Any) -> BankStage:
    return BankStage(tls=ServerTls(contexts.server, start=start), **more)


def secured_client(stage: BankStage, contexts: Contexts) -> Peer:
    wire = stage.client()
    stage.say(wire, b"secure\n")
    assert wire.take() == b"yes\n"
    peer = Peer(stage, wire, contexts.client, server=False)
    peer.shake()
    return peer


def test_a_client_asks_for_tls_and_goes_on_behind_it(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    peer = secured_client(stage, contexts)
    assert peer.take() == b"safe by TLSv1.3\n"
    peer.say(b"login ann d\n")
    stage.say(stage.server, b"welcome here\n")
    assert peer.take() == b"welcome here\n"
    assert stage.downstream_facts(peer.wire)["tls.version"] == "TLSv1.3"
    assert "tls.start" not in stage.downstream_facts(peer.wire)


def test_the_handshake_may_come_in_one_read_with_what_asks_for_it(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    wire = stage.client()
    peer = Peer(stage, wire, contexts.client, server=False)
    stage.say(wire, b"secure\n" + peer.hello())
    answer, wire.written = wire.take(), b""
    assert answer.startswith(b"yes\n")
    wire.written = answer[4:]
    peer.shake()
    assert peer.take() == b"safe by TLSv1.3\n"


def test_a_client_without_tls_is_refused_where_it_is_required_and_served_where_it_is_optional(
    contexts: Contexts,
) -> None:
    stage = towards_clients(contexts)
    client = stage.client()
    stage.say(client, b"login ann d\n")
    assert (client.closed, stage.upstreams) == (True, [])
    towards_clients(contexts, "optional").enter()


def test_a_client_gets_a_no_where_there_is_no_tls() -> None:
    stage = BankStage()
    client = stage.client()
    stage.say(client, b"secure\n")
    assert (client.take(), client.closed) == (b"no\n", False)


def test_a_handshake_that_fails_is_counted_and_leaves_nothing(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    client = stage.client()
    stage.say(client, b"secure\nGET / HTTP/1.1\r\n\r\n")
    assert client.closed
    counts = stage.listener.counts
    assert (counts.tls_errors, counts.connections_active, stage.listener.clients) == (1, 0, {})


def test_a_client_that_leaves_in_the_handshake_leaves_nothing(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    client = stage.client()
    stage.say(client, b"secure\n")
    client.end()
    assert (stage.listener.counts.connections_active, stage.listener.clients) == (0, {})


def test_a_client_that_says_nothing_in_the_handshake_is_let_go(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    client = stage.client()
    stage.say(client, b"secure\n")
    stage.clock.advance(10.1)
    assert (client.closed, stage.listener.clients) == (True, {})


def test_a_client_can_t_begin_tls_while_a_request_is_under_way(contexts: Contexts) -> None:
    stage = towards_clients(contexts, "optional")
    client = stage.enter()
    stage.say(client, b"ask\nsecure\n")
    stage.say(stage.server, b"i yes\n")
    assert client.take() == b"yes\ni yes\n"
    assert client.closed


def test_a_listener_that_drains_in_the_handshake_lets_the_client_go_behind_it(contexts: Contexts) -> None:
    stage = towards_clients(contexts)
    wire = stage.client()
    stage.say(wire, b"secure\n")
    wire.take()
    stage.listener.drain()
    assert not wire.closed
    Peer(stage, wire, contexts.client, server=False).shake()
    assert (wire.closed, stage.listener.clients) == (True, {})


# -- towards servers


def towards_servers(contexts: Contexts, **more: Any) -> BankStage:
    return BankStage(to_servers=ClientTls(contexts.client, "bank.example.org", start="required"), **more)


def test_the_proxy_asks_a_server_for_tls_and_logs_in_behind_it(contexts: Contexts) -> None:
    stage = towards_servers(contexts)
    client = stage.client()
    stage.say(client, b"login ann d\nask\n")
    assert stage.server.take() == b"secure\n"
    stage.say(stage.server, b"yes\n")
    server = Peer(stage, stage.server, contexts.server, server=True)
    server.shake()
    assert server.take() == b"hello d \n"
    server.say(b"welcome here\n")
    assert server.take() == b"ask\n"
    server.say(b"i yes\n")
    assert client.take() == b"welcome here\ni yes\n"
    assert stage.endpoints[0].counts.connections == 1


def test_a_server_whose_certificate_does_not_fit_is_an_error_of_the_login(contexts: Contexts) -> None:
    stage = BankStage(to_servers=ClientTls(contexts.client, "other.example.org", start="required"))
    client = stage.client()
    stage.say(client, b"login ann d\n")
    assert stage.server.take() == b"secure\n"
    stage.say(stage.server, b"yes\n")
    Peer(stage, stage.server, contexts.server, server=True).shake()
    assert client.take() == b"error connect\n"
    assert (stage.cluster.breaker.connections, stage.cluster.breaker.pending) == (0, 0)


def test_a_server_that_never_ends_its_handshake_is_given_up_after_the_time_for_a_connection(
    contexts: Contexts,
) -> None:
    stage = towards_servers(contexts)
    client = stage.client()
    stage.say(client, b"login ann d\n")
    stage.say(stage.server, b"yes\n")
    stage.clock.advance(1.1)
    assert client.take() == b"error connect\n"
    assert stage.cluster.breaker.connections == 0
    stage.clock.advance(10)
    assert stage.server.closed
