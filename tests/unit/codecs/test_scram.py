"""SCRAM: the vectors of the RFCs, both sides against each other, and what a peer may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.scram import ScramClient, ScramError, ScramServer, Verifier, hash_name, saslprep, verifier

# RFC 5802, section 5, and RFC 7677, section 3: user "user", password "pencil".
VECTORS = {
    "SCRAM-SHA-1": (
        "fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        b"\x41\x25\xc2\x47\xe4\x3a\xb1\xe9\x3c\x6d\xff\x76",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "SCRAM-SHA-256": (
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


@pytest.mark.parametrize("mechanism", VECTORS)
def test_the_client_says_what_the_rfc_says(mechanism: str) -> None:
    client_nonce, _, _, client_first, server_first, client_final, server_final = VECTORS[mechanism]
    client = ScramClient(mechanism, "user", "pencil", client_nonce)
    assert client.first() == client_first
    assert client.final(server_first) == client_final
    client.check(server_final)


@pytest.mark.parametrize("mechanism", VECTORS)
def test_the_server_says_what_the_rfc_says(mechanism: str) -> None:
    _, server_nonce, salt, client_first, server_first, client_final, server_final = VECTORS[mechanism]
    server = ScramServer(mechanism, {"user": verifier(mechanism, "pencil", salt)}.get, server_nonce)
    assert server.first(client_first) == server_first
    assert server.final(client_final) == server_final
    assert server.user == "user"


def conversation(
    user: str, password: str, kept: Verifier | None, mechanism: str = "SCRAM-SHA-256"
) -> tuple[ScramClient, ScramServer, bytes]:
    """A login up to the client's last message."""
    client = ScramClient(mechanism, user, password)
    server = ScramServer(mechanism, lambda name: kept if name == user else None)
    return client, server, client.final(server.first(client.first()))


KEPT = verifier("SCRAM-SHA-256", "pencil")


@pytest.mark.parametrize("mechanism", VECTORS)
def test_a_client_with_the_password_logs_in_and_knows_the_server(mechanism: str) -> None:
    client, server, final = conversation("anna", "pencil", verifier(mechanism, "pencil"), mechanism)
    client.check(server.final(final))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_name_comes_out_as_it_went_in(user: str) -> None:
    client, server, final = conversation(user, "pencil", KEPT)
    client.check(server.final(final))
    assert server.user == user


def test_a_wrong_password_is_refused() -> None:
    _, server, final = conversation("anna", "pencils", KEPT)
    with pytest.raises(ScramError) as caught:
        server.final(final)
    assert caught.value.value == "invalid-proof"


def test_an_unknown_user_is_asked_like_a_known_one_and_refused_like_one_with_a_wrong_password() -> None:
    _, server, final = conversation("anna", "pencil", None)
    with pytest.raises(ScramError) as unknown:
        server.final(final)
    _, server, final = conversation("anna", "wrong", KEPT)
    with pytest.raises(ScramError) as wrong:
        server.final(final)
    assert (str(unknown.value), unknown.value.value) == (str(wrong.value), wrong.value.value)


def test_an_unknown_user_gets_the_same_salt_each_time() -> None:
    def challenge(user: str) -> list[bytes]:
        server = ScramServer("SCRAM-SHA-256", lambda name: None, "nonce", 15000)
        return server.first(ScramClient("SCRAM-SHA-256", user, "", "x").first()).split(b",")

    assert challenge("anna") == challenge("anna")
    assert challenge("anna")[1] != challenge("bert")[1]
    assert challenge("anna")[2] == b"i=15000"


def test_a_proof_serves_once() -> None:
    _, server, final = conversation("anna", "pencil", KEPT)
    server.final(final)
    with pytest.raises(ScramError):
        server.final(final)


def test_a_final_message_without_a_first_is_refused() -> None:
    with pytest.raises(ScramError):
        ScramServer("SCRAM-SHA-256", lambda name: KEPT).final(b"c=biws,r=x,p=AAAA")


def test_a_proof_of_another_length_is_refused() -> None:
    _, server, final = conversation("anna", "pencil", KEPT)
    with pytest.raises(ScramError) as caught:
        server.final(final.rpartition(b",p=")[0] + b",p=AAAA")
    assert caught.value.value == "invalid-proof"


def test_the_channel_binding_of_the_last_message_is_that_of_the_first() -> None:
    _, server, final = conversation("anna", "pencil", KEPT)
    with pytest.raises(ScramError) as caught:
        server.final(final.replace(b"c=biws", b"c=eSws"))
    assert caught.value.value == "channel-bindings-dont-match"


def test_a_client_that_could_bind_and_was_not_offered_it_logs_in() -> None:
    server = ScramServer("SCRAM-SHA-256", lambda name: KEPT)
    assert server.first(b"y,,n=anna,r=abc").startswith(b"r=abc")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=anna",
        b"n,,r=abc,n=anna",
        b"n,,n=anna,r=",
        b"x,,n=anna,r=abc",
        b"n,b=x,n=anna,r=abc",
        b"n,a=bert,n=anna,r=abc",
        b"n,,m=x,n=anna,r=abc",
        b"n,,n=an=na,r=abc",
        b"p=tls-server-end-point,,n=anna,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=anna,r=" + b"a" * 4096,
    ],
)
def test_a_first_message_that_is_none_is_refused(first: bytes) -> None:
    with pytest.raises(ScramError):
        ScramServer("SCRAM-SHA-256", lambda name: KEPT).first(first)


def test_a_client_that_insists_on_channel_binding_reads_why_not() -> None:
    with pytest.raises(ScramError, match="tls-unique"):
        ScramServer("SCRAM-SHA-256", lambda name: KEPT).first(b"p=tls-unique,,n=anna,r=abc")
    with pytest.raises(ScramError, match="use 'SCRAM-SHA-256'"):
        hash_name("SCRAM-SHA-256-PLUS")


def test_other_mechanisms_are_refused_by_name() -> None:
    with pytest.raises(ScramError, match="PLAIN"):
        ScramClient("PLAIN", "anna", "pencil")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"r=abcdef,s=QSXCR+Q6sek8bf92",
        b"r=abc,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=xyzdef,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=abcdef,s=,i=4096",
        b"r=abcdef,s=!!!!,i=4096",
        b"r=abcdef,s=QSXCR+Q6sek8bf92,i=4095",
        b"r=abcdef,s=QSXCR+Q6sek8bf92,i=1000000000",
        b"r=abcdef,s=QSXCR+Q6sek8bf92,i=-4096",
        b"m=x,r=abcdef,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=abcdef,s=" + b"QSXC" * 400 + b",i=4096",
    ],
)
def test_a_servers_first_message_out_of_bounds_is_refused(answer: bytes) -> None:
    client = ScramClient("SCRAM-SHA-256", "anna", "pencil", "abc")
    client.first()
    with pytest.raises(ScramError):
        client.final(answer)


def test_a_server_that_does_not_know_the_password_is_refused() -> None:
    client, server, final = conversation("anna", "pencil", KEPT)
    with pytest.raises(ScramError, match="signature"):
        client.check(b"v=" + server.final(final)[2:-8] + b"AAAAAAA=")


def test_a_server_that_says_it_is_done_before_it_began_is_refused() -> None:
    with pytest.raises(ScramError):
        ScramClient("SCRAM-SHA-256", "anna", "pencil").check(b"v=")


def test_a_servers_error_is_reported() -> None:
    client, _, _ = conversation("anna", "pencil", KEPT)
    with pytest.raises(ScramError, match="invalid-proof"):
        client.check(b"e=invalid-proof")


# RFC 4013, section 3.
@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_passwords_are_prepared_as_the_rfc_says(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "\ue000"])
def test_passwords_with_characters_that_are_not_allowed_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        saslprep(text)
