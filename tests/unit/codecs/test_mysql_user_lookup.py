"""MySQL's users that a server knows, and logins at servers as the same user."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from mysql_words import BASE, CHALLENGE, SERVER, C, column, eof, error, ok, query

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login, Switch
from metaproxy.codecs.mysql.kept_passwords import sha_crypt
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, packet, payload_of, read_error, write_bytes
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, Secret, proof
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.message import Kind, Message
from metaproxy.recording.entries import Frame
from metaproxy.testing.stage import Stage, Wire

FLAGS = BASE & ~C.MULTI_STATEMENTS
ASKED = "select name, kept from pooler.known where name = ?"
NATIVE_KEPT = "*" + hashlib.sha1(hashlib.sha1(b"pencil").digest()).hexdigest().upper()
SALT = bytes.fromhex("F9CC98CE08892924F50A213B6BC571A2C11778C5")
SHA2_KEPT = b"$A$005$" + SALT + b"bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/"
"""Of the password `hashcat`: the example that hashcat has for this kind."""


def found(*rows: tuple[str | bytes | None, ...]) -> bytes:
    """An answer to the question for a user."""
    pieces = [packet(b"\2", 1), column("name", 2), column("kept", 3), eof(4)]
    for place, row in enumerate(rows):
        texts = (value.encode() if isinstance(value, str) else value for value in row)
        values = b"".join(b"\xfb" if value is None else write_bytes(value) for value in texts)
        pieces.append(packet(values, 5 + place))
    return b"".join((*pieces, eof(5 + len(rows))))


def greeting(plugin: bytes = NATIVE) -> bytes:
    return packet(Greeting(b"8.0.42", 7, CHALLENGE, SERVER, 45, AUTOCOMMIT, plugin).write(), 0)


class Room(Stage):
    """A stage that asks a server for users. credentials: besides the proxy's own."""

    def __init__(self, mode: str = "transaction", users: Any = None, most: int = 20, **credentials: str) -> None:
        codec = MySQL(users={"bob": "rubber"} if users is None else users, auth_query=ASKED)
        super().__init__(codec, connections=ConnectionSettings(mode=mode, per_endpoint=most), breaker=Breaker())
        self.cluster.credentials = {"user": "app", "password": "secret", **credentials}
        self.challenge = b""

    def says_hello(self, name: str, password: str = "", plugin: bytes = SHA2, secure: bool = False) -> Wire:
        """A client that has answered its greeting."""
        client = self.client()
        self.clock.advance(0)
        if secure:
            client.protocol.session.facts["tls.version"] = "TLSv1.3"
        challenge = Greeting.read(payload_of(client.take())).challenge
        answer = proof(plugin, password.encode(), challenge)
        self.say(client, packet(Login(FLAGS, 1 << 24, 45, name.encode(), answer, b"", plugin, b"").write(), 1))
        return client

    def lets_in(self, server: Wire, user: str = "app", password: str = "secret", plugin: bytes = NATIVE) -> None:
        """A server takes the proxy's login, as that user with that password."""
        self.say(server, greeting(plugin))
        login = Login.read(payload_of(server.take()))
        assert (login.user, login.answer) == (user.encode(), proof(login.plugin, password.encode(), CHALLENGE))
        self.say(server, ok(2))

    def look_up(self, name: str, answer: bytes, new: bool = True, **hello: Any) -> Wire:
        """A client whose user the server was asked for. new: by a connection that was not there."""
        client = self.says_hello(name, **hello)
        server = self.network.upstreams[0]
        if new:
            self.lets_in(server)
        asked = payload_of(server.take())
        assert asked == b"\3" + ASKED.replace("?", f"_utf8mb4 x'{name.encode().hex()}'").encode()
        assert client.take() == b""
        self.say(server, answer)
        return client

    def prove(self, client: Wire, password: str = "pencil", plugin: bytes = NATIVE) -> bytes:
        """What follows the client's answer to the question for a proof."""
        said = client.take()
        switch = Switch.read(payload_of(said))
        assert (switch.plugin, said[3]) == (plugin, 2)
        self.say(client, packet(proof(plugin, password.encode(), switch.challenge), 3))
        return client.take()


def refusal(said: bytes) -> tuple[int, str]:
    found = read_error(payload_of(said))
    return found.number, found.text


def test_a_user_that_only_a_server_knows_logs_in() -> None:
    room = Room()
    client = room.look_up("ann", found(("ann", NATIVE_KEPT)))
    assert room.prove(client) == ok(4)
    room.say(client, query("select 1"))
    assert room.server.take() == query("select 1")
    assert len(room.network.upstreams) == 1


def test_users_of_the_configuration_are_not_asked_for() -> None:
    room = Room()
    client = room.says_hello("bob", "rubber")
    room.lets_in(room.server)
    assert client.take() == packet(b"\1\3", 2) + ok(3)


def test_users_of_the_configuration_may_have_what_a_server_keeps() -> None:
    room = Room(users={"bob": NATIVE_KEPT}, login_as="client")
    client = room.says_hello("bob", "pencil")
    assert Switch.read(payload_of(client.written)).plugin == NATIVE
    assert room.prove(client) == b""
    room.lets_in(room.server, "bob", "pencil")
    assert client.take() == ok(4)


@pytest.mark.parametrize(
    "answer",
    [found(), found(("ann", None)), found(("ann", "")), found(("eve", NATIVE_KEPT)), found(("ann", NATIVE_KEPT))],
    ids=["no row", "no password", "empty password", "another user", "another password"],
)
def test_who_is_not_known_is_refused_behind_its_password(answer: bytes) -> None:
    room = Room()
    client = room.look_up("ann", answer)
    assert refusal(room.prove(client, "wrong")) == (1045, "Access denied for user 'ann'")
    assert client.closed


@pytest.mark.parametrize(
    "answer",
    [
        error(1142, text="SELECT command denied"),
        found(("ann", NATIVE_KEPT), ("ann", NATIVE_KEPT)),
        found((NATIVE_KEPT,)),
        found(("ann", "secret of some other kind")),
        found(("ann", b"$A$fff$" + SHA2_KEPT[7:])),
        ok(),
        found(("ann", "x" * 70_000)),
    ],
    ids=["refused", "two rows", "one column", "another kind", "four million rounds", "no rows", "long"],
)
def test_a_question_that_is_not_answered_well_ends_the_login(answer: bytes) -> None:
    room = Room()
    client = room.look_up("ann", answer)
    number, text = refusal(client.take())
    assert number == 1105
    assert "auth_query" in text
    assert "secret" not in text
    assert client.closed


def test_an_answer_may_come_in_pieces() -> None:
    room = Room()
    answer = found(("ann", NATIVE_KEPT))
    client = room.look_up("ann", answer[:-20])
    room.say(room.server, answer[-20:])
    assert room.prove(client) == ok(4)


def test_a_server_that_is_not_there_ends_the_login_with_its_error() -> None:
    room = Room()
    room.network.accept = False
    client = room.says_hello("ann")
    room.network.dialled[0][1].connectionFailed("refused", False)
    room.clock.advance(0)
    assert refusal(client.take())[0] == 1429
    assert client.closed


def test_a_packet_before_the_client_was_asked_ends_the_login() -> None:
    room = Room()
    client = room.says_hello("ann")
    room.lets_in(room.server)
    room.say(client, packet(b"pencil\0", 3))
    room.say(room.server, found(("ann", NATIVE_KEPT)))
    assert refusal(client.take())[0] == 1835
    assert client.closed


def test_a_name_is_no_part_of_the_statement() -> None:
    room = Room()
    client = room.look_up("' or ?\\", found())
    assert refusal(room.prove(client))[0] == 1045


# -- caching_sha2_password


def test_what_is_kept_for_caching_sha2_password_is_compared_with_the_password_itself() -> None:
    for said, right in ((b"hashcat\0", True), (b"hashcats\0", False), (b"\0", False), (b"x" * 60_000, False)):
        room = Room()
        client = room.look_up("ann", found(("ann", SHA2_KEPT)), secure=True)
        assert room.prove(client, "hashcat", SHA2) == packet(b"\1\4", 4)
        room.say(client, packet(said, 5))
        answer = client.take()
        assert answer == ok(6) if right else refusal(answer)[0] == 1045


def test_which_takes_its_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = 0

    def counted(password: bytes, salt: bytes, count: int) -> bytes:
        nonlocal rounds
        rounds += count
        return sha_crypt(password, salt, count)

    monkeypatch.setattr("metaproxy.codecs.mysql.kept_passwords.sha_crypt", counted)
    room = Room()
    for said, right in ((b"hashcat", True), (b"hashcat", True), (b"hashcats", False), (b"hashcat", True)):
        client = room.look_up("ann", found(("ann", SHA2_KEPT)), secure=True, new=not room.network.upstreams)
        room.prove(client, "hashcat", SHA2)
        room.say(client, packet(said + b"\0", 5))
        answer = client.take()
        assert answer == ok(6) if right else refusal(answer)[0] == 1045
    assert rounds == 10_000, "the right password, and the wrong one"


def test_which_is_only_taken_over_tls() -> None:
    room = Room()
    client = room.look_up("ann", found(("ann", SHA2_KEPT)))
    number, text = refusal(room.prove(client, "hashcat", SHA2))
    assert number == 1045
    assert "over TLS" in text


# -- the same user at the server


def test_the_proxy_logs_in_as_the_client_by_what_its_proof_has_shown() -> None:
    for plugin in (NATIVE, SHA2):  # which the server's greeting has
        room = Room(login_as="client")
        client = room.look_up("ann", found(("ann", NATIVE_KEPT)))
        assert room.prove(client) == b""
        room.lets_in(room.network.upstreams[-1], "ann", "pencil", plugin)
        assert client.take() == ok(4)


def test_the_proxy_logs_in_as_the_client_by_the_password_that_it_said() -> None:
    room = Room(login_as="client")
    client = room.look_up("ann", found(("ann", SHA2_KEPT)), secure=True)
    room.prove(client, "hashcat", SHA2)
    room.say(client, packet(b"hashcat\0", 5))
    room.lets_in(room.network.upstreams[-1], "ann", "hashcat", SHA2)
    assert client.take() == ok(6)


def test_the_proxy_logs_in_as_the_client_by_the_password_of_the_configuration() -> None:
    room = Room()
    room.cluster.credentials = {}
    client = room.says_hello("bob", "rubber")
    room.lets_in(room.server, "bob", "rubber", SHA2)
    assert client.take() == packet(b"\1\3", 2) + ok(3)


@pytest.mark.parametrize("wanted", [SHA2, b"mysql_clear_password"])
def test_a_server_that_wants_what_the_proof_has_not_shown_is_named(wanted: bytes) -> None:
    room = Room(login_as="client")
    client = room.look_up("ann", found(("ann", NATIVE_KEPT)))
    room.prove(client)
    server = room.network.upstreams[-1]
    room.say(server, greeting(SHA2))
    room.say(server, packet(Switch(wanted, b"z" * 20).write(), 2))
    number, text = refusal(client.take())
    assert number == 1429
    assert f"login by {wanted.decode()}" in text and "has shown" in text


def test_a_connection_of_one_user_is_no_other_user_s() -> None:
    room = Room(login_as="client", most=3)
    for name in ("ann", "eve"):
        client = room.look_up(name, found((name, NATIVE_KEPT)), new=name == "ann")
        room.prove(client)
        server = room.network.upstreams[-1]
        room.lets_in(server, name, "pencil")
        assert client.take() == ok(4)
        room.say(client, query("select 1"))
        assert server.take() == query("select 1")
        room.say(server, ok())
    assert len(room.network.upstreams) == 3


def test_where_all_are_one_user_at_the_server_they_share_connections_as_they_are() -> None:
    room = Room(most=1)
    clients = [room.look_up(name, found((name, NATIVE_KEPT)), new=name == "ann") for name in ("ann", "eve")]
    for client in clients:
        assert room.prove(client) == ok(4)
    for client in clients:
        room.say(client, query("select 1"))
        assert room.server.take() == query("select 1")
        room.say(room.server, ok())


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_change_user_asks_for_the_user_beside_the_connection_that_the_client_keeps(mode: str) -> None:
    room = Room(mode, login_as="client")
    client = room.says_hello("bob", "rubber")
    room.lets_in(room.server, "bob", "rubber")
    room.say(client, query("begin"))
    room.say(room.server, ok(1, 3))
    client.take(), room.server.take()
    room.say(client, packet(b"\x11ann\0\0other\0\x2d\0" + NATIVE + b"\0", 0))
    first = room.server
    assert first.take() == packet(b"\x1f", 0)
    room.say(first, ok())
    second = room.network.upstreams[-1]
    assert second is not first
    room.lets_in(second)
    assert payload_of(second.take()).startswith(b"\3select name, kept")
    room.say(second, found(("ann", NATIVE_KEPT)))
    said = client.take()
    switch = Switch.read(payload_of(said))
    assert said[3] == 1
    room.say(client, packet(proof(NATIVE, b"pencil", switch.challenge), 2))
    third = room.network.upstreams[-1]
    room.lets_in(third, "ann", "pencil")
    assert third.take() == packet(b"\2other", 0)
    room.say(third, ok())
    assert client.take() == ok(3)
    room.say(client, query("select 1"))
    assert third.take() == query("select 1")


def test_a_secret_is_not_shown() -> None:
    assert "pencil" not in repr(Profile(user=b"ann", secret=Secret(b"pencil", b"pencil")))


def test_a_recording_has_no_secret() -> None:
    message = Message(Kind.REQUEST, b"", profile=Profile(user=b"ann", secret=Secret(b"pencil")))
    assert "pencil" not in json.dumps(Frame.of(message, b"", {}).json())


def test_what_a_server_keeps_of_a_password_is_confidential() -> None:
    question = Message(Kind.REQUEST, query("select 1"), metadata={"command": "auth_query"})
    assert MySQL(auth_query=ASKED).confidential(question)


@pytest.mark.parametrize("text", ["select 1", "select ?\0"])
def test_an_auth_query_that_can_t_work_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"auth_query needs \?"):
        MySQL(auth_query=text)
