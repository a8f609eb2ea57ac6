"""
Listeners of the codecs `http` and `grpc` as HttpConnectionManager.

Lives here: `manager`, its routes. Does not: filters (`filters`), logs (`logs`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from metaproxy import units
from metaproxy.codecs.http.codec import STATUSES
from metaproxy.config.schema.reading import Use
from metaproxy.envoy.writing.conditions import header_matcher, long, pattern_of, string_matcher
from metaproxy.envoy.writing.filters import http_filters
from metaproxy.envoy.writing.keys import Keys, OptionKeys, Plain, percent, seconds, typed, without_empty
from metaproxy.envoy.writing.logs import access_logs, tracing_of
from metaproxy.envoy.writing.routes import Around, backoff_of, destination, mirrors, subset, time_of
from metaproxy.message import ErrorKind

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_KIB = 1024
_HEADERS = {
    "method": ":method",
    "target": ":path",
    "host": ":authority",
    "authority": ":authority",
    "scheme": ":scheme",
}
_GRPC_HEADERS = {"http.method": ":method", "host": ":authority", "authority": ":authority", "scheme": ":scheme"}
_NO_HEADERS = ("service", "interface", "method", "operation", "kind", "upgrade", "hostname", "client.address", "query")
_PLACE = re.compile(r"%([\w.\-]+)%")
_FILLED = {
    "source.address": "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "source.port": "DOWNSTREAM_REMOTE_PORT",
    "destination.address": "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "destination.port": "DOWNSTREAM_LOCAL_PORT",
    "tls.sni": "REQUESTED_SERVER_NAME", "tls.version": "DOWNSTREAM_TLS_VERSION", "upstream_address": "UPSTREAM_HOST",
    "cluster": "UPSTREAM_CLUSTER", "route": "ROUTE_NAME",
}  # fmt: skip
_ACTIONS = {"set": "OVERWRITE_IF_EXISTS_OR_ADD", "append": "APPEND_IF_EXISTS_OR_ADD", "add": "ADD_IF_ABSENT"}
"""Keys of `request:` and `response:` -> append_action."""


def manager(listener: Keys, use: Use, around: Around) -> Plain:
    """The network filter, packed."""
    grpc = use.name == "grpc"
    options = listener.options(use, listener.at("protocol"))
    message: Plain = {"stat_prefix": listener.text("name"), **_protocol(options, grpc)}
    options.close()
    if listener.text("reserved_keys") == "strip":
        message["use_remote_address"] = True
    stays = listener.text("forward_client_cert") or ("always" if not message.get("use_remote_address") else "never")
    if stays != "never":
        message["forward_client_cert_details"] = "ALWAYS_FORWARD_ONLY" if stays == "always" else "FORWARD_ONLY"
    if listener.given("idle_timeout"):
        common = message.setdefault("common_http_protocol_options", {})
        assert isinstance(common, dict)
        common["idle_timeout"] = seconds(listener.number("idle_timeout"))
    if listener.given("stream_idle"):
        message["stream_idle_timeout"] = seconds(listener.number("stream_idle"))
    listener.ignore("idle_timeout", "stream_idle")
    message["access_log"] = access_logs(listener, True)
    message["tracing"] = tracing_of(listener, True, around.tracer)
    message["http_filters"] = http_filters(listener)
    message.update(_table(listener, around, grpc))
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": typed(_MANAGER, **without_empty(message)),
    }


def _protocol(options: OptionKeys, grpc: bool) -> Plain:
    plain: Plain = {"via": options.take("via", "metaproxy"), "xff_num_trusted_hops": options.take("trusted_hops", 0)}
    if grpc or options.take("http1", True) is False:
        plain["codec_type"] = "HTTP2"
    two: Plain = {}
    if (most := options.take("max_streams")) is not None:
        two["max_concurrent_streams"] = most
    if (window := options.take("window")) is not None:
        two["initial_stream_window_size"] = units.size(window)
    alive = {
        key: seconds(units.seconds(value))
        for name, key in (("ping_interval", "interval"), ("ping_timeout", "timeout"))
        if (value := options.take(name)) is not None
    }
    if alive.get("interval", "0s") != "0s":
        two["connection_keepalive"] = {"timeout": "20s", **alive}
    plain["http2_protocol_options"] = two
    if (head := options.take("max_head")) is not None:
        if units.size(head) % _KIB:
            options.cannot("max_head", "Envoy counts KiB")
        plain["max_request_headers_kb"] = units.size(head) // _KIB
    if (fields := options.take("max_fields")) is not None:
        plain["common_http_protocol_options"] = {"max_headers_count": fields}
    if (time := options.take("head_timeout")) is not None and units.seconds(time):
        plain["request_headers_timeout"] = seconds(units.seconds(time))
    return {**plain, **_upgrades(options, grpc)}


def _upgrades(options: OptionKeys, grpc: bool) -> Plain:
    if grpc:
        return {}
    names = options.take("upgrade", ["websocket"])
    found = [{"upgrade_type": str(name)} for name in names] if isinstance(names, (list, tuple)) else []
    if options.take("connect", False):
        found.append({"upgrade_type": "CONNECT"})
    return {"upgrade_configs": found}


# -- routes


def _table(listener: Keys, around: Around, grpc: bool) -> Plain:
    rds = listener.inner("routes")
    if rds is not None:
        source: Plain = {"ads": {}, "resource_api_version": "V3"}
        if rds.text("server"):
            rds.cannot("server", "routes of another server than that of the aggregated stream")
        return {"rds": {"route_config_name": rds.text("name"), "config_source": source}}
    routes = [_route(route, around, grpc) for route in listener.each("routes")]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    return {"route_config": {"name": listener.text("name"), "virtual_hosts": [host]}}


def _route(route: Keys, around: Around, grpc: bool) -> Plain:
    match = _match(route, grpc)
    if route.given("percent"):
        match["runtime_fraction"] = percent(route.number("percent"))
    plain: Plain = {"name": route.text("name"), "match": match}
    reply = route.inner("reply")
    if reply is not None and grpc:
        reply.wrong.append(f"{reply.path}: Envoy answers with statuses of HTTP, and not of gRPC")
    elif reply is not None:
        plain.update(_answer(reply))
    if reply is not None:
        route.ignore("cluster", "clusters")
    else:
        plain["route"] = _action(route, around, grpc)
        for side in ("request", "response"):
            plain.update(_changes(route, side))
    route.ignore("percent", "match")
    route.close()
    return without_empty(plain)


def _match(route: Keys, grpc: bool) -> Plain:
    conditions = route.mapping("match")
    plain: Plain = {}
    headers: list[Plain] = []
    parameters: list[Plain] = []
    for key, condition in conditions.items():
        path, lower = route.at("match", key), key.lower()
        if lower == "path" and not plain:
            plain.update(_path(condition, path, route.wrong))
        elif lower.startswith("query."):
            parameters.append(_parameter(key[6:], condition, path, route.wrong))
        elif (found := _header(lower, condition, path, route.wrong, grpc)) is not None:
            headers.append(found)
    plain = plain or {"prefix": "/"}
    if grpc:
        plain["grpc"] = {}
    return without_empty({**plain, "headers": headers, "query_parameters": parameters}) | ({"grpc": {}} if grpc else {})


def _path(condition: object, path: str, wrong: list[str]) -> Plain:
    given = long(condition)
    if given.keys() & {"not", "default", "range", "present", "cidr"}:
        wrong.append(f"{path}: Envoy compares paths by exact, prefix and regex")
        return {}
    plain: Plain = {"case_sensitive": False} if given.get("ignore_case") else {}
    if "exact" in given:
        return {"path": given["exact"], **plain}
    if "prefix" in given:
        return {"prefix": given["prefix"], **plain}
    return {"safe_regex": {"regex": pattern_of(given)}}


def _parameter(name: str, condition: object, path: str, wrong: list[str]) -> Plain:
    given = long(condition)
    if given.keys() & {"not", "default", "range", "cidr"} or given.get("present") is False:
        wrong.append(f"{path}: Envoy compares parameters by texts and patterns, and can't ask for their absence")
        return {"name": name}
    return {
        "name": name,
        **({"present_match": True} if "present" in given else {"string_match": string_matcher(given, path, wrong)}),
    }


def _header(key: str, condition: object, path: str, wrong: list[str], grpc: bool) -> Plain | None:
    name = (_GRPC_HEADERS if grpc else _HEADERS).get(key)
    given = long(condition)
    if name is None and key == "hostname" and "not" not in given and (pattern := pattern_of(given)) is not None:
        return {"name": ":authority", "string_match": {"safe_regex": {"regex": f"(?i)(?:{pattern})(?::[0-9]+)?"}}}
    if name is None and (key in _NO_HEADERS or key.startswith(("source.", "destination.", "tls.", "cookie."))):
        wrong.append(f"{path}: no header of Envoy's has this")
        return None
    return header_matcher(name or key.removeprefix("header."), condition, path, wrong)


def _action(route: Keys, around: Around, grpc: bool) -> Plain:
    action: Plain = {**destination(route), **subset(route)}
    time = time_of(route, around)
    if time is not None:
        action["timeout"] = seconds(time)
    keys = route.texts("hash")
    action["hash_policy"] = [policy for key in keys if (policy := _hash(key, route)) is not None]
    sticky = route.texts("sticky")
    weighted = action.get("weighted_clusters")
    if sticky and isinstance(weighted, dict) and sticky == keys and not route.given("percent"):
        weighted["use_hash_policy"] = True
    elif sticky:
        route.cannot("sticky", "Envoy draws by the keys of hash, and for the weights of clusters alone")
    action["request_mirror_policies"] = mirrors(route)
    action["retry_policy"] = _retry(route)
    rewrite = route.inner("rewrite")
    if rewrite is not None:
        action.update(_rewrite(rewrite))
    return without_empty(action)


def _hash(key: str, route: Keys) -> Plain | None:
    if key == "source.address":
        return {"connection_properties": {"source_ip": True}}
    if key.startswith("cookie."):
        return {"cookie": {"name": key.removeprefix("cookie.")}}
    if key.startswith("query."):
        return {"query_parameter": {"name": key.removeprefix("query.")}}
    name = _HEADERS.get(key, key)
    if key in _NO_HEADERS or key.startswith(("destination.", "tls.", "source.")):
        route.cannot("hash", f"no header of Envoy's has {key}")
        return None
    return {"header": {"header_name": name.removeprefix("header.")}}


_RETRIES = {
    frozenset(("connect",)): "connect-failure,refused-stream",
    frozenset(("connect", "reset", "timeout")): "reset,connect-failure,refused-stream",
    frozenset(("connect", "reset", "timeout", "error")): "5xx",
}


def _retry(route: Keys) -> Plain | None:
    retry = route.inner("retry")
    if retry is None:
        return None
    on = frozenset(retry.texts("on"))
    words = _RETRIES.get(on)
    if words is None:
        known = "; ".join(", ".join(sorted(one)) for one in _RETRIES)
        retry.cannot("on", f"{', '.join(sorted(on))} are no condition of Envoy's; there are: {known}")
    elif on != {"connect"} and not retry.flag("unsafe"):
        retry.cannot("unsafe", "Envoy repeats every request, whatever it is: write unsafe: true")
    retry.ignore("unsafe")
    plain: Plain = {"retry_on": words, "num_retries": retry.whole("attempts"), "retry_back_off": backoff_of(retry)}
    if retry.given("per_try_timeout"):
        plain["per_try_timeout"] = seconds(retry.number("per_try_timeout"))
    retry.ignore("per_try_timeout")
    plain["retry_host_predicate"] = [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ]
    retry.close()
    return without_empty(plain)


def _rewrite(rewrite: Keys) -> Plain:
    plain: Plain = {}
    path = rewrite.inner("path")
    if path is not None:
        plain["regex_rewrite"] = {"pattern": {"regex": path.text("regex")}, "substitution": path.text("to")}
        path.close()
    host = rewrite.text("host")
    whole = _PLACE.fullmatch(host)
    if whole is not None and whole[1] not in _FILLED:
        plain["host_rewrite_header"] = _HEADERS.get(whole[1], whole[1])
    elif _PLACE.search(host):
        rewrite.cannot("host", "Envoy takes a host from one header, or as it stands")
    elif host:
        plain["host_rewrite_literal"] = host
    rewrite.close()
    return plain


def _answer(reply: Keys) -> Plain:
    error, name = reply.text("error"), reply.text("name")
    status = int(name) if name.isdigit() else STATUSES[ErrorKind(error)]
    plain: Plain = {"status": status}
    if reply.text("message"):
        plain["body"] = {"inline_string": reply.text("message")}
    added = _added(reply.mapping("set"), reply.at("set"), reply.wrong)
    reply.close()
    return without_empty({"direct_response": plain, "response_headers_to_add": added})


def _changes(route: Keys, side: str) -> Plain:
    changes = route.inner(side)
    if changes is None:
        return {}
    added = [
        one
        for key, action in _ACTIONS.items()
        for one in _added(changes.mapping(key), changes.at(key), changes.wrong, action)
    ]
    plain = {
        f"{side}_headers_to_add": added,
        f"{side}_headers_to_remove": [_changed(name, changes) for name in changes.texts("remove")],
    }
    changes.close()
    return without_empty(plain)


def _changed(name: str, changes: Keys) -> str:
    if name in _HEADERS or name in ("path", "query", "status"):
        changes.cannot("remove", f"Envoy has no header {name}")
    return name.removeprefix("header.")


def _added(values: Mapping[str, object], path: str, wrong: list[str], action: str = _ACTIONS["set"]) -> list[Plain]:
    found: list[Plain] = []
    for key, value in values.items():
        if key in _HEADERS or key in ("path", "query", "status"):
            wrong.append(f"{path}[{key!r}]: Envoy changes this by a rewrite, and not as a header")
        header = {"key": key.removeprefix("header."), "value": _filled(str(value), f"{path}[{key!r}]", wrong)}
        found.append({"header": header, "append_action": action})
    return found


def _filled(value: str, path: str, wrong: list[str]) -> str:
    """A value with what is filled in, in Envoy's words."""

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name in _FILLED:
            return f"\0{_FILLED[name]}\0"
        if name in ("listener", "protocol", "hostname", "path", "query", "operation"):
            wrong.append(f"{path}: Envoy has nothing that fills in %{name}%")
        return f"\0REQ({_HEADERS.get(name, name).upper()})\0"

    return _PLACE.sub(place, value).replace("%", "%%").replace("\0", "%")
