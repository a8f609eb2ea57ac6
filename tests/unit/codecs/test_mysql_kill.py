"""KILL, by the numbers that clients have at the proxy: whom a client may mean, and what the server is asked."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from mysql_room import MySQLRoom
from mysql_words import BASE, MAX, SERVER, Pair, command, login, ok, query

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.kill import Kill, read_kill
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, packet, payload_of, read_error
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, proof
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Hold, Kind, Message, Side


class Client:
    """One that has logged in, and a server's connection (number 77) in its state."""

    def __init__(self, codec: MySQL, user: str = "ann") -> None:
        self.session: Any = codec.session(Side.CLIENT, MAX)
        greeted = Greeting.read(payload_of(self.session.open(None, {})))
        self.number = greeted.thread
        answer = proof(SHA2, f"{user}-password".encode(), greeted.challenge)
        (entered,) = self.session.receive(packet(Login(BASE, 0, 45, user.encode(), answer, b"", SHA2, b"").write(), 1))
        self.server: Any = codec.session(Side.SERVER, MAX)
        self.server.open(entered.profile, {"user": "app", "password": "x"})
        self.server.receive(packet(Greeting(b"8", 77, b"c" * 20, SERVER, 45, AUTOCOMMIT, NATIVE).write(), 0))
        self.server.receive(ok(2))
        self.session.send(Message(Kind.RESPONSE, ok(2)), 0)

    def says(self, data: bytes) -> Message:
        message: Message
        (message,) = self.session.receive(data)
        return message

    def refusal(self, data: bytes) -> int:
        """The number of the error that answers a command."""
        answer = self.says(data).answer
        assert answer is not None
        return read_error(payload_of(answer)).number


@pytest.fixture
def codec() -> MySQL:
    return MySQL(users={"ann": "ann-password", "bob": "bob-password"})


@pytest.fixture
def ann(codec: MySQL) -> Client:
    return Client(codec)


@pytest.fixture
def other(codec: MySQL) -> Client:
    return Client(codec)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("KILL 5", Kill(5, False)), ("kill connection 5;", Kill(5, False)), ("/* a */ kill\n query 5", Kill(5, True)),
        ("KILL SOFT QUERY 5", Kill(5, True)), ("kill query connection_id()", Kill(0, True)),
        ("kill query id 5", None), ("kill user ann", None), ("kill 5; select 1", None), ("kill -5", None),
    ],
)  # fmt: skip
def test_forms_of_kill(text: str, found: Kill | None) -> None:
    assert read_kill(text) == found


def test_clients_have_numbers_of_their_own(ann: Client, other: Client) -> None:
    assert ann.number != other.number
    assert all(0 < number < 1 << 31 for number in (ann.number, other.number))


@pytest.mark.parametrize(
    ("form", "said"),
    [("KILL QUERY {}", "KILL QUERY 77"), ("kill {}", "KILL CONNECTION 77"), ("", "KILL CONNECTION 77")],
)
def test_the_server_s_own_number_is_killed(ann: Client, other: Client, form: str, said: str) -> None:
    asked = query(form.format(other.number)) if form else command(12, other.number.to_bytes(4, "little"))
    message = ann.says(asked)
    assert (message.hold, message.companion) == (Hold.COMPANION, other.session)
    sent = other.server.companion(message)
    assert (sent.frame, sent.hold) == (query(said), Hold.EXCHANGE)
    server = Client(MySQL(users={"ann": "ann-password"})).server
    assert server.send(sent, 0) == query(said)
    (answer,) = server.receive(ok())
    assert ann.session.send(answer, 0) == ok()


def test_its_answer_changes_nothing_of_the_client_that_asks(ann: Client, other: Client) -> None:
    ann.server.send(ann.says(query("begin")), 0)
    (begun,) = ann.server.receive(ok(1, AUTOCOMMIT | 1))
    ann.session.send(begun, 0)
    asked = ann.says(query(f"kill query {other.number}"))
    ann.session.send(answer_of(other, asked), asked.id)
    message = ann.says(command(0x1F))
    assert message.answer is None, "it has a connection of its own, which is to be reset"


@pytest.mark.parametrize(("what", "ends"), [("query ", False), ("", True)])
def test_what_waits_for_a_connection_ends_and_is_not_carried_out(what: str, ends: bool) -> None:
    room = MySQLRoom(most=1)
    first, waits, killer = (room.client() for _ in range(3))
    numbers = [room.log_in(client) for client in (first, waits, killer)]
    room.ask(first, query("begin"), ok(status=AUTOCOMMIT | 1))
    room.say(waits, query("delete from t"))
    room.say(killer, query(f"kill {what}{numbers[1]}"))
    assert (killer.take(), read_error(payload_of(waits.take())).number) == (ok(), 1317)
    assert room.ask(first, query("commit"), ok())[0] == query("commit")
    room.say(waits, command(14))
    assert (room.server.take(), waits.closed) == (b"", ends), "a connection that was killed ends with its next command"


def answer_of(other: Client, message: Message) -> Message:
    server = other.server
    server.send(server.companion(message), 0)
    answer: Message
    (answer,) = server.receive(ok())
    return answer


def test_a_client_that_asks_nothing_has_nothing_to_be_killed(codec: MySQL, ann: Client, other: Client) -> None:
    message = ann.says(query(f"kill query {other.number}"))
    answer = codec.reply(message, ErrorKind.NO_ENDPOINT, "")
    assert isinstance(answer, Message)
    assert ann.session.send(answer, 0) == ok()
    assert other.says(query("select 1")).answer is None


def test_a_client_whose_connection_was_killed_hears_of_it_when_it_asks(
    codec: MySQL, ann: Client, other: Client
) -> None:
    codec.reply(ann.says(query(f"kill {other.number}")), ErrorKind.NO_ENDPOINT, "")
    assert other.refusal(query("select 1")) == 1927
    assert other.session.closing


def test_or_in_place_of_the_answer_that_it_waits_for(codec: MySQL, ann: Client, other: Client) -> None:
    asked = other.says(query("select sleep(9)"))
    other.server.companion(ann.says(query(f"kill {other.number}")))
    lost = codec.reply(asked, ErrorKind.RESET, "the server is gone")
    assert isinstance(lost, Message)
    assert isinstance(other.session.send(lost, 0), FinalFrame)


def test_an_own_query_is_over_before_it_could_be_killed(ann: Client) -> None:
    assert ann.refusal(query(f"kill query {ann.number}")) == 1317
    assert not ann.session.closing
    assert ann.refusal(query("kill connection_id()")) == 1927
    assert ann.session.closing


def test_who_may_be_meant(codec: MySQL, ann: Client) -> None:
    assert ann.refusal(query("kill query 2147483648")) == 1094
    bob = Client(codec, "bob")
    assert ann.refusal(query(f"kill query {bob.number}")) == 1095
    elsewhere = MySQL(users={"ann": "another"})
    session: Any = elsewhere.session(Side.CLIENT, MAX)
    greeted = Greeting.read(payload_of(session.open(None, {})))
    assert ann.refusal(query(f"kill query {greeted.thread}")) == 1095, "it has not logged in"
    session.receive(
        packet(Login(BASE, 0, 45, b"ann", proof(SHA2, b"another", greeted.challenge), b"", SHA2, b"").write(), 1)
    )
    assert ann.refusal(query(f"kill query {greeted.thread}")) == 1095, "of that name, and another"
    again = Client(MySQL(users={"ann": "ann-password"}))
    assert ann.says(query(f"kill query {again.number}")).companion is again.session, (
        "of a listener that was configured again"
    )
    number = again.number
    del again
    assert ann.refusal(query(f"kill query {number}")) == 1094


@pytest.mark.parametrize("text", ["kill user ann", "select 1; kill 5", "kill query id 7"])
def test_other_forms_are_refused_and_not_passed_on_with_numbers_of_the_proxy(ann: Client, text: str) -> None:
    assert ann.refusal(query(text)) == 1235
    assert ann.refusal(command(0x16, text)) == 1235


def test_a_client_is_told_its_own_number(ann: Client) -> None:
    answer = ann.says(query("SELECT Connection_ID();")).answer
    assert answer is not None
    assert b"\x0fConnection_ID()" in answer
    assert bytes((len(str(ann.number)),)) + str(ann.number).encode() in answer
    assert ann.says(query("select connection_id() + 0")).answer is None


def test_a_server_that_has_not_spoken_can_not_be_asked(codec: MySQL, ann: Client, other: Client) -> None:
    silent: Any = codec.session(Side.SERVER, MAX)
    silent.open(None, {})
    with pytest.raises(FrameError):
        silent.companion(ann.says(query(f"kill query {other.number}")))


def test_kind_of_a_kill(ann: Client, other: Client) -> None:
    message = ann.says(query(f"kill query {other.number}"))
    assert (message.kind, message.get("statement")) == (Kind.REQUEST, "kill")


# -- where logins pass


def passed(server: str, number: int) -> Pair:
    """A client whose login has passed to that server, which gave it the number."""
    pair = Pair(logged_in=False)
    pair.server.facts = {"endpoint.address": server}
    pair.hears(packet(Greeting(b"8", number, b"c" * 20, SERVER, 45, AUTOCOMMIT, NATIVE).write(), 0))
    pair.says(login())
    pair.hears(ok(2))
    return pair


KILLS = [query("kill query 4711"), query(" KILL 4711"), command(0x0C, (4711).to_bytes(4, "little"))]


@pytest.mark.parametrize("said", KILLS)
def test_where_logins_pass_a_number_of_another_server_is_not_killed_at_the_client_s_own(said: bytes) -> None:
    victim, killer = passed("10.0.0.1:3306", 4711), passed("10.0.0.2:3306", 4712)
    (asked,) = killer.says(said)
    assert asked.answer is not None and read_error(payload_of(asked.answer)).number == 1094
    neighbour = passed("10.0.0.1:3306", 4713)
    (asked,) = neighbour.says(said)
    assert asked.answer is None and victim.client.error is None


@pytest.mark.parametrize("said", KILLS)
def test_where_logins_pass_the_server_knows_its_other_numbers(said: bytes) -> None:
    victim, killer = passed("10.0.0.1:3306", 4711), passed("10.0.0.2:3306", 4712)
    same = passed("10.0.0.2:3306", 4711)
    (asked,) = killer.says(said)
    assert asked.answer is None  # its own server's
    del victim, same
    gc.collect()
    (asked,) = killer.says(said)
    assert asked.answer is None  # a connection that did not come through the proxy
