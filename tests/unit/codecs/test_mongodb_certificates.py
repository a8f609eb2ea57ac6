"""MONGODB-X509: clients log in at the proxy by the certificate of their connection, and the proxy at servers by its."""

from __future__ import annotations

import pytest
from mongodb_words import answer, command, document

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mongodb import MongoDB, bson
from metaproxy.message import Kind, Side

SUBJECT = "CN=app,O=Example"
AUTHENTICATE: dict[str, bson.Value] = {"authenticate": 1, "mechanism": "MONGODB-X509", "$db": "$external"}
BY_CERTIFICATE = {"mechanism": "MONGODB-X509"}


def client(subject: str = SUBJECT, **options: object) -> Session:
    codec = MongoDB(**{"certificates": [SUBJECT], **options})  # type: ignore[arg-type]
    session = codec.session(Side.CLIENT, 1 << 22)
    session.facts = {"destination.address": "10.0.0.1", "destination.port": "27017"}
    if subject:
        session.facts["source.distinguished_name"] = subject
    return session


def said(session: Session, fields: dict[str, bson.Value], id: int = 7) -> dict[str, object]:
    """What a client is answered by the proxy itself."""
    (message,) = session.receive(command(id, fields))
    assert message.answer is not None
    return document(message.answer)


def user_of(session: Session) -> str | None:
    (message,) = session.receive(command(9, {"find": "orders"}))
    assert message.answer is None
    return message.get("user")


@pytest.mark.parametrize("listed", [[SUBJECT], ["CN=other", SUBJECT], ["*"]])
@pytest.mark.parametrize("named", [{}, {"user": SUBJECT}])
def test_a_client_is_who_its_certificate_says(named: dict[str, bson.Value], listed: list[str]) -> None:
    session = client(certificates=listed)
    assert said(session, {**AUTHENTICATE, **named}) == {"dbname": "$external", "user": SUBJECT, "ok": 1.0}
    assert user_of(session) == f"{SUBJECT}@$external"


@pytest.mark.parametrize(
    ("subject", "asked"),
    [
        ("", {}),
        ("CN=other", {}),
        (SUBJECT, {"user": "CN=other"}),
        (SUBJECT, {"mechanism": "MONGODB-CR"}),
        (f"{SUBJECT},OU=x", {}),
    ],
)
def test_others_are_refused(subject: str, asked: dict[str, bson.Value]) -> None:
    session = client(subject)
    assert said(session, {**AUTHENTICATE, **asked})["codeName"] == "AuthenticationFailed"
    assert said(session, {"find": "orders"})["codeName"] == "Unauthorized"


def test_a_connection_ends_behind_a_third_failure() -> None:
    session = client("CN=other")
    for _ in range(3):
        assert not session.closing
        said(session, AUTHENTICATE)
    assert session.closing


def test_without_certificates_none_is_a_login() -> None:
    assert said(client(certificates=None, users={"app": "x"}), AUTHENTICATE)["codeName"] == "AuthenticationFailed"


def greeted(session: Session) -> dict[str, object]:
    """The answer to a hello that begins with a login."""
    start: dict[str, bson.Value] = {"authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external"}
    (message,) = session.receive(command(3, {"hello": 1, "speculativeAuthenticate": start, "$db": "admin"}))
    (heard,) = MongoDB().session(Side.SERVER, 1 << 22).receive(answer(1, {"isWritablePrimary": True, "ok": 1.0}))
    return document(session.send(heard, message.id))


def test_it_logs_in_within_its_hello() -> None:
    session = client()
    assert greeted(session)["speculativeAuthenticate"] == {"dbname": "$external", "user": SUBJECT}
    assert user_of(session) == f"{SUBJECT}@$external"
    assert "speculativeAuthenticate" not in greeted(client("CN=other"))


def told(*users: bson.Value) -> dict[str, bson.Value]:
    return {"users": [*users], "ok": 1.0}


@pytest.mark.parametrize(
    ("known", "code"),
    [
        (told({"user": SUBJECT, "db": "$external", "credentials": {"external": True}}), None),
        (told({"user": SUBJECT, "db": "$external", "credentials": {"SCRAM-SHA-1": {}}}), 18),
        (told(), 18),
    ],
)
def test_a_server_may_know_the_subject(known: dict[str, bson.Value], code: int | None) -> None:
    session = client(certificates=None, auth_query=True)
    assert "speculativeAuthenticate" not in greeted(session)
    (question,) = session.receive(command(7, AUTHENTICATE))
    assert (question.get("command"), question.kind) == ("auth_query", Kind.REQUEST)
    assert document(question.frame)["usersInfo"] == {"user": SUBJECT, "db": "$external"}
    (heard,) = MongoDB().session(Side.SERVER, 1 << 22).receive(answer(1, known))
    assert document(session.send(heard, question.id)).get("code") == code


# -- at servers


def server(credentials: dict[str, str], *, tls: bool = True, profile: object = None) -> tuple[Session, bytes]:
    session = MongoDB(certificates=["*"]).session(Side.SERVER, 1 << 22)
    session.facts = {"tls.version": "TLSv1.3"} if tls else {}
    return session, session.open(profile, credentials)


def test_the_proxy_logs_in_by_its_certificate() -> None:
    session, hello = server(BY_CERTIFICATE)
    begun = document(hello)["speculativeAuthenticate"]
    assert begun == {"authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external"}
    done: bson.Value = {"dbname": "$external", "user": "CN=proxy"}
    session.receive(answer(0, {"speculativeAuthenticate": done, "ok": 1.0}))
    assert (session.ready, session.error, session.owes) == (True, None, False)


def test_it_begins_a_login_where_the_hello_takes_none() -> None:
    session, _ = server({**BY_CERTIFICATE, "user": "CN=proxy"})
    session.receive(answer(0, {"ok": 1.0}))
    assert document(session.owed()) == {**AUTHENTICATE, "user": "CN=proxy"}
    session.receive(answer(0, {"dbname": "$external", "user": "CN=proxy", "ok": 1.0}))
    assert session.ready


def test_a_server_that_refuses_is_an_error() -> None:
    session, _ = server(BY_CERTIFICATE)
    session.receive(answer(0, {"ok": 0.0, "errmsg": "Could not find user", "code": 11}))
    assert (session.ready, "Could not find user" in str(session.error)) == (False, True)


@pytest.mark.parametrize(
    ("credentials", "tls", "text"),
    [
        (BY_CERTIFICATE, False, "`tls` of the cluster"),
        ({**BY_CERTIFICATE, "password": "hidden"}, True, "have no password"),
        ({**BY_CERTIFICATE, "database": "admin"}, True, "no database"),
    ],
)
def test_what_can_not_be_a_login_by_certificate_is_refused(credentials: dict[str, str], tls: bool, text: str) -> None:
    session, hello = server(credentials, tls=tls)
    assert (hello, session.ready) == (b"", True)
    assert text in str(session.error) and "hidden" not in str(session.error)


def test_a_client_with_a_certificate_can_not_be_itself_at_a_server() -> None:
    ours = client()
    said(ours, AUTHENTICATE)
    (message,) = ours.receive(command(9, {"find": "orders"}))
    session, hello = server({"login_as": "client"}, profile=message.profile)
    assert (hello, "by a certificate" in str(session.error)) == (b"", True)


def test_certificates_are_for_logins_that_end_at_the_proxy() -> None:
    with pytest.raises(ValueError, match="certificates"):
        client(mode="pinned")
