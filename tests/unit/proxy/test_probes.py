from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from harness import HEAD, MemoryNetwork, Wire
from quill import Quill
from reel import Reel, frame

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.framing import LengthFramed
from metaproxy.codecs.grpc import Grpc
from metaproxy.codecs.redis import Redis
from metaproxy.message import Kind, Message, Side
from metaproxy.proxy.certificates import client_context
from metaproxy.proxy.probes import MOST, Codec, Http, Probes, Script, Tcp
from metaproxy.proxy.tls import ClientTls, TlsTransport


class Check:
    """One check, under way. outcome: how it went, None before."""

    def __init__(self, *kinds: Any, codec: Any = None, credentials: Any = None, accept: bool = True) -> None:
        self.network = MemoryNetwork()
        self.network.accept = accept
        self.endpoint = Endpoint("127.0.0.1:1000")
        self.cluster = Cluster("demo", codec or Quill(), [self.endpoint], RoundRobin, credentials=credentials)
        self.outcome: tuple[bool, str] | None = None
        self.times = 0
        self.cancel = Probes(kinds)(self.cluster, self.endpoint, self.network, 1.0, self._done)
        self.network.clock.advance(0)

    def _done(self, well: bool, text: str) -> None:
        self.outcome = well, text
        self.times += 1

    @property
    def wire(self) -> Wire:
        return self.network.upstreams[-1]

    def say(self, data: bytes) -> None:
        self.wire.protocol.dataReceived(data)
        self.network.clock.advance(0)


def over(check: Check) -> bool:
    return check.wire.closed and check.network.clock.getDelayedCalls() == []


def test_tcp_passes_when_somebody_listens() -> None:
    check = Check(Tcp)
    assert check.outcome == (True, "") and over(check)
    assert check.network.dialled[0][0] == "127.0.0.1:1000"


def test_a_connection_that_is_refused_fails() -> None:
    check = Check(Tcp, accept=False)
    check.network.dialled[0][1].connectionFailed("ECONNREFUSED", False)
    assert check.outcome == (False, "no connection: ECONNREFUSED")
    assert check.network.clock.getDelayedCalls() == []


def test_no_answer_in_time_fails_once_whatever_comes_then() -> None:
    check = Check(Codec, codec=Redis())
    check.network.clock.advance(1.0)
    assert check.outcome == (False, "no answer within 1 s") and over(check)
    check.say(b"+PONG\r\n")
    assert check.times == 1


def test_a_connection_that_is_there_too_late_is_closed() -> None:
    check = Check(Tcp, accept=False)
    check.network.clock.advance(1.0)
    wire = check.network.establish(check.network.dialled[0][1], "127.0.0.1:1000")
    assert wire.closed and check.times == 1


@pytest.mark.parametrize("end", ["readConnectionLost", "connectionLost"])
def test_a_server_that_hangs_up_fails(end: str) -> None:
    check = Check(Codec, codec=Redis())
    getattr(check.wire.protocol, end)()
    assert check.outcome is not None and not check.outcome[0] and over(check)


def test_cancelled_it_says_nothing_and_leaves_nothing() -> None:
    check = Check(Codec, codec=Redis())
    check.cancel()
    assert check.outcome is None and over(check)
    check.say(b"+PONG\r\n")
    assert check.outcome is None


def test_too_long_an_answer_fails() -> None:
    check = Check(partial(Script, b"", re.compile(b"never")))
    check.say(bytes(MOST))
    assert check.outcome is None
    check.say(b"x")
    assert check.outcome == (False, f"more than {MOST} bytes in answer")


# -- codec


@pytest.mark.parametrize(
    ("answer", "well"),
    [(b"+PONG\r\n", True), (b"-NOAUTH Authentication required.\r\n", True), (b"-LOADING Redis is loading\r\n", False)],
)
def test_the_codec_says_what_is_asked_and_what_the_answer_means(answer: bytes, well: bool) -> None:
    check = Check(Codec, codec=Redis())
    assert check.wire.take() == b"*1\r\n$4\r\nPING\r\n"
    check.say(answer)
    assert check.outcome is not None and check.outcome[0] is well and over(check)


def test_the_codec_logs_in_first() -> None:
    check = Check(Codec, codec=Redis(), credentials={"password": "secret"})
    assert check.wire.take() == b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"
    check.say(b"+OK\r\n")
    assert check.wire.take() == b"*1\r\n$4\r\nPING\r\n" and check.outcome is None
    check.say(b"+PONG\r\n")
    assert check.outcome == (True, "")


def test_a_refused_login_fails_and_the_text_is_the_servers() -> None:
    check = Check(Codec, codec=Redis(), credentials={"password": "secret"})
    check.say(b"-WRONGPASS invalid\r\n")
    assert check.outcome is not None and not check.outcome[0] and "WRONGPASS" in check.outcome[1]


def test_bytes_of_another_protocol_fail() -> None:
    check = Check(Codec, codec=Redis())
    check.say(b"SSH-2.0-OpenSSH\r\n")
    assert check.outcome is not None and not check.outcome[0]


class Asking(Quill):
    """A codec whose servers ask, say goodbye, and answer with a body that says how they are."""

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        self.asked = super().session(side, max_frame)
        return self.asked

    def parse(self, frame: bytes) -> Message:
        body = frame[13:]
        if body == b"how are you":
            self.asked.say(b"fine")
            return Message(Kind.HEARTBEAT, frame, 1)
        return Message(Kind.DRAIN, frame, 1) if body == b"bye" else super().parse(frame)

    def probe(self) -> Message:
        return Message(Kind.REQUEST, HEAD.pack(13, 1, 4) + b"ping", 1, {})

    def alive(self, answer: Message) -> bool:
        return answer.frame.endswith(b"well")


def quill(body: bytes) -> bytes:
    return HEAD.pack(9 + len(body), 1, 0) + body


def test_a_server_that_asks_first_is_answered_and_one_that_drains_is_not_well() -> None:
    check = Check(Codec, codec=Asking())
    check.say(quill(b"how are you"))
    assert check.wire.take().endswith(b"pingfine") and check.outcome is None
    check.say(quill(b"well"))
    assert check.outcome == (True, "")
    check = Check(Codec, codec=Asking())
    check.say(quill(b"bye"))
    assert check.outcome == (False, "the server drains")


class Healthy(Reel):
    """Reel whose servers are asked how they are."""

    def probe(self) -> Message:
        return Message(Kind.REQUEST, frame("W", 1, b"ping"), 1)

    def alive(self, answer: Message) -> bool:
        return answer.kind is Kind.RESPONSE and answer.frame.endswith(b"all well")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (frame("O", 1, b"head") + frame("D", 1, b"all ") + frame("C", 1, b"well"), True),
        (frame("O", 1, b"head") + frame("C", 1, b"ill"), False),
        (frame("O", 1, b"head") + frame("X", 1, b"all well"), False),
        (frame("F", 1, b"head") + frame("C", 1, b"all well"), False),
        (frame("O", 1, b"head") + frame("R", 1, b"all well"), False),
    ],
)
def test_an_answer_in_pieces_is_judged_as_one(answer: bytes, outcome: bool) -> None:
    check = Check(Codec, codec=Healthy())
    for at in range(len(answer)):
        check.say(answer[at : at + 1])
    assert check.outcome is not None and check.outcome[0] is outcome and over(check)


def test_what_the_session_owes_is_written() -> None:
    check = Check(Codec, codec=Grpc())
    check.wire.take()
    check.say(bytes.fromhex("000000040000000000"))  # SETTINGS
    assert check.wire.take().startswith(bytes.fromhex("000000040100000000"))  # acknowledged


# -- http


def http(path: str = "/health", host: str = "", port: int = 0, statuses: tuple[int, ...] = ()) -> Any:
    return partial(Http, path, host, port, statuses)


def test_http_asks_for_the_path() -> None:
    check = Check(http())
    assert check.wire.take().startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:1000\r\n")
    check.say(b"HTTP/1.1 20")
    assert check.outcome is None
    check.say(b"0 OK\r\n")
    assert check.outcome == (True, "") and over(check)


def test_http_on_another_port_under_another_name() -> None:
    check = Check(http(host="demo.svc", port=8080))
    assert check.network.dialled[0][0] == "127.0.0.1:8080"
    assert b"\r\nHost: demo.svc\r\n" in check.wire.take()


@pytest.mark.parametrize(
    ("line", "statuses", "outcome"),
    [
        (b"HTTP/1.0 204 \r\n", (), (True, "")),
        (b"HTTP/1.1 503 Busy\r\n", (), (False, "status 503")),
        (b"HTTP/1.1 503 Busy\r\n", (200, 503), (True, "")),
        (b"HTTP/1.1 204 No\r\n", (200, 503), (False, "status 204")),
        (b"+PONG\r\n", (), (False, "not HTTP: b'+PONG'")),
        (b"HTTP/1.1 2000 No\r\n", (), (False, "not HTTP: b'HTTP/1.1 2000 No'")),
    ],
)
def test_http_looks_at_the_status(line: bytes, statuses: tuple[int, ...], outcome: tuple[bool, str]) -> None:
    check = Check(http(statuses=statuses))
    check.say(line)
    assert check.outcome == outcome


# -- script, and several


def test_a_script_sends_and_expects() -> None:
    check = Check(partial(Script, b"PING\r\n", re.compile(rb"^\+PO.G\r\n", re.DOTALL)))
    assert check.wire.take() == b"PING\r\n"
    check.say(b"+PO")
    assert check.outcome is None
    check.say(b"NG\r\n")
    assert check.outcome == (True, "")


def test_of_several_all_must_pass_in_one_time() -> None:
    check = Check(Tcp, http())
    assert check.outcome is None
    check.network.clock.advance(0)
    assert len(check.network.upstreams) == 2 and check.network.upstreams[0].closed
    check.say(b"HTTP/1.1 500 No\r\n")
    assert check.outcome == (False, "status 500")
    check = Check(Tcp, http())
    check.network.clock.advance(1.0)
    assert check.outcome == (False, "no answer within 1 s")


def test_where_the_cluster_speaks_tls_checks_do_too_but_for_tcp_and_another_port() -> None:
    tls = ClientTls(client_context(verify=False), "demo")
    for kind, secured in ((Tcp, False), (Codec, True), (http(), True), (http(port=81), False)):
        network = MemoryNetwork()
        endpoint = Endpoint("127.0.0.1:1000")
        cluster = Cluster("demo", Redis(), [endpoint], RoundRobin)
        cluster.connections.tls = tls
        Probes([kind])(cluster, endpoint, network, 1.0, lambda well, text: None)
        assert isinstance(network.dialled[0][1], TlsTransport) is secured
