from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from jwt_tools import ISSUER, NOW, jwks, private, token
from twisted.internet.task import Clock

from metaproxy.filters.jwt.keys import LOOK, RemoteKeys
from metaproxy.filters.jwt.tokens import Missing, NotYet, Provider, Refused, provider
from metaproxy.plugins import OptionError

SECRET = "correct horse battery staple, twice over"
COUNTERS = ("jwt_cache_hit", "jwt_cache_miss", "jwks_fetch_success", "jwks_fetch_failed")


def made(cache: int = 10, **options: Any) -> Provider:
    clock = Clock()
    clock.advance(NOW)
    held = {"algorithms": ["RS256"], "jwks": {"inline": jwks("rsa", "ec")}, "issuer": ISSUER, **options}
    found = provider("main", held, clock, dict.fromkeys(COUNTERS, 0), cache)
    return found


def refusal(one: Provider, text: str) -> str:
    with pytest.raises(Refused) as raised:
        one.verify(one.token_of(text))
    assert text[-20:] not in str(raised.value)
    return str(raised.value)


def advance(one: Provider, seconds: float) -> None:
    assert isinstance(one.clock, Clock)
    one.clock.advance(seconds)


def unsigned(header: object, claims: object, signature: str = "AAAA") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join((*parts, signature))


def test_a_good_token_gives_its_claims_as_metadata() -> None:
    claims = {"sub": "user", "realm.roles": "roles", "https://x.y/tenant": "tenant", "n": "n", "no": "no", "ok": "ok"}
    one = made(claims_to_metadata=claims)
    odd: dict[str, Any] = {"https://x.y/tenant": "blue", "n": 7, "ok": True}
    text = token(realm={"roles": ["a", "b"]}, **odd)
    assert one.verify(text).metadata == {"user": "ann", "roles": "a,b", "tenant": "blue", "n": "7", "ok": "true"}


@pytest.mark.parametrize("kind, name", [("rsa", "RS256"), ("rsa", "PS512"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_each_family_of_algorithms_is_verified(kind: str, name: str) -> None:
    one = made(algorithms=[name], jwks={"inline": jwks("rsa", "ec", "ed")})
    assert one.verify(token(kind, algorithm_name=name))
    other = {"rsa": "rsa-2", "ec": "ec-2", "ed": "ed-2"}[kind]
    forged = token(other, kind, algorithm_name=name)
    assert refusal(one, forged) == "the token's signature is wrong"


def test_a_shared_secret_is_verified() -> None:
    one = made(algorithms=["HS256"], jwks=None, shared_secret=SECRET)
    assert one.verify(token("rsa", None, "HS256", SECRET))
    assert refusal(one, token("rsa", None, "HS256", SECRET[::-1])) == "the token's signature is wrong"


@pytest.mark.parametrize("algorithms", [["RS256"], ["ES256", "RS256"]])
def test_a_token_without_a_signature_is_refused_however_it_says_so(algorithms: list[str]) -> None:
    one = made(algorithms=algorithms)
    claims = {"iss": ISSUER, "exp": NOW + 60}
    for name in ("none", "None", "NONE", "", None, 7, ["RS256"], "HS256"):
        assert "algorithm is none of" in refusal(one, unsigned({"alg": name, "kid": "rsa"}, claims, ""))
    assert "signature is wrong" in refusal(one, unsigned({"alg": "RS256", "kid": "rsa"}, claims, ""))


def test_a_public_key_can_not_be_taken_for_a_shared_secret() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = private("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    head = unsigned({"alg": "HS256", "kid": "rsa"}, {"iss": ISSUER}).rpartition(".")[0]
    mac = hmac.new(pem, head.encode(), hashlib.sha256).digest()
    forged = f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert "algorithm is none of" in refusal(made(), forged)


def test_a_changed_claim_or_signature_is_noticed() -> None:
    one = made()
    head, body, mark = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==="))
    other = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).decode().rstrip("=")
    assert refusal(one, f"{head}.{other}.{mark}") == "the token's signature is wrong"
    assert refusal(one, f"{head}.{body}.{mark[:-8]}AAAAAAAA") == "the token's signature is wrong"


def test_issuer_and_audience_have_to_fit() -> None:
    one = made(audiences=["shop", "bank"])
    assert one.verify(token(aud="bank"))
    assert one.verify(token(aud=["x", "shop"]))
    assert refusal(one, token(aud="other")) == "the token is not for shop or bank"
    assert refusal(one, token()) == "the token is not for shop or bank"
    assert refusal(one, token(aud="shop", iss="https://other")) == f"the token is not from {ISSUER}"
    assert made().verify(token(aud="whatever"))


def test_times_are_compared_with_some_tolerance_whether_the_token_is_known_or_not() -> None:
    one = made(clock_skew="10s")
    text = token(exp=NOW + 60, nbf=NOW + 5)
    assert one.verify(text)
    advance(one, 70)
    assert one.verify(text)
    advance(one, 1)
    assert refusal(one, text) == "the token has expired"
    assert refusal(one, text) == "the token has expired"
    assert refusal(one, token(exp=NOW)) == "the token has expired"
    assert refusal(one, token(nbf=NOW + 3600)) == "the token is not valid yet"
    assert one.verify(token(exp=None))


@pytest.mark.parametrize("time", ["soon", True, float("nan"), float("inf"), 10**400])
def test_a_time_that_is_none_is_refused(time: Any) -> None:
    assert "exp is not a time" in refusal(made(), token(exp=time))


def test_a_known_token_costs_no_verification_until_it_expires_or_the_keys_change(tmp_path: Any) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks("rsa"))
    one = made(jwks={"file": str(path)})
    text = token()
    for _ in range(5):
        one.verify(text)
    assert (one.counters["jwt_cache_miss"], one.counters["jwt_cache_hit"]) == (1, 4)
    path.write_text(jwks("rsa-2"))
    advance(one, LOOK)
    assert refusal(one, text) == "main: no key for the token's kid and algorithm"


def test_known_tokens_are_bounded_and_may_be_none() -> None:
    one = made(cache=2)
    for number in range(5):
        one.verify(token(jti=str(number)))
    assert one.remembered == 2
    none = made(cache=0)
    none.verify(token())
    assert none.remembered == 0


def test_a_token_that_is_refused_is_not_kept() -> None:
    one = made()
    refusal(one, token("rsa-2", "rsa"))
    assert one.remembered == 0


def test_the_token_may_stand_behind_its_prefix_or_alone() -> None:
    one = made()
    assert one.token_of("Bearer abc") == one.token_of("bearer abc") == one.token_of("abc") == "abc"
    with pytest.raises(Missing, match="no token in authorization"):
        one.token_of(None)


def test_a_token_beyond_the_bound_is_not_looked_at() -> None:
    assert refusal(made(max_token=100), token()) == "a token of more than 100 bytes"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.b", "a.b.c", "..", "é.é.é", "W10.W10.", unsigned([], {}), unsigned({}, "x"), "a" * 5000,
     f"{base64.b64encode(b'[' * 4000).decode()}.e30.", "e30.e30.e30.e30"],
)  # fmt: skip
def test_what_is_no_token_is_refused(text: str) -> None:
    one = made()
    with pytest.raises(Refused, match=r"not a JSON Web Token|algorithm is none of"):
        one.verify(text)


def test_a_key_that_is_not_there_is_refused_when_there_is_nothing_to_wait_for() -> None:
    assert refusal(made(), token(name="other")) == "main: no key for the token's kid and algorithm"
    assert made().verify(token(name=None))


def test_keys_from_a_url_are_waited_for() -> None:
    one = made(jwks={"url": "http://127.0.0.1:9/keys"})
    calls: list[Any] = []
    from twisted.internet.defer import Deferred

    def fetch() -> Any:
        calls.append(Deferred())
        return calls[-1]

    assert isinstance(one.source, RemoteKeys)
    one.source.fetch = fetch
    with pytest.raises(NotYet):
        one.verify(token())
    calls[0].callback(b"no keys")
    assert refusal(one, token()) == "main: no keys could be fetched so far"
    advance(one, LOOK)
    with pytest.raises(NotYet):
        one.verify(token())
    calls[-1].callback(jwks("rsa").encode())
    assert one.verify(token())


@pytest.mark.parametrize(
    "options, path, told",
    [
        ({"algorithms": []}, "algorithms", "write at least 1"),
        ({"algorithms": ["none"]}, "algorithms", "'none' is none of HS256"),
        ({"algorithms": ["HS256", "RS256"]}, "algorithms", "can't be mixed"),
        ({"jwks": None}, "", "write jwks"),
        ({"shared_secret": SECRET}, "", "write jwks"),
        ({"jwks": None, "shared_secret": SECRET}, "shared_secret", "for HS256, HS384 and HS512 only"),
        ({"jwks": None, "shared_secret": "short", "algorithms": ["HS256"]}, "shared_secret", "32 bytes at least"),
        ({"jwks": {}}, "", "write jwks"),
        ({"jwks": {"file": "a", "url": "http://b"}}, "jwks", "write exactly one"),
        ({"jwks": {"url": "ftp://b"}}, "jwks", "'ftp://b' is not a URL"),
        ({"jwks": {"url": "http://u:pw@b"}}, "jwks", "would be shown"),
        ({"jwks": {"url": "http://b", "refresh": "0s"}}, "jwks.refresh", "0s is less than 1s"),
        ({"jwks": {"url": "http://b", "refresh": "soon"}}, "jwks.refresh", "'soon' is not a duration"),
        ({"jwks": {"file": "/no/such/file"}}, "jwks", "/no/such/file: No such file"),
        ({"jwks": {"inline": "{"}}, "jwks", "not JSON"),
        ({"key": ""}, "key", "an empty text"),
        ({"clock_skew": -1}, "clock_skew", "is not a duration"),
        ({"issuers": "x"}, "issuers", "no option 'issuers'"),
        ({"audiences": "x"}, "audiences", "'x' is not a list"),
    ],
)
def test_what_is_wrong_with_a_provider_is_told_with_its_place(options: dict[str, Any], path: str, told: str) -> None:
    with pytest.raises(OptionError, match=told.replace("(", r"\(")) as raised:
        made(**options)
    assert raised.value.option == "providers"
    assert raised.value.path == ("main", *filter(None, path.split(".")))
    assert SECRET not in str(raised.value)


def test_a_provider_is_a_mapping() -> None:
    with pytest.raises(ValueError, match="'x' is not a mapping"):
        provider("main", "x", Clock(), {}, 1)
