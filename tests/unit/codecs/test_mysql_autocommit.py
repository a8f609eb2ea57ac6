"""MySQL's servers that have autocommit off by themselves: what clients of the proxy's own users hear, and have."""

from __future__ import annotations

from typing import Any

from mysql_words import BASE, CHALLENGE, MAX, SERVER, command, ok, query, rows

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, IN_TRANSACTION, packet, payload_of, read_ok
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, proof
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.message import Kind, Message, Side

ASKED = query("SELECT @@autocommit")
ON, OFF = query("SET autocommit = 1"), query("SET autocommit = 0")
FIRST = Profile(charset=45)


class Server:
    """
    A connection to a server that has said its status, and is then asked. is_on: what it answers, None if it does not.
    """

    def __init__(
        self,
        status: int,
        is_on: str | None = None,
        profile: Profile = FIRST,
        role: str = "",
        codec: MySQL | None = None,
    ) -> None:
        self.codec = codec or MySQL(users={"ann": "pencil"})
        self.session: Any = self.codec.session(Side.SERVER, MAX)
        if role:
            self.session.facts = {"endpoint.role": role}
        self.session.open(profile, {"user": "app", "password": "secret"})
        self.session.receive(packet(Greeting(b"8.0.42", 7, CHALLENGE, SERVER, 45, status, NATIVE).write(), 0))
        self.session.owed()
        self.session.receive(ok(2, status))
        self.asked = self.session.owed()
        if is_on is not None:
            assert self.asked == ASKED and not self.session.ready
            self.asked = b""
            answer = rows([[is_on]], status=status)
            self.session.receive(answer[:-12])
            self.session.receive(answer[-12:])

    def made(self) -> bytes:
        """The settings that it is sent, which succeed."""
        said: bytes = self.asked + self.session.owed()
        if said:
            self.session.receive(ok())
        assert self.session.ready and self.session.reusable
        return said


class Client:
    """A client that has logged in where that server was seen last. status: what its greeting had."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.session: Any = server.codec.session(Side.CLIENT, MAX)
        greeting = Greeting.read(payload_of(self.session.open(None, {})))
        self.status = greeting.status
        login = Login(BASE, 1 << 24, 45, b"ann", proof(SHA2, b"pencil", greeting.challenge), b"", SHA2, b"")
        (self.connect,) = self.session.receive(packet(login.write(), 1))
        if not server.session.ready:
            server.made()
        self.session.send(server.session.welcome, 0)

    def says(self, data: bytes) -> Message:
        (message,) = self.session.receive(data)
        return message  # type: ignore[no-any-return]

    def does(self, data: bytes) -> None:
        """A command in which that server succeeds."""
        self.server.session.send(self.says(data), 0)
        (answer,) = self.server.session.receive(ok())
        self.session.send(answer, 0)

    def settings(self) -> tuple[tuple[str, str], ...]:
        profile = self.says(query("select 1")).profile
        assert isinstance(profile, Profile)
        return profile.settings

    def only_reads(self) -> bool:
        return self.says(query("select a from t")).get("read_only") == "true"


def test_a_server_with_autocommit_on_is_not_asked() -> None:
    server = Server(AUTOCOMMIT)
    assert (server.asked, server.made()) == (b"", b"")
    client = Client(server)
    assert (client.status, client.only_reads()) == (AUTOCOMMIT, True)


def test_where_servers_have_it_off_clients_have_it_off_and_their_reads_are_part_of_transactions() -> None:
    client = Client(Server(0, "0"))
    assert (client.status, client.only_reads()) == (0, False)
    assert client.settings() == (("autocommit", "0"),)
    client.says(command(0x1F))
    assert client.settings() == (("autocommit", "0"),), "also behind COM_RESET_CONNECTION"
    client.does(query("set autocommit = 1"))
    assert client.only_reads()


def test_the_login_s_answer_says_what_the_greeting_said() -> None:
    for wanted, status in ((FIRST, AUTOCOMMIT), (FIRST.with_setting("autocommit", "0"), 0)):
        server = Server(0, "0", wanted)
        server.made()
        assert read_ok(payload_of(server.session.welcome.frame)).status == status


def test_a_server_that_only_says_nothing_of_it_has_it_on() -> None:
    for answer in ("1", "on or off"):
        server = Server(0, answer)
        assert server.made() == b""
        assert Client(server).status == AUTOCOMMIT


def test_a_server_whose_role_is_known_is_asked_what_it_is_behind_init_connect() -> None:
    for role in ("primary", "replica"):
        server = Server(AUTOCOMMIT, "0", role=role)
        assert server.made() == ON
        assert Client(server).status == 0


def test_what_a_change_of_user_leaves_says_nothing_of_the_server() -> None:
    server = Server(AUTOCOMMIT, "0", role="primary")
    server.made()
    server.session.send(Message(Kind.REQUEST, query("set @a = 1")), 0)
    server.session.receive(ok(1, AUTOCOMMIT | IN_TRANSACTION))
    assert server.session.change(FIRST)[4:5] == b"\x11"
    server.session.receive(ok(1, AUTOCOMMIT))
    assert server.session.ready
    assert Client(server).status == 0


def test_a_status_says_nothing_of_init_connect_once_servers_are_asked() -> None:
    server = Server(AUTOCOMMIT, "0", role="primary")
    Server(AUTOCOMMIT, codec=server.codec).made()
    assert Client(server).status == 0
    Server(AUTOCOMMIT, "1", role="replica", codec=server.codec).made()
    assert Client(server).status == AUTOCOMMIT


def test_a_connection_has_what_its_client_has_whatever_its_server_has() -> None:
    assert Server(0, "0").made() == ON, "a client that was greeted with it on"
    assert Server(0, "0", FIRST.with_setting("autocommit", "on")).made() == query("SET autocommit = on")
    assert Server(0, "0", FIRST.with_setting("autocommit", "0")).made() == b""
    assert Server(AUTOCOMMIT, None, FIRST.with_setting("autocommit", "0")).made() == OFF


def test_the_next_client_of_a_connection_has_its_own() -> None:
    server = Server(AUTOCOMMIT)
    for profile, made in ((FIRST.with_setting("autocommit", "0"), OFF), (FIRST, ON)):
        assert server.session.change(profile) == made
        server.session.receive(ok())


def test_another_state_that_is_asked_for_meanwhile_is_the_one_that_counts() -> None:
    server = Server(0)
    server.asked = b""
    assert server.session.change(FIRST.with_setting("autocommit", "0")) == b""
    server.session.receive(rows([["0"]], status=0))
    assert server.made() == b""


def test_who_asks_for_what_the_server_has_keeps_the_connection() -> None:
    client = Client(Server(AUTOCOMMIT))
    assert client.says(query("set autocommit = default")).get("bound") == "an autocommit that depends on the server"
