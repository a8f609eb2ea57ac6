"""
Listeners of the codecs `redis` and `tcp` as redis_proxy and tcp_proxy.

Lives here: `redis_proxy`, `tcp_proxy`. Does not: the login at Redis' servers (`clusters`).
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.config.schema.reading import Use
from metaproxy.envoy.writing.conditions import long
from metaproxy.envoy.writing.keys import Keys, OptionKeys, Plain, seconds, typed, without_empty
from metaproxy.envoy.writing.logs import access_logs
from metaproxy.envoy.writing.routes import TIMEOUT, Around, backoff_of, destination, mirrors, subset, time_of

_NETWORK = "envoy.extensions.filters.network"


def redis_proxy(listener: Keys, use: Use, around: Around) -> Plain:
    """The network filter, packed."""
    options = listener.options(use, listener.at("protocol"))
    message: Plain = {"stat_prefix": listener.text("name"), **_login(options)}
    options.close()
    routes = listener.each("routes")
    times = {time_of(route, around) for route in routes}
    if len(times) > 1:
        listener.wrong.append(f"{listener.at('routes')}: Envoy has one time for all commands of a listener")
    time = next(iter(times), None)
    message["settings"] = {"op_timeout": seconds(TIMEOUT if time is None else time)}
    prefixes: Plain = {}
    listed: list[Plain] = []
    for route in routes:
        prefix, plain = _redis_route(route)
        if any(prefix.startswith(str(one["prefix"])) for one in listed):
            route.wrong.append(f"{route.path}: a route above takes its keys, and Envoy looks for the longest prefix")
        if prefix:
            listed.append({"prefix": prefix, **plain})
        else:
            prefixes["catch_all_route"] = plain
    message["prefix_routes"] = without_empty({"routes": listed, **prefixes})
    for place, one in enumerate(listener.uses("filters")):
        listener.wrong.append(f"{listener.at('filters', place)}.{one.name}: redis_proxy has no filters")
    return {
        "name": "envoy.filters.network.redis_proxy",
        "typed_config": typed(f"{_NETWORK}.redis_proxy.v3.RedisProxy", **message),
    }


def _login(options: OptionKeys) -> Plain:
    auth = options.take("auth")
    if auth is None:
        return {}
    given: Mapping[str, object] = auth if isinstance(auth, Mapping) else {"password": auth}
    users = given.get("users")
    if isinstance(users, Mapping) and len(users) == 1 and "password" not in given:
        ((name, password),) = users.items()
        return {"downstream_auth_username": _inline(name), "downstream_auth_passwords": [_inline(password)]}
    if users or "password" not in given:
        options.cannot("auth", "Envoy knows one user, or a password alone")
        return {}
    return {"downstream_auth_passwords": [_inline(given["password"])]}


def _inline(value: object) -> Plain:
    return {"inline_string": str(value)}


def _redis_route(route: Keys) -> tuple[str, Plain]:
    """The prefix of a route's keys, and the route."""
    prefix = ""
    for key, condition in route.mapping("match").items():
        given = long(condition)
        if key.lower() == "key" and given.keys() == {"prefix"}:
            prefix = str(given["prefix"])
        else:
            route.wrong.append(
                f"{route.at('match', key)}: Envoy routes Redis by prefixes of keys: write key: {{prefix: ...}}"
            )
    to = destination(route)
    if "weighted_clusters" in to:
        route.cannot("clusters", "Envoy's routes of Redis lead to one cluster")
        to = {"cluster": ""}
    if route.texts("hash") not in ([], ["key"]):
        route.cannot("hash", "Envoy hashes the key")
    mirrored = mirrors(route)
    route.ignore("name")  # routes of Redis have none
    route.close()
    return prefix, without_empty({**to, "request_mirror_policy": mirrored})


def tcp_proxy(listener: Keys, use: Use, around: Around) -> Plain:
    """The network filter, packed."""
    listener.options(use, listener.at("protocol")).close()
    message: Plain = {"stat_prefix": listener.text("name"), "access_log": access_logs(listener, False)}
    message["idle_timeout"] = seconds(listener.number("stream_idle"))
    routes = listener.each("routes")
    if len(routes) != 1:
        listener.wrong.append(f"{listener.at('routes')}: Envoy has one destination for the bytes of a listener")
    for route in routes[:1]:
        message.update(_tcp_route(route))
    for place, one in enumerate(listener.uses("filters")):
        listener.wrong.append(
            f"{listener.at('filters', place)}.{one.name}: written for HTTP and MetaProtocolProxy alone"
        )
    filled = without_empty(message)
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": typed(f"{_NETWORK}.tcp_proxy.v3.TcpProxy", **filled),
    }


def _tcp_route(route: Keys) -> Plain:
    route.refuse("match", "Envoy has one destination for the bytes of a listener")
    plain: Plain = {**destination(route), **subset(route)}
    keys = route.texts("hash")
    if keys == ["source.address"]:
        plain["hash_policy"] = [{"source_ip": {}}]
    elif keys:
        route.cannot("hash", "Envoy hashes the client's address: write [source.address]")
    retry = route.inner("retry")
    if retry is not None:
        if retry.texts("on") != ["connect"]:
            retry.cannot("on", "Envoy tries to connect again, and nothing else: write [connect]")
        plain["max_connect_attempts"] = retry.whole("attempts") + 1
        plain["backoff_options"] = backoff_of(retry)
        retry.ignore("unsafe")
        retry.close()
    route.ignore("name", "timeout")  # the beginning of the answer is the connection
    route.close()
    return plain
