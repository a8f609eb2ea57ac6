"""Kafka: logins that end at the proxy, and the proxy's own at a broker; both against each other."""

import struct

import pytest

from metaproxy.codecs.framing import Session
from metaproxy.codecs.kafka.codec import Kafka
from metaproxy.codecs.kafka.server_login import ServerLogin
from metaproxy.codecs.kafka.users import MECHANISMS, Conversation, LoginError, Users, users
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.units import Bytes, Seconds

KNOWN = Users({"app": "pencil", "a=b,c": "käse"})


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def handshake_answer(code: int = 0, *mechanisms: str) -> bytes:
    body = struct.pack(">ihi", 0, code, len(mechanisms)) + b"".join(map(text, mechanisms))
    return struct.pack(">i", len(body)) + body


def token_answer(token: bytes = b"", code: int = 0, error: str = "") -> bytes:
    body = struct.pack(">ih", 0, code) + (text(error) if error else b"\xff\xff")
    body += struct.pack(">i", len(token)) + token
    return struct.pack(">i", len(body)) + body


def asked(request: bytes) -> tuple[int, int, bytes]:
    """Key, version, and what stands behind the client's name: a text, or a token."""
    size, key, version, id, name = struct.unpack_from(">ihhih", request)
    assert (size, id) == (len(request) - 4, 0)
    body = request[14 + name :]
    return key, version, body[2:] if key == 17 else body[4:]


def logged_in(mechanism: str, user: str = "app", password: str = "pencil") -> str:
    """The user that the proxy, as a broker would, takes a login of its own for."""
    login = ServerLogin({"user": user, "password": password, "mechanism": mechanism})
    conversation = Conversation(KNOWN)
    key, version, name = asked(login.first())
    assert (key, version) == (17, 1)
    conversation.begin(name.decode())
    said = login.next(handshake_answer())
    while said:
        key, version, token = asked(said)
        assert (key, version) == (36, 0)
        said = login.next(token_answer(conversation.next(token)))
    assert login.done
    return conversation.user


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_whoever_knows_the_password_logs_in_by_each_mechanism(mechanism: str) -> None:
    assert logged_in(mechanism) == "app"
    assert logged_in(mechanism, "a=b,c", "käse") == "a=b,c"


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("user", "password"), [("app", "pen"), ("nobody", "pencil")])
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(mechanism: str, user: str, password: str) -> None:
    with pytest.raises(LoginError, match=r"^the user or the password is wrong$"):
        logged_in(mechanism, user, password)


def test_an_unknown_mechanism_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(LoginError, match="'GSSAPI'; write one of PLAIN, SCRAM-SHA-512, SCRAM-SHA-256"):
        Conversation(KNOWN).begin("GSSAPI")


def test_one_login_has_one_handshake_and_tokens_come_behind_it() -> None:
    conversation = Conversation(KNOWN)
    with pytest.raises(LoginError, match="SaslHandshake comes before it"):
        conversation.next(b"\0app\0pencil")
    conversation.begin("PLAIN")
    with pytest.raises(LoginError, match="a second SaslHandshake"):
        conversation.begin("PLAIN")
    conversation.next(b"\0app\0pencil")
    with pytest.raises(LoginError):
        conversation.next(b"\0app\0pencil")
    assert conversation.user == "app"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (b"", "two zero bytes"),
        (b"app\0pencil", "two zero bytes"),
        (b"\0app\0pencil\0", "two zero bytes"),
        (b"\0\xff\0pencil", "UTF-8"),
        (b"root\0app\0pencil", "on behalf of"),
        (b"\0app\0" + b"x" * 5000, "allowed are 4096"),
    ],
)
def test_tokens_of_plain_that_are_none_are_refused(token: bytes, why: str) -> None:
    conversation = Conversation(KNOWN)
    conversation.begin("PLAIN")
    with pytest.raises(LoginError, match=why):
        conversation.next(token)


def test_a_user_may_be_named_twice_in_a_token_of_plain() -> None:
    conversation = Conversation(KNOWN)
    conversation.begin("PLAIN")
    assert conversation.next(b"app\0app\0pencil") == b""
    assert conversation.user == "app"


@pytest.mark.parametrize("option", ["app", {}, {"": "x"}, {"app": ""}, {"app": 5}, {"a\0b": "x"}])
def test_users_that_are_no_mapping_of_names_to_passwords_are_refused(option: object) -> None:
    with pytest.raises(ValueError, match="users"):
        users(option)
    assert users(None) is None


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        ({"user": "app"}, "need user and password"),
        ({"user": "app", "password": "x", "mechanism": "GSSAPI"}, "none of PLAIN"),
        ({"user": "app", "password": "x", "database": "d"}, "'database'; known are user, password, mechanism"),
    ],
)
def test_credentials_that_are_no_login_say_what_is_missing(credentials: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ServerLogin(credentials)


def test_a_broker_without_the_mechanism_names_those_that_it_has() -> None:
    login = ServerLogin({"user": "app", "password": "x"})
    login.first()
    with pytest.raises(FrameError, match="SCRAM-SHA-512: the broker has PLAIN, GSSAPI; write one of these"):
        login.next(handshake_answer(33, "PLAIN", "GSSAPI"))


def test_a_brokers_refusal_is_repeated_without_the_password() -> None:
    login = ServerLogin({"user": "app", "password": "hidden", "mechanism": "PLAIN"})
    login.first()
    login.next(handshake_answer())
    with pytest.raises(FrameError, match="'app' failed: the broker refused it: 'invalid'") as caught:
        login.next(token_answer(code=58, error="invalid"))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("cut", range(8, 14))
def test_a_brokers_answer_that_is_cut_off_ends_the_login(cut: int) -> None:
    login = ServerLogin({"user": "app", "password": "x", "mechanism": "PLAIN"})
    login.first()
    login.next(handshake_answer())
    with pytest.raises(FrameError, match="failed"):
        login.next(token_answer()[:cut])


def test_a_broker_that_does_not_know_the_password_itself_is_not_believed() -> None:
    login = ServerLogin({"user": "app", "password": "pencil", "mechanism": "SCRAM-SHA-256"})
    conversation = Conversation(KNOWN)
    login.first()
    conversation.begin("SCRAM-SHA-256")
    said = login.next(handshake_answer())
    login.next(token_answer(conversation.next(asked(said)[2])))
    with pytest.raises(FrameError, match="signature is wrong"):
        login.next(token_answer(b"v=AAAA"))


# -- sessions


def request(key: int, version: int, body: bytes = b"", id: int = 7) -> bytes:
    head = struct.pack(">hhih", key, version, id, 2) + b"me"
    return struct.pack(">i", len(head) + len(body)) + head + body


METADATA = request(3, 1, b"\xff\xff\xff\xff")


def client() -> Session:
    return Kafka(users={"app": "pencil"}, login_timeout=Seconds(30)).session(Side.CLIENT, 1 << 20)


def broker(**credentials: str) -> tuple[Session, bytes]:
    """The proxy's connection to a broker, and what it says first."""
    session = Kafka().session(Side.SERVER, 1 << 20)
    return session, session.open(None, credentials)


def joined(mechanism: str, password: str = "pencil") -> tuple[Session, Session]:
    """A client's session, and that of a proxy in front of it that logs in there, when they have nothing more to say."""
    ours = client()
    theirs, said = broker(user="app", password=password, mechanism=mechanism)
    assert not theirs.ready
    while said:
        (message,) = ours.receive(said)
        assert message.answer is not None
        theirs.receive(message.answer)
        said = theirs.owed()
    return ours, theirs


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_client_that_has_logged_in_is_known_by_its_name(mechanism: str) -> None:
    ours, theirs = joined(mechanism)
    assert theirs.ready and theirs.error is None
    (message,) = ours.receive(METADATA)
    assert (message.kind, message.answer, message.get("user")) == (Kind.REQUEST, None, "app")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_ends_the_connection_behind_the_answer(mechanism: str) -> None:
    ours, theirs = joined(mechanism, "pen")
    assert ours.closing and ours.error is None
    assert "the user or the password is wrong" in str(theirs.error) and not theirs.ready
    ours.receive(METADATA)
    assert "behind a login that failed" in str(ours.error)


def test_versions_may_be_asked_before_a_login_and_nothing_else() -> None:
    ours = client()
    (message,) = ours.receive(request(18, 0))
    assert message.answer is None
    assert ours.receive(METADATA) == []
    assert "Metadata before a login (SaslHandshake and SaslAuthenticate come first" in str(ours.error)


def test_a_large_request_before_a_login_is_refused_on_its_head() -> None:
    ours = Kafka(users={"app": "pencil"}, stream_over=Bytes(1 << 16)).session(Side.CLIENT, 1 << 27)
    ours.receive(struct.pack(">ihhih", 1 << 26, 0, 9, 1, -1))
    assert "67108868 bytes before a login" in str(ours.error)


def test_tokens_in_the_newest_version_are_answered_in_its_form() -> None:
    ours = client()
    ours.receive(request(17, 1, text("PLAIN")))
    (message,) = ours.receive(request(36, 2, b"\0\x0c\0app\0pencil\0"))
    assert message.answer == struct.pack(">iibhbb", 18, 7, 0, 0, 0, 1) + bytes(9)
    assert not ours.closing


@pytest.mark.parametrize(
    ("handshake", "code"), [(request(17, 1, text("GSSAPI")), 33), (request(17, 0, text("PLAIN")), 35)]
)
def test_a_handshake_that_is_not_possible_is_answered_with_its_error(handshake: bytes, code: int) -> None:
    (message,) = client().receive(handshake)
    assert message.answer is not None and struct.unpack_from(">h", message.answer, 8) == (code,)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\x20PLAIN"])
def test_a_handshake_that_is_cut_off_is_refused(body: bytes) -> None:
    ours = client()
    assert ours.receive(request(17, 1, body)) == []
    assert ours.error is not None


def test_a_client_that_does_not_log_in_in_time_is_let_go() -> None:
    ours = client()
    ours.beat(100)
    ours.beat(129)
    assert ours.error is None
    ours.beat(130)
    assert "30 s (login_timeout)" in str(ours.error)
    late, _ = joined("PLAIN")
    late.beat(100)
    late.beat(200)
    assert late.error is None


def test_credentials_that_are_no_login_end_the_connection_to_the_broker() -> None:
    session, said = broker(user="app")
    assert (said, session.ready) == (b"", True)
    assert "need user and password" in str(session.error)


def test_a_broker_is_asked_nothing_where_there_are_no_credentials() -> None:
    session, said = broker()
    assert (said, session.ready, session.error) == (b"", True, None)


@pytest.mark.parametrize(("mechanism", "token"), [("PLAIN", b"\0anna\0pencil"), ("SCRAM-SHA-256", b"n,,n=anna,r=abc")])
def test_who_logs_in_at_the_broker_is_known_once_it_has_said_yes(mechanism: str, token: bytes) -> None:
    codec = Kafka()
    ours, theirs = codec.session(Side.CLIENT, 1 << 20), codec.session(Side.SERVER, 1 << 20)

    def passed(frame: bytes, answer: bytes) -> None:
        (message,) = ours.receive(frame)
        assert message.answer is None
        theirs.send(message, 1)
        (answered,) = theirs.receive(answer[:4] + struct.pack(">i", 1) + answer[8:])
        ours.send(answered, message.id)

    passed(request(17, 1, text(mechanism)), handshake_answer())
    asked_by = request(36, 0, struct.pack(">i", len(token)) + token)
    passed(asked_by, token_answer(code=58, error="no"))
    assert user_of(ours) is None
    passed(asked_by, token_answer())
    assert user_of(ours) == "anna"


def user_of(session: Session) -> str | None:
    (message,) = session.receive(METADATA)
    return Message.get(message, "user")
