"""PostgreSQL where clients log in at the proxy: logins, connections taken in turn, and what clients may rely on."""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Any

import pytest
from postgres_words import (
    BOUND,
    BYE,
    DONE,
    EXECUTE,
    FLUSH,
    MAX,
    PARSED,
    ROW,
    SYNC,
    bind,
    error,
    errors,
    kinds,
    messages,
    parse,
    query,
    ready,
    said,
    startup,
)  # fmt: skip

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs import scram
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.postgres.pooled_client import Profile
from metaproxy.codecs.postgres.settings import restoring
from metaproxy.message import ErrorKind, Reply, Side
from metaproxy.testing.stage import Stage, Wire

HELLO = startup(user="ann", database="shop")
CLOSED = said("3")
STATUS = said("S", b"server_version\x0015\0")
WELCOME = said("R", b"\0\0\0\0") + STATUS + said("K", b"\0\0\0\1\0\0\0\2") + ready()
SERVERS = {"user": "app", "password": "secret"}


class Room(Stage):
    """A stage whose clients log in without a password. most: connections to the server."""

    def __init__(self, mode: str = "transaction", most: int = 20, auth: Any = "trust", **settings: Any) -> None:
        codec = Postgres(users={"ann": "pencil", "bob": "rubber"}, auth=auth)
        connections = ConnectionSettings(mode=mode, per_endpoint=most)
        super().__init__(codec, connections=connections, breaker=Breaker(), **settings)
        self.cluster.credentials = SERVERS

    def enter(self, hello: bytes = HELLO, then: bytes = b"") -> Wire:
        """A client that has logged in. then: what a connection that is opened for it is asked besides."""
        client = self.client()
        self.say(client, hello)
        self.clock.advance(0)
        for wire in self.network.upstreams:
            if wire.take()[4:8] == b"\0\3\0\0":
                self.say(wire, WELCOME)
                if then:
                    assert wire.take() == then
                    self.say(wire, DONE + ready())
        assert kinds(client.take())[-3:] == "SKZ"
        return client

    def ask(self, client: Wire, text: str, answer: bytes, server: int = 0) -> bytes:
        """The answer to a query, of which the server gets the bytes that are written here."""
        self.say(client, query(text))
        assert self.network.upstreams[server].take() == query(text)
        self.say(self.network.upstreams[server], answer)
        return client.take()


# -- logins


def test_a_client_proves_its_password_by_scram_and_the_proxy_its_own() -> None:
    room = Room(auth="scram-sha-256")
    client, login = room.client(), scram.ScramClient("SCRAM-SHA-256", "", "pencil")
    room.say(client, HELLO)
    assert client.take() == said("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
    first = login.first()
    room.say(client, said("p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
    ((_, body),) = messages(client.take())
    room.say(client, said("p", login.final(body[4:])))
    room.say(room.server, WELCOME)
    (_, final), *rest = messages(client.take())
    login.check(final[4:])
    assert [kind for kind, _ in rest] == list("RSKZ")


def test_a_client_proves_its_password_by_md5() -> None:
    room = Room(auth="md5")
    client = room.client()
    room.say(client, HELLO)
    ((_, body),) = messages(client.take())
    inner = hashlib.md5(b"pencilann").hexdigest().encode()
    room.say(client, said("p", b"md5" + hashlib.md5(inner + body[4:]).hexdigest().encode() + b"\0"))
    room.say(room.server, WELCOME)
    assert kinds(client.take()) == "RSKZ"


@pytest.mark.parametrize("auth", ["scram-sha-256", "md5", "trust"])
def test_a_user_that_is_not_known_gets_no_server(auth: str) -> None:
    room = Room(auth=auth)
    client = room.client()
    room.say(client, startup(user="eve"))
    if auth == "scram-sha-256":
        login = scram.ScramClient("SCRAM-SHA-256", "", "pencil")
        first = login.first()
        room.say(client, said("p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
        *_, (_, body) = messages(client.take())
        room.say(client, said("p", login.final(body[4:])))
    elif auth == "md5":
        client.take()
        room.say(client, said("p", b"md5" + b"0" * 32 + b"\0"))
    assert errors(client.take()) == ["28000" if auth == "trust" else "28P01"]
    assert client.closed and not room.network.upstreams


def test_a_password_is_only_taken_over_tls() -> None:
    room = Room(auth="password")
    client = room.client()
    room.say(client, HELLO)
    assert errors(client.take()) == ["28000"]


def test_the_proxy_logs_in_with_the_clusters_credentials_to_the_clients_database() -> None:
    room = Room()
    client = room.client()
    room.say(client, HELLO)
    assert room.server.take() == startup(user="app", database="shop")
    room.say(room.server, said("R", b"\0\0\0\5salt"))
    inner = hashlib.md5(b"secretapp").hexdigest().encode()
    assert room.server.take() == said("p", b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode() + b"\0")
    room.say(room.server, WELCOME)
    assert kinds(client.take()) == "RSKZ"


def test_a_server_that_wants_the_password_as_it_is_gets_it_over_tls_alone() -> None:
    room = Room()
    client = room.client()
    room.say(client, HELLO)
    room.server.take()
    room.say(room.server, said("R", b"\0\0\0\3"))
    assert (room.server.take(), room.server.closed) == (b"", True)
    assert errors(client.take()) == ["08001"]


def test_a_server_that_refuses_the_login_is_named_to_the_client() -> None:
    room = Room()
    client = room.client()
    room.say(client, HELLO)
    room.say(room.server, error("3D000", 'database "shop" does not exist', "FATAL"))
    answer = client.take()
    assert errors(answer) == ["08001"]
    assert b'database "shop" does not exist' in answer
    assert client.closed


def test_a_filter_may_refuse_the_login() -> None:
    room = Room(hooks={"on_request": (lambda exchange: Reply(ErrorKind.DENIED, "not ann"),)})
    client = room.client()
    room.say(client, HELLO)
    assert errors(client.take()) == ["28000"]
    assert client.closed


def test_a_client_of_a_newer_protocol_is_told_what_is_spoken() -> None:
    room = Room()
    client = room.client()
    hello = startup(**{"user": "ann", "_pq_.shiny": "1"}).replace(b"\0\3\0\0", b"\0\3\0\x09", 1)
    room.say(client, hello)
    room.say(room.server, WELCOME)
    (kind, body), *rest = messages(client.take())
    assert (kind, body) == ("v", b"\0\3\0\2\0\0\0\1_pq_.shiny\0")
    assert [kind for kind, _ in rest] == list("RSKZ")


@pytest.mark.parametrize(("minor", "size"), [(0, 4), (1, 4), (2, 32), (9, 32)])
def test_a_client_of_protocol_3_2_has_a_long_secret_to_cancel_by(minor: int, size: int) -> None:
    room = Room()
    client = room.client()
    room.say(client, HELLO.replace(b"\0\3\0\0", bytes((0, 3, 0, minor)), 1))
    room.say(room.server, WELCOME)
    (key,) = (body for kind, body in messages(client.take()) if kind == "K")
    assert len(key) == 4 + size
    room.say(client, query("select pg_sleep(9)"))
    room.say(room.client(), pack(">II", 12 + size, 80877102) + key)
    assert room.network.upstreams[-1].take() == pack(">II", 16, 80877102) + b"\0\0\0\1\0\0\0\2"


def test_the_last_words_to_a_client_say_why_it_ends() -> None:
    session = Postgres(users={"ann": "pencil"}).session(Side.CLIENT, MAX)
    for kind, code in ((ErrorKind.TIMEOUT, "25P03"), (ErrorKind.RESET, "08006")):
        assert errors(session.farewell(kind, "a transaction was idle for 5 s")) == [code]


# -- transactions


def test_clients_take_a_connection_in_turn() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    assert room.ask(ann, "select 1", ROW + DONE + ready()) == ROW + DONE + ready()
    assert room.ask(bob, "select 2", ROW + DONE + ready()) == ROW + DONE + ready()
    assert len(room.network.upstreams) == 1


def test_a_transaction_keeps_its_connection_until_its_end() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.ask(ann, "begin", DONE + ready("T"))
    room.say(bob, query("select 2"))
    assert room.server.take() == b""
    room.ask(ann, "commit", DONE + ready())
    assert room.server.take() == query("select 2")


def test_a_client_that_leaves_within_a_transaction_takes_the_connection_with_it() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.ask(ann, "begin", DONE + ready("T"))
    ann.end()
    assert room.server.closed


def test_a_goodbye_is_not_the_servers() -> None:
    room = Room()
    client = room.enter()
    room.say(client, BYE)
    assert client.closed
    assert (room.server.take(), room.server.closed) == (b"", False)


def test_parts_of_a_pipeline_stay_on_one_connection() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.say(ann, parse("select 1") + bind() + EXECUTE + FLUSH)
    room.say(room.server, PARSED + BOUND + DONE)
    room.server.take()
    room.say(bob, query("select 2"))
    room.say(ann, SYNC)
    assert room.server.take() == SYNC
    room.say(room.server, ready())
    assert room.server.take() == query("select 2")


def test_what_was_sent_behind_a_part_that_fails_is_skipped_up_to_its_sync() -> None:
    """The parts wait for each other's answers, and a server that skips gives none."""
    room = Room(most=1)
    client = room.enter()
    part = bind("s", b"x") + EXECUTE + FLUSH
    room.say(client, parse("select $1", "s") + part + part + part + SYNC + query("select 1"))
    assert room.server.take().endswith(EXECUTE + FLUSH)
    room.say(room.server, PARSED + BOUND + error())
    assert kinds(client.take()) == "12E"
    for _ in range(3):  # in the place of each part, as an answer comes to that
        assert room.server.take() == SYNC
        assert client.take() == b""
        room.say(room.server, ready())
    assert client.take() == ready()
    assert room.server.take() == query("select 1")


def test_a_long_part_behind_one_that_fails_is_skipped_too() -> None:
    room = Room(most=1)
    client = room.enter()
    long = bind("s", bytes(MAX // 2)) + EXECUTE + FLUSH
    room.say(client, parse("select $1", "s") + bind("s", b"x") + EXECUTE + FLUSH)
    room.say(client, long * 3 + SYNC)
    room.server.take()
    room.say(room.server, PARSED + BOUND + error())
    assert kinds(client.take()) == "12E"
    while (said := room.server.take()) == SYNC:
        room.say(room.server, ready())
    assert (said, client.take()) == (b"", ready())
    assert room.ask(client, "select 1", DONE + ready()) == DONE + ready()


def test_a_lost_connection_is_an_error_and_the_client_goes_on_with_another() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("select 1"))
    room.network.turn.begin()
    room.server.end()
    room.network.turn.end()
    answer = client.take()
    assert (errors(answer), messages(answer)[-1]) == (["08006"], ("Z", b"I"))
    room.say(client, query("select 2"))
    room.clock.advance(0)
    room.say(room.network.upstreams[1], WELCOME)
    assert room.network.upstreams[1].take().endswith(query("select 2"))


def test_a_transaction_whose_connection_is_lost_ends_its_client() -> None:
    room = Room()
    client = room.enter()
    room.ask(client, "begin", DONE + ready("T"))
    room.server.end()
    assert errors(client.take()) == ["08006"]
    assert client.closed


@pytest.mark.parametrize("kind", ["E", "N"])
def test_what_only_reads_may_be_asked_again_when_a_server_says_that_it_ends(kind: str) -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("select a from t"))
    room.say(room.server, kind.encode() + error("57P01", "immediate shutdown", "FATAL")[1:])
    assert client.take() == b""
    room.network.turn.begin()
    room.server.end()
    room.network.turn.end()
    assert (errors(client.take()), client.closed) == (["08006"], False)


def test_a_server_that_says_why_it_ends_has_the_last_word() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("select pg_terminate_backend(pg_backend_pid())"))
    room.say(room.server, error("57P01", "by an administrator", "FATAL"))
    room.server.end()
    assert (errors(client.take()), client.closed) == (["57P01"], True)


NOTICE = error("57P01", "immediate shutdown", "WARNING").replace(b"E", b"N", 1)
"""What PostgreSQL says to its clients when it is shut down at once."""


def test_a_server_that_says_by_a_notice_alone_that_it_ends_has_an_error_in_its_place() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("insert into t values (1)"))
    room.say(room.server, NOTICE)
    room.network.turn.begin()
    room.server.end()
    room.network.turn.end()
    answer = client.take()
    assert (errors(answer), messages(answer)[-1]) == (["08006"], ("Z", b"I"))


def test_a_notice_that_only_looks_like_the_end_is_passed_on() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("select warn()"))
    for part in (NOTICE, NOTICE, ROW, NOTICE + DONE + ready()):
        room.say(room.server, part)
    assert client.take() == NOTICE + NOTICE + ROW + NOTICE + DONE + ready()
    room.server.take()
    assert room.ask(client, "select warn()", NOTICE + ROW + DONE + ready()) == NOTICE + ROW + DONE + ready()


def test_an_answer_whose_server_is_gone_has_an_error_behind_its_beginning() -> None:
    for text, begun in (("select a from t for update", ROW), ("copy t from stdin", said("G", bytes(3)))):
        room = Room()
        client = room.enter()
        room.say(client, query(text))
        room.say(room.server, begun)
        room.say(room.server, NOTICE)
        assert client.take() == begun + NOTICE
        room.finish(room.server)
        assert (errors(client.take()), client.closed) == (["08006"], True)


def test_an_answer_that_ends_within_a_message_can_have_no_error_behind_it() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("select 1"))
    room.say(room.server, ROW + ROW[:-1])
    assert client.take() == ROW + ROW[:-1]
    room.finish(room.server)
    assert (client.take(), client.closed) == (b"", True)


def test_transactions_are_refused_where_connections_are_for_statements() -> None:
    room = Room("statement")
    client = room.enter()
    assert room.ask(client, "select 1", DONE + ready()) == DONE + ready()
    assert errors(room.ask(client, "begin", DONE + ready("T"))) == ["0A000"]


def test_a_session_keeps_its_connection_and_leaves_it_as_it_was() -> None:
    room = Room("session", most=1)
    ann = room.enter()
    room.ask(ann, "select pg_advisory_lock(1)", DONE + ready())
    room.ask(ann, "begin", DONE + ready("T"))
    room.say(ann, BYE)
    expected = query("ROLLBACK") + query("DISCARD ALL") + query("RESET ALL; RESET ROLE")
    assert room.server.take() == expected
    room.say(room.server, (DONE + ready()) * 3)
    bob = room.enter()
    assert room.ask(bob, "select 1", DONE + ready()) == DONE + ready()


@pytest.mark.parametrize("answer", [PARSED + BOUND + DONE, error()], ids=["done", "failed"])
def test_a_batch_that_its_client_did_not_finish_is_not_another_s(answer: bytes) -> None:
    room = Room("session", most=1)
    ann = room.enter()
    room.say(ann, parse("insert into t values (1)") + bind() + EXECUTE + FLUSH)
    room.say(room.server, answer)
    ann.end()
    assert room.server.closed
    bob = room.enter()
    assert room.ask(bob, "select 1", DONE + ready(), server=1) == DONE + ready()


def test_a_batch_that_its_client_has_finished_leaves_its_connection_to_another() -> None:
    room = Room("session", most=1)
    ann = room.enter()
    room.say(ann, parse("insert into t values (1)") + bind() + EXECUTE + FLUSH)
    room.say(room.server, PARSED + BOUND + DONE)
    room.say(ann, SYNC)
    room.say(room.server, ready())
    room.server.take()
    ann.end()
    assert room.ask(room.enter(), "select 1", DONE + ready()) == DONE + ready()


def test_a_cancel_ends_what_waits_for_a_connection() -> None:
    room = Room(most=1)
    ann = room.enter()
    bob = room.client()
    room.say(bob, startup(user="bob", database="shop"))
    key = next(body for kind, body in messages(bob.take()) if kind == "K")
    room.say(ann, query("select 1"))
    room.server.take()
    room.say(bob, parse("insert into t values (1)") + bind() + EXECUTE + SYNC + query("select 2"))
    canceller = room.client()
    room.say(canceller, pack(">II", 8 + len(key), 80877102) + key)
    room.clock.advance(0)
    answer = bob.take()
    assert (kinds(answer), errors(answer), canceller.closed) == ("EZ", ["57014"], True)
    room.say(room.server, DONE + ready())
    assert room.server.take() == query("select 2")


# -- settings


def test_settings_of_the_login_are_made_on_the_connection() -> None:
    room = Room()
    expected = query("SELECT set_config('datestyle', 'German', false)")
    client = room.enter(startup(user="ann", database="shop", DateStyle="German"), expected)
    assert room.ask(client, "select 1", DONE + ready()) == DONE + ready()


def test_what_a_client_sets_holds_for_it_and_for_no_other() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.ask(ann, "SET search_path TO a, b", DONE + ready())
    assert room.server.take() == query("RESET ALL; RESET ROLE")
    room.say(room.server, DONE + ready())
    room.say(bob, query("select 1"))
    assert room.server.take() == query("select 1")
    room.say(room.server, DONE + ready())
    room.say(ann, query("select 2"))
    assert room.server.take() == query("SET search_path TO a , b")
    room.say(room.server, DONE + ready())
    assert room.server.take() == query("select 2")
    room.say(room.server, DONE + ready())
    room.say(bob, query("select 3"))
    assert room.server.take() == query("RESET search_path")


def test_a_set_that_fails_or_is_rolled_back_changes_nothing() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.ask(ann, "set x.y to 1", error() + ready())
    assert room.server.take() == query("RESET ALL; RESET ROLE")
    room.say(room.server, DONE + ready())
    room.ask(ann, "begin", DONE + ready("T"))
    room.ask(ann, "set x.y to 1", DONE + ready("T"))
    room.ask(ann, "rollback", DONE + ready())
    assert room.server.take() == query("RESET ALL; RESET ROLE")
    room.say(room.server, DONE + ready())
    assert room.ask(ann, "select 1", DONE + ready()) == DONE + ready()


def carry_out(room: Room, client: Wire, text: str) -> list[bytes]:
    """What the server was sent, which carries out all of it."""
    room.say(client, query(text))
    sent = []
    while data := room.server.take():
        sent.append(data)
        room.say(room.server, (DONE + ready()) * len(messages(data)))
    return sent


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (["set time zone interval '-08:00' hour to minute"], "SET TIME ZONE interval '-08:00' hour to minute"),
        (["set x.y to 'a'\n'b'' ''c'"], "SET x.y TO 'a'\n'b'' ''c'"),
        (["set work_mem to 1", "set datestyle to iso, dmy"], "SET datestyle TO iso , dmy; SET work_mem TO 1"),
        (["set session_replication_role to replica", "set role lim"],
         "SET session_replication_role TO replica; SET ROLE lim"),
        (["set role lim", "set work_mem to 1"], "SET ROLE lim; SET work_mem TO 1"),
        (["set role lim", "set work_mem to 1", "reset all"], "SET ROLE lim"),
        (["set role lim", "set work_mem to 1", "set role app"], "SET work_mem TO 1; SET ROLE app"),
    ],
)  # fmt: skip
def test_settings_are_made_again_as_they_were_made(said: list[str], made: str) -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    for text in said:
        assert query(text) in carry_out(room, ann, text)
    carry_out(room, bob, "select 1")
    assert carry_out(room, ann, "select 2") == [query(made), query("select 2")]


def test_of_settings_in_one_state_a_role_is_left_before_others_are_made() -> None:
    before = [("role", "lim")]
    wanted = [("session_replication_role", "replica"), ("role", "lim")]
    assert restoring(wanted, before) == ("RESET ALL; RESET ROLE; SET session_replication_role TO replica; SET ROLE lim")
    assert restoring(before, before) == ""


def test_a_setting_that_takes_rights_and_was_made_as_a_role_binds_who_leaves_that() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    for text in ("set role boss", "set session_replication_role to replica", "reset role"):
        assert query(text) in carry_out(room, ann, text)
    assert carry_out(room, bob, "select 1") == []


def test_a_set_that_is_committed_holds() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.ask(ann, "begin", DONE + ready("T"))
    room.ask(ann, "set x.y to 1", DONE + ready("T"))
    room.ask(ann, "commit", DONE + ready())
    assert room.server.take() == query("RESET ALL; RESET ROLE")
    room.say(room.server, DONE + ready())
    room.say(ann, query("select 1"))
    assert room.server.take() == query("SET x.y TO 1")


SET = "set x.y to 1"


@pytest.mark.parametrize(
    ("steps", "holds"),
    [
        ([("begin", "T"), (SET, "T"), ("commit and chain", "T"), ("rollback", "I")], True),
        ([("begin", "T"), ("commit and chain", "T"), (SET, "T"), ("rollback", "I")], False),
        ([("begin", "T"), (SET, "T"), ("selec", "E"), ("commit and chain", "T"), ("commit", "I")], False),
        ([("begin", "T"), ("selec", "E"), ("rollback", "I"), (SET, "I")], True),
        ([("begin", "T"), (SET, "T"), ("prepare transaction 'x'", "I")], True),
    ],
)
def test_a_set_holds_from_its_commit_on(steps: list[tuple[str, str]], holds: bool) -> None:
    room = Room(most=1)
    ann = room.enter()
    for text, state in steps:
        room.ask(ann, text, (error() if state == "E" else DONE) + ready(state))
    assert (query("SET x.y TO 1") in b"".join(carry_out(room, ann, "select 1"))) is holds


def test_of_a_batch_a_set_behind_a_rollback_holds() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.ask(ann, "begin", DONE + ready("T"))
    room.say(ann, parse("rollback") + bind() + EXECUTE + parse(SET) + bind() + EXECUTE + SYNC)
    room.server.take()
    room.say(room.server, (PARSED + BOUND + DONE) * 2 + ready())
    assert query("SET x.y TO 1") in b"".join(carry_out(room, ann, "select 1"))


def test_a_setting_that_a_server_refuses_is_an_error_of_the_request() -> None:
    room = Room()
    client = room.client()
    room.say(client, startup(user="ann", database="shop", DateStyle="nonsense"))
    room.say(room.server, WELCOME)
    room.say(room.server, error("22023", "invalid value") + ready())
    answer = client.take()
    assert errors(answer) == ["08001"]
    assert b"invalid value" in answer


# -- what binds a client to its connection


def test_what_needs_the_connection_itself_waits_for_one_as_others_do() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.say(ann, query("select 1"))
    assert room.server.take() == query("select 1")
    room.say(bob, query("listen news"))
    assert bob.take() == b""
    room.say(room.server, ROW + DONE + ready())
    assert room.server.take() == query("listen news")


def test_what_is_refused_keeps_no_connection() -> None:
    refused = Reply(ErrorKind.DENIED, "no")
    room = Room(
        most=1, hooks={"on_request": (lambda each: refused if each.message.get("statement") == "listen" else None,)}
    )
    ann, bob = room.enter(), room.enter()
    room.say(ann, query("listen news"))
    assert errors(ann.take()) == ["42501"]
    room.ask(ann, "select 1", ROW + DONE + ready())
    room.ask(bob, "select 2", ROW + DONE + ready())
    assert len(room.network.upstreams) == 1


ROWS = ", ".join(["(1, 'a', 2.5)"] * 1000)
"""So many that the text is not cut into words where that is not needed."""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("listen news", "LISTEN"),
        ("select pg_advisory_lock(1)", "advisory locks"),
        ("create temp table t (a int)", "temporary tables"),
        ("create temp table t as select 'on commit drop'", "temporary tables"),
        ("create temp table t (a int) on commit drop; select 1", "temporary tables"),
        ("declare c cursor with hold for select 1", "WITH HOLD"),
        ("prepare p as select 1", "PREPARE"),
        ("select set_config('a.b', 'c', false)", "set_config"),
        ("set a to 1; select 1", "SET"),
        (f"insert into t values {ROWS}; listen news", "LISTEN"),
        (f"insert into t values {ROWS} returning pg_advisory_lock(1)", "advisory locks"),
        (f"create temp table t as values {ROWS}", "temporary tables"),
        (f"select * into /**/ Temporary t from (values {ROWS}) as v", "temporary tables"),
        (f"/*{ROWS}*/ listen news", "LISTEN"),
        ("select a" + ",a" * 50_000 + "; select 1", "a statement of many words"),
        ('select "pg_advisory_lock" (1)', "advisory locks"),
        ('select pg_catalog."pg_try_advisory_lock_shared"(1, 2)', "advisory locks"),
        ('select U&"pg\\005fadvisory\\005flock"(1)', "a name in numbers"),
        (f'insert into t values {ROWS} returning u&"p\\0067_\\0061dvisory_lock"(1)', "a name in numbers"),
        ("with a as (select \"set_config\"('work_mem', '12MB', false)) select * from a", "set_config"),
        ('create table "pg_temp".t (a int)', "temporary tables"),
        ("set search_path to pg_temp, public", "temporary tables"),
        ("do $$begin perform set_config('a.b', 'c', false); end$$", "DO"),
        ("do $$begin execute 'se' || 't role lim'; end$$", "DO"),
        ("do 'begin set role lim; end'", "DO"),
        ("do e'begin s\\x65t role lim; end'", "DO"),
        ("do $$import os$$ language plpython3u", "DO"),
        ("do $$begin end$$; do $$begin end$$", "DO"),
    ],
)
def test_what_needs_the_connection_itself_keeps_it_and_says_so(text: str, why: str) -> None:
    room = Room(most=1)
    ended: list[str | None] = []
    room.route.on_complete = (lambda exchange: ended.append(exchange.message.get("bound")),)
    ann, bob = room.enter(), room.enter()
    room.ask(ann, text, DONE + ready())
    assert ended[-1] == why
    room.say(bob, query("select 1"))
    assert room.server.take() == b""
    room.say(room.server, said("A", b"\0\0\0\1news\0hello\0"))
    assert kinds(ann.take()) == "A"
    room.ask(ann, "discard all", DONE + ready())
    assert room.server.take() == query("select 1")


@pytest.mark.parametrize(
    "text",
    [
        "select pg_advisory_xact_lock(1)",
        "select set_config('a.b', 'c', true)",
        "set local a to 1",
        "create temp table t (a int) on commit drop",
        "select 1",
        f"insert into t values {ROWS};",
        'select "pg_advisory_xact_lock"(1), "temp" from t',
        "do $$begin update_totals(); for a in 1..3 loop insert into t values (a); end loop; end$$;",
        "/* why */ do language plpgsql 'begin perform 1; end'",
    ],
)
def test_what_is_for_a_transaction_alone_binds_nobody(text: str) -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.ask(ann, text, DONE + ready())
    assert room.ask(bob, "select 1", DONE + ready()) == DONE + ready()


def call(number: int) -> bytes:
    """The message that calls a function by its number."""
    return said("F", pack(">IHHH", number, 0, 0, 0))


@pytest.mark.parametrize(("number", "bound"), [(2880, True), (2078, True), (952, False)])
def test_a_call_by_number_binds_but_for_large_objects(number: int, bound: bool) -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.say(ann, call(number))
    assert room.server.take() == call(number)
    room.say(room.server, said("V", b"\xff\xff\xff\xff") + ready())
    room.say(bob, query("select 1"))
    assert room.server.take() == (b"" if bound else query("select 1"))


# -- prepared statements


def names(data: bytes, kind: str) -> list[bytes]:
    """The names of statements in messages of one type, as the server sees them."""
    place = {"P": 0, "B": 1}
    return [body.split(b"\0")[place[kind]] for other, body in messages(data) if other == kind]


def test_a_prepared_statement_works_on_every_connection() -> None:
    room = Room(most=2)
    ann, bob = room.enter(), room.enter()
    room.ask(bob, "begin", DONE + ready("T"), 0)
    room.say(ann, parse("select 7", "s1") + SYNC)
    room.clock.advance(0)
    first, second = room.network.upstreams
    assert second.take()[4:8] == b"\0\3\0\0"
    room.say(second, WELCOME)
    (name,) = names(second.take(), "P")
    room.say(second, PARSED + ready())
    room.ask(bob, "commit", DONE + ready())
    assert kinds(ann.take()) == "1Z"
    second.end()
    room.say(ann, bind("s1") + EXECUTE + SYNC)
    sent = first.take()
    assert (kinds(sent), names(sent, "P"), names(sent, "B")) == ("PBES", [name], [name])
    room.say(first, PARSED + BOUND + ROW + DONE + ready())
    assert kinds(ann.take()) == "2DCZ"
    room.say(ann, bind("s1") + EXECUTE + SYNC)
    assert kinds(first.take()) == "BES"


def test_two_clients_that_use_one_name_for_different_statements_each_get_their_own() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    for client, text in ((ann, "select 1"), (bob, "select 2")):
        room.say(client, parse(text, "s") + SYNC)
        room.server.take()
        room.say(room.server, PARSED + ready())
        client.take()
    sent = []
    for client in (ann, bob):
        room.say(client, bind("s") + EXECUTE + SYNC)
        sent += names(room.server.take(), "B")
        room.say(room.server, BOUND + DONE + ready())
        assert kinds(client.take()) == "2CZ"
    assert len(set(sent)) == 2


def test_two_clients_that_prepare_the_same_do_not_disturb_each_other() -> None:
    room = Room(most=1)
    ann, bob = room.enter(), room.enter()
    room.say(ann, parse("select 1", "a") + SYNC)
    room.server.take()
    room.say(room.server, PARSED + ready())
    room.say(bob, parse("select 1", "b") + SYNC)
    assert kinds(room.server.take()) == "CPS"  # or the server would say that it has one of that name
    room.say(room.server, CLOSED + PARSED + ready())
    assert kinds(bob.take()) == "1Z"
    room.say(ann, said("C", b"Sa\0") + SYNC)
    assert kinds(room.server.take()) == "CS"
    room.say(room.server, CLOSED + ready())
    room.say(bob, bind("b") + EXECUTE + SYNC)
    assert kinds(room.server.take()) == "BES"


def test_a_statement_without_a_name_is_prepared_again_where_it_is_used_later() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.say(ann, parse("select 1") + SYNC)
    room.server.take()
    room.say(room.server, PARSED + ready())
    ann.take()
    room.say(ann, bind() + EXECUTE + SYNC)
    assert kinds(room.server.take()) == "PBES"
    room.say(room.server, PARSED + BOUND + DONE + ready())
    assert kinds(ann.take()) == "2CZ"


def test_an_error_before_a_statement_was_prepared_is_not_taken_for_success() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.say(ann, parse("select 1/0", "s") + bind("s") + EXECUTE + SYNC)
    room.server.take()
    room.say(room.server, error() + ready())
    assert kinds(ann.take()) == "EZ"
    room.say(ann, bind("s") + EXECUTE + SYNC)
    assert kinds(room.server.take()) == "PBES"


def test_only_so_many_statements_are_kept_on_a_connection() -> None:
    room = Room(most=1)
    room.codec = Postgres(users={"ann": "x"}, auth="trust", max_prepared_statements=2)
    room.cluster.codec = room.codec
    ann = room.enter()
    for number in range(3):
        room.say(ann, parse(f"select {number}", f"s{number}") + SYNC)
        sent = kinds(room.server.take())
        room.say(room.server, (CLOSED if sent == "CPS" else b"") + PARSED + ready())
        assert kinds(ann.take()) == "1Z"
    assert sent == "CPS"


def test_deallocate_finds_a_statement_that_was_prepared_by_a_message() -> None:
    room = Room(most=1)
    ann = room.enter()
    room.say(ann, parse("select 1", "s") + SYNC)
    (name,) = names(room.server.take(), "P")
    room.say(room.server, PARSED + ready())
    ann.take()
    room.say(ann, query("DEALLOCATE s"))
    assert room.server.take() == query(f'DEALLOCATE "{name.decode()}"')
    room.say(room.server, said("C", b"DEALLOCATE\0") + ready())
    assert kinds(ann.take()) == "CZ"


# -- options


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"users": {}}, "users"),
        ({"users": {"ann": 7}}, "users"),
        ({"users": {"ann": ""}}, "empty"),
        ({"users": {"ann": "md5" + "0" * 32}}, "scram-sha-256"),
        ({"auth": "md5"}, "auth"),
    ],
)
def test_options_that_can_not_work_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Postgres(**options)


def test_a_verifier_of_postgresql_is_as_good_as_the_password() -> None:
    kept = "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$c3RvcmVk:c2VydmVy"
    assert Postgres(users={"ann": kept}).connections == "transaction"


def test_a_connection_that_is_changed_twice_is_ready_behind_both() -> None:
    server = Postgres(users={"ann": "x"}).session(Side.SERVER, MAX)
    plain = Profile("ann", "shop", "", ())
    server.open(plain, SERVERS)
    server.receive(WELCOME)
    assert server.ready
    assert server.change(plain._replace(settings=(("a.b", "1"),))) == query("SET a.b TO 1")
    assert server.change(plain) == query("RESET a.b")
    server.receive(DONE + ready())
    assert not server.ready
    server.receive(DONE + ready())
    assert server.ready


def test_a_connection_to_another_database_is_another_one() -> None:
    server = Postgres(users={"ann": "x"}).session(Side.SERVER, MAX)
    server.open(Profile("ann", "shop", "", ()), SERVERS)
    server.receive(WELCOME)
    assert server.change(Profile("ann", "other", "", ())) is None
