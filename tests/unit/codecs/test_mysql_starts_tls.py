"""TLS inside MySQL's protocol where logins pass: who begins it, whose sequence numbers, which passwords don't go on."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_words import BASE, CHALLENGE, MAX, SERVER, C, command, error, greeting, login, ok, query

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login, Switch, tls_request
from metaproxy.codecs.mysql.packets import packet, payload_of, read_error
from metaproxy.message import FrameError, Kind, Message, Side

OVER_TLS = BASE | C.SSL
BOTH, NEAR, FAR = (True, True), (True, False), (False, True)


class Way:
    """A client's and a server's session. near, far: whether TLS is on the client's and on the server's side."""

    def __init__(self, near: bool, far: bool, offered: int = SERVER) -> None:
        codec = MySQL()
        self.near, self.far = near, far
        self.client: Any = codec.session(Side.CLIENT, MAX)
        self.server: Any = codec.session(Side.SERVER, MAX)
        self.client.facts = {"tls.start": "required"} if near else {}
        self.server.facts = {"tls.start": "required"} if far else {}
        (event,) = self.server.receive(greeting(offered))
        self.greeting = Greeting.read(payload_of(self.client.send(event, 0)))

    def begin(self) -> None:
        """The client's side is over TLS from here on."""
        assert self.client.receive(packet(tls_request(OVER_TLS, 0), 1)) == []
        assert (self.client.start_tls, self.client.owes, self.client.owed()) == (True, True, b"")
        self.client.facts = {"tls.version": "TLSv1.3"}
        assert self.client.open(None, {}) == b""

    def log_in(self, frame: bytes = b"") -> bytes:
        """What the server gets of a login, over TLS if it has it."""
        if self.near:
            self.begin()
        frame = frame or login(OVER_TLS if self.near else BASE, sequence=1 + self.near)
        (message,) = self.client.receive(frame)
        said: bytes = self.server.send(message, 0)
        if not self.far:
            return said
        assert (said, self.server.ready, self.server.start_tls) == (b"", False, True)
        request = self.server.owed()
        assert request[:4] == b"\x20\0\0\1"
        assert int.from_bytes(request[4:8], "little") == BASE | C.SSL
        self.server.facts = {"tls.version": "TLSv1.3"}
        said = self.server.open(None, {})
        assert (self.server.ready, self.server.start_tls) == (True, False)
        return said

    def hears(self, frame: bytes) -> bytes:
        (message,) = self.server.receive(frame)
        said: bytes = self.client.send(message, 0)
        return said

    def says(self, frame: bytes) -> bytes:
        (message,) = self.client.receive(frame)
        said: bytes = self.server.send(message, 0)
        return said


def test_tls_is_offered_where_the_listener_has_it_whatever_the_server_does() -> None:
    assert Way(*NEAR, BASE).greeting.capabilities & C.SSL
    assert not Way(*FAR).greeting.capabilities & C.SSL


@pytest.mark.parametrize(("near", "far"), [BOTH, NEAR, FAR, (False, False)])
def test_each_side_counts_its_own_packets(near: bool, far: bool) -> None:
    way = Way(near, far)
    said = way.log_in()
    assert said[3] == 1 + far
    assert Login.read(payload_of(said)).capabilities == BASE | (C.SSL if far else 0)
    asked = packet(Switch(b"client_ed25519", CHALLENGE).write(), 2 + far)
    assert way.hears(asked) == packet(payload_of(asked), 2 + near)
    answer = packet(b"a" * 64, 3 + near)
    assert way.says(answer) == packet(b"a" * 64, 3 + far)
    assert way.hears(ok(4 + far)) == ok(4 + near)
    assert way.says(query("select 1")) == query("select 1")
    assert way.hears(ok()) == ok()


@pytest.mark.parametrize(("near", "far"), [NEAR, FAR])
def test_a_refusal_has_the_client_s_number_too(near: bool, far: bool) -> None:
    way = Way(near, far)
    way.log_in()
    assert way.hears(error(1045, 2 + far)) == error(1045, 2 + near)


@pytest.mark.parametrize(("near", "far"), [NEAR, FAR])
def test_a_whole_password_goes_nowhere_if_one_side_alone_has_tls(near: bool, far: bool) -> None:
    way = Way(near, far)
    way.log_in()
    assert way.server.receive(packet(b"\1\4", 2 + far)) == []
    assert isinstance(way.server.error, FrameError)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"sha256_password"])
def test_a_password_as_it_is_goes_to_no_server_without_tls(plugin: bytes) -> None:
    way = Way(*NEAR)
    way.log_in()
    assert way.server.receive(packet(Switch(plugin, b"").write(), 2)) == []
    assert isinstance(way.server.error, FrameError)
    at_once = Login(OVER_TLS, 0, 45, b"app", b"secret\0", b"", plugin, b"").write()
    with pytest.raises(FrameError):
        Way(*NEAR).log_in(packet(at_once, 2))
    changes = Way(*NEAR)
    changes.log_in()
    changes.hears(ok(2))
    (message,) = changes.client.receive(command(0x11, b"app\0\x07secret\0d\0\x2d\0" + plugin + b"\0"))
    with pytest.raises(FrameError):
        changes.server.send(message, 0)


def test_nor_when_it_changes_its_user() -> None:
    way = Way(*NEAR)
    way.log_in()
    way.hears(ok(2))
    way.says(command(0x11, b"app\0\x05proof" + b"d\0\x2d\0mysql_native_password\0"))
    assert way.server.receive(packet(b"\1\4", 1)) == []
    assert isinstance(way.server.error, FrameError)


def test_all_of_them_go_on_where_both_sides_have_it() -> None:
    way = Way(*BOTH)
    way.log_in(packet(Login(OVER_TLS, 0, 45, b"app", b"secret\0", b"", b"mysql_clear_password", b"").write(), 2))
    assert way.hears(packet(b"\1\4", 3)) == packet(b"\1\4", 3)


def test_a_client_without_tls_is_refused_where_it_is_required() -> None:
    way = Way(*NEAR)
    assert way.client.receive(login()) == []
    assert read_error(payload_of(way.client.owed())).number == 3159
    assert way.client.closing


def test_and_let_in_where_it_is_optional() -> None:
    way = Way(*NEAR)
    way.client.facts = {"tls.start": "optional"}
    (message,) = way.client.receive(login())
    assert way.server.send(message, 0) == login()


def test_tls_that_was_not_offered_is_no_login() -> None:
    way = Way(*FAR)
    way.client.receive(packet(tls_request(OVER_TLS, 0), 1))
    assert isinstance(way.client.error, FrameError)


def test_what_follows_the_request_is_the_handshake_s() -> None:
    way = Way(*NEAR)
    way.client.receive(packet(tls_request(OVER_TLS, 0), 1) + b"\x16\3\1")
    assert way.client.tls_rest == b"\x16\3\1"


def test_a_server_without_tls_is_not_used_where_it_is_wanted() -> None:
    way = Way(*FAR, BASE)
    (message,) = way.client.receive(login())
    with pytest.raises(FrameError, match="does not offer TLS"):
        way.server.send(message, 0)


def test_a_server_that_speaks_before_the_handshake_is_not_believed() -> None:
    way = Way(*FAR)
    (message,) = way.client.receive(login())
    way.server.send(message, 0)
    assert way.server.receive(ok(2)) == []
    assert isinstance(way.server.error, FrameError)


def test_an_answer_behind_the_login_is_passed_as_it_is() -> None:
    way = Way(*NEAR)
    way.log_in()
    messages: list[Message] = way.server.receive(ok(2) + error(1053, 0))
    assert [message.kind for message in messages] == [Kind.RESPONSE, Kind.EVENT]
    assert messages[1].frame == error(1053, 0)
