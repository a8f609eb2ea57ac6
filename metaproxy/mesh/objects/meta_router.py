"""
MetaRouter and ApplicationProtocol, `metaprotocol.aeraki.io/v1alpha1`: routes and limits of a service of any protocol.

Lives here: their keys, and the checks of Aeraki's admission webhook. Does not: what proxies get of them (`generator`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.numbers import Flag, Whole
from metaproxy.config.schema.reading import Reading
from metaproxy.config.schema.shape import ListOf, MapOf, option
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, PORT, TEXT, Fqdn, GoDuration, PercentValue, StringMatch
from metaproxy.units import Seconds

RULES = Rules()

LEAST_FILL = 0.05
"""Seconds: the shortest interval in which a bucket is filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortNumber(Spec):
    """A port by its number."""

    number: int = option(PORT, "The number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination(Spec):
    """A service, or a subset of it."""

    host: str = option(Fqdn(), "The service's name.")
    subset: str = option(TEXT, "A subset that a DestinationRule of the host names.", "")
    port: PortNumber | None = option(Struct(PortNumber), "Its port.", None, "the port of the listener")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDestination(Spec):
    """A destination with its share of the requests."""

    destination: Destination = option(Struct(Destination), "Where requests go.")
    weight: int = option(Whole(0, 100), "Its share; the weights of several have the sum 100.", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(Spec):
    """What requests a route or a limit is for: all attributes must hold."""

    attributes: Mapping[str, StringMatch] = option(
        MapOf(Struct(StringMatch), "ATTRIBUTE"), "Attributes of the message, as the codec gives them.", {}, "all"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation(Spec):
    """A key of a message that is set."""

    key: str = option(NAME, "The key.")
    value: str = option(TEXT, "Its value, not empty.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentage(Spec):
    """A share."""

    value: float = option(PercentValue(), "The share.", 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaRoute(Spec):
    """A route. The first that matches takes a request."""

    name: str = option(TEXT, "For logs and metrics.", "")
    match: Match | None = option(Struct(Match), "Which requests.", None, "all")
    route: tuple[RouteDestination, ...] = option(ListOf(Struct(RouteDestination), 1), "Where they go.")
    mirror: Destination | None = option(Struct(Destination), "Gets copies, whose answers are dropped.", None)
    mirror_percentage: Percentage | None = option(
        Struct(Percentage), "The share that is copied; more than 0.", None, "100"
    )
    request_mutation: tuple[Mutation, ...] = option(ListOf(Struct(Mutation)), "Set on requests.", ())
    response_mutation: tuple[Mutation, ...] = option(ListOf(Struct(Mutation)), "Set on responses.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBucket(Spec):
    """A bucket of tokens; each request takes one."""

    max_tokens: int = option(Whole(1, 2**32 - 1), "Its size, and what it holds at first.")
    tokens_per_fill: int = option(Whole(1, 2**32 - 1), "Tokens that are added each time.", 1)
    fill_interval: Seconds = option(GoDuration(above=True), "The time from one filling to the next; at least 50ms.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(Spec):
    """A bucket of its own for some requests."""

    match: Match = option(Struct(Match), "Which requests.")
    token_bucket: TokenBucket = option(Struct(TokenBucket), "Their bucket.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRateLimit(Spec):
    """How many requests each instance of the service takes."""

    token_bucket: TokenBucket | None = option(
        Struct(TokenBucket), "For requests that meet no condition.", None, "no limit for them"
    )
    conditions: tuple[Condition, ...] = option(ListOf(Struct(Condition)), "The first that matches counts.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor(Spec):
    """What the rate limit service is asked."""

    property: str = option(NAME, "An attribute of the message.")
    descriptor_key: str = option(NAME, "Under which key its value is sent.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalRateLimit(Spec):
    """A limit that all instances share, kept by a rate limit service."""

    match: Match | None = option(Struct(Match), "Which requests.", None, "all")
    domain: str = option(NAME, "Passed to the service.")
    request_timeout: Seconds = option(GoDuration(above=True), "How long it may take to answer.", "20ms")
    deny_on_fail: bool = option(Flag(), "Refuse requests while it can't be asked.", False)
    rate_limit_service: str = option(NAME, "Its cluster, such as `outbound|8081||rls.demo.svc.cluster.local`.")
    descriptors: tuple[Descriptor, ...] = option(ListOf(Struct(Descriptor), 1), "What it is asked.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaRouter(Spec):
    """Routes and limits of one service, whatever its protocol."""

    hosts: tuple[str, ...] = option(ListOf(Fqdn(), 1), "One host: that of a ServiceEntry or Service.")
    gateways: tuple[str, ...] = option(
        ListOf(NAME), "Gateways that send requests to it: `namespace/name`, or a name of the same namespace.", ()
    )
    routes: tuple[MetaRoute, ...] = option(ListOf(Struct(MetaRoute)), "The first that matches.", (), "all to the host")
    local_rate_limit: LocalRateLimit | None = option(
        Struct(LocalRateLimit), "At the proxies of the service's own instances.", None
    )
    global_rate_limit: GlobalRateLimit | None = option(Struct(GlobalRateLimit), "As above.", None)
    export_to: tuple[str, ...] = option(
        ListOf(NAME), "Namespaces whose proxies know the protocol; `.` its own, `*` all.", (), "all"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationProtocol(Spec):
    """Which codec reads a protocol that port names mention."""

    protocol: str = option(NAME, "As the third part of a port's name has it: `tcp-metaprotocol-PROTOCOL`.")
    codec: str = option(NAME, "The codec, such as `aeraki.meta_protocol.codec.brpc`.")


# -- the admission webhook's checks that look at several keys


@RULES.of(MetaRouter)
def _router(router: MetaRouter, reading: Reading) -> None:
    if len(router.hosts) > 1:
        reading.problem(reading.at(router, "hosts"), f"{len(router.hosts)} hosts; write one object for each")
    if not (router.routes or router.local_rate_limit or router.global_rate_limit):
        reading.problem(reading.at(router), "one of routes, localRateLimit, globalRateLimit is missing")
    for index, route in enumerate(router.routes[:-1]):
        if route.match is None or not route.match.attributes:
            later = f"routes[{index + 1}] and later ones are never used"
            reading.warn(reading.at(route), f"matches every request, so {later}")
    _namespaces(router, reading)


def _namespaces(router: MetaRouter, reading: Reading) -> None:
    names = router.export_to
    if "*" in names and len(names) > 1:
        reading.problem(reading.at(router, "export_to"), "'*' is all namespaces; leave out the others")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        reading.problem(reading.at(router, "export_to"), f"{twice[0]!r} stands there twice")


@RULES.of(MetaRoute)
def _route(route: MetaRoute, reading: Reading) -> None:
    total = sum(one.weight for one in route.route)
    if len(route.route) > 1 and total != 100:
        reading.problem(reading.at(route, "route"), f"the weights have the sum {total}; it must be 100")
    if route.mirror_percentage is not None:
        place = reading.at(route, "mirror_percentage")
        if route.mirror is None:
            reading.problem(place, "there is no mirror that gets this share")
        if route.mirror_percentage.value <= 0:
            reading.problem(place, "must be more than 0; without a mirror leave out both")


@RULES.of(Mutation)
def _mutation(mutation: Mutation, reading: Reading) -> None:
    if not mutation.value:
        reading.problem(reading.at(mutation, "value"), "an empty text")


@RULES.of(LocalRateLimit)
def _local(limit: LocalRateLimit, reading: Reading) -> None:
    if limit.token_bucket is None and not limit.conditions:
        reading.problem(reading.at(limit), "one of tokenBucket, conditions is missing")


@RULES.of(TokenBucket)
def _bucket(bucket: TokenBucket, reading: Reading) -> None:
    if bucket.fill_interval < LEAST_FILL:
        reading.problem(reading.at(bucket, "fill_interval"), "shorter than 50ms, the least that proxies keep")
