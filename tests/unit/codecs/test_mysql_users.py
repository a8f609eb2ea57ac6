"""MySQL whose login ends at the proxy: who gets in, how the proxy logs in, what is kept and what is made again."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from mysql_words import BASE, MAX, SERVER, C, column, command, eof, error, join, kinds, ok, prepared, query, rows

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login, Switch, tls_request
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, IN_TRANSACTION, head_of, packet, payload_of, read_error
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, proof
from metaproxy.codecs.mysql.profile import Profile, difference
from metaproxy.codecs.mysql.session_state import NOTHING, outcome_of
from metaproxy.codecs.mysql.set_statement import read_set
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Hold, Kind, Message, Side
from metaproxy.testing import check_codec

USERS = {"ann": "ann-password", "bob": "bob-password"}
CREDENTIALS = {"user": "app", "password": "app-password"}
REQUEST, ONEWAY, RESPONSE, ERROR, CONNECT = Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Kind.CONNECT
CHALLENGE = b"abcdefghijklmnopqrst"


def codec(**options: Any) -> MySQL:
    return MySQL(users=USERS, **options)


class Client:
    """What a client says to a session towards it, and hears."""

    def __init__(self, made: MySQL | None = None, facts: dict[str, str] | None = None) -> None:
        self.codec = made or codec()
        self.session = self.codec.session(Side.CLIENT, MAX)
        self.session.facts = facts or {}
        self.greeting = Greeting.read(payload_of(self.session.open(None, {})))

    def login(
        self, user: str = "ann", password: str = "ann-password", plugin: bytes = SHA2, flags: int = BASE, **more: Any
    ) -> list[Message]:
        answer = proof(plugin, password.encode(), self.greeting.challenge)
        said = Login(flags, 1 << 24, 45, user.encode(), answer, more.get("database", b"d"), plugin, b"")
        return self.session.receive(packet(said.write(), more.get("sequence", 1)))

    def enter(self, **options: Any) -> Message:
        (message,) = self.login(**options)
        return message


class Both(Client):
    """A client and the connection that it has, with a server that speaks by hand."""

    def __init__(self, made: MySQL | None = None, **login: Any) -> None:
        super().__init__(made)
        message = self.enter(**login)
        self.server = server_for(self.codec, message.profile)
        welcome = self.server.welcome
        assert welcome is not None
        self.session.send(welcome, 0)

    def says(self, data: bytes) -> tuple[Message, bytes]:
        """The message of a command, and what the server gets."""
        (message,) = self.session.receive(data)
        return message, (self.server.send(message, 0) if message.answer is None else b"")

    def hears(self, data: bytes) -> tuple[Message, bytes]:
        """The server's answer, and what the client gets."""
        (message,) = self.server.receive(data)
        return message, self.session.send(message, message.id)

    def does(self, said: bytes, answer: bytes | None = None) -> Hold:
        self.says(said)
        return self.hears(answer or ok())[0].hold


def server_for(made: MySQL, profile: object, flags: int = SERVER) -> Any:
    """A session towards a server that has logged in and is in that state."""
    session: Any = made.session(Side.SERVER, MAX)
    assert session.open(profile, CREDENTIALS) == b""
    session.receive(greeting(flags))
    session.owed()
    session.receive(ok(2))
    for _ in range(4):
        if not session.ready:
            session.owed()
            session.receive(ok())
    assert session.ready
    return session


def greeting(flags: int = SERVER, plugin: bytes = NATIVE) -> bytes:
    return packet(Greeting(b"8.0.42", 7, CHALLENGE, flags, 45, AUTOCOMMIT, plugin).write(), 0)


# -- the contract


# No plain read: an error that says that its server ends is none to that, see test_mysql_shutdown.py.
COMMANDS = [
    query("select 1 for update"),
    query("set wait_timeout = 5"),
    command(4, b"t\0"),
    command(2, "other"),
    query("begin"),
]
ANSWERS = [ok(), error(), rows([["1", "a"], ["2", "b"]]), rows([["1"]], status=10) + ok(5)]


def prepare(session: Any, side: Side) -> None:
    if side is Side.CLIENT:
        greeted = Greeting.read(payload_of(session.open(None, {})))
        answer = proof(SHA2, b"ann-password", greeted.challenge)
        (message,) = session.receive(packet(Login(BASE, 0, 45, b"ann", answer, b"d", SHA2, b"").write(), 1))
        session.send(Message(RESPONSE, ok(2)), 0)
        assert message.kind is CONNECT
    else:
        session.receive(greeting())
        session.receive(ok(2))
        for _ in range(4):
            if not session.ready:
                session.receive(ok())
        for _ in ANSWERS:
            session.send(Message(REQUEST, query("select 1")), 0)


def test_it_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.codecs.mysql.accounts.new_challenge", lambda: CHALLENGE)
    check_codec(
        codec(), client=COMMANDS, server=ANSWERS, prepare=prepare, join=join, credentials=CREDENTIALS,
    )  # fmt: skip


def test_with_users_clients_borrow_connections() -> None:
    made = codec()
    assert (made.connections, made.server_first, made.greets) == ("transaction", False, True)
    assert (MySQL().connections, MySQL().server_first, MySQL().greets) == ("pinned", True, False)


@pytest.mark.parametrize(
    ("users", "text"),
    [
        ({}, "write {app: {secret: NAME}}"), (["ann"], "write {app: {secret: NAME}}"), ({"": "x"}, "no name"),
        ({"ann": ""}, "password of user 'ann'"), ({"ann": 5}, "password of user 'ann'"),
    ],
)  # fmt: skip
def test_users_that_are_written_wrong_are_errors_without_a_password(users: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MySQL(users=users)


# -- the login of a client


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_proof_of_either_kind_lets_a_client_in(plugin: bytes) -> None:
    client = Client()
    message = client.enter(plugin=plugin)
    assert (message.kind, message.hold, message.get("user"), message.get("database")) == (
        CONNECT, Hold.EXCHANGE, "ann", "d",
    )  # fmt: skip
    quick = packet(b"\1\3", 2) if plugin == SHA2 else b""
    assert client.session.send(Message(RESPONSE, ok(2)), 0) == quick + ok(3 if quick else 2)


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize(("user", "password"), [("ann", "wrong"), ("ann", "bob-password"), ("eve", "ann-password")])
def test_a_wrong_proof_lets_nobody_in(plugin: bytes, user: str, password: str) -> None:
    client = Client()
    assert client.login(user, password, plugin) == []
    said = client.session.owed()
    refusal = read_error(payload_of(said))
    assert (refusal.number, refusal.state, said[3]) == (1045, "28000", 2)
    assert refusal.text == f"Access denied for user '{user}'"
    assert client.session.closing
    assert client.session.receive(query("select 1")) == []


@pytest.mark.parametrize(
    ("first", "theirs", "asked"),
    [(SHA2, b"client_ed25519", NATIVE), (NATIVE, b"dialog", SHA2), (SHA2, b"", NATIVE)],
)
def test_a_client_that_can_t_answer_the_greeting_is_asked_for_another_proof(
    first: bytes, theirs: bytes, asked: bytes
) -> None:
    client = Client(codec(method=first.decode()))
    said = Login(BASE, 1 << 24, 45, b"ann", b"", b"d", theirs, b"")
    assert client.session.receive(packet(said.write(), 1)) == []
    question = client.session.owed()
    switch = Switch.read(payload_of(question))
    assert (switch.plugin, question[3]) == (asked, 2)
    assert switch.challenge != client.greeting.challenge
    (message,) = client.session.receive(packet(proof(asked, b"ann-password", switch.challenge), 3))
    assert message.kind is CONNECT
    answer = client.session.send(Message(RESPONSE, ok(2)), 0)
    assert answer == (packet(b"\1\3", 4) + ok(5) if asked == SHA2 else ok(4))


def test_challenges_are_all_different() -> None:
    made = codec()
    assert len({Client(made).greeting.challenge for _ in range(50)}) == 50


def test_a_command_before_the_login_ends_the_connection() -> None:
    client = Client()
    client.session.receive(query("select 1"))
    assert "before the login" in str(client.session.error)
    assert read_error(payload_of(client.session.owed())).number == 1835


def test_a_client_that_no_server_is_there_for_gets_an_error_behind_its_proof() -> None:
    client = Client()
    message = client.enter()
    made = client.codec.reply(message, ErrorKind.NO_ENDPOINT, "no server")
    assert isinstance(made, Message)
    frame = client.session.send(made, 0)
    assert isinstance(frame, FinalFrame)
    assert frame.startswith(packet(b"\1\3", 2))
    assert frame[6 + 3] == 3 and read_error(payload_of(frame[6:]))[:2] == (1429, "HY000")


def test_what_all_connections_have_is_offered_and_nothing_else() -> None:
    offered = Client().greeting.capabilities
    assert not offered & (C.SSL | C.COMPRESS | C.DEPRECATE_EOF | C.SESSION_TRACK | C.QUERY_ATTRIBUTES)


def test_the_greeting_shows_the_version_of_the_servers_once_one_was_seen() -> None:
    made = codec()
    assert Client(made).greeting.version == b"8.0.40-metaproxy"
    server_for(made, Profile())
    assert Client(made).greeting.version == b"8.0.42"
    assert Client(codec(version="5.7.1")).greeting.version == b"5.7.1"
    assert Client(codec(version="5.7.1")).greeting.plugin == SHA2
    mariadb = Client(codec(version="5.5.5-10.11.6-MariaDB"))
    assert mariadb.greeting.plugin == NATIVE
    assert mariadb.enter(plugin=NATIVE).kind is CONNECT


def test_tls_begins_where_the_listener_has_it() -> None:
    client = Client(facts={"tls.start": "required"})
    assert client.greeting.capabilities & C.SSL
    assert client.session.receive(packet(tls_request(BASE | C.SSL, 1 << 24), 1) + b"hello") == []
    assert client.session.start_tls and client.session.tls_rest == b"hello" and client.session.owes
    client.session.facts = {"tls.version": "TLSv1.3"}
    assert client.session.open(None, {}) == b"" and not client.session.start_tls
    (message,) = client.login(sequence=2, flags=BASE | C.SSL)
    assert message.kind is CONNECT
    assert client.session.send(Message(RESPONSE, ok(2)), 0)[3] == 3


def test_a_client_without_tls_is_refused_where_it_is_required() -> None:
    client = Client(facts={"tls.start": "required"})
    assert client.login() == []
    assert read_error(payload_of(client.session.owed())).number == 3159
    assert Client(facts={"tls.start": "optional"}).enter().kind is CONNECT


# -- the login of the proxy


def login_at(greeted: bytes, credentials: dict[str, str] | None = None, secure: bool = False) -> tuple[Any, Login]:
    session: Any = codec().session(Side.SERVER, MAX)
    if secure:
        session.facts = {"tls.version": "TLSv1.3"}
    session.open(Profile(charset=45), credentials or CREDENTIALS)
    assert session.receive(greeted) == []
    said = session.owed()
    assert said[3] == 1
    return session, Login.read(payload_of(said))


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_the_proxy_proves_its_password_as_it_is_asked(plugin: bytes) -> None:
    session, login = login_at(greeting(plugin=plugin))
    assert (login.user, login.plugin, login.answer) == (b"app", plugin, proof(plugin, b"app-password", CHALLENGE))
    session.receive((packet(b"\1\3", 2) if plugin == SHA2 else b"") + ok(3))
    assert session.ready and session.welcome is not None


def test_the_proxy_follows_to_another_method() -> None:
    session, _ = login_at(greeting(plugin=b"client_ed25519"))
    session.receive(packet(Switch(SHA2, b"z" * 20).write(), 2))
    assert session.owed() == packet(proof(SHA2, b"app-password", b"z" * 20), 3)
    session.receive(packet(b"\1\3", 4) + ok(5))
    assert session.ready


def test_an_unknown_method_is_an_error_that_names_it() -> None:
    session, _ = login_at(greeting())
    session.receive(packet(Switch(b"client_ed25519", b"z" * 32).write(), 2))
    assert "client_ed25519" in str(session.error)


def test_behind_tls_the_password_is_said_where_the_server_wants_it() -> None:
    session, _ = login_at(greeting(plugin=SHA2), secure=True)
    session.receive(packet(b"\1\4", 2))
    assert session.owed() == packet(b"app-password\0", 3)
    session.receive(ok(4))
    assert session.ready


KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def decrypted(data: bytes) -> bytes:
    sha1 = hashes.SHA1()
    said = KEY.decrypt(data, padding.OAEP(padding.MGF1(sha1), sha1, None))
    return bytes(a ^ CHALLENGE[place % 20] for place, a in enumerate(said))


def test_without_tls_it_is_encrypted_for_a_key_that_is_known() -> None:
    session, _ = login_at(greeting(plugin=SHA2), {**CREDENTIALS, "public_key": PEM.decode()})
    session.receive(packet(b"\1\4", 2))
    said = session.owed()
    assert said[3] == 3 and decrypted(payload_of(said)) == b"app-password\0"


def test_or_for_one_that_the_server_is_asked_for_if_that_is_allowed() -> None:
    session, _ = login_at(greeting(plugin=SHA2), {**CREDENTIALS, "public_key": "ask"})
    session.receive(packet(b"\1\4", 2))
    assert session.owed() == packet(b"\2", 3)
    session.receive(packet(b"\1" + PEM, 4))
    said = session.owed()
    assert said[3] == 5 and decrypted(payload_of(said)) == b"app-password\0"
    session.receive(ok(6))
    assert session.ready


def test_else_the_login_ends_with_an_error_that_says_what_to_write() -> None:
    session, _ = login_at(greeting(plugin=SHA2))
    session.receive(packet(b"\1\4", 2))
    assert "public_key" in str(session.error) and session.owed() == b""


@pytest.mark.parametrize("key", [b"no key", secrets.token_bytes(200), b"-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_a_key_that_is_none_is_an_error(key: bytes) -> None:
    session, _ = login_at(greeting(plugin=SHA2), {**CREDENTIALS, "public_key": "ask"})
    session.receive(packet(b"\1\4", 2))
    session.receive(packet(b"\1" + key, 4))
    assert "public key" in str(session.error)


def test_a_login_that_is_refused_is_an_error_with_the_server_s_words() -> None:
    session, _ = login_at(greeting())
    session.receive(packet(b"\xff\x15\x04#28000Access denied", 2))
    assert "1045 Access denied" in str(session.error) and not session.ready


def test_tls_towards_a_server_begins_behind_its_greeting() -> None:
    session: Any = codec().session(Side.SERVER, MAX)
    session.facts = {"tls.start": "required"}
    session.open(Profile(charset=45), CREDENTIALS)
    session.receive(greeting())
    said = session.owed()
    assert session.start_tls and said[3] == 1 and len(said) == 36
    session.facts = {"tls.version": "TLSv1.3"}
    login = session.open(Profile(charset=45), CREDENTIALS)
    assert login[3] == 2 and Login.read(payload_of(login)).capabilities & C.SSL
    session.receive(ok(3))
    assert session.ready and not session.start_tls


def test_a_server_without_tls_is_not_logged_in_at_where_tls_must_be() -> None:
    session: Any = codec().session(Side.SERVER, MAX)
    session.facts = {"tls.start": "required"}
    session.open(Profile(charset=45), CREDENTIALS)
    session.receive(greeting(SERVER & ~C.SSL))
    assert "does not offer TLS" in str(session.error) and session.owed() == b""


def test_what_a_server_says_where_tls_begins_is_an_error() -> None:
    session: Any = codec().session(Side.SERVER, MAX)
    session.facts = {"tls.start": "required"}
    session.open(Profile(charset=45), CREDENTIALS)
    session.receive(greeting() + ok(2))
    assert "TLS was to begin" in str(session.error)


# -- transactions


def test_a_connection_is_kept_as_long_as_a_transaction_is_open() -> None:
    both = Both()
    assert both.does(query("select 1"), rows([["1"]])) is Hold.CLOSE
    assert both.does(query("begin"), ok(status=IN_TRANSACTION)) is Hold.OPEN
    assert both.does(query("nonsense"), error()) is Hold.OPEN
    assert both.does(query("select 1"), rows([["1"]], status=IN_TRANSACTION)) is Hold.OPEN
    assert not both.server.reusable
    assert both.does(query("commit")) is Hold.CLOSE
    assert both.server.reusable


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("create temporary table a (b int)", "a temporary table"), ("select @a := 1", "a user variable"),
        ("select /* x */ get_lock('a', 1)", "GET_LOCK()"), ("lock tables a read", "LOCK TABLES"),
        ("prepare a from 'select 1'", "PREPARE"), ("handler a open", "HANDLER"), ("call f()", "a procedure"),
        ("flush tables with read lock", "LOCK TABLES"), ("xa start 'a'", "XA"), ("set @a = 1", "a user variable"),
        ("set transaction read only", "SET TRANSACTION"), ("set sql_mode = 'ANSI'", "an sql_mode in which statements"
         " are read in another way"), ("select 1; set a = 1", "SET or USE among other statements"),
        ("begin not atomic set session a = 1; end", "a compound statement"),
        ("if 1 then set a = 1; end if", "a compound statement"),
        ("l: loop set a = 1; end loop", "a compound statement"),
        ("select 1; repeat set a = 1; until 1 end repeat", "a compound statement"), ("backup stage start", "BACKUP"),
        ("select `get_lock`('a', 1)", "GET_LOCK()"), ("select \"GET_LOCK\"('a', 1)", "GET_LOCK()"),
        ("/*!40101 set @a = 1 */", "a user variable"), ("set role admin", "SET ROLE"),
    ],
)  # fmt: skip
def test_what_can_t_be_made_again_keeps_it(text: str, reason: str) -> None:
    both = Both()
    message, _ = both.says(query(text))
    assert reason in (message.get("bound") or "").split(", ")
    assert both.hears(ok())[0].hold is Hold.OPEN
    assert both.does(query("select 1")) is Hold.OPEN
    assert not both.server.reusable


@pytest.mark.parametrize(
    "text",
    [
        "select 'a@b', \"@x\", `@y` from t", "insert into t values ('get_lock(')", "update t set a = 1 -- @b\n",
        "select temporary_x, locked from t", "select @@version", "delete from t where a = 'temporary'",
        "insert into t values (1); select 1", "(select 1) union (select 2);", "table t;",
        "begin; insert into t values (1); commit", "select case when 1 then 'a;b' else 2 end from t",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_does_not(text: str) -> None:
    both = Both()
    message, _ = both.says(query(text))
    assert message.get("bound") is None
    assert both.hears(ok())[0].hold is Hold.CLOSE


def test_locks_of_tables_are_gone_when_they_are_given_back() -> None:
    both = Both()
    assert both.does(query("lock tables t read")) is Hold.OPEN
    assert both.does(query("unlock tables")) is Hold.CLOSE


def test_a_connection_that_something_is_left_on_logs_in_again_before_it_is_another_s() -> None:
    both = Both()
    both.does(query("set @a = 1"))
    said = both.server.change(Profile(BASE & int(C.MULTI_STATEMENTS), 45, b"d"))
    assert said[4] == 0x11 and not both.server.ready
    both.server.receive(ok(1))
    assert both.server.owed() == command(2, "d")
    both.server.receive(ok(1))
    assert both.server.ready and both.server.reusable


# -- settings


def test_settings_follow_the_client() -> None:
    both = Both()
    message, _ = both.says(query("set wait_timeout = 5, sql_mode = concat(@@sql_mode, ',X')"))
    before = message.profile
    assert both.hears(ok())[0].hold is Hold.CLOSE and not both.server.reusable
    (after,) = both.session.receive(query("select 1"))
    assert isinstance(after.profile, Profile) and isinstance(before, Profile)
    assert dict(after.profile.settings) == {
        "wait_timeout": "5", "sql_mode": "concat ( @@sql_mode , ',X' )",
    }  # fmt: skip
    back = both.server.change(before)
    assert set(map(payload_of, split(back))) == {b"\3SET wait_timeout = DEFAULT", b"\3SET sql_mode = DEFAULT"}
    both.server.receive(ok() + ok())
    assert both.server.ready and both.server.reusable
    again = both.server.change(after.profile)
    assert list(map(payload_of, split(again))) == [
        b"\3SET wait_timeout = 5", b"\3SET sql_mode = DEFAULT", b"\3SET sql_mode = concat ( @@sql_mode , ',X' )",
    ]  # fmt: skip


def split(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, _ = head_of(data, 0)
        found.append(data[: 4 + size])
        data = data[4 + size :]
    return found


def test_a_setting_that_the_server_refuses_is_none() -> None:
    both = Both()
    message, _ = both.says(query("set nothing = 5"))
    both.hears(error(1193))
    (after,) = both.session.receive(query("select 1"))
    assert after.profile == message.profile and both.server.reusable


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("set names utf8mb4 collate utf8mb4_bin", (("names", "utf8mb4 collate utf8mb4_bin"),)),
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
         (("session transaction isolation level", "READ COMMITTED"),)),
        ("set @@session.a = 1, local b := 'x;y', `c`=on", (("a", "1"), ("b", "'x;y'"), ("c", "on"))),
        ("set global a = 1", ()), ("set @@global.a = 1, b = 2", (("b", "2"),)), ("set password = 'x'", ()),
        ("set a = -1.5", (("a", "- 1.5"),)), ("set /* a */ x = 1 -- b\n", (("x", "1"),)),
    ],
)  # fmt: skip
def test_settings_are_read(text: str, made: object) -> None:
    assert read_set(text) == (made, "")


@pytest.mark.parametrize(
    "text",
    [
        "set a = (select 1)", "set a = @b", "set", "set names", "set character set latin1", "set a", "set a = 1,",
        "set x.y = 1", "set a = " + "1" * 5000, "set session transaction read only, isolation level serializable",
    ],
)  # fmt: skip
def test_others_keep_the_connection(text: str) -> None:
    assert read_set(text).why


def test_the_characters_of_a_login_can_be_made_by_set_names() -> None:
    base = Profile(charset=45)
    latin = b"SET NAMES latin1 COLLATE latin1_swedish_ci"
    assert texts(base, base._replace(charset=8)) == [latin]
    plain = base.with_setting("character_set_results", "utf8")
    assert texts(plain, plain._replace(charset=8)) == [latin, b"SET character_set_results = utf8"], "which that undoes"
    named = base.with_setting("names", "'cp1250'")
    assert texts(named, named._replace(charset=255)) == [b"SET NAMES 'cp1250'"]
    assert texts(plain, base) == [b"SET NAMES utf8mb4 COLLATE utf8mb4_general_ci"]
    assert texts(named.with_setting("character_set_results", "utf8"), named) == [b"SET NAMES 'cp1250'"]


def texts(before: Profile, after: Profile) -> list[bytes]:
    return [payload_of(frame)[1:] for frame in difference(before, after) or ()]


def test_a_state_that_can_t_be_reached_from_another_needs_a_new_login() -> None:
    base = Profile(charset=45, database=b"d")
    assert difference(base, base) == []
    assert difference(base, base._replace(database=b"")) is None
    assert difference(base, base._replace(charset=255)) is None
    isolated = base.with_setting("session transaction isolation level", "SERIALIZABLE")
    assert difference(isolated, base) is None
    assert base.with_setting("a", "1").with_setting("a", "DEFAULT") == base


def test_connections_with_other_capabilities_are_not_changed() -> None:
    session = server_for(codec(), Profile(charset=45))
    assert session.change(Profile(int(C.FOUND_ROWS), 45)) is None
    (said,) = split(session.change(Profile(int(C.MULTI_STATEMENTS), 45)))
    assert payload_of(said) == b"\x1b\0\0"


def test_the_database_of_a_login_that_is_not_there_is_the_server_s_error() -> None:
    client = Client()
    message = client.enter()
    session: Any = client.codec.session(Side.SERVER, MAX)
    session.open(message.profile, CREDENTIALS)
    session.receive(greeting())
    session.receive(ok(2))
    session.receive(error(1049, text="Unknown database 'd'"))
    assert session.ready and not session.reusable
    frame = client.session.send(session.welcome, 0)
    assert isinstance(frame, FinalFrame) and "Unknown database" in str(bytes(frame))
    with pytest.raises(FrameError, match="1049"):
        session.send(Message(REQUEST, query("select 1")), 0)


def test_a_setting_that_fails_when_others_are_wanted_by_then_is_nobody_s_error() -> None:
    made = codec()
    session = server_for(made, Profile(charset=45, database=b"d"))
    session.change(Profile(charset=45, database=b"nowhere"))
    session.change(Profile(charset=45, database=b"other"))
    session.receive(error(1049) + ok())
    assert not session.ready and session.owed()[4] == 0x11
    session.receive(ok())
    assert session.owed() == command(2, "other")
    session.receive(ok())
    assert session.ready and session.reusable and session.welcome.kind is RESPONSE


def test_most_statements_are_not_looked_at_twice() -> None:
    for text in (b"select a from t where b = 1", b"insert into t values (1)", b"update t set a = 1", b"delete from t;"):
        assert outcome_of(text) is NOTHING


def test_of_a_statement_of_very_many_words_nothing_is_certain() -> None:
    found = outcome_of(b"select @a" + b",a" * 50_000 + b"; kill 7")
    assert found.names_clients and "a statement of many words" in found.reasons
    assert outcome_of(b"insert into t values " + b"('a@b', null)," * 50_000 + b"(1, 2)") == NOTHING


@pytest.mark.parametrize("text", ["update t set a = last_insert_id(a + 1)", "select last_insert_id( )"])
def test_a_last_id_that_answers_tell_keeps_none(text: str) -> None:
    assert outcome_of(text.encode()) == NOTHING._replace(follows="insert_id")


def test_one_that_no_answer_tells_does() -> None:
    assert outcome_of(b"select last_insert_id(77)").reasons == {"LAST_INSERT_ID(value)"}


# -- what follows a statement


def test_the_last_id_is_made_again_on_another_connection() -> None:
    both = Both()
    both.does(query("insert into t values (1)"), packet(b"\0\1\x2a\2\0\0\0", 1))
    _, same = both.says(query("select last_insert_id()"))
    assert same == query("select last_insert_id()")
    both.hears(rows([["42"]]))
    other = server_for(both.codec, Profile())
    (message,) = both.session.receive(query("select last_insert_id()"))
    assert other.send(message, 0) == query("SET last_insert_id = 42") + query("select last_insert_id()")
    assert kinds(other.receive(ok() + rows([["42"]]))) == [RESPONSE]


def test_what_a_command_leaves_counts_also_where_another_answer_came_with_its_own() -> None:
    both = Both()
    _, sent = both.says(query("select last_insert_id(), get_lock('a', 1)"))
    assert sent.startswith(query("SET last_insert_id = 0"))
    (answer,) = both.server.receive(ok() + rows([["0", "1"]]))
    assert answer.hold is Hold.OPEN and not both.server.reusable


def test_a_server_that_begins_to_say_what_nobody_asked_for_loses_the_connection() -> None:
    both = Both()
    both.says(query("select 1"))
    (answer,) = both.server.receive(ok() + b"ass")
    assert answer.kind is RESPONSE
    assert both.server.error is not None, "the rest would be read as a part of another client's answer"


def test_warnings_keep_the_connection_for_one_statement() -> None:
    both = Both()
    assert both.does(query("select 1/0"), packet(b"\0\0\0\2\0\1\0", 1)) is Hold.OPEN
    assert both.does(query("select 1"), ok()) is Hold.CLOSE


def test_rows_that_were_found_elsewhere_are_not_told_wrong() -> None:
    both = Both()
    (message,) = both.session.receive(query("select found_rows()"))
    with pytest.raises(FrameError, match="mode: session") as caught:
        server_for(both.codec, Profile()).send(message, 0)
    assert caught.value.kind is ErrorKind.UNSUPPORTED


# -- prepared statements


def execution(id: int, values: bytes = b"") -> bytes:
    return command(0x17, id.to_bytes(4, "little") + b"\0\1\0\0\0" + values)


def test_a_statement_has_the_client_s_id_and_is_prepared_where_it_is_missing() -> None:
    both = Both()
    both.says(command(0x16, "select ?"))
    _, got = both.hears(prepared(77, 1, 1))
    assert got[5:9] == b"\1\0\0\0"
    _, sent = both.says(execution(1, b"\0\1\3\0\5\0\0\0"))
    assert sent == execution(77, b"\0\1\3\0\5\0\0\0")
    both.hears(ok())
    other = server_for(both.codec, Profile())
    (message,) = both.session.receive(execution(1, b"\0\0\6\0\0\0"))
    assert other.send(message, 0) == command(0x16, "select ?")
    assert other.receive(prepared(5, 1, 1)) == []
    assert other.owed() == execution(5, b"\0\1\3\0\6\0\0\0"), "with the types that this server does not know"
    assert kinds(other.receive(ok())) == [RESPONSE]


def test_a_statement_that_can_t_be_prepared_there_is_an_error_of_its_execution() -> None:
    both = Both()
    both.says(command(0x16, "select ?"))
    both.hears(prepared(77, 0, 1))
    other = server_for(both.codec, Profile())
    (message,) = both.session.receive(execution(1))
    other.send(message, 0)
    (answer,) = other.receive(error())
    assert (answer.kind, answer.hold) == (ERROR, Hold.CLOSE)


def test_the_statement_that_was_prepared_last_can_be_named_before_its_id_is_known() -> None:
    both = Both()
    first, second = both.session.receive(command(0x16, "select ?") + execution(0xFFFFFFFF, b"\0\1\3\0\5\0\0\0"))
    both.server.send(first, 0)
    both.hears(prepared(77, 1, 1))
    assert second.get("statement") == "select"
    assert both.server.send(second, 0) == execution(77, b"\0\1\3\0\5\0\0\0")
    both.hears(ok())
    _, sent = both.says(execution(1, b"\0\0\6\0\0\0"))
    assert sent == execution(77, b"\0\1\3\0\6\0\0\0"), "its types count as well"


def bulk(id: int, flags: int, values: bytes) -> bytes:
    return command(0xFA, id.to_bytes(4, "little") + flags.to_bytes(2, "little") + values)


def test_bulk_execution_is_offered_behind_a_server_of_mariadb_that_has_it() -> None:
    made = codec(version="5.5.5-10.11.6-MariaDB")
    assert Client(made).greeting.capabilities & C.MYSQL
    server_for(made, Profile(), SERVER | C.STMT_BULK)
    offered = Client(made).greeting.capabilities
    assert offered & C.STMT_BULK and not offered & C.MYSQL
    assert not Client(codec(version="8.0.40")).greeting.capabilities & C.STMT_BULK


def test_bulk_execution_follows_the_client_to_other_connections() -> None:
    made = codec(version="5.5.5-10.11.6-MariaDB")
    server = server_for(made, Profile(), SERVER | C.STMT_BULK)
    both = Both(made, plugin=NATIVE, flags=BASE | C.STMT_BULK)
    both.server = server
    both.says(command(0x16, "insert into t values (?)"))
    both.hears(prepared(77, 1, 0))
    message, sent = both.says(bulk(1, 0x80, b"\3\0\0\5\0\0\0"))
    assert (message.get("command"), message.get("statement")) == ("stmt_bulk_execute", "insert")
    assert sent == bulk(77, 0x80, b"\3\0\0\5\0\0\0")
    both.hears(ok())
    other = server_for(made, Profile(), SERVER | C.STMT_BULK)
    (message,) = both.session.receive(bulk(1, 0, b"\0\6\0\0\0"))
    other.send(message, 0)
    other.receive(prepared(5, 1, 0))
    assert other.owed() == bulk(5, 0x80, b"\3\0\0\6\0\0\0"), "with the types that this server does not know"
    without = server_for(made, Profile())
    (message,) = both.session.receive(bulk(1, 0x80, b"\3\0\0\5\0\0\0"))
    with pytest.raises(FrameError, match="no bulk execution"):
        without.send(message, 0)


def test_the_same_text_is_kept_once_on_a_connection() -> None:
    both = Both()
    for _ in range(2):
        both.says(command(0x16, "select 1"))
        both.hears(prepared(70, 0, 1))
        both.says(command(0x16, "select 1"))
        both.hears(prepared(71, 0, 1))
    _, sent = both.says(query("select 1"))
    assert sent.startswith(command(0x19, (71).to_bytes(4, "little")))


def test_closing_a_statement_is_no_business_of_the_server() -> None:
    both = Both()
    both.says(command(0x16, "select 1"))
    both.hears(prepared(70, 0, 1))
    message, _ = both.says(command(0x19, b"\1\0\0\0"))
    assert message.answer == b""
    message, _ = both.says(execution(1))
    assert message.answer is not None and read_error(payload_of(message.answer)).number == 1243


def test_values_that_are_sent_ahead_and_cursors_keep_the_connection() -> None:
    both = Both()
    both.says(command(0x16, "select ?"))
    both.hears(prepared(70, 0, 1))
    message, sent = both.says(command(0x18, b"\1\0\0\0\0\0value"))
    assert (message.kind, message.hold, sent) == (ONEWAY, Hold.OPEN, command(0x18, b"\x46\0\0\0\0\0value"))
    both.says(execution(1))
    columns = packet(b"\1", 1) + column("a", 2) + eof(3, AUTOCOMMIT | 0x40)
    assert both.hears(columns)[0].hold is Hold.OPEN
    both.says(command(0x1C, b"\1\0\0\0\5\0\0\0"))
    assert both.hears(packet(b"\0\0\1", 1) + eof(2, AUTOCOMMIT | 0x80))[0].hold is Hold.CLOSE


# -- what is answered here


def test_a_ping_and_a_goodbye_are_answered_by_the_proxy() -> None:
    both = Both()
    assert both.says(command(14))[0].answer == ok()
    assert both.says(command(1))[0].answer == b"" and both.session.closing


@pytest.mark.parametrize("code", [0x12, 0x1E, 0x15, 0xFA, 0x20])
def test_what_needs_a_connection_of_its_own_is_refused_by_name(code: int) -> None:
    answer = Both().says(command(code, b"x"))[0].answer
    assert answer is not None and read_error(payload_of(answer)).number in (1235, 1047)


def test_a_reset_forgets_settings_and_statements() -> None:
    both = Both()
    both.does(query("set a = 1"))
    both.says(command(0x16, "select 1"))
    both.hears(prepared(70, 0, 1))
    assert both.says(command(0x1F))[0].answer == ok()
    (message,) = both.session.receive(query("select 1"))
    assert isinstance(message.profile, Profile) and message.profile.settings == ()
    both.does(query("set @a = 1"))
    message, sent = both.says(command(0x1F))
    assert sent == command(0x1F)
    assert both.hears(ok())[0].hold is Hold.CLOSE and not both.server.reusable


def test_another_user_may_log_in_on_a_connection() -> None:
    both = Both()
    answer = proof(SHA2, b"bob-password", both.greeting.challenge)
    said = b"bob\0" + bytes((len(answer),)) + answer + b"other\0\x2d\0" + SHA2 + b"\0"
    (message,) = both.session.receive(command(0x11, said))
    assert (message.kind, message.get("user"), message.get("database")) == (CONNECT, "bob", "other")
    assert both.session.send(Message(RESPONSE, ok(2)), 0) == packet(b"\1\3", 1) + ok(2)
    both.session.receive(command(0x11, said.replace(b"bob", b"eve")))
    assert read_error(payload_of(both.session.owed())).number == 1045 and both.session.closing


def test_a_health_check_pings() -> None:
    made = codec()
    probe = made.probe()
    assert probe is not None and probe.frame == command(14)
    session = server_for(made, probe.profile)
    assert session.send(probe, 0) == command(14)
    (answer,) = session.receive(ok())
    assert made.alive(answer)
    assert MySQL().probe() is None


# -- long ones


def test_a_long_statement_is_prepared_whole_however_it_is_cut() -> None:
    said = command(0x16, "select '" + "x" * 700_000 + "'")
    for size in (len(said), 65536, 7):
        both = Both(codec(stream_over=65536))
        found = [one for at in range(0, len(said), size) for one in both.session.receive(said[at : at + size])]
        assert [(message.kind, message.frame) for message in found] == [(REQUEST, said)]
        assert both.session.buffered == 0


def test_one_that_is_longer_than_a_frame_ends_the_connection_before_it_is_there() -> None:
    both = Both(codec(stream_over=65536))
    both.session.receive(command(0x16, "x" * (1 << 20))[:100])
    assert isinstance(both.session.error, FrameError)


def test_the_statements_of_a_client_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.codecs.mysql.prepared_client.MOST_BYTES", 100)
    both = Both()
    both.does(command(0x16, "select 1 /*" + "x" * 60 + "*/"), prepared(1, 0, 1))
    message, _ = both.says(command(0x16, "select 2 /*" + "x" * 60 + "*/"))
    assert message.answer is not None
    assert read_error(payload_of(message.answer)).number == 1461
    both.says(command(0x19, b"\1\0\0\0"))
    assert both.says(command(0x16, "select 2 /*" + "x" * 60 + "*/"))[0].answer is None
