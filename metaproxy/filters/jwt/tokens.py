"""
`jwt`: one issuer of tokens, and what it takes for a token of its to be good.

Lives here: `Provider`: its options, verification (by PyJWT), tokens that were verified before. Does not: which
providers a request must satisfy, what becomes of the request (`jwt`); where keys come from (`jwt_keys`).

No error has a piece of a token in it, nor of a key.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Annotated, NamedTuple

import jwt
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from metaproxy.clients.http import Answer, HttpCalls, HttpFailed, check_url
from metaproxy.filters.jwt.keys import SYMMETRIC, TYPES, BadKeys, FileKeys, FixedKeys, KeySet, RemoteKeys, shared_secret
from metaproxy.filters.service_cluster import Clusters, HttpToCluster, check_known
from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.support.bounded_map import BoundedMap
from metaproxy.units import Bytes, Option, OptionsOf, Seconds, Secret

_SKEW = Seconds(60.0)
_TOKEN = Bytes(8192)
_NO_SECRET = Secret()
_ONE = "one of"
_REFRESH, _TIMEOUT = Seconds(600.0), Seconds(5.0)


class Refused(Exception):
    """The token is not good; the text says why."""


class Missing(Refused):
    """There is no token."""


class NotYet(Exception):
    """No answer before keys have been fetched. waiting: fires then."""

    def __init__(self, waiting: Deferred[None]) -> None:
        super().__init__()
        self.waiting = waiting


class Verified(NamedTuple):
    """A good token: metadata that its claims stand for, from and until when it is good, the keys that said so."""

    metadata: dict[str, str]
    start: float
    end: float
    keys: KeySet


class Jwks:
    """Where keys come from: exactly one of `file`, `url` and `inline`."""

    def __init__(
        self,
        file: Annotated[str, Option("The path of a JWKS (RFC 7517); 1 MiB and 100 keys at most.", default=_ONE)] = "",
        url: Annotated[str, Option("Where a JWKS is fetched from.", default=_ONE)] = "",
        inline: Annotated[str, Option("The JWKS itself.", default=_ONE)] = "",
        refresh: Annotated[Seconds, Option("Time between two fetches of the `url`.", least="1s")] = _REFRESH,
        timeout: Annotated[Seconds, Option("Time that a fetch may take.", above="0s")] = _TIMEOUT,
        cluster: Annotated[
            str, Option("The [cluster](#services-in-clusters) where the `url` is, in the place of its host.")
        ] = "",
    ) -> None:
        if sum(map(bool, (file, url, inline))) != 1:
            raise ValueError("write exactly one of file, url and inline")
        if cluster and (not url or url.startswith("https:")):
            raise ValueError(
                "cluster goes with a url such as http://login.example.org/keys; the cluster's `tls` decides"
            )
        self.file, self.url, self.inline, self.cluster = file, url and check_url(url), inline, cluster
        self.refresh, self.timeout = refresh, timeout

    def source(
        self, clock: IReactorTime, counters: dict[str, int], clusters: Clusters | None
    ) -> FixedKeys | RemoteKeys:
        """Raises ValueError for keys that can't be used."""
        if self.inline:
            return FixedKeys(KeySet(self.inline))
        if self.file:
            try:
                return FileKeys(self.file, counters)
            except OSError as error:
                raise ValueError(f"{self.file}: {error.strerror}") from None
        calls: HttpCalls | HttpToCluster = HttpCalls(clock)
        if self.cluster:
            calls = HttpToCluster(check_known(clusters, self.cluster), self.cluster, clock)

        def fetch() -> Deferred[bytes]:
            return calls.call("GET", self.url, self.timeout).addCallback(_body)

        return RemoteKeys(self.url, self.refresh, clock, fetch, counters, calls.close)


def _body(answer: Answer) -> bytes:
    if answer.status != 200:
        raise HttpFailed(f"status {answer.status}")
    return answer.body


class Provider:
    """Whose tokens are good, and how they are verified. source: where its keys come from."""

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        counters: dict[str, int],
        cache: int,
        algorithms: Annotated[
            list[str],
            Option(
                "Of `RS256` `RS384` `RS512` `PS256` `PS384` `PS512` `ES256` `ES384` `ES512` `EdDSA`, or of `HS256` "
                "`HS384` `HS512`: the two kinds can't be mixed. `none` is never accepted.",
                least=1,
            ),
        ],
        issuer: Annotated[str, Option("What `iss` must be.", default="any")] = "",
        audiences: Annotated[list[str] | None, Option("One of them must be in `aud`.", default="any")] = None,
        jwks: Annotated[
            dict[str, object] | None, OptionsOf(Jwks), Option("Where its keys come from.", default=_ONE)
        ] = None,
        shared_secret: Annotated[
            Secret,
            Option("The key of `HS256` and the like; as long as its hash at least: 32, 48 or 64 bytes.", default=_ONE),
        ] = _NO_SECRET,
        key: Annotated[str, Option("The metadata key that has the token.", least=1)] = "authorization",
        prefix: Annotated[
            str, Option("What may stand before the token, in any case.", default='`"Bearer "`')
        ] = "Bearer ",
        forward: Annotated[bool, Option("Whether the server gets to see the token.")] = False,
        clock_skew: Annotated[Seconds, Option("Tolerance for `exp` and `nbf`.")] = _SKEW,
        claims_to_metadata: Annotated[
            dict[str, str] | None, Option("Claims as metadata; dots in a claim's name lead into objects.")
        ] = None,
        max_token: Annotated[Bytes, Option("A longer token is refused unread.", least=1)] = _TOKEN,
        clusters: Clusters | None = None,
    ) -> None:
        self.name, self.key, self.forward = name, key, forward
        self.claims = dict(claims_to_metadata or {})
        self._algorithms = _checked(algorithms)
        self._issuer, self._audiences = issuer, list(audiences or ())
        self._prefix, self._most = prefix.lower(), max_token
        self._skew = clock_skew
        self.clock, self.counters = clock, counters
        self.asks = tuple(name for name in [(jwks or {}).get("cluster")] if isinstance(name, str))
        self.source = _source(jwks, shared_secret, algorithms, clock, counters, clusters)
        self._known: BoundedMap[str, Verified] = BoundedMap(cache)

    @property
    def remembered(self) -> int:
        """Tokens whose verification is kept."""
        return len(self._known)

    def stop(self) -> Deferred[None] | None:
        return self.source.stop()

    def token_of(self, value: str | None) -> str:
        """The token in the value of the metadata key. Raises Refused."""
        if value is None:
            raise Missing(f"no token in {self.key}")
        if value[: len(self._prefix)].lower() == self._prefix:
            value = value[len(self._prefix) :]
        if len(value) > self._most:
            raise Refused(f"a token of more than {self._most} bytes")
        return value

    def inherit(self, before: Provider) -> None:
        if isinstance(self.source, RemoteKeys) and isinstance(before.source, RemoteKeys):
            self.source.inherit(before.source)

    def verify(self, token: str) -> Verified:
        """Raises Refused, or NotYet."""
        now = self.clock.seconds()
        found = self._known.get(token)
        if found is not None and found.keys is self.source.current(now):
            self.counters["jwt_cache_hit"] += 1
        else:
            self.counters["jwt_cache_miss"] += 1
            found = self._verified(token, now)
            self._keep(token, found)
        if now > found.end + self._skew:
            self._known.pop(token, None)
            raise Refused("the token has expired")
        if now < found.start - self._skew:
            raise Refused("the token is not valid yet")
        return found

    def _keep(self, token: str, verified: Verified) -> None:
        # The oldest one goes: less to do for each request than to find the one that was not used for longest.
        self._known.keep(token, verified)

    def _verified(self, token: str, now: float) -> Verified:
        header, claims = _decoded(token)
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise Refused(f"the token's algorithm is none of {', '.join(self._algorithms)}")
        if self._issuer and claims.get("iss") != self._issuer:
            raise Refused(f"the token is not from {self._issuer}")
        keys = self.source.current(now)
        try:
            suiting = keys.find(algorithm, name if isinstance(name, str) else None) if keys is not None else []
        except BadKeys as error:
            raise Refused(str(error)) from None
        if keys is None or not suiting:
            waiting = self.source.fetched(now)
            if waiting is not None:
                raise NotYet(waiting)
            keys = self.source.current(now)
            what = "no key for the token's kid and algorithm" if keys is not None else "no keys could be fetched so far"
            raise Refused(f"{self.name}: {what}")
        claims = self._checked_by(token, algorithm, suiting)
        start, end = _time(claims, "nbf", -math.inf), _time(claims, "exp", math.inf)
        return Verified(self._metadata(claims), start, end, keys)

    def _checked_by(self, token: str, algorithm: str, keys: list[jwt.PyJWK]) -> dict[str, object]:
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    [algorithm],
                    {  # Times are compared by the reactor's clock, each time that a token comes: see `verify`.
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_sub": False,
                        "verify_jti": False,
                        "verify_aud": bool(self._audiences),
                    },
                    audience=self._audiences or None,
                    issuer=self._issuer or None,
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
                raise Refused(f"the token is not for {' or '.join(self._audiences)}") from None
            except (jwt.PyJWTError, ValueError, TypeError):
                raise Refused("the token can't be verified") from None
        raise Refused("the token's signature is wrong")

    def _metadata(self, claims: dict[str, object]) -> dict[str, str]:
        found = {}
        for claim, key in self.claims.items():
            value = _claim(claims, claim)
            if value is not None:
                found[key] = _text(value)
        return found


def provider(
    name: str,
    options: object,
    clock: IReactorTime,
    counters: dict[str, int],
    cache: int,
    clusters: Clusters | None = None,
) -> Provider:
    """What a configuration says of it. Raises OptionError."""
    return made(
        Provider, options, "providers", name, name=name, clock=clock, counters=counters, cache=cache, clusters=clusters
    )


def _checked(algorithms: list[str]) -> list[str]:
    for name in algorithms:
        if name not in TYPES:
            raise OptionError("algorithms", f"{name!r} is none of {', '.join(TYPES)}")
    if 0 < len(SYMMETRIC.intersection(algorithms)) < len(set(algorithms)):
        # Or a token could be signed with the public key, taken for a shared secret.
        raise OptionError("algorithms", "symmetric ones (HS...) and asymmetric ones can't be mixed")
    return algorithms


def _source(
    jwks: dict[str, object] | None,
    secret: str,
    algorithms: list[str],
    clock: IReactorTime,
    counters: dict[str, int],
    clusters: Clusters | None,
) -> FixedKeys | RemoteKeys:
    if bool(jwks) == bool(secret):
        raise ValueError("write jwks: {file: PATH}, {url: URL} or {inline: TEXT}; or shared_secret: {secret: NAME}")
    if secret:
        if not SYMMETRIC.issuperset(algorithms):
            raise OptionError("shared_secret", "it is for HS256, HS384 and HS512 only; public keys go into jwks")
        try:
            return FixedKeys(shared_secret(secret, algorithms))
        except ValueError as error:
            raise OptionError("shared_secret", str(error)) from None
    where = made(Jwks, jwks, "jwks")
    try:
        return where.source(clock, counters, clusters)
    except ValueError as error:
        raise OptionError("jwks", str(error)) from None


def _decoded(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Header and claims, not verified: what tells which key to verify with. Raises Refused."""
    pieces = token.split(".")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(piece + "===")) for piece in pieces[:2])
        if len(pieces) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise Refused("not a JSON Web Token") from None
    return header, claims


def _time(claims: dict[str, object], name: str, otherwise: float) -> float:
    value = claims.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        raise Refused(f"the token's {name} is not a time")
    return float(value)


def _claim(claims: dict[str, object], path: str) -> object:
    """The claim of this name; or else what stands under it, its dots leading deeper."""
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _text(value: object) -> str:
    """As metadata have it: texts as they are, lists of them with commas between, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return ",".join(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
