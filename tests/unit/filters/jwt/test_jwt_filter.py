from __future__ import annotations

import json
from typing import Any

import pytest
from harness import Stage, answer, call
from jwt_tools import ISSUER, NOW, Asked, jwks, token
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.jwt.filter import Jwt
from metaproxy.filters.jwt.keys import RemoteKeys
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, Kind, Message
from metaproxy.plugins import Registry
from metaproxy.testing import check_filter

MAIN = {"issuer": ISSUER, "algorithms": ["RS256"], "jwks": {"inline": jwks("rsa")}}
OTHER = {"issuer": "other", "algorithms": ["ES256"], "jwks": {"inline": jwks("ec")}, "key": "other-token"}


def made(clock: Any = None, **options: Any) -> Jwt:
    if clock is None:
        clock = Clock()
        clock.advance(NOW)
    return Jwt(**{"providers": {"main": MAIN}, "clock": clock, **options})


def refusal(jwt: Jwt, **known: str) -> str:
    """What the client is answered, or nothing when it passes."""
    exchange: Any = Asked(**known)
    reply: Any = jwt.on_request(exchange)
    if reply is None:
        return ""
    assert reply.kind is ErrorKind.DENIED
    return str(reply.text)


def test_it_keeps_the_contract_and_is_known_by_its_name() -> None:
    built = Registry().factory(IFilter, "jwt", {"providers": {"main": MAIN}}, {"clock": Clock()})()
    check_filter(built)


def test_a_request_with_a_good_token_passes_and_another_is_refused() -> None:
    jwt = made()
    assert refusal(jwt, authorization=f"Bearer {token()}") == ""
    assert refusal(jwt) == "jwt: no token in authorization"
    assert refusal(jwt, authorization="Bearer x") == "jwt: not a JSON Web Token"
    assert (jwt.counters["allowed"], jwt.counters["denied"]) == (1, 2)


ANY = {
    # none, good main, good other, bad main, bad main and good other
    "any": [False, True, True, False, True],
    "all": [False, False, False, False, False],
    "allow_missing": [True, True, True, False, True],
    "allow_missing_or_failed": [True, True, True, True, True],
}


@pytest.mark.parametrize("require", ANY)
def test_how_many_tokens_a_request_needs(require: str) -> None:
    jwt = made(providers={"main": MAIN, "other": OTHER}, require=require)
    good = {"authorization": f"Bearer {token()}"}
    bad = {"authorization": f"Bearer {token('rsa-2', 'rsa')}"}
    other = {"other_token": token("ec", iss="other")}
    requests: list[dict[str, str]] = [{}, good, other, bad, {**bad, **other}]
    assert [refusal(jwt, **known) == "" for known in requests] == ANY[require]
    assert refusal(jwt, **good, **other) == ""


def test_a_bad_token_is_told_before_one_that_is_missing() -> None:
    jwt = made(providers={"other": OTHER, "main": MAIN})
    assert refusal(jwt, authorization=token(exp=NOW - 100)) == "jwt: the token has expired"


def test_tokens_of_two_issuers_in_one_key_find_their_provider() -> None:
    jwt = made(providers={"main": MAIN, "other": {**OTHER, "key": "authorization"}})
    assert refusal(jwt, authorization=token("ec", iss="other")) == refusal(jwt, authorization=token()) == ""


def test_the_token_is_not_forwarded_unless_told_so() -> None:
    for forward, gone in ((False, {"Authorization", "authorization"}), (True, set())):
        exchange: Any = Asked(Authorization=token(), authorization=token())
        assert made(providers={"main": {**MAIN, "forward": forward}}).on_request(exchange) is None
        assert exchange.removed == gone


def test_claims_become_metadata_that_filters_see_and_servers_get() -> None:
    exchange: Any = Asked(authorization=token(tenant="blue"))
    jwt = made(providers={"main": {**MAIN, "claims_to_metadata": {"sub": "user", "tenant": "tenant"}}})
    assert jwt.on_request(exchange) is None
    assert exchange.changes == {"user": "ann", "tenant": "blue"}
    assert (exchange.get("user"), exchange.get("tenant")) == ("ann", "blue")


@pytest.mark.parametrize("require", ["any", "allow_missing_or_failed"])
def test_what_a_client_writes_is_never_taken_for_a_claim(require: str) -> None:
    jwt = made(providers={"main": {**MAIN, "claims_to_metadata": {"admin": "is-admin"}}}, require=require)
    known = {"authorization": token()} if require == "any" else {}
    exchange: Any = Asked(Is_Admin="yes", is_admin="yes", **known)
    assert jwt.on_request(exchange) is None
    assert exchange.get("is-admin") is None
    assert exchange.removed >= {"Is-Admin", "is-admin"}
    assert exchange.changes == {}


def test_requests_wait_for_keys_and_those_that_ended_meanwhile_are_left_alone() -> None:
    jwt = made(providers={"main": {**MAIN, "jwks": {"url": "http://127.0.0.1:9/keys"}}})
    fetching: Deferred[bytes] = Deferred()
    source = jwt.providers[0].source
    assert isinstance(source, RemoteKeys)
    source.fetch = lambda: fetching
    first, gone = Asked(authorization=token()), Asked(authorization=token())
    bad: Any = Asked(authorization="x.y.z")
    waiting: list[Any] = [first, gone]
    waits: Any = [jwt.on_request(one) for one in waiting]
    reply: Any = jwt.on_request(bad)
    assert reply.kind is ErrorKind.DENIED
    gone.outcome = "downstream_gone"
    results: list[Any] = []
    for wait in waits:
        wait.addCallback(results.append)
    assert results == []
    fetching.callback(jwks("rsa").encode())
    assert results == [None, None]
    assert jwt.counters["allowed"] == 1
    assert jwt.stop() is None


def test_wrong_options_are_told_with_their_place() -> None:
    def refused(**options: object) -> str:
        with pytest.raises(ValueError) as raised:
            Registry().factory(IFilter, "jwt", {"providers": {"main": MAIN}, **options}, {"clock": Clock()})()
        return str(raised.value)

    assert refused(providers={}) == "an empty mapping; write at least 1"
    assert refused(providers={"main": {**MAIN, "algorithms": []}}) == "an empty list; write at least 1"
    assert refused(cache=-1) == "-1 is less than 0"


def test_on_the_whole_path_a_refused_request_reaches_no_server_and_a_good_one_does() -> None:
    class Tokens:
        """Tells the filter that a request's body is its token, as a codec with metadata would."""

        def on_request(self, exchange: Any) -> None:
            exchange.learn("authorization", exchange.message.frame[13 + 4 :].decode())

    stage = Stage()
    jwt = made(stage.clock)
    stage.clock.advance(NOW)
    stage.route.on_request = stage.no_route.on_request = (Tokens().on_request, jwt.on_request)
    client = stage.client()
    stage.say(client, call(1, body=b"x"))
    assert b"jwt: not a JSON Web Token" in client.take()
    assert stage.network.upstreams == []
    stage.say(client, call(2, body=token().encode()))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(2)


def test_what_a_filter_learnt_is_there_for_those_behind_it_and_for_no_other_exchange() -> None:
    seen: list[str | None] = []

    class Teaches:
        def on_request(self, exchange: Any) -> None:
            seen.append(exchange.get("service"))
            exchange.learn("Service", None if exchange.message.id == 1 else "told")
            exchange.learn("source.address", "1.2.3.4")

    class Looks:
        def on_request(self, exchange: Any) -> None:
            seen.extend((exchange.get("service"), exchange.get("source.address")))

    stage = Stage()
    stage.route.on_request = (Teaches().on_request, Looks().on_request)
    client = stage.client()
    stage.say(client, call(1))
    stage.say(client, call(2))
    assert seen == ["echo", None, "127.0.0.9", "echo", "told", "127.0.0.9"]


def test_spellings_are_those_of_the_peer() -> None:
    message = Message(Kind.REQUEST, b"", 1, {"Token": "a", "token": "b", "tokens": "c"})
    assert message.spellings("TOKEN") == ("Token", "token")
    assert json.dumps(message.spellings("none")) == "[]"
