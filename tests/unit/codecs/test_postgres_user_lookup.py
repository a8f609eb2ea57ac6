"""PostgreSQL's users that a server knows, and logins at servers as the same user."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from struct import pack
from typing import Any

import pytest
from postgres_words import DONE, ROW, error, errors, kinds, messages, query, ready, said, startup

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs import scram
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.postgres.client_login import ClientLogin, LoginRefused
from metaproxy.codecs.postgres.pooled_client import Profile
from metaproxy.codecs.postgres.users import Secret, User
from metaproxy.message import Kind, Message, Side
from metaproxy.recording.entries import Frame
from metaproxy.testing.stage import Stage, Wire

ASKED = "select name, kept from known where name = $1"
WELCOME = said("R", b"\0\0\0\0") + said("S", b"server_version\x0015\0") + said("K", b"\0\0\0\1\0\0\0\2") + ready()
KEPT = scram.verifier("SCRAM-SHA-256", "pencil", b"salt" * 4)
MD5_KEPT = "md5" + hashlib.md5(b"pencilann").hexdigest()


def kept_text(iterations: int = KEPT.iterations) -> str:
    from base64 import b64encode

    salt, stored, server = (b64encode(part).decode() for part in (KEPT.salt, KEPT.stored_key, KEPT.server_key))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


def row(*values: str | None) -> bytes:
    parts = [b"\xff\xff\xff\xff" if value is None else pack(">I", len(value)) + value.encode() for value in values]
    return said("D", pack(">H", len(values)) + b"".join(parts))


def found(*rows: bytes) -> bytes:
    """An answer to the question for a user."""
    return said("1") + said("2") + b"".join(rows) + DONE + ready()


class Room(Stage):
    """A stage that asks a server for users. credentials: besides the proxy's own."""

    def __init__(self, mode: str = "transaction", most: int = 20, auth: Any = "scram-sha-256", **credentials: str):
        codec = Postgres(users={"bob": "rubber"}, auth=auth, auth_query=ASKED, own_database="own")
        super().__init__(codec, connections=ConnectionSettings(mode=mode, per_endpoint=most), breaker=Breaker())
        self.cluster.credentials = {"user": "app", "password": "secret", **credentials}

    def look_up(self, name: str, answer: bytes) -> Wire:
        """A client whose user the server was asked for."""
        client = self.client()
        self.say(client, startup(user=name, database="shop"))
        assert self.server.take() == startup(user="app", database="own")
        self.say(self.server, WELCOME)
        ((_, prepared), (_, bound), *rest) = messages(self.server.take())
        assert ASKED.encode() in prepared
        assert name.encode() in bound
        assert [kind for kind, _ in rest] == ["E", "S"]
        assert client.take() == b""
        self.say(self.server, answer)
        return client

    def prove(self, client: Wire, password: str = "pencil") -> bytes:
        """What follows the client's login by SCRAM."""
        assert client.take() == said("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
        login = scram.ScramClient("SCRAM-SHA-256", "", password)
        first = login.first()
        self.say(client, said("p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
        ((_, body),) = messages(client.take())
        self.say(client, said("p", login.final(body[4:])))
        return client.take()


def test_a_user_that_only_a_server_knows_logs_in() -> None:
    room = Room()
    client = room.look_up("ann", found(row("ann", kept_text())))
    room.prove(client)
    upstream = room.network.upstreams[-1]
    assert upstream.take() == startup(user="app", database="shop")
    room.say(upstream, WELCOME)
    assert kinds(client.take()) == "RRSKZ"


def test_users_of_the_configuration_are_not_asked_for() -> None:
    room = Room()
    client = room.client()
    room.say(client, startup(user="bob"))
    assert kinds(client.take()) == "R"
    assert not room.network.upstreams


@pytest.mark.parametrize(
    "answer",
    [found(), found(row("ann", None)), found(row("eve", kept_text())), found(row("ann", kept_text()))],
    ids=["no row", "no password", "another user", "another password"],
)
def test_who_is_not_known_is_refused_behind_its_password(answer: bytes) -> None:
    room = Room()
    client = room.look_up("ann", answer)
    assert errors(room.prove(client, "wrong")) == ["28P01"]
    assert client.closed


@pytest.mark.parametrize(
    "answer",
    [
        error("42501", "permission denied") + ready(),
        found(row("ann", kept_text()), row("ann", kept_text())),
        found(row(kept_text())),
        found(row("ann", "SCRAM-SHA-256$nothing")),
    ],
    ids=["refused", "two rows", "one column", "no verifier"],
)
def test_a_question_that_is_not_answered_well_ends_the_login(answer: bytes) -> None:
    room = Room()
    client = room.look_up("ann", answer)
    said = client.take()
    assert errors(said) == ["08P01"]
    assert b"auth_query" in said
    assert b"nothing" not in said
    assert client.closed


def test_a_message_before_the_server_has_asked_for_a_password_ends_the_login() -> None:
    room = Room()
    client = room.client()
    room.say(client, startup(user="ann"))
    room.say(room.server, WELCOME)
    room.say(client, said("p", b"pencil\0"))
    room.say(room.server, found(row("ann", kept_text())))
    assert errors(client.take()) == ["08P01"]
    assert client.closed


def test_the_proxy_logs_in_as_the_client_by_what_its_proof_has_shown() -> None:
    room = Room(login_as="client")
    client = room.look_up("ann", found(row("ann", kept_text())))
    room.prove(client)
    upstream = room.network.upstreams[-1]
    assert upstream.take() == startup(user="ann", database="shop")
    server = scram.ScramServer("SCRAM-SHA-256", lambda name: KEPT)
    room.say(upstream, said("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
    ((_, body),) = messages(upstream.take())
    room.say(upstream, said("R", b"\0\0\0\x0b" + server.first(body[len("SCRAM-SHA-256") + 5 :])))
    ((_, body),) = messages(upstream.take())
    room.say(upstream, said("R", b"\0\0\0\x0c" + server.final(body)) + WELCOME)
    assert kinds(client.take()) == "RRSKZ"


def test_the_proxy_logs_in_as_the_client_by_what_is_kept_for_md5() -> None:
    room = Room(auth="md5", login_as="client")
    client = room.look_up("ann", found(row("ann", MD5_KEPT)))
    ((_, body),) = messages(client.take())
    room.say(client, said("p", b"md5" + hashlib.md5(MD5_KEPT[3:].encode() + body[4:]).hexdigest().encode() + b"\0"))
    upstream = room.network.upstreams[-1]
    assert upstream.take() == startup(user="ann", database="shop")
    room.say(upstream, said("R", b"\0\0\0\5some"))
    proof = hashlib.md5(MD5_KEPT[3:].encode() + b"some").hexdigest().encode()
    assert upstream.take() == said("p", b"md5" + proof + b"\0")
    room.say(upstream, WELCOME)
    assert kinds(client.take()) == "RSKZ"


def test_a_server_that_wants_what_the_proof_has_not_shown_is_named() -> None:
    room = Room(login_as="client")
    client = room.look_up("ann", found(row("ann", kept_text())))
    room.prove(client)
    room.say(room.network.upstreams[-1], said("R", b"\0\0\0\5some"))
    answer = client.take()
    assert errors(answer) == ["08001"]
    assert b"only knows what SCRAM has shown" in answer


@pytest.mark.parametrize("password", ["", "pencil", MD5_KEPT])
def test_nobody_logs_in_by_scram_as_a_user_of_whom_md5_is_kept(password: str) -> None:
    room = Room()
    client = room.look_up("ann", found(row("ann", MD5_KEPT)))
    assert errors(room.prove(client, password)) == ["28P01"]
    assert (client.closed, len(room.network.upstreams)) == (True, 1)


@pytest.mark.parametrize(("iterations", "known"), [(4096, True), (0, False), (9_999_999, False)])
def test_a_password_is_checked_where_that_takes_a_bounded_time(iterations: int, known: bool) -> None:
    login = ClientLogin(User("ann", kept_text(iterations)), "password", "ann", True)
    assert login.begin() == said("R", b"\0\0\0\3")
    with nullcontext() if known else pytest.raises(LoginRefused, match="password authentication failed"):
        login.answer(said("p", b"pencil\0"))
    assert login.done == known


def test_md5_gives_way_to_scram_where_that_is_what_is_kept() -> None:
    room = Room(auth="md5")
    client = room.look_up("ann", found(row("ann", kept_text())))
    room.prove(client)
    assert room.network.upstreams[-1].take() == startup(user="app", database="shop")


def test_a_connection_of_one_user_is_no_other_user_s() -> None:
    room = Room(login_as="client", most=2)
    for name in ("ann", "eve"):
        client = room.client()
        room.say(client, startup(user=name, database="own"))
        if name == "ann":
            room.say(room.server, WELCOME)
        room.say(room.network.upstreams[0], found(row(name, kept_text())))
        room.prove(client)
        upstream = room.network.upstreams[-1]
        assert upstream.take() == startup(user=name, database="own")
        room.say(upstream, WELCOME)
        room.say(client, query("select 1"))
        assert upstream.take() == query("select 1")
        room.say(upstream, ROW + DONE + ready())


def test_in_mode_session_the_question_leaves_no_connection_with_the_client() -> None:
    room = Room("session")
    client = room.look_up("ann", found(row("ann", kept_text())))
    room.prove(client)
    first, second = room.network.upstreams
    room.say(second, WELCOME)
    client.take()
    room.say(client, query("select 1"))
    assert (first.take(), second.take()[-14:]) == (b"", query("select 1"))


def test_a_secret_is_not_shown() -> None:
    assert "pencil" not in repr(Secret("pencil", "md5", (b"pencil", b"pencil")))


def test_a_recording_has_a_profile_without_its_secret() -> None:
    profile = Profile("ann", "shop", "", (("search_path", "a"),), Secret("pencil"))
    message = Message(Kind.REQUEST, b"", profile=profile)
    written = Frame.of(message, b"", {}).json()
    assert written["profile"] == ("ann", "shop", "", (("search_path", "a"),))
    again = Frame.read(json.loads(json.dumps(written)))
    server = Postgres(users={"bob": "rubber"}).session(Side.SERVER, 1 << 20)
    assert server.open(again.profile, {"user": "app"}) == startup(user="app", database="shop")


@pytest.mark.parametrize(
    ("options", "what"),
    [({"auth_query": "select 1"}, r"\$1"), ({"auth_query": ASKED, "auth": "trust"}, "no use")],
)
def test_an_auth_query_that_can_t_work_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Postgres(**options)


@pytest.mark.parametrize(
    ("kept", "auth", "what"),
    [(MD5_KEPT, "scram-sha-256", "not enough"), (kept_text(9_999_999), "password", "iterations")],
)
def test_a_user_of_whom_too_little_is_written_is_refused(kept: str, auth: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Postgres(users={"ann": kept}, auth=auth)
