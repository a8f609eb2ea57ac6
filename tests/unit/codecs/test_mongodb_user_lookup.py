"""MongoDB's `auth_query`: users that a server knows log in at the proxy, and at servers as themselves."""

from __future__ import annotations

import base64

import pytest
from mongodb_words import MORE, answer, command, document

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.codecs.mongodb.users import scram_password
from metaproxy.codecs.scram import ScramClient, ScramServer, Verifier, verifier
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message, Side

BOTH = pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
AS_CLIENT = {"user": "pooler", "password": "rubber", "login_as": "client"}


def codec(**options: object) -> MongoDB:
    return MongoDB(**{"auth_query": True, **options})  # type: ignore[arg-type]


def client(made: MongoDB | None = None) -> Session:
    session = (made or codec()).session(Side.CLIENT, 1 << 22)
    session.facts = {"destination.address": "10.0.0.1", "destination.port": "27017"}
    return session


def kept(mechanism: str, user: str = "ann", password: str = "pencil") -> Verifier:
    return verifier(mechanism, scram_password(mechanism, user, password), b"salt of this user", 4096)


def told(of: Verifier, mechanism: str, user: str = "ann", database: str = "shop") -> dict[str, bson.Value]:
    """What a server answers to usersInfo."""
    keys = {"salt": of.salt, "storedKey": of.stored_key, "serverKey": of.server_key}
    credentials: dict[str, bson.Value] = {name: base64.b64encode(value).decode() for name, value in keys.items()}
    credentials["iterationCount"] = of.iterations
    known: dict[str, bson.Value] = {"user": user, "db": database, "credentials": {mechanism: credentials}}
    return {"users": [known], "ok": 1.0}


class Login:
    """A client's side of a login, and what it is answered. question: what a server is asked about the user."""

    def __init__(
        self, session: Session, mechanism: str, user: str = "ann", database: str = "shop", password: str = "pencil"
    ) -> None:
        self.session = session
        self.mechanism = mechanism
        self.scram = ScramClient(mechanism, user, scram_password(mechanism, user, password))
        start: dict[str, bson.Value] = {"saslStart": 1, "mechanism": mechanism, "payload": self.scram.first()}
        (self.question,) = session.receive(
            command(7, {**start, "options": {"skipEmptyExchange": True}, "$db": database})
        )

    def proceed(self, said: dict[str, bson.Value]) -> dict[str, object]:
        """What the client is answered at last, when that is what the server tells."""
        first = document(self.session.send(heard(said), self.question.id))
        if not first["ok"]:
            return first
        payload = self.scram.final(binary(first))
        (message,) = self.session.receive(command(8, {"saslContinue": 1, "conversationId": 1, "payload": payload}))
        assert message.answer is not None
        last = document(message.answer)
        if last["ok"]:
            self.scram.check(binary(last))
        return last


def heard(said: dict[str, bson.Value], id: int = 1) -> Message:
    (message,) = codec().session(Side.SERVER, 1 << 22).receive(answer(id, said))
    return message


def binary(found: dict[str, object]) -> bytes:
    value = found["payload"]
    assert isinstance(value, bytes)
    return value[5:]


def asks(session: Session, id: int = 9) -> Message:
    (message,) = session.receive(command(id, {"find": "orders"}))
    return message


@BOTH
def test_a_server_is_asked_about_a_user_that_is_not_listed(mechanism: str) -> None:
    login = Login(client(), mechanism)
    question = login.question
    assert (question.kind, question.answer, question.hold) == (Kind.REQUEST, None, Hold.EXCHANGE)
    assert question.known() == {
        "kind": "request", "command": "auth_query", "operation": "auth_query", "database": "shop", "user": "ann",
    }  # fmt: skip
    asked = {"usersInfo": {"user": "ann", "db": "shop"}, "showCredentials": 1, "$db": "admin"}
    assert document(question.frame) == asked
    assert login.proceed(told(kept(mechanism), mechanism))["done"] == 1
    assert asks(login.session).get("user") == "ann@shop"


def test_the_proxys_own_user_asks_and_the_question_may_be_tried_again_and_is_confidential() -> None:
    made = codec()
    question = Login(client(made), "SCRAM-SHA-256").question
    assert (question.profile, made.safe(question), made.confidential(question)) == (None, True, True)


def test_a_user_of_the_database_admin_has_its_plain_name() -> None:
    login = Login(client(), "SCRAM-SHA-256", database="admin")
    login.proceed(told(kept("SCRAM-SHA-256"), "SCRAM-SHA-256", database="admin"))
    assert asks(login.session).get("user") == "ann"


def test_no_user_of_another_database_has_the_name_of_one_in_admin() -> None:
    login = Login(client(), "SCRAM-SHA-256", "ann@shop", "admin")
    of = kept("SCRAM-SHA-256", "ann@shop")
    login.proceed(told(of, "SCRAM-SHA-256", "ann@shop", "admin"))
    assert asks(login.session).get("user") == "ann@shop@admin"


def test_a_listed_user_needs_no_question() -> None:
    login = Login(client(codec(users={"ann": "pencil"})), "SCRAM-SHA-256")
    assert login.question.answer is not None


@pytest.mark.parametrize(
    "said",
    [
        {"users": [], "ok": 1.0},
        told(kept("SCRAM-SHA-256", password="other"), "SCRAM-SHA-256"),
        told(kept("SCRAM-SHA-256"), "SCRAM-SHA-1"),
    ],
    ids=["unknown", "another password", "another mechanism"],
)
def test_who_is_unknown_or_has_another_password_is_refused_alike(said: dict[str, bson.Value]) -> None:
    login = Login(client(), "SCRAM-SHA-256")
    found = login.proceed(said)
    assert (found["code"], found["errmsg"]) == (18, "Authentication failed.")
    assert document(asks(login.session).answer or b"")["codeName"] == "Unauthorized"


@pytest.mark.parametrize(
    "said",
    [
        {"ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": "not authorized: secret words"},
        {"n": 1, "ok": 1.0},
        {"users": [{"user": "ann", "db": "shop"}], "ok": 1.0},
        {"users": [{"user": "bob", "db": "shop", "credentials": {}}], "ok": 1.0},
        {"users": [{"user": "ann", "db": "shop", "credentials": {"SCRAM-SHA-256": {"salt": "?"}}}], "ok": 1.0},
    ],
)
def test_what_is_no_answer_to_the_question_fails_the_login_and_is_not_shown(said: dict[str, bson.Value]) -> None:
    login = Login(client(), "SCRAM-SHA-256")
    session = login.session
    with pytest.raises(FrameError, match="auth_query") as caught:
        session.send(heard(said), login.question.id)
    assert "secret words" not in str(caught.value)
    assert document(asks(session).answer or b"")["codeName"] == "Unauthorized"


def test_an_error_of_the_proxy_is_the_answer_to_the_login() -> None:
    made = codec()
    login = Login(client(made), "SCRAM-SHA-256")
    error = made.reply(login.question, ErrorKind.CONNECT, "no server")
    assert isinstance(error, Message)
    assert document(login.session.send(error, error.id))["codeName"] == "HostUnreachable"
    assert asks(login.session).answer is not None  # the session goes on


def test_what_a_server_knows_is_never_the_clients_answer() -> None:
    """Whatever comes before it: such a client is refused."""
    login = Login(client(), "SCRAM-SHA-256")
    session = login.session
    assert session.receive(command(7, {"ping": 1})) == []
    assert session.error is not None
    assert session.send(heard(told(kept("SCRAM-SHA-256"), "SCRAM-SHA-256")), login.question.id) == b""


def test_a_login_that_wants_no_answer_asks_nobody() -> None:
    session = client()
    payload = ScramClient("SCRAM-SHA-256", "ann", "pencil").first()
    start: dict[str, bson.Value] = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": payload}
    assert session.receive(command(7, start, flags=MORE)) == []
    assert session.error is not None


def test_an_answer_to_another_command_of_the_same_requestid_is_not_taken_for_it() -> None:
    session = client()
    (hello,) = session.receive(command(7, {"hello": 1, "$db": "admin"}))
    login = Login(session, "SCRAM-SHA-256")
    assert login.question.id != hello.id
    greeting = session.send(heard({"isWritablePrimary": True, "ok": 1.0}), hello.id)
    assert document(greeting)["isWritablePrimary"] == 1
    assert b"storedKey" not in session.send(heard(told(kept("SCRAM-SHA-256"), "SCRAM-SHA-256")), login.question.id)


# -- hellos


def greeted(session: Session, fields: dict[str, bson.Value]) -> tuple[dict[str, object], dict[str, object]]:
    """What a server is asked by a hello, and what its client reads."""
    (message,) = session.receive(command(3, {"hello": 1, **fields, "$db": "admin"}))
    said = heard({"isWritablePrimary": True, "saslSupportedMechs": ["SCRAM-SHA-1"], "ok": 1.0})
    return document(message.frame), document(session.send(said, 3))


def test_a_server_says_how_its_user_may_log_in() -> None:
    asked, found = greeted(client(), {"saslSupportedMechs": "shop.ann"})
    assert asked["saslSupportedMechs"] == "shop.ann"
    assert found["saslSupportedMechs"] == ["SCRAM-SHA-1"]
    asked, found = greeted(client(codec(users={"bob": "x"})), {"saslSupportedMechs": "shop.bob"})
    assert "saslSupportedMechs" not in asked
    assert found["saslSupportedMechs"] == ["SCRAM-SHA-256", "SCRAM-SHA-1"]


def test_a_login_within_a_hello_begins_again_behind_it() -> None:
    first = ScramClient("SCRAM-SHA-256", "ann", "pencil").first()
    start: dict[str, bson.Value] = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": first, "db": "shop"}
    asked, found = greeted(client(), {"speculativeAuthenticate": start})
    assert "speculativeAuthenticate" not in {**asked, **found}


# -- the same user at the server


def server(profile: object, credentials: dict[str, str] = AS_CLIENT) -> tuple[Session, dict[str, object]]:
    """A connection to a server, and how it logs in."""
    session = codec().session(Side.SERVER, 1 << 22)
    return session, document(session.open(profile, credentials))


@BOTH
def test_a_client_is_the_same_user_at_the_server(mechanism: str) -> None:
    login = Login(client(), mechanism)
    of = kept(mechanism)
    login.proceed(told(of, mechanism))
    session, hello = server(asks(login.session).profile)
    begun = hello["speculativeAuthenticate"]
    assert isinstance(begun, dict)
    assert (hello["saslSupportedMechs"], begun["mechanism"], begun["db"]) == ("shop.ann", mechanism, "shop")
    mongod = ScramServer(mechanism, lambda name: of if name == "ann" else None)
    first: bson.Value = {"conversationId": 1, "done": False, "payload": mongod.first(binary(begun))}
    session.receive(answer(0, {"speculativeAuthenticate": first, "ok": 1.0}))
    final = mongod.final(binary(document(session.owed())))
    session.receive(answer(0, {"conversationId": 1, "done": True, "payload": final, "ok": 1.0}))
    assert (session.error, session.ready) == (None, True)


def test_a_listed_user_is_it_with_its_password() -> None:
    login = Login(client(codec(users={"ann": "pencil"})), "SCRAM-SHA-256")
    first = document(login.question.answer or b"")
    login.session.receive(command(8, {"saslContinue": 1, "payload": login.scram.final(binary(first))}))
    _, hello = server(asks(login.session).profile)
    assert hello["saslSupportedMechs"] == "shop.ann"


def test_what_is_no_clients_is_the_user_of_the_credentials_or_nobody() -> None:
    _, hello = server(None)
    assert hello["saslSupportedMechs"] == "admin.pooler"
    session = codec().session(Side.SERVER, 1 << 22)
    assert (session.open(None, {"login_as": "client"}), session.ready, session.error) == (b"", True, None)


def logged_in(made: MongoDB, user: str) -> Message:
    login = Login(client(made), "SCRAM-SHA-256", user)
    login.proceed(told(kept("SCRAM-SHA-256", user), "SCRAM-SHA-256", user))
    return asks(login.session)


def test_a_connection_of_one_user_is_never_anothers() -> None:
    made = codec()
    ann, again, bob = (logged_in(made, user).profile for user in ("ann", "ann", "bob"))
    assert ann is again
    session, _ = server(ann)
    assert session.change(bob) is None
    assert session.change(None) is None


def test_where_all_are_the_same_user_connections_serve_everybody() -> None:
    made = codec()
    session, hello = server(logged_in(made, "ann").profile, {"user": "root", "password": "secret"})
    assert hello["saslSupportedMechs"] == "admin.root"
    assert session.change(logged_in(made, "bob").profile) == b""
    assert session.change(None) == b""


def test_who_logs_out_or_fails_to_log_in_is_nobody() -> None:
    made = codec()
    login = Login(client(made), "SCRAM-SHA-256")
    login.proceed(told(kept("SCRAM-SHA-256"), "SCRAM-SHA-256"))
    login.session.receive(command(10, {"logout": 1}))
    assert asks(login.session, 11).profile is None
    assert Login(login.session, "SCRAM-SHA-256", "bob").question.profile is None


def test_a_recording_keeps_who_it_was_and_no_secret() -> None:
    profile = logged_in(codec(), "ann").profile
    assert getattr(profile, "plain", None) == ("ann", "shop")
    assert repr(profile) == "Identity('ann', 'shop', ...)"


def test_auth_query_is_for_logins_that_end_at_the_proxy() -> None:
    with pytest.raises(ValueError, match="auth_query"):
        codec(mode="pinned")
    with pytest.raises(ValueError, match="auth_query"):
        codec(hosts={"a:1": "b:1"})
    assert codec().connections == "transaction"
