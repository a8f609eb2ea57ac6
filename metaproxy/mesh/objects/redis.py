"""
RedisService and RedisDestination, `redis.aeraki.io/v1alpha1`: where Redis commands go, and how the proxy logs in.

Lives here: their keys, and what is refused as the proxy can't do it yet. Does not: what proxies get of it.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.numbers import Flag
from metaproxy.config.schema.reading import Reading
from metaproxy.config.schema.shape import ListOf, option
from metaproxy.mesh.objects.destination_rule import Tcp
from metaproxy.mesh.objects.meta_router import Percentage
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, PORT, TEXT, Choice, Fqdn, GoDuration
from metaproxy.support import addresses
from metaproxy.units import Seconds, Secret

RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKeys(Spec):
    """A Secret of the same namespace."""

    name: str = option(NAME, "Its name.")
    password_field: str = option(TEXT, "Its key with the password.", "", "`password`, else `token`")
    username_field: str = option(TEXT, "Its key with the user.", "", "`username`, where it is there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(Spec):
    """A user and a password as they are."""

    username: str = option(TEXT, "The user.", "", "the default user")
    password: Secret = option(Hidden(by_name=False), "The password.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth(Spec):
    """Who logs in."""

    ONE_OF: ClassVar = ("secret", "plain")

    secret: SecretKeys | None = option(Struct(SecretKeys), "A Secret that holds the password.", None)
    plain: Plain | None = option(Struct(Plain), "The password itself.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Spec):
    """How commands of clients are taken."""

    UNUSED: ClassVar = (
        "caseInsensitive",
        "enableCommandStats",
        "maxBufferSizeBeforeFlush",
        "bufferFlushTimeout",
        "maxUpstreamUnknownConnections",
    )

    auth: Auth | None = option(Struct(Auth), "What clients must log in with.", None, "no login")
    op_timeout: Seconds = option(GoDuration(above=True), "Time for a command.", "60s")
    enable_hashtagging: bool = option(Flag(), "The `{tag}` of a key alone decides which server has it.", False)
    enable_redirection: bool = option(
        Flag(), "Follow MOVED and ASK, which is done with a Redis Cluster in any case.", False
    )
    read_policy: str = option(
        Choice("MASTER", "PREFER_MASTER", "REPLICA", "PREFER_REPLICA", "ANY"),
        "Which servers of a Redis Cluster are read from; without a replica that is its master, without a master reads "
        "wait for one.",
        "MASTER",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMatch(Spec):
    """Keys with a prefix."""

    prefix: str = option(NAME, "What keys begin with; the longest prefix counts.")
    remove_prefix: bool = option(Flag(), "The server gets the key without it.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisMatch(Spec):
    """Which commands a route is for."""

    key: KeyMatch | None = option(Struct(KeyMatch), "Those with such a key.", None, "all others")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget(Spec):
    """A Redis service."""

    host: str = option(Fqdn(), "Its name.")
    port: int | None = option(PORT, "Its port.", None, "its port of the same name, else number")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisMirror(Spec):
    """A Redis service that gets copies of commands."""

    route: RedisTarget = option(Struct(RedisTarget), "Where they go.")
    percentage: Percentage | None = option(Struct(Percentage), "The share that is copied.", None, "100")
    exclude_read_commands: bool = option(Flag(), "Only commands that may write.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisRoute(Spec):
    """Where commands go."""

    match: RedisMatch | None = option(Struct(RedisMatch), "Which commands.", None, "all others")
    route: RedisTarget = option(Struct(RedisTarget), "Where they go.")
    mirror: tuple[RedisMirror, ...] = option(ListOf(Struct(RedisMirror)), "Who gets copies.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Spec):
    """A fault of commands."""

    type: str = option(Choice("DELAY", "ERROR"), "`DELAY`: the answer is late; `ERROR`: an error answers.")
    percentage: Percentage | None = option(Struct(Percentage), "The share of commands.", None, "100")
    delay: Seconds | None = option(GoDuration(above=True), "How late; with `DELAY`.", None)
    commands: tuple[str, ...] = option(ListOf(NAME), "Which commands.", (), "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisService(Spec):
    """How the Redis services with these hosts are reached."""

    host: tuple[str, ...] = option(ListOf(Fqdn(), 1), "Hosts of ServiceEntries of the same namespace.")
    settings: Settings = option(Struct(Settings), "How commands are taken.", {})
    redis: tuple[RedisRoute, ...] = option(ListOf(Struct(RedisRoute)), "Routes by key.", (), "all to the host")
    faults: tuple[Fault, ...] = option(ListOf(Struct(Fault)), "Faults of commands.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPool(Spec):
    """What kind of Redis it is."""

    mode: str = option(
        Choice("PROXY", "CLUSTER"),
        "`PROXY`: each server has the keys that hash to it; `CLUSTER`: a Redis Cluster.",
        "PROXY",
    )
    auth: Auth | None = option(Struct(Auth), "What the proxy logs in with.", None, "no login")
    discovery_endpoints: tuple[str, ...] = option(
        ListOf(NAME), "With `CLUSTER` the nodes that are asked first, as `host` or `host:port`.", (), "the host"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConnectionPool(Spec):
    """Connections to the servers."""

    redis: RedisPool = option(Struct(RedisPool), "What kind of Redis it is.", {})
    tcp: Tcp | None = option(Struct(Tcp), "Limits.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTrafficPolicy(Spec):
    """How servers are reached."""

    connection_pool: RedisConnectionPool = option(Struct(RedisConnectionPool), "Connections.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisDestination(Spec):
    """How the servers of a Redis service are reached."""

    host: str = option(Fqdn(), "A host of a ServiceEntry of the same namespace.")
    traffic_policy: RedisTrafficPolicy = option(Struct(RedisTrafficPolicy), "How they are reached.", {})


@RULES.of(RedisService)
def _service(service: RedisService, reading: Reading) -> None:
    rest = [route for route in service.redis if route.match is None or route.match.key is None]
    if len(rest) > 1:
        reading.problem(reading.at(rest[1]), "a second route without a key; one takes all other commands")


@RULES.of(Fault)
def _fault(fault: Fault, reading: Reading) -> None:
    if fault.type == "DELAY" and fault.delay is None:
        reading.problem(reading.at(fault), "DELAY needs delay, such as 100ms")


@RULES.of(RedisPool)
def _pool(pool: RedisPool, reading: Reading) -> None:
    if pool.discovery_endpoints and pool.mode != "CLUSTER":
        reading.problem(reading.at(pool, "discovery_endpoints"), "is for mode: CLUSTER; leave it out, or write that")
    for text in pool.discovery_endpoints:
        try:
            addresses.parse(text if ":" in text else f"{text}:1")
        except ValueError as error:
            reading.problem(reading.at(pool, "discovery_endpoints"), str(error))
