"""
`jwt`: requests carry a signed token in a metadata key, or are refused.

Lives here: which providers' tokens a request needs, what becomes of the request. Does not: one token (`jwt_tokens`),
keys (`jwt_keys`). Needs the extra `jwt`.

Semantics: Envoy's "JWT Authentication" filter. docs/reference/filters.md says where ours differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.filters.service_cluster import Clusters
from metaproxy.filters.unclear import has_one_value
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.support.extras import install
from metaproxy.units import Option, OptionsOf

if TYPE_CHECKING:
    from metaproxy.filters.jwt.tokens import Provider, Verified

Needs = Literal["any", "all", "allow_missing", "allow_missing_or_failed"]
Passed = list[tuple["Provider", "Verified"]]


@implementer(IOnRequest)
class Jwt:
    """Refuses requests that don't carry a signed token of a provider that is trusted."""

    files = ("providers.*.jwks.file",)
    """The options that name files."""

    def __init__(
        self,
        providers: Annotated[
            dict[str, Annotated[object, OptionsOf("metaproxy.filters.jwt.tokens.Provider")]],
            Option("Whose tokens are good.", least=1),
        ],
        clock: IReactorTime,
        require: Annotated[
            Needs,
            Option("A good token of one provider; of every one; of one, or no token at all; nothing is refused."),
        ] = "any",
        cache: Annotated[int, Option("Verified tokens that are kept for each provider; 0: none.", least=0)] = 1000,
        clusters: Clusters | None = None,
    ) -> None:
        try:
            from metaproxy.filters.jwt import tokens as jwt_tokens
        except ImportError as error:
            raise ValueError(f"{error}; install it with: {install('jwt')}") from error
        self.counters = dict.fromkeys(
            ("allowed", "denied", "jwt_cache_hit", "jwt_cache_miss", "jwks_fetch_success", "jwks_fetch_failed"), 0
        )
        self.providers = [
            jwt_tokens.provider(name, options, clock, self.counters, cache, clusters)
            for name, options in providers.items()
        ]
        self.asks = tuple(name for one in self.providers for name in one.asks)
        self._require = require
        self._owned = {key: None for one in self.providers for key in one.claims.values()}
        self._refused, self._missing, self._not_yet = jwt_tokens.Refused, jwt_tokens.Missing, jwt_tokens.NotYet

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        try:
            passed = self._judge(exchange)
        except self._not_yet as wait:
            return wait.waiting.addCallback(lambda _: None if exchange.outcome else self.on_request(exchange))
        except self._refused as error:
            self.counters["denied"] += 1
            return Reply(ErrorKind.DENIED, f"jwt: {error}")
        self.counters["allowed"] += 1
        self._change(exchange, passed)
        return None

    def inherit(self, previous: object) -> None:
        """Goes on with the keys of the same places, so that no token waits for them again."""
        if isinstance(previous, Jwt):
            before = {one.name: one for one in previous.providers}
            for one in self.providers:
                if one.name in before:
                    one.inherit(before[one.name])

    def stop(self) -> Deferred[list[tuple[bool, None]]] | None:
        waits = [wait for wait in (one.stop() for one in self.providers) if wait is not None]
        return DeferredList(waits, consumeErrors=True) if waits else None

    def _judge(self, exchange: IExchange) -> Passed:
        """The providers whose tokens are good, as many as are needed. Raises Refused, or NotYet."""
        passed: Passed = []
        refusals = []
        for one in self.providers:
            try:
                passed.append((one, one.verify(self._token_of(one, exchange))))
            except self._refused as error:
                if self._require == "all":
                    raise
                refusals.append(error)
            else:
                if self._require != "all":
                    return passed
        if self._require == "all" or self._require == "allow_missing_or_failed":
            return passed
        failed = [error for error in refusals if not isinstance(error, self._missing)]
        if self._require == "allow_missing" and not failed:
            return passed
        raise (failed or refusals)[0]

    def _token_of(self, one: Provider, exchange: IExchange) -> str:
        """The token of a provider. Raises Refused, also where the server may see another one than we verify."""
        token = exchange.get(one.key)
        if not has_one_value(exchange, one.key):
            raise self._refused(f"{one.key} is there with several values, or can't be read")
        return one.token_of(token)

    def _change(self, exchange: IExchange, passed: Passed) -> None:
        """The token goes, claims come. What the client wrote under a claim's key is never taken for the claim."""
        message = exchange.message
        for one, _ in passed:
            if not one.forward:
                for key in message.spellings(one.key):
                    exchange.remove(key)
        if not self._owned:
            return
        values = {key: value for _, verified in reversed(passed) for key, value in verified.metadata.items()}
        for key in self._owned:
            for spelling in message.spellings(key):
                exchange.remove(spelling)
            value = values.get(key)
            exchange.learn(key, value)
            if value is not None:
                exchange.set(key, value)
