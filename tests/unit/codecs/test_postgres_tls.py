"""TLS inside PostgreSQL's protocol: who may begin it, and that nothing which is not encrypted slips in before it."""

from __future__ import annotations

import pytest
from postgres_words import MAX, asked_for, errors, said, startup

from metaproxy.codecs.framing import Session
from metaproxy.codecs.postgres import Postgres
from metaproxy.message import Kind, Message, Side

SSL, GSSENC = asked_for(80877103), asked_for(80877104)
HELLO = startup(user="ann")
HANDSHAKE = b"\x16\x03\x01\0\x05hello"


def client(start: str = "required") -> Session:
    """A client's session where TLS may begin; '' for where it may not."""
    session = Postgres().session(Side.CLIENT, MAX)
    session.facts = {"tls.start": start} if start else {}
    return session


def server() -> Session:
    session = Postgres().session(Side.SERVER, MAX)
    session.facts = {"tls.start": "required"}
    return session


def secured(session: Session, **facts: str) -> None:
    """What the proxy does after the handshake."""
    session.facts = {"tls.version": "TLSv1.3", **facts}


@pytest.mark.parametrize("start", ["required", "optional"])
def test_a_client_that_asks_for_tls_gets_it(start: str) -> None:
    session = client(start)
    assert session.receive(SSL) == []
    assert (session.start_tls, session.owed(), session.tls_rest) == (True, b"S", b"")
    secured(session)
    assert session.open(None, {}) == b""
    assert not session.start_tls
    (hello,) = session.receive(HELLO)
    assert hello.get("user") == "ann"


def test_a_client_that_asks_for_gssapi_is_told_no_and_may_ask_for_tls() -> None:
    session = client()
    (refused,) = session.receive(GSSENC)
    assert refused.answer == b"N"
    session.receive(SSL)
    assert session.start_tls


def test_what_comes_along_with_the_request_is_the_handshake() -> None:
    session = client()
    session.receive(SSL + HANDSHAKE)
    assert session.tls_rest == HANDSHAKE


def test_a_login_that_is_not_encrypted_and_comes_along_with_the_request_is_refused() -> None:
    session = client()
    assert session.receive(SSL + HELLO) == []
    assert session.error is not None
    assert not session.start_tls


def test_a_login_without_tls_is_refused_where_that_is_required_and_says_what_to_do() -> None:
    session = client()
    assert session.receive(HELLO) == []
    assert session.error is not None
    said = session.owed()
    assert errors(said) == ["28000"]
    assert b"sslmode=require" in said


def test_a_login_without_tls_is_taken_where_that_is_optional() -> None:
    assert len(client("optional").receive(HELLO)) == 1


def test_tls_may_begin_at_once_for_clients_that_say_what_they_speak() -> None:
    session = client()
    session.receive(HANDSHAKE)
    assert (session.start_tls, session.owed(), session.tls_rest) == (True, b"", HANDSHAKE)
    secured(session, **{"tls.alpn": "postgresql"})
    session.open(None, {})
    assert len(session.receive(HELLO)) == 1


def test_tls_that_begins_at_once_for_another_protocol_is_refused() -> None:
    session = client()
    session.receive(HANDSHAKE)
    secured(session)
    session.open(None, {})
    assert session.receive(HELLO) == []
    assert errors(session.owed()) == ["08P01"]


def test_a_server_is_asked_for_tls_before_anything_else() -> None:
    session = server()
    assert session.open(None, {}) == SSL
    assert not session.ready
    session.receive(b"S")
    assert session.start_tls
    secured(session)
    session.open(None, {})
    assert session.ready


@pytest.mark.parametrize("answer", [b"N", b"S\x16\x03", b"SR\0\0\0\x08\0\0\0\0", b"EInvalid", b"HTTP/1.1 400"])
def test_a_server_without_tls_or_with_anything_behind_its_word_gets_no_login(answer: bytes) -> None:
    session = server()
    session.open(None, {})
    session.receive(answer)
    assert session.error is not None
    assert not session.start_tls


@pytest.mark.parametrize(
    ("tls", "names"), [("", b"SCRAM-SHA-256\0"), ("TLSv1.3", b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0")]
)
def test_proofs_that_are_bound_to_tls_are_offered_over_tls_alone(tls: str, names: bytes) -> None:
    """A server that has TLS with the proxy offers them; clients without TLS take that for an attack."""
    session = client("")
    session.facts = {"tls.version": tls} if tls else {}
    (hello,) = session.receive(HELLO)
    offer = said("R", b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    heard = session.send(Message(Kind.RESPONSE, offer, hello.id), hello.id)
    assert heard == said("R", b"\0\0\0\x0a" + names + b"\0")
