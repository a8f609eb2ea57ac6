"""TLS in memory: both ends of it, with and without certificates that fit."""

from __future__ import annotations

import gc
import ssl
import weakref
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, Issued
from examples import examples
from harness import Stage, Wire, answer, call
from hypothesis import given
from hypothesis import strategies as st
from leftovers import no_collector
from present import present
from reel import Reel, frame, frames
from twisted.internet.task import Clock

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.proxy.certificates import Pair, client_context, server_context
from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.tls import ClientTls, ServerTls, TlsTransport


class Chest:
    """Certificates that all tests of this module share."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.server = self.authority.issue("proxy", "proxy.example.org", "127.0.0.1")
        self.other = self.authority.issue("other", "other.example.org", "*.wild.example.org")
        self.client = self.authority.issue("app", "app.example.org", uri="spiffe://mesh/ns/demo/sa/app")
        self.stranger = Authority(folder, "stranger").issue("stranger", "proxy.example.org")


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Chest:
    return Chest(tmp_path_factory.mktemp("certificates"))


class Peer:
    """The other end: plain `ssl`, as any client or server has it."""

    def __init__(self, context: ssl.SSLContext, wire: Wire, server: bool = False, name: str | None = None) -> None:
        self.wire = wire
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=server, server_hostname=name)
        self.plain = b""
        self.error = ""
        self.ended = False

    def talk(self, stage: Any) -> None:
        """Bytes go to and fro until neither side says anything more."""
        for _ in range(20):
            self.into.write(self.wire.take())
            self._step()
            data = self.out.read()
            if not data and not self.wire.written:
                return
            if data and not self.wire.closed:
                stage.say(self.wire, data)

    def _step(self) -> None:
        try:
            self.tls.do_handshake()
            while data := self.tls.read(65536):
                self.plain += data
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.error = str(error)

    def send(self, stage: Any, data: bytes, cut: int = 0) -> None:
        """cut: bytes of one read."""
        self.tls.write(data)
        sealed = self.out.read()
        for at in range(0, len(sealed), cut or len(sealed)):
            stage.say(self.wire, sealed[at : at + (cut or len(sealed))])
        self.talk(stage)

    def take(self) -> bytes:
        data, self.plain = self.plain, b""
        return data


def client_of(chest: Chest, own: Issued | None = None, ca: Path | None = None) -> ssl.SSLContext:
    return client_context(ca or chest.authority.ca, Pair(*own) if own is not None else None)


def secured(chest: Chest, *more: Issued, **options: Any) -> Stage:
    context, _ = server_context([Pair(*chest.server), *(Pair(*one) for one in more)], **options)
    return Stage(tls=ServerTls(context))


def connect(stage: Stage, context: ssl.SSLContext, name: str = "proxy.example.org") -> Peer:
    peer = Peer(context, stage.client(), name=name)
    peer.talk(stage)
    return peer


def client_connection(stage: Stage) -> Any:
    """The one connection of a client."""
    (client,) = stage.listener.clients
    return client


def facts(stage: Stage) -> dict[str, str]:
    found: dict[str, str] = client_connection(stage).facts
    return found


def test_requests_and_answers_pass(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    peer.send(stage, call(7))
    stage.say(stage.server, answer(1))
    peer.talk(stage)
    assert peer.take() == answer(7)
    assert facts(stage)["tls.version"] == "TLSv1.3"
    assert facts(stage)["tls.sni"] == "proxy.example.org"
    assert "source.identity" not in facts(stage)


def test_a_client_certificate_tells_who_it_is(chest: Chest) -> None:
    stage = secured(chest, client_ca=chest.authority.ca, require=True)
    connect(stage, client_of(chest, chest.client))
    assert facts(stage)["source.identity"] == "spiffe://mesh/ns/demo/sa/app"
    assert facts(stage)["source.subject"] == "commonName=app"
    assert facts(stage)["source.distinguished_name"] == "CN=app"
    assert facts(stage)["source.dns_san"] == "app.example.org"


def test_a_common_name_is_an_identity_and_passes_for_no_uri(chest: Chest) -> None:
    for name, identity in (("app", "app"), ("spiffe://mesh/ns/demo/sa/app", None)):
        stage = secured(chest, client_ca=chest.authority.ca, require=True)
        connect(stage, client_of(chest, chest.authority.issue(name, file="named")))
        assert facts(stage).get("source.identity") == identity


@pytest.mark.parametrize("own", [None, "stranger"])
def test_a_client_without_a_certificate_of_ours_is_refused_counted_and_leaves_nothing(
    chest: Chest, own: str | None
) -> None:
    stage = secured(chest, client_ca=chest.authority.ca, require=True)
    peer = connect(stage, client_of(chest, chest.stranger if own else None))
    assert peer.wire.closed
    assert stage.listener.counts.tls_errors == 1
    assert stage.listener.clients == {} and stage.listener.counts.connections_active == 0


def test_where_certificates_are_asked_for_and_not_required_one_may_come_without(chest: Chest) -> None:
    stage = secured(chest, client_ca=chest.authority.ca)
    connect(stage, client_of(chest))
    assert "source.identity" not in facts(stage)
    stage = secured(chest, client_ca=chest.authority.ca)
    assert connect(stage, client_of(chest, chest.stranger)).wire.closed


@pytest.mark.parametrize(
    ("name", "subject"),
    [("other.example.org", "other"), ("a.wild.example.org", "other"), ("PROXY.example.org", "proxy")],
)
def test_the_name_that_is_asked_for_chooses_the_certificate(chest: Chest, name: str, subject: str) -> None:
    stage = secured(chest, chest.other)
    peer = connect(stage, client_of(chest), name)
    certificate: Any = peer.tls.getpeercert()
    assert certificate["subject"] == ((("commonName", subject),),)


def test_an_exact_name_of_the_first_certificate_comes_before_anothers_wildcard(chest: Chest) -> None:
    wild = chest.authority.issue("wild", "*.example.org", file="wild")
    peer = connect(secured(chest, wild), client_of(chest), "proxy.example.org")
    assert present(peer.tls.getpeercert())["subject"] == ((("commonName", "proxy"),),)
    peer = connect(secured(chest, wild), client_of(chest), "else.example.org")
    assert present(peer.tls.getpeercert())["subject"] == ((("commonName", "wild"),),)


def test_contexts_that_were_exchanged_are_let_go_without_the_collector(chest: Chest) -> None:
    gc.disable()
    try:
        context, _ = server_context([Pair(*chest.server), Pair(*chest.other)])
        gone = weakref.ref(context)
        del context
        assert gone() is None
    finally:
        gc.enable()


def test_what_is_no_tls_is_refused(chest: Chest) -> None:
    stage = secured(chest)
    wire = stage.client()
    stage.say(wire, call(7))
    assert wire.closed and stage.listener.counts.tls_errors == 1
    assert stage.listener.counts.requests == 0


def test_a_client_that_says_nothing_is_let_go(chest: Chest) -> None:
    stage = secured(chest)
    wire = stage.client()
    stage.clock.advance(9.9)
    assert not wire.closed
    stage.clock.advance(0.2)
    assert wire.closed and stage.listener.clients == {} and stage.listener.counts.tls_errors == 1


def test_a_client_that_leaves_in_the_middle_of_the_handshake_leaves_nothing(chest: Chest) -> None:
    for half_close in (True, False):
        stage = secured(chest)
        wire = stage.client()
        stage.say(wire, b"\x16\x03\x01")
        if half_close:
            stage.finish(wire)
        else:
            wire.end()
        assert wire.closed and stage.listener.clients == {}


@examples(25)
@given(cut=st.integers(1, 40), sizes=st.lists(st.integers(0, 40_000), min_size=1, max_size=4))
def test_any_split_of_the_sealed_bytes_decodes_the_same(chest: Chest, cut: int, sizes: list[int]) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    bodies = [bytes([index]) * size for index, size in enumerate(sizes)]
    peer.send(stage, b"".join(call(7 + index, body=body) for index, body in enumerate(bodies)), cut * 97)
    assert stage.server.take() == b"".join(call(1 + index, body=body) for index, body in enumerate(bodies))
    for index, body in enumerate(bodies):
        stage.say(stage.server, answer(1 + index, body))
    peer.talk(stage)
    assert peer.take() == b"".join(answer(7 + index, body) for index, body in enumerate(bodies))


def test_what_was_decrypted_while_the_client_was_paused_comes_when_it_goes_on(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    client = client_connection(stage)
    client.pause("test")
    peer.send(stage, call(7))
    assert stage.listener.counts.requests == 0
    assert client.transport.unread
    client.resume("test")
    stage.clock.advance(0)
    assert stage.listener.counts.requests == 1


def test_a_full_socket_pauses_and_resumes_who_writes(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    client = client_connection(stage)
    peer.wire.protocol.pauseProducing()
    assert "slow" in client.paused_by
    peer.wire.protocol.resumeProducing()
    assert client.paused_by == set()


def test_a_client_that_says_goodbye_gets_its_answers_first(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    peer.send(stage, call(7))
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    stage.say(peer.wire, peer.out.read())
    assert not peer.wire.closed
    stage.say(stage.server, answer(1))
    peer.into.write(peer.wire.take())
    assert peer.wire.closed
    assert peer.tls.read(1000) == answer(7)


def test_the_end_is_told_to_a_client_that_was_paused_when_it_came(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    client = client_connection(stage)
    client.pause("test")
    stage.finish(peer.wire)
    assert not peer.wire.closed
    client.resume("test")
    stage.clock.advance(0)
    assert peer.wire.closed and stage.listener.clients == {}


def test_nothing_is_kept_of_what_comes_after_a_goodbye(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    peer.send(stage, call(7))
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    secured_by = peer.wire.protocol
    stage.say(peer.wire, peer.out.read())
    for _ in range(10):
        stage.say(peer.wire, b"x" * 65536)
    assert not secured_by.pending()
    stage.say(stage.server, answer(1))
    peer.into.write(peer.wire.take())
    assert peer.tls.read(1000) == answer(7)


def test_what_comes_together_with_a_goodbye_keeps_no_connection_open(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    stage.say(peer.wire, peer.out.read() + b"x" * 100)
    assert peer.wire.closed and stage.listener.clients == {}


class Taker:
    """A protocol that ends its connection at the first bytes."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)
        self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self.told.append("end")

    def connectionLost(self, reason: Any) -> None:
        self.told.append("lost")

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


class Late(Wire):
    """Ends in a turn of its own, as a socket does."""

    def loseConnection(self) -> None:
        """See end."""


def test_who_closed_is_given_no_more_bytes_and_is_let_go_without_the_collector(chest: Chest) -> None:
    inner, clock, wire = Taker(), Clock(), Late()
    side = ServerTls(server_context([Pair(*chest.server)])[0])
    wire.protocol = TlsTransport(side, inner, clock, lambda text, timed_out: None)
    wire.protocol.makeConnection(wire)
    peer = Peer(client_of(chest), wire, name="proxy.example.org")

    class Direct:
        def say(self, wire: Wire, data: bytes) -> None:
            wire.protocol.dataReceived(data)

    peer.talk(Direct())
    peer.tls.write(b"one")
    peer.tls.write(b"two")
    wire.protocol.dataReceived(peer.out.read())
    assert inner.told == [b"one"]
    gone = weakref.ref(wire.protocol)
    gc.disable()
    try:
        wire.end()
        wire.protocol = None
        del inner.transport
        assert gone() is None
    finally:
        gc.enable()
    assert inner.told == [b"one", "lost"]


@pytest.mark.parametrize("ended", [False, True], ids=["a handshake", "a request"])
def test_a_client_that_goes_leaves_nothing_behind_its_tls_without_the_collector(chest: Chest, ended: bool) -> None:
    stage = secured(chest)
    with no_collector(TlsTransport, Downstream) as left:
        if ended:
            peer = connect(stage, client_of(chest))
            peer.send(stage, call(7))
        else:
            peer = Peer(client_of(chest), stage.client())
        assert left.count() == {"TlsTransport": 1, "Downstream": 1}
        peer.wire.end()
        peer.wire.protocol = None
        stage.clock.advance(20)
        assert left.count() == {}


def test_bytes_that_were_tampered_with_end_the_connection(chest: Chest) -> None:
    stage = secured(chest)
    peer = connect(stage, client_of(chest))
    peer.tls.write(call(7))
    sealed = bytearray(peer.out.read())
    sealed[-1] ^= 1
    stage.say(peer.wire, bytes(sealed))
    assert peer.wire.closed and stage.listener.counts.requests == 0 and stage.listener.clients == {}


def test_a_proxy_header_comes_before_tls_even_in_the_same_read(chest: Chest) -> None:
    context, _ = server_context([Pair(*chest.server)])
    stage = Stage(tls=ServerTls(context), proxy_protocol=True)
    peer = Peer(client_of(chest), stage.client(), name="proxy.example.org")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.do_handshake()
    stage.say(peer.wire, b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n" + peer.out.read())
    peer.talk(stage)
    peer.send(stage, call(7))
    assert facts(stage)["source.address"] == "192.0.2.7"
    assert facts(stage)["tls.version"] == "TLSv1.3"
    assert stage.listener.counts.requests == 1


# -- towards servers


def upstream(chest: Chest, **options: Any) -> Stage:
    stage = Stage()
    context = client_context(chest.authority.ca, **options)
    stage.cluster.connections.tls = ClientTls(context, options.get("server_name", "proxy.example.org"))
    return stage


def serve(stage: Stage, context: ssl.SSLContext) -> Peer:
    peer = Peer(context, stage.network.upstreams[-1], server=True)
    peer.talk(stage)
    return peer


def test_a_servers_certificate_is_checked_and_requests_pass(chest: Chest) -> None:
    stage = upstream(chest)
    client = stage.client()
    stage.say(client, call(7))
    peer = serve(stage, server_context([Pair(*chest.server)])[0])
    assert peer.take() == call(1)
    peer.send(stage, answer(1))
    assert client.take() == answer(7)


def test_the_proxy_shows_its_own_certificate(chest: Chest) -> None:
    stage = upstream(chest, pair=Pair(*chest.client))
    stage.say(stage.client(), call(7))
    peer = serve(stage, server_context([Pair(*chest.server)], chest.authority.ca, require=True)[0])
    certificate: Any = peer.tls.getpeercert()
    assert ("URI", "spiffe://mesh/ns/demo/sa/app") in certificate["subjectAltName"]


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_server_that_is_somebody_else_gets_nothing(chest: Chest, wrong: str) -> None:
    stage = upstream(chest)
    client = stage.client()
    stage.say(client, call(7))
    peer = serve(stage, server_context([Pair(*(chest.other if wrong == "name" else chest.stranger))])[0])
    stage.clock.advance(0)
    assert b"certificate refused" in client.take()
    assert peer.take() == b""
    assert stage.endpoints[0].counts.connect_errors == 1 and stage.cluster.breaker.connections == 0


SPIFFE = "spiffe://mesh/ns/demo/sa/app"


def named(chest: Chest, *names: str, server_name: str | None = None) -> Stage:
    stage = Stage()
    context = client_context(chest.authority.ca, check_name=False)
    stage.cluster.connections.tls = ClientTls(context, server_name, names=names)
    return stage


@pytest.mark.parametrize("server_name", [None, "other.internal"])
@pytest.mark.parametrize("names", [(SPIFFE,), ("app.example.org",), ("other.example.org", SPIFFE)])
def test_one_alternative_name_that_is_asked_for_is_enough_whatever_the_host_is(
    chest: Chest, names: tuple[str, ...], server_name: str | None
) -> None:
    stage = named(chest, *names, server_name=server_name)
    stage.say(stage.client(), call(7))
    peer = serve(stage, server_context([Pair(*chest.client)])[0])
    assert peer.take() == call(1)
    assert getattr(peer.tls, "asked_name", None) == server_name


@pytest.mark.parametrize(
    "name",
    ["spiffe://mesh/ns/demo/sa/ap", "spiffe://mesh/ns/demo/sa/app/", SPIFFE.upper(), "example.org", "*.example.org"],
)  # fmt: skip
def test_a_server_with_other_alternative_names_gets_nothing_and_the_error_says_both(chest: Chest, name: str) -> None:
    stage = named(chest, name)
    client = stage.client()
    stage.say(client, call(7))
    peer = serve(stage, server_context([Pair(*chest.client)])[0])
    text = client.take().decode(errors="replace")
    assert f"none of the subject_alt_names {name}" in text and SPIFFE in text and "app.example.org" in text
    assert peer.take() == b"" and peer.wire.closed
    assert stage.endpoints[0].counts.connect_errors == 1 and stage.cluster.breaker.connections == 0


def test_a_wildcard_of_the_certificate_stands_for_itself_alone(chest: Chest) -> None:
    stage = named(chest, "a.wild.example.org")
    client = stage.client()
    stage.say(client, call(7))
    serve(stage, server_context([Pair(*chest.other)])[0])
    assert b"none of the subject_alt_names" in client.take()


def test_the_right_name_of_another_authority_is_refused(chest: Chest) -> None:
    stage = named(chest, "proxy.example.org")
    client = stage.client()
    stage.say(client, call(7))
    serve(stage, server_context([Pair(*chest.stranger)])[0])
    assert b"certificate refused" in client.take()


def test_without_verify_anybody_is_taken(chest: Chest) -> None:
    stage = Stage()
    stage.cluster.connections.tls = ClientTls(client_context(verify=False), "proxy.example.org")
    stage.say(stage.client(), call(7))
    assert serve(stage, server_context([Pair(*chest.stranger)])[0]).take() == call(1)


def test_a_server_that_does_not_shake_hands_is_a_connect_time_out(chest: Chest) -> None:
    stage = upstream(chest)
    client = stage.client()
    stage.say(client, call(7))
    stage.clock.advance(10.0)
    assert b"no TLS handshake within 10 s" in client.take()
    assert stage.endpoints[0].counts.connect_timeouts == 1
    assert stage.network.upstreams[0].closed


def test_a_refused_connection_is_told_as_without_tls(chest: Chest) -> None:
    stage = upstream(chest)
    stage.network.accept = False
    client = stage.client()
    stage.say(client, call(7))
    (_, protocol) = stage.network.dialled[0]
    assert isinstance(protocol, TlsTransport)
    protocol.connectionFailed("ECONNREFUSED", False)
    stage.clock.advance(0)
    assert b"ECONNREFUSED" in client.take()


def test_a_tunnels_half_closes_by_itself_and_the_other_goes_on(chest: Chest) -> None:
    context, _ = server_context([Pair(*chest.server)])
    stage = Stage(codec=Reel(flow="connection", capacity=1), tls=ServerTls(context))
    peer = connect(stage, client_of(chest))
    peer.send(stage, frame("W", 7, b"connect"))
    stage.say(stage.server, frame("P", 1) + frame("T", 1, b"bye"))
    peer.talk(stage)
    assert [one[0] for one in frames(peer.take())] == ["P", "T"]
    assert peer.ended and peer.wire.finished and not peer.wire.closed
    peer.send(stage, frame("D", 7, b"still here"))
    assert frames(stage.server.take())[-1] == ("D", 1, b"still here")


def test_what_both_agreed_on_is_a_fact(chest: Chest) -> None:
    stage = secured(chest, alpn=("h2", "http/1.1"))
    client = client_of(chest)
    client.set_alpn_protocols(["http/1.1"])
    connect(stage, client)
    assert facts(stage)["tls.alpn"] == "http/1.1"


def test_only_endpoints_with_its_metadata_are_spoken_to_over_tls(chest: Chest) -> None:
    stage = Stage(endpoints=2)
    context = client_context(verify=False)
    stage.cluster.connections.tls = ClientTls(context, "proxy.example.org", when={"tlsMode": "istio"})
    stage.endpoints[0].metadata = {"tlsMode": "istio", "version": "v1"}
    stage.endpoints[1].metadata = {"tlsMode": "disabled"}
    client = stage.client()
    stage.say(client, call(1) + call(2))
    plain = [wire for wire in stage.network.upstreams if wire.take() == call(1)]
    assert len(stage.network.upstreams) == 2 and len(plain) == 1


def test_of_a_cluster_that_is_asked_as_a_service_the_same_holds(chest: Chest) -> None:
    tls = ClientTls(client_context(verify=False), when={"tlsMode": "istio"})
    connections = ConnectionSettings(tls=tls)
    assert connections.tls_for(Endpoint("127.0.0.1:1", metadata={"tlsMode": "istio"})) is tls
    assert connections.tls_for(Endpoint("127.0.0.1:1")) is None
    assert ConnectionSettings().tls_for(Endpoint("127.0.0.1:1")) is None


def test_without_its_certificate_a_connection_that_needs_tls_fails_with_the_reason(chest: Chest) -> None:
    stage = Stage()
    stage.cluster.connections.tls = ClientTls(client_context(verify=False), unavailable="no secret 'default'")
    client = stage.client()
    stage.say(client, call(7))
    assert b"no secret 'default'" in client.take()
    assert stage.network.upstreams[0].take() == b"" and stage.endpoints[0].counts.connect_errors == 1


def test_names_that_begin_as_is_asked_for_are_enough(chest: Chest) -> None:
    stage = named(chest, "spiffe://mesh/ns/demo/*")
    stage.say(stage.client(), call(7))
    assert serve(stage, server_context([Pair(*chest.client)])[0]).take() == call(1)
    stage = named(chest, "spiffe://mesh/ns/other/*")
    client = stage.client()
    stage.say(client, call(7))
    serve(stage, server_context([Pair(*chest.client)])[0])
    assert b"none of the subject_alt_names" in client.take()


@pytest.mark.parametrize(
    ("names", "allowed"), [(["spiffe://mesh/*"], True), ([SPIFFE], True), (["spiffe://other/*"], False)]
)
def test_clients_must_have_one_of_the_names_that_are_asked_for(chest: Chest, names: list[str], allowed: bool) -> None:
    context, _ = server_context([Pair(*chest.server)], chest.authority.ca, require=True)
    stage = Stage(tls=ServerTls(context, names=names))
    connect(stage, client_of(chest, chest.client))
    assert (stage.listener.counts.tls_errors, len(stage.listener.clients)) == ((0, 1) if allowed else (1, 0))


def test_a_client_without_a_certificate_has_no_name_to_look_at_where_it_need_not_show_one(chest: Chest) -> None:
    context, _ = server_context([Pair(*chest.server)], chest.authority.ca)
    stage = Stage(tls=ServerTls(context, names=["spiffe://other/*"]))
    connect(stage, client_of(chest))
    assert len(stage.listener.clients) == 1
