"""Hellos: a driver that reads the answer goes on talking to the proxy; and who has logged in on a connection."""

import base64
import struct

import pytest
from mongodb_words import MORE, answer, command, document, op_msg, op_query, op_reply

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import ErrorKind, FinalFrame, Hold, Side

HELLO = command(7, {"hello": 1, "$db": "admin"})
PRIMARY: dict[str, bson.Value] = {
    "topologyVersion": {"processId": "p", "counter": 6},
    "hosts": ["a:1", "b:1", "c:1"],
    "passives": ["d:1"],
    "arbiters": ["e:1"],
    "setName": "rs0",
    "isWritablePrimary": True,
    "secondary": False,
    "primary": "a:1",
    "me": "a:1",
    "compression": ["zlib"],
    "ok": 1.0,
}
SECONDARY: dict[str, bson.Value] = {**PRIMARY, "isWritablePrimary": False, "secondary": True, "me": "b:1"}


def client(**options: object) -> Session:
    session = MongoDB(**options).session(Side.CLIENT, 1 << 20)  # type: ignore[arg-type]
    session.facts = {"destination.address": "10.0.0.1", "destination.port": "27017"}
    return session


def answered(session: Session, fields: dict[str, bson.Value], asked: bytes = HELLO) -> dict[str, object]:
    """What a client reads of its hello."""
    (message,) = session.receive(asked)
    (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(answer(1, fields))
    return document(session.send(said, message.id))


def test_a_replica_set_is_one_address() -> None:
    found = answered(client(), PRIMARY)
    assert (found["hosts"], found["me"], found["primary"]) == (["10.0.0.1:27017"], *["10.0.0.1:27017"] * 2)
    assert (found["setName"], found["topologyVersion"]) == ("rs0", {"processId": "p", "counter": 6})
    assert not {"passives", "arbiters", "compression"} & found.keys()


def test_a_secondary_behind_one_address_names_no_primary() -> None:
    found = answered(client(), SECONDARY)
    assert (found["hosts"], found["me"], found["secondary"]) == (["10.0.0.1:27017"], "10.0.0.1:27017", 1)
    assert "primary" not in found


def test_the_address_may_be_another_for_clients() -> None:
    assert answered(client(advertise="db.example:9"), PRIMARY)["me"] == "db.example:9"


def test_an_ipv6_address_has_brackets() -> None:
    session = client()
    session.facts = {"destination.address": "::1", "destination.port": "9"}
    assert answered(session, PRIMARY)["me"] == "[::1]:9"


def test_members_with_listeners_of_their_own_are_translated_one_by_one() -> None:
    hosts = {"a:1": "p:1", "b:1": "p:2", "d:1": "p:4"}
    found = answered(client(hosts=hosts), SECONDARY)
    assert (found["hosts"], found["passives"], found["arbiters"]) == (["p:1", "p:2"], ["p:4"], [])
    assert (found["me"], found["primary"]) == ("p:2", "p:1")


def test_a_server_alone_only_loses_its_compression() -> None:
    fields: dict[str, bson.Value] = {
        "isWritablePrimary": True,
        "compression": ["zlib"],
        "maxWireVersion": 17,
        "ok": 1.0,
    }
    assert answered(client(), fields) == {"isWritablePrimary": 1, "maxWireVersion": 17, "ok": 1.0}


def test_a_hello_in_the_old_way_is_rewritten_too() -> None:
    session = client()
    (message,) = session.receive(op_query(7, {"isMaster": 1}))
    (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(op_reply(1, PRIMARY))
    frame = session.send(said, message.id)
    assert struct.unpack_from("<i", frame, 8) == (7,)
    assert document(frame)["me"] == "10.0.0.1:27017"


def test_each_hello_that_a_server_repeats_is_rewritten() -> None:
    session, server = client(), MongoDB().session(Side.SERVER, 1 << 20)
    session.receive(command(7, {"hello": 1, "maxAwaitTimeMS": 1, "$db": "admin"}, flags=1 << 16))
    data = answer(1, PRIMARY, id=50, flags=MORE) + answer(50, PRIMARY, id=51, flags=MORE) + answer(51, PRIMARY, id=52)
    frames = [session.send(said, 7) for said in server.receive(data)]
    assert [document(frame)["me"] for frame in frames] == ["10.0.0.1:27017"] * 3
    assert [struct.unpack_from("<ii", frame, 4) for frame in frames] == [(50, 7), (51, 50), (52, 51)]
    assert [frame[16] for frame in frames] == [MORE, MORE, 0]


def test_what_follows_a_hello_passes_as_it_is() -> None:
    session = client()
    answered(session, PRIMARY)
    session.receive(command(8, {"find": "a"}))
    (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(answer(1, PRIMARY))
    assert session.send(said, 8) == answer(8, PRIMARY)


def test_a_client_behind_a_load_balancer_is_told_which_server_it_has() -> None:
    asked = command(7, {"hello": 1, "loadBalanced": True, "$db": "admin"})
    process = bytes(range(12))
    version = b"\x03topologyVersion\0" + bson.join([b"\x07processId\0" + process])
    document_ = bson.join([version, bson.field("ok", 1.0)])
    session = client()
    session.receive(asked)
    frame = answer(1)[:21]
    frame = struct.pack("<i", 21 + len(document_)) + frame[4:] + document_
    (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(frame)
    assert document(session.send(said, 7))["serviceId"] == process
    assert len(answered(client(), PRIMARY, asked)["serviceId"]) == 12  # type: ignore[arg-type]
    assert "serviceId" not in answered(client(), PRIMARY)


def test_the_application_is_known_from_then_on() -> None:
    session = client()
    about: dict[str, bson.Value] = {"application": {"name": "shop"}, "driver": {"name": "x"}}
    answered(session, PRIMARY, command(7, {"hello": 1, "client": about, "$db": "admin"}))
    (message,) = session.receive(command(8, {"find": "a"}))
    assert message.get("application") == "shop"


# -- who has logged in


def say(session: Session, fields: dict[str, bson.Value], answers: dict[str, bson.Value], id: int = 7) -> None:
    (message,) = session.receive(command(id, {**fields, "$db": fields.get("$db", "admin")}))
    (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(answer(1, answers))
    assert session.send(said, message.id)[8:12] == struct.pack("<i", id)


def user(session: Session) -> str | None:
    (message,) = session.receive(command(99, {"find": "a"}))
    return message.get("user")


START: dict[str, bson.Value] = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=an=2Cna,r=x"}


def test_a_user_is_known_when_the_login_is_done() -> None:
    session = client()
    say(session, START, {"conversationId": 1, "done": False, "ok": 1.0})
    assert user(session) is None
    say(session, {"saslContinue": 1}, {"conversationId": 1, "done": True, "ok": 1.0})
    assert user(session) == "an,na"
    say(session, {"logout": 1, "$db": "other"}, {"ok": 1.0})
    assert user(session) == "an,na"
    say(session, {"logout": 1}, {"ok": 1.0})
    assert user(session) is None


def test_a_login_that_began_in_a_hello_is_followed() -> None:
    session = client()
    say(
        session, {"hello": 1, "speculativeAuthenticate": START}, {**PRIMARY, "speculativeAuthenticate": {"done": False}}
    )
    say(session, {"saslContinue": 1}, {"conversationId": 1, "done": True, "ok": 1.0})
    assert user(session) == "an,na"


def test_a_user_of_another_database_is_not_taken_for_one_of_admin() -> None:
    session = client()
    start: dict[str, bson.Value] = {**START, "db": "shop"}
    say(
        session, {"hello": 1, "speculativeAuthenticate": start}, {**PRIMARY, "speculativeAuthenticate": {"done": False}}
    )
    say(session, {"saslContinue": 1}, {"conversationId": 1, "done": True, "ok": 1.0})
    assert user(session) == "an,na@shop"


def test_a_login_that_failed_names_nobody() -> None:
    session = client()
    say(session, START, {"ok": 0.0, "code": 18})
    assert user(session) is None


@pytest.mark.parametrize("speculative", [True, False])
def test_a_user_with_a_certificate_is_known(speculative: bool) -> None:
    session = client()
    authenticate: dict[str, bson.Value] = {"authenticate": 1, "mechanism": "MONGODB-X509"}
    if speculative:
        answers: dict[str, bson.Value] = {**PRIMARY, "speculativeAuthenticate": {"dbname": "$external", "user": "CN=a"}}
        say(session, {"hello": 1, "speculativeAuthenticate": authenticate}, answers)
    else:
        say(session, authenticate, {"dbname": "$external", "user": "CN=a", "ok": 1.0})
    assert user(session) == "CN=a@$external"


DONE: dict[str, bson.Value] = {"conversationId": 1, "done": True, "ok": 1.0}
BEGUN: dict[str, bson.Value] = {**DONE, "done": False}


def begin(name: str, database: str = "admin") -> dict[str, bson.Value]:
    return {**START, "payload": f"n,,n={name},r=x".encode(), "$db": database}


def answered_in_turn(session: Session, *pairs: tuple[dict[str, bson.Value], dict[str, bson.Value]]) -> None:
    """Commands that come at once under one requestID, and their answers in the same order."""
    asked = session.receive(b"".join(command(7, fields) for fields, _ in pairs))
    for message, (_, fields) in zip(asked, pairs, strict=True):
        (said,) = MongoDB().session(Side.SERVER, 1 << 20).receive(answer(1, fields))
        session.send(said, message.id)


def test_an_answer_is_about_the_user_of_its_own_command_whatever_comes_behind_it_under_the_same_id() -> None:
    session = client()
    say(session, begin("ann"), BEGUN)
    answered_in_turn(session, ({"saslContinue": 1, "$db": "admin"}, DONE), (begin("root"), BEGUN))
    assert user(session) == "ann"


@pytest.mark.parametrize("refused", [begin("root"), {"logout": 1, "$db": "admin"}])
def test_the_answer_to_a_command_is_none_to_a_step_of_a_login_under_the_same_id(refused: dict[str, bson.Value]) -> None:
    session = client()
    say(session, begin("ann"), BEGUN)
    say(session, {"saslContinue": 1}, DONE)
    answered_in_turn(session, ({"ping": 1}, {"ok": 1.0}), (refused, {"ok": 0.0}))
    say(session, {"saslContinue": 1}, {"ok": 0.0})
    assert user(session) == "ann"


@pytest.mark.parametrize(
    "fields", [begin("ann"), {"saslContinue": 1}, {"logout": 1}, {"hello": 1, "speculativeAuthenticate": START}]
)
def test_what_follows_a_step_of_a_login_waits_for_its_answer(fields: dict[str, bson.Value]) -> None:
    (message,) = client().receive(command(7, fields))
    assert message.hold is Hold.EXCHANGE


@pytest.mark.parametrize("fields", [{"saslContinue": 1}, {"hello": 1, "speculativeAuthenticate": START}])
def test_a_step_of_a_login_wants_an_answer(fields: dict[str, bson.Value]) -> None:
    session = client()
    assert session.receive(command(7, fields, flags=MORE)) == []
    assert "wants no answer" in str(session.error)


def test_steps_of_logins_without_answers_are_bounded() -> None:
    session = client()
    assert len(session.receive(command(7, begin("ann")) * 17)) == 16
    assert "16 steps" in str(session.error)


def test_a_field_of_a_login_that_is_there_twice_is_refused() -> None:
    session = client()
    twice = bson.field("payload", b"n,,n=ann,r=x") + bson.field("payload", b"n,,n=root,r=x")
    session.receive(op_msg(7, b"\0" + bson.join([bson.field("saslStart", 1), twice])))
    assert "twice" in str(session.error)


@pytest.mark.parametrize("options", [{}, {"users": {"ann": "pencil"}}])
def test_a_hello_begins_one_login(options: dict[str, object]) -> None:
    session = client(**options)
    twice = bson.field("speculativeAuthenticate", begin("ann")) + bson.field("speculativeAuthenticate", begin("root"))
    session.receive(op_msg(7, b"\0" + bson.join([bson.field("hello", 1), twice, bson.field("$db", "admin")])))
    assert "twice" in str(session.error)


@pytest.mark.parametrize("kind", [ErrorKind.TIMEOUT, ErrorKind.DENIED])
def test_a_client_whose_login_the_proxy_answers_is_gone_with_it(kind: ErrorKind) -> None:
    """What a server makes of the login is not known any more."""
    (message,) = client().receive(command(7, begin("ann")))
    reply = MongoDB().reply(message, kind, "no")
    assert isinstance(reply, FinalFrame)
    assert reply[8:12] == struct.pack("<i", 7)


def test_users_of_several_databases_are_all_who_a_client_may_be() -> None:
    """Servers before MongoDB 6.0 let a client be several users at a time."""
    session = client()
    for database in ("admin", "shop"):
        say(session, begin("ann", database), BEGUN)
        say(session, {"saslContinue": 1, "$db": database}, DONE)
    (message,) = session.receive(command(99, {"find": "a"}))
    assert (message.get("user"), message.values("user")) == ("ann@shop", ("ann", "ann@shop"))
    say(session, {"logout": 1, "$db": "shop"}, {"ok": 1.0})
    assert user(session) == "ann"


@pytest.mark.parametrize(
    ("mechanism", "payload", "values"),
    [
        ("SCRAM-SHA-256", base64.b64encode(b"n,,n=ann,r=x").decode(), ("ann",)),
        ("PLAIN", b"\0ann\0pencil", ("ann",)),
        ("PLAIN", b"\0ann", ()),
        ("MONGODB-AWS", b"n,,n=ann,r=x", ()),
    ],
)
def test_a_user_is_known_by_other_ways_to_say_it_or_may_be_anybody(
    mechanism: str, payload: bson.Value, values: tuple[str, ...]
) -> None:
    session = client()
    say(session, {**START, "mechanism": mechanism, "payload": payload}, BEGUN)
    say(session, {"saslContinue": 1}, DONE)
    (message,) = session.receive(command(99, {"find": "a"}))
    assert message.values("user") == values
    assert message.get("user") == (values[0] if values else None)


def test_a_payload_that_a_server_may_read_otherwise_is_refused() -> None:
    session = client()
    session.receive(command(7, {**START, "payload": "bi,sbj1hbm4s"}))
    assert "Base64" in str(session.error)
