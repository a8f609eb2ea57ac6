"""MongoDB with `users`: logins end at the proxy, it logs in at servers itself, and clients share connections."""

import pytest
from mongodb_words import MORE, answer, command, document, op_query, sequence

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.codecs.mongodb.users import scram_password
from metaproxy.codecs.scram import ScramClient, ScramError, ScramServer, verifier
from metaproxy.message import ErrorKind, Hold, Kind, Message, Side
from metaproxy.testing import check_codec, check_relay

MAX = 1 << 22
BOTH = pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
USERS = {"app": "pencil", "other": "pen"}


def client(**options: object) -> Session:
    session = MongoDB(**{"users": USERS, **options}).session(Side.CLIENT, MAX)  # type: ignore[arg-type]
    session.facts = {"destination.address": "10.0.0.1", "destination.port": "27017"}
    return session


def said(session: Session, fields: dict[str, bson.Value], id: int = 7) -> dict[str, object]:
    """What a client is answered by the proxy itself."""
    (message,) = session.receive(command(id, fields))
    assert message.answer is not None
    return document(message.answer)


def start(scram: ScramClient, mechanism: str, *, skips: bool = True) -> dict[str, bson.Value]:
    options: dict[str, bson.Value] = {"skipEmptyExchange": True} if skips else {}
    return {"saslStart": 1, "mechanism": mechanism, "payload": scram.first(), "options": options, "$db": "admin"}


def proceed(session: Session, payload: bytes) -> dict[str, object]:
    return said(session, {"saslContinue": 1, "conversationId": 1, "payload": payload, "$db": "admin"})


def payload(found: dict[str, object]) -> bytes:
    """A binary value without its head."""
    value = found["payload"]
    assert isinstance(value, bytes)
    return value[5:]


def log_in(
    session: Session, mechanism: str = "SCRAM-SHA-256", user: str = "app", password: str = "pencil"
) -> dict[str, object]:
    """The last answer of a login."""
    scram = ScramClient(mechanism, user, scram_password(mechanism, user, password))
    first = said(session, start(scram, mechanism))
    return proceed(session, scram.final(payload(first)))


def ready() -> Session:
    session = client()
    assert log_in(session)["ok"] == 1.0
    return session


@BOTH
def test_a_user_logs_in_and_knows_the_proxy(mechanism: str) -> None:
    session = client()
    scram = ScramClient(mechanism, "app", scram_password(mechanism, "app", "pencil"))
    first = said(session, start(scram, mechanism))
    assert (first["done"], first["conversationId"]) == (0, 1)
    last = proceed(session, scram.final(payload(first)))
    assert (last["done"], last["ok"]) == (1, 1.0)
    scram.check(payload(last))
    (message,) = session.receive(command(8, {"find": "orders"}))
    assert (message.answer, message.get("user")) == (None, "app")


def test_a_driver_may_want_one_exchange_more() -> None:
    session = client()
    scram = ScramClient("SCRAM-SHA-256", "app", "pencil")
    first = said(session, start(scram, "SCRAM-SHA-256", skips=False))
    assert proceed(session, scram.final(payload(first)))["done"] == 0
    assert proceed(session, b"")["done"] == 1


@pytest.mark.parametrize(("user", "password"), [("app", "pen"), ("nobody", "pencil")])
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(user: str, password: str) -> None:
    found = log_in(client(), user=user, password=password)
    assert (found["code"], found["codeName"]) == (18, "AuthenticationFailed")
    assert found["errmsg"] == "Authentication failed."


def test_a_connection_ends_behind_a_third_failure() -> None:
    session = client()
    for _ in range(2):
        log_in(session, password="x")
    assert not session.closing
    log_in(session, password="x")
    assert session.closing


@pytest.mark.parametrize(
    "fields",
    [
        {"saslStart": 1, "mechanism": "PLAIN", "payload": b"\0a\0b"},
        {"saslStart": 1, "mechanism": "SCRAM-SHA-256-PLUS", "payload": b"n,,n=a,r=b"},
        {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=a,r=b", "$db": "$external"},
        {"saslStart": 1, "mechanism": "SCRAM-SHA-256"},
        {"saslContinue": 1, "payload": b"x"},
        {"authenticate": 1, "mechanism": "MONGODB-X509"},
    ],
)
def test_other_logins_are_refused_by_name(fields: dict[str, bson.Value]) -> None:
    assert said(client(), fields)["codeName"] == "AuthenticationFailed"


def test_nothing_but_hellos_and_logins_comes_before_a_login() -> None:
    session = client()
    assert said(session, {"find": "orders"})["codeName"] == "Unauthorized"
    (message,) = session.receive(command(8, {"insert": "orders"}, sequence("documents", {"a": 1}), flags=MORE))
    assert message.answer == b""
    (message,) = session.receive(command(9, {"hello": 1, "$db": "admin"}))
    assert message.answer is None


def test_a_large_message_before_a_login_ends_the_connection() -> None:
    session = client(stream_over=1 << 16)
    session.receive(command(7, {"insert": "orders"}, sequence("documents", {"a": "x" * (1 << 17)})))
    assert "before a login" in str(session.error)


def test_who_logs_out_is_out() -> None:
    session = ready()
    assert said(session, {"logout": 1})["ok"] == 1.0
    assert said(session, {"find": "orders"})["codeName"] == "Unauthorized"


def test_a_failed_login_ends_the_one_before() -> None:
    session = ready()
    log_in(session, password="x")
    assert said(session, {"find": "orders"})["codeName"] == "Unauthorized"


def test_what_needs_a_connection_of_ones_own_is_refused_by_name() -> None:
    found = said(ready(), {"getLastError": 1})
    assert (found["codeName"], "write concern" in str(found["errmsg"])) == ("CommandNotSupported", True)


# -- hellos


def greeted(session: Session, asked: bytes, fields: dict[str, bson.Value]) -> tuple[Message, dict[str, object]]:
    """What the server is asked, and what the client reads."""
    (message,) = session.receive(asked)
    (found,) = MongoDB().session(Side.SERVER, MAX).receive(answer(1, fields))
    return message, document(session.send(found, message.id))


MEMBER: dict[str, bson.Value] = {
    "topologyVersion": {"counter": 6},
    "hosts": ["a:1", "b:1"],
    "setName": "rs0",
    "isWritablePrimary": True,
    "secondary": False,
    "me": "a:1",
    "primary": "a:1",
    "logicalSessionTimeoutMinutes": 30,
    "connectionId": 5,
    "maxWireVersion": 17,
    "ok": 1.0,
}


def test_a_server_is_asked_nothing_about_the_client() -> None:
    scram = ScramClient("SCRAM-SHA-256", "app", "pencil")
    asked = command(
        7,
        {
            "hello": 1,
            "helloOk": True,
            "client": {"application": {"name": "shop"}},
            "compression": ["zlib"],
            "saslSupportedMechs": "admin.app",
            "speculativeAuthenticate": {**start(scram, "SCRAM-SHA-256"), "db": "admin"},
            "topologyVersion": {"counter": 6},
            "maxAwaitTimeMS": 10000,
            "$db": "admin",
        },
    )
    session = client()
    message, found = greeted(session, asked, MEMBER)
    assert document(message.frame) == {"hello": 1, "helloOk": 1, "$db": "admin"}
    assert message.hold is Hold.NONE
    assert found["saslSupportedMechs"] == ["SCRAM-SHA-256", "SCRAM-SHA-1"]
    assert not {"topologyVersion", "connectionId"} & found.keys()
    speculative = found["speculativeAuthenticate"]
    assert isinstance(speculative, dict)
    assert proceed(session, scram.final(payload(speculative)))["done"] == 1
    (message,) = session.receive(command(8, {"find": "orders"}))
    assert (message.get("user"), message.get("application")) == ("app", "shop")


def test_a_login_in_a_hello_that_can_not_go_on_is_left_out_of_its_answer() -> None:
    asked = command(7, {"hello": 1, "speculativeAuthenticate": {"saslStart": 1, "mechanism": "PLAIN"}, "$db": "admin"})
    assert "speculativeAuthenticate" not in greeted(client(), asked, MEMBER)[1]


def test_a_hello_in_the_old_way_stays_one() -> None:
    session = client()
    (message,) = session.receive(op_query(7, {"isMaster": 1, "client": {"driver": {"name": "x"}}}))
    (again,) = MongoDB().session(Side.CLIENT, MAX).receive(message.frame)
    assert (again.get("command"), b"client" in message.frame, again.id) == ("isMaster", False, 7)


def test_a_set_may_pass_for_a_mongos() -> None:
    _, found = greeted(client(present="mongos"), command(7, {"hello": 1, "$db": "admin"}), MEMBER)
    assert found == {
        "isWritablePrimary": 1, "msg": "isdbgrid", "logicalSessionTimeoutMinutes": 30, "maxWireVersion": 17, "ok": 1.0,
    }  # fmt: skip
    secondary: dict[str, bson.Value] = {**MEMBER, "isWritablePrimary": False, "secondary": True}
    _, found = greeted(client(present="mongos"), command(7, {"hello": 1, "$db": "admin"}), secondary)
    assert (found["isWritablePrimary"], "secondary" in found) == (1, False)


def test_a_server_alone_does_not_pass_for_a_mongos() -> None:
    alone: dict[str, bson.Value] = {"isWritablePrimary": True, "ok": 1.0}
    assert greeted(client(present="mongos"), command(7, {"hello": 1, "$db": "admin"}), alone)[1] == {
        "isWritablePrimary": 1,
        "ok": 1.0,
    }


# -- without users


def test_without_users_nobody_need_log_in() -> None:
    session = MongoDB(mode="shared").session(Side.CLIENT, MAX)
    (message,) = session.receive(command(7, {"find": "orders"}))
    assert (message.answer, message.get("user")) == (None, None)
    asked = command(8, {"hello": 1, "saslSupportedMechs": "admin.app", "$db": "admin"})
    assert "saslSupportedMechs" not in greeted(session, asked, MEMBER)[1]
    assert said(session, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=a,r=b"})["code"] == 18


# -- how the proxy logs in


CREDENTIALS = {"user": "root", "password": "secret"}


def server() -> Session:
    return MongoDB(users=USERS).session(Side.SERVER, MAX)


def asked(data: bytes) -> tuple[int, dict[str, object]]:
    return int.from_bytes(data[4:8], "little"), document(data)


class Mongod:
    """A server's side of a login. mechanisms: those of its user."""

    def __init__(self, *mechanisms: str, password: str = "secret") -> None:
        self.mechanisms = mechanisms
        self.verifiers = {one: verifier(one, scram_password(one, "root", password)) for one in mechanisms}
        self.scram: ScramServer | None = None

    def answer(self, data: bytes) -> bytes:
        id, found = asked(data)
        fields: dict[str, bson.Value] = {"ok": 1.0}
        try:
            if "hello" in found:
                fields["saslSupportedMechs"] = list(self.mechanisms)
                speculative = found["speculativeAuthenticate"]
                assert isinstance(speculative, dict)
                if speculative["mechanism"] in self.mechanisms:
                    fields["speculativeAuthenticate"] = self._start(speculative)
            elif "saslStart" in found:
                fields |= self._start(found)
            else:
                assert self.scram is not None
                fields |= {"conversationId": 1, "done": True, "payload": self.scram.final(payload(found))}
        except ScramError:
            fields = {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18}
        return answer(id, fields)

    def _start(self, found: dict[str, object]) -> dict[str, bson.Value]:
        mechanism = str(found["mechanism"])
        self.scram = ScramServer(mechanism, lambda name: self.verifiers[mechanism] if name == "root" else None)
        return {"conversationId": 1, "done": False, "payload": self.scram.first(payload(found))}


@pytest.mark.parametrize("mechanisms", [("SCRAM-SHA-256",), ("SCRAM-SHA-1",), ("SCRAM-SHA-1", "SCRAM-SHA-256")])
def test_the_proxy_logs_in_with_what_the_server_has(mechanisms: tuple[str, ...]) -> None:
    session, mongod = server(), Mongod(*mechanisms)
    data = session.open(None, CREDENTIALS)
    while not session.ready:
        assert data
        assert session.receive(mongod.answer(data)) == []
        assert session.error is None
        data = session.owed() if session.owes else b""
    assert data == b""
    assert session.reusable
    (message,) = session.receive(answer(1))
    assert message.kind is Kind.RESPONSE


def test_a_refused_login_is_an_error_without_the_password() -> None:
    session, mongod = server(), Mongod("SCRAM-SHA-256", password="another")
    session.receive(mongod.answer(session.open(None, CREDENTIALS)))
    session.receive(mongod.answer(session.owed()))
    assert session.error is not None
    assert not session.ready
    assert "secret" not in str(session.error)


def test_a_server_that_does_not_show_that_it_knows_the_password_is_refused() -> None:
    session, mongod = server(), Mongod("SCRAM-SHA-256")
    session.receive(mongod.answer(session.open(None, CREDENTIALS)))
    id, _ = asked(session.owed())
    session.receive(answer(id, {"conversationId": 1, "done": True, "payload": b"", "ok": 1.0}))
    assert session.error is not None
    assert not session.ready


def test_a_large_answer_to_a_login_is_an_error_and_no_answer_to_a_client() -> None:
    session = server()
    session.open(None, CREDENTIALS)
    assert session.receive(answer(0, {"ok": 0.0, "errmsg": "x" * (1 << 20)})) == []
    assert session.error is not None


def test_a_server_without_a_mechanism_of_ours_is_refused() -> None:
    session = server()
    id, _ = asked(session.open(None, CREDENTIALS))
    session.receive(answer(id, {"saslSupportedMechs": ["PLAIN"], "ok": 1.0}))
    assert "PLAIN" in str(session.error)


@pytest.mark.parametrize(
    "credentials",
    [{"user": "root"}, {"password": "x"}, {**CREDENTIALS, "mechanism": "PLAIN"}, {**CREDENTIALS, "realm": "x"}],
)
def test_credentials_that_are_no_login_are_an_error(credentials: dict[str, str]) -> None:
    session = server()
    assert session.open(None, credentials) == b""
    assert session.error is not None


def test_without_credentials_a_connection_is_ready_at_once() -> None:
    session = server()
    assert (session.open(None, {}), session.ready) == (b"", True)


# -- the contract


def test_the_contract_of_a_codec_is_kept() -> None:
    check_codec(
        MongoDB(mode="shared"),
        [
            command(7, {"find": "orders"}),
            command(8, {"insert": "orders"}, sequence("documents", {"a": 1}), flags=MORE),
            command(9, {"hello": 1, "$db": "admin"}),
        ],
        [answer(1), answer(2, {"ok": 0.0, "code": 59})],
    )


def test_clients_without_a_login_pass_as_ever() -> None:
    check_relay(
        MongoDB(mode="shared"),
        [
            (Side.CLIENT, command(7, {"find": "orders"})),
            (Side.SERVER, answer(1)),
            (Side.CLIENT, command(8, {"hello": 1, "$db": "admin"})),
            (Side.SERVER, answer(2, {"isWritablePrimary": True, "ok": 1.0})),
        ],
    )


def test_reads_outside_of_transactions_may_be_tried_again() -> None:
    codec = MongoDB(mode="shared")

    def safe(fields: dict[str, bson.Value]) -> bool:
        (message,) = codec.session(Side.CLIENT, MAX).receive(command(7, fields))
        return codec.safe(message)

    assert safe({"find": "a"})
    assert not safe({"find": "a", "autocommit": False})
    assert not safe({"insert": "a"})
    assert safe({"aggregate": "a", "pipeline": [{"$match": {}}]})
    assert not safe({"aggregate": "a", "pipeline": [{"$out": "b"}]})
    (message,) = MongoDB().session(Side.CLIENT, MAX).receive(command(7, {"find": "a"}))
    assert not MongoDB().safe(message)


def test_writes_with_a_number_of_their_session_may_be_sent_again() -> None:
    numbered: dict[str, bson.Value] = {"lsid": {"id": b"1"}, "txnNumber": 3}

    def repeatable(fields: dict[str, bson.Value], flags: int = 0, **options: object) -> bool:
        codec = MongoDB(**{"mode": "shared", **options})  # type: ignore[arg-type]
        message, *_ = codec.session(Side.CLIENT, MAX).receive(command(7, fields, flags=flags))
        assert not codec.safe(message) or "find" in fields
        return codec.repeatable(message)

    assert repeatable({"insert": "a", **numbered})
    assert repeatable({"insert": "a", "documents": [{"x": "y" * 2000}], **numbered}, stream_over=1000)
    assert repeatable({"find": "a"})
    assert not repeatable({"insert": "a", "lsid": {"id": b"1"}})
    assert not repeatable({"insert": "a", **numbered, "autocommit": False})
    assert not repeatable({"insert": "a", **numbered}, flags=MORE)
    assert not repeatable({"insert": "a", **numbered}, mode="pinned")


def test_a_read_that_leaves_no_cursor_may_be_answered_again_for_another_client() -> None:
    codec = MongoDB(mode="shared")

    def key(fields: dict[str, bson.Value], *sequences: bytes) -> object:
        (message,) = codec.session(Side.CLIENT, MAX).receive(command(7, fields, *sequences))
        return codec.cache_key(message)

    one: dict[str, bson.Value] = {"find": "a", "filter": {"_id": 1}, "singleBatch": True}
    assert key(one) is not None
    assert key({**one, "lsid": {"id": b"1"}, "comment": "x"}) == key({**one, "lsid": {"id": b"2"}})
    assert key({**one, "filter": {"_id": 2}}) != key(one)
    assert key({**one, "$db": "other"}) != key(one)
    assert key({"count": "a"}) is not None
    assert key({"find": "a", "filter": {"_id": 1}}) is None
    assert key({"aggregate": "a"}) is None
    assert key(one, sequence("documents", {"a": 1})) is None


def test_errors_of_ours_have_the_form_of_the_hello_that_was_asked() -> None:
    codec = MongoDB(mode="shared")
    (message,) = codec.session(Side.CLIENT, MAX).receive(op_query(7, {"isMaster": 1}))
    reply = codec.reply(message, ErrorKind.CONNECT, "x")
    assert isinstance(reply, bytes)
    assert int.from_bytes(reply[12:16], "little") == 1


def test_what_was_asked_before_a_login_is_asked_by_who_was_there_before() -> None:
    """Though it may still wait when another step of a login is read."""
    before, *_ = ready().receive(command(1, {"find": "orders"}) + command(2, {"logout": 1}))
    assert before.get("user") == "app"
