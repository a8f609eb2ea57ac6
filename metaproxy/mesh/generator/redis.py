"""
Redis as Aeraki makes it: routes by key, what clients log in with, and clusters that hash by key.

Lives here: `redis_filter`, `cluster_keys`. Does not: other protocols (`filters`, `native`).
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from metaproxy.mesh.generator.clusters import cluster_name, localities, socket_address
from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.messages import Json, duration, packed, without_nothing
from metaproxy.mesh.generator.policy import UNLIMITED
from metaproxy.mesh.generator.services import Port, ServiceModel, service_at
from metaproxy.mesh.objects.kubernetes import Secret
from metaproxy.mesh.objects.reading import Object
from metaproxy.mesh.objects.redis import (
    Auth,
    Fault,
    RedisDestination,
    RedisRoute,
    RedisService,
    RedisTarget,
    SecretKeys,
    Settings,
)
from metaproxy.support import addresses

_PROXY = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
_NODES = "envoy.extensions.clusters.redis.v3.RedisClusterConfig"
_OPTIONS = "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions"
FILTER = "envoy.filters.network.redis_proxy"
_INBOUND_TIMEOUT = 3600.0
MILLION = 10000


class Login(NamedTuple):
    """A user, '' for the default one, and a password."""

    user: str
    password: str


def inbound_redis(prefix: str, cluster: str) -> Json:
    """Return the filter before a server: it passes all commands."""
    return _filter(prefix, {"opTimeout": duration(_INBOUND_TIMEOUT)}, {"catchAllRoute": {"cluster": cluster}})


def redis_filter(view: View, service: ServiceModel, port: Port) -> Json | None:
    """
    Return the filter of a Redis service at its clients. None where the login that clients must give can't be read:
    no client may come in without one.
    """
    prefix = f"outbound|{port.number}||{service.host}"
    found = view.find(RedisService, "redis", service.host, service.namespace)
    for other, _ in found[1:]:
        view.note(other, f"{found[0][0].key} is for the host {service.host}, too, and goes before it")
    object, spec = found[0] if found else (None, RedisService(host=(service.host,)))
    login: Login | None = None
    if object is not None and spec.settings.auth is not None:
        login = login_of(view, object, spec.settings.auth)
        if login is None:
            return None
    routes = _routes(view, object, service, port, spec.redis)
    faults = [_fault(one) for one in spec.faults]
    return _filter(prefix, _settings(spec.settings), routes, login, faults)


def _filter(
    prefix: str, settings: Json, routes: Json, login: Login | None = None, faults: list[Json] | None = None
) -> Json:
    config: Json = {"statPrefix": prefix, "settings": settings, "prefixRoutes": routes, "faults": faults or []}
    if login is not None:
        config["downstreamAuthPasswords"] = [{"inlineString": login.password}]
        if login.user:
            config["downstreamAuthUsername"] = {"inlineString": login.user}
    return {"name": FILTER, "typedConfig": packed(_PROXY, config)}


def _settings(settings: Settings) -> Json:
    return {
        "opTimeout": duration(settings.op_timeout),
        "enableHashtagging": settings.enable_hashtagging,
        "enableRedirection": settings.enable_redirection,
        "readPolicy": settings.read_policy,
    }


def _fault(fault: Fault) -> Json:
    share = fault.percentage.value if fault.percentage is not None else 100
    return without_nothing(
        {
            "faultType": fault.type,
            "faultEnabled": {"defaultValue": {"numerator": round(share * MILLION), "denominator": "MILLION"}},
            "delay": None if fault.delay is None else duration(fault.delay),
            "commands": list(fault.commands),
        }
    )


# -- routes


def _routes(
    view: View, object: Object | None, service: ServiceModel, port: Port, given: tuple[RedisRoute, ...]
) -> Json:
    own: Json = {"cluster": cluster_name(port.number, "", service.host)}
    routes: list[Json] = []
    last = None if given else own
    for place, route in enumerate(given):
        made: Json = {"cluster": _cluster(view, object, f"redis[{place}].route", service, port, route.route)}
        mirrors = []
        for at, mirror in enumerate(route.mirror):
            share = mirror.percentage.value if mirror.percentage is not None else 100
            where = _cluster(view, object, f"redis[{place}].mirror[{at}].route", service, port, mirror.route)
            fraction = {"numerator": round(share * MILLION), "denominator": "MILLION"}
            copies: Json = {"cluster": where, "runtimeFraction": {"defaultValue": fraction}}
            if mirror.exclude_read_commands:
                copies["excludeReadCommands"] = True
            mirrors.append(copies)
        if mirrors:
            made["requestMirrorPolicy"] = mirrors
        key = route.match.key if route.match is not None else None
        if key is None:
            last = made
        else:
            routes.append({"prefix": key.prefix, **({"removePrefix": True} if key.remove_prefix else {}), **made})
    return without_nothing({"routes": routes, "catchAllRoute": last})


def _cluster(
    view: View, object: Object | None, place: str, service: ServiceModel, port: Port, target: RedisTarget
) -> str:
    """Return the cluster of a target. Without a port it has its host's port of the same name, or else number."""
    other = service_at(view, target.host, service.namespace)
    number = target.port
    if other is None:
        if object is not None:
            view.note(object, f"{place}: no ServiceEntry or Service has the host {target.host}")
    elif number is None:
        number = next((one.number for one in other.ports if one.name == port.name), None)
    return cluster_name(number if number is not None else port.number, "", target.host)


# -- servers


def cluster_keys(view: View, service: ServiceModel, port: Port) -> Json:
    """Return the keys of a Redis service's cluster: it hashes by key, or is a Redis Cluster, and logs in."""
    found = view.find(RedisDestination, "redis-destination", service.host, service.namespace)
    for other, _ in found[1:]:
        view.note(other, f"{found[0][0].key} is for the host {service.host}, too, and goes before it")
    keys: Json = {"lbPolicy": "MAGLEV"}
    if not found:
        return keys
    object, spec = found[0]
    pool = spec.traffic_policy.connection_pool
    if pool.tcp is not None:
        if pool.tcp.connect_timeout is not None:
            keys["connectTimeout"] = duration(pool.tcp.connect_timeout)
        most = pool.tcp.max_connections or UNLIMITED
        others = dict.fromkeys(("maxPendingRequests", "maxRequests", "maxRetries"), UNLIMITED)
        keys["circuitBreakers"] = {"thresholds": [{"maxConnections": most, **others}]}
    if pool.redis.mode == "CLUSTER":
        keys |= _of_nodes(view, service, port, pool.redis.discovery_endpoints)
    login = login_of(view, object, pool.redis.auth) if pool.redis.auth is not None else None
    if login is not None:
        user = {"inlineString": login.user} if login.user else None
        options = without_nothing({"authPassword": {"inlineString": login.password}, "authUsername": user})
        keys["typedExtensionProtocolOptions"] = {FILTER: packed(_OPTIONS, options)}
    return keys


def _of_nodes(view: View, service: ServiceModel, port: Port, seeds: tuple[str, ...]) -> Json:
    """
    Return the keys of a Redis Cluster, which say in the place of others where its endpoints come from. seeds: `host` or
    `host:port`; the service's own servers without any.
    """
    endpoints: list[Json] = list(localities(service.workloads, port))
    if seeds or not endpoints:
        places = [addresses.parse(one if ":" in one else f"{one}:{port.number}") for one in seeds or (service.host,)]
        endpoints = [
            {"lbEndpoints": [{"endpoint": {"address": socket_address(place.host, place.port)}} for place in places]}
        ]
    name = cluster_name(port.number, "", service.host)
    return {
        "clusterType": {"name": "envoy.clusters.redis", "typedConfig": packed(_NODES, {})},
        "lbPolicy": "CLUSTER_PROVIDED",
        "loadAssignment": {"clusterName": name, "endpoints": endpoints},
    }


# -- logins


def login_of(view: View, object: Object, auth: Auth) -> Login | None:
    """Return a login. None where its Secret does not say it, which is noted."""
    if auth.plain is not None:
        return Login(auth.plain.username, auth.plain.password)
    if auth.secret is None:
        view.note(object, "auth: neither secret nor plain is given")
        return None
    return _from_secret(view, object, auth.secret)


def _from_secret(view: View, object: Object, keys: SecretKeys) -> Login | None:
    namespace = object.key.namespace
    found = next((spec for _, spec in view.find(Secret, "Secret", keys.name, namespace)), None)
    if found is None:
        view.note(object, f"there is no Secret {namespace}/{keys.name}; without it nobody can log in")
        return None
    wanted = [keys.password_field] if keys.password_field else ["password", "token"]
    password = next((text for name in wanted if (text := _text(found, name))), "")
    if not password:
        view.note(object, f"the Secret {namespace}/{keys.name} has no {' and no '.join(wanted)}; nobody can log in")
        return None
    return Login(_text(found, keys.username_field or "username"), password)


def _text(secret: Secret, name: str) -> str:
    """Return a text of a Secret without white space around it; '' where it has none."""
    if name in secret.string_data:
        return secret.string_data[name].strip()
    try:
        return base64.b64decode(secret.data.get(name, ""), validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
