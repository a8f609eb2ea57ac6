"""
Filters of ours as Envoy's filters of HTTP and Aeraki's of MetaProtocolProxy.

Lives here: `http_filters`, `meta_filters`. Does not: filters that have no counterpart, which are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metaproxy import units
from metaproxy.envoy.writing.conditions import header_matcher, long, string_matcher
from metaproxy.envoy.writing.keys import Keys, OptionKeys, Plain, extension, percent, seconds, typed, without_empty

_HTTP = "envoy.extensions.filters.http"
_AERAKI = "aeraki.meta_protocol_proxy.filters"
_NAMES = "aeraki.meta_protocol.filters"
Writer = Callable[[OptionKeys], "Plain | None"]


def http_filters(listener: Keys) -> list[Plain]:
    """`http_filters`, with the router at the end."""
    made = _written(listener, {"local_rate_limit": _http_limit, "rbac": _rbac})
    router = extension("envoy.filters.http.router", typed(f"{_HTTP}.router.v3.Router"))
    return [*(extension(f"envoy.filters.http.{name}", one) for name, one in made), router]


def meta_filters(listener: Keys) -> list[Plain]:
    """`meta_protocol_filters`, with the router at the end."""
    writers: dict[str, Writer] = {
        "local_rate_limit": _meta_limit,
        "global_rate_limit": _global,
        "metadata_exchange": _exchange,
        "istio_stats": _stats,
    }
    made = _written(listener, writers)
    router = extension(f"{_NAMES}.router", typed(f"{_AERAKI}.router.v1alpha.Router"), "config")
    return [*(extension(f"{_NAMES}.{name}", one, "config") for name, one in made), router]


_CALLED = {"local_rate_limit": "local_ratelimit", "global_rate_limit": "ratelimit"}


def _written(listener: Keys, writers: Mapping[str, Writer]) -> list[tuple[str, Plain]]:
    made = []
    for place, use in enumerate(listener.uses("filters")):
        path = f"{listener.at('filters', place)}.{use.name}"
        write = writers.get(use.name)
        options = OptionKeys(use.options, path, listener.wrong)
        if write is None:
            listener.wrong.append(f"{path}: Envoy's form has nothing for this filter here")
            continue
        message = write(options)
        options.close()
        if message is not None:
            made.append((_CALLED.get(use.name, use.name), message))
    return made


def _bucket(options: OptionKeys) -> Plain:
    if options.take("refill", "steady") != "interval":
        options.cannot("refill", "Envoy fills buckets at intervals: write interval")
    limit, per = options.take("limit"), options.take("per", 1.0)
    plain: Plain = {"tokens_per_fill": _number(limit), "fill_interval": seconds(_seconds(per))}
    plain["max_tokens"] = _number(options.take("burst") or limit)
    return plain


def _number(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else units.seconds(str(value))


def _http_limit(options: OptionKeys) -> Plain | None:
    on = percent(100)
    message: Plain = {"stat_prefix": "local_rate_limit", "token_bucket": _bucket(options), "filter_enabled": on}
    enforced = options.take("enforced", 100)
    message["filter_enforced"] = percent(float(enforced) if isinstance(enforced, (int, float)) else 100)
    if options.take("headers", False):
        message["enable_x_ratelimit_headers"] = "DRAFT_VERSION_03"
    return typed(f"{_HTTP}.local_ratelimit.v3.LocalRateLimit", **message)


def _meta_limit(options: OptionKeys) -> Plain | None:
    message: Plain = {"stat_prefix": "local_rate_limit"}
    conditions = options.take("conditions", [])
    if options.take("limit") is not None:
        message["token_bucket"] = _bucket(options)
    listed = []
    for place, one in enumerate(conditions if isinstance(conditions, (list, tuple)) else []):
        inner = OptionKeys(one, f"{options.path}.conditions[{place}]", options.wrong)
        match = inner.take("match", {})
        listed.append({"match": {"metadata": _matchers(match, inner)}, "token_bucket": _bucket(inner)})
        inner.close()
    message["conditions"] = listed
    return typed(f"{_AERAKI}.local_ratelimit.v1alpha.LocalRateLimit", **without_empty(message))


def _matchers(match: object, options: OptionKeys) -> list[Plain]:
    if not isinstance(match, Mapping):
        return []
    path = f"{options.path}.match"
    return [header_matcher(str(key), one, f"{path}[{key!r}]", options.wrong) for key, one in match.items()]


def _global(options: OptionKeys) -> Plain | None:
    service = options.take("service", {})
    cluster = service.get("cluster") if isinstance(service, Mapping) else None
    if cluster is None or set(service if isinstance(service, Mapping) else ()) - {"cluster", "kind"}:
        options.cannot("service", "write cluster: NAME, where a rate limit service is")
    descriptors = []
    listed = options.take("descriptors", [])
    for one in listed if isinstance(listed, (list, tuple)) else []:
        if isinstance(one, Mapping) and set(one) == {"property", "descriptor_key"}:
            descriptors.append({"property": one["property"], "descriptor_key": one["descriptor_key"]})
        else:
            options.cannot("descriptors", "write {property: KEY, descriptor_key: KEY}, one entry each")
    grpc = {"grpc_service": {"envoy_grpc": {"cluster_name": cluster}}, "transport_api_version": "V3"}
    message: Plain = {"domain": options.take("domain", "metaproxy"), "rate_limit_service": grpc}
    message["timeout"] = seconds(_seconds(options.take("timeout", 0.02)))
    message["failure_mode_deny"] = options.take("on_failure", "allow") == "deny"
    message["descriptors"] = descriptors
    matchers = _matchers(options.take("match", {}), options)
    if matchers:
        message["match"] = {"metadata": matchers}
    return typed(f"{_AERAKI}.ratelimit.v1alpha.RateLimit", **without_empty(message))


def _exchange(options: OptionKeys) -> Plain | None:
    options.take("direction")  # the listener's traffic_direction
    return typed(f"{_AERAKI}.metadata_exchange.v1alpha.MetadataExchange")


def _stats(options: OptionKeys) -> Plain | None:
    options.take("direction")  # the listener's traffic_direction
    service = options.take("destination_service", "")
    return typed(f"{_AERAKI}.istio_stats.v1alpha.IstioStats", **without_empty({"destination_service": service}))


# -- RBAC


def _rbac(options: OptionKeys) -> Plain | None:
    message: Plain = {}
    for ours, name in (("policies", "rules"), ("shadow", "shadow_rules")):
        policies = options.take(ours)
        if isinstance(policies, Mapping) and policies:
            message[name] = _rules(policies, options, ours)
    if options.take("per_policy", False):
        message["track_per_rule_stats"] = True
    return typed(f"{_HTTP}.rbac.v3.RBAC", **message)


def _rules(policies: Mapping[str, object], options: OptionKeys, ours: str) -> Plain:
    given = {name: one if isinstance(one, Mapping) else {} for name, one in policies.items()}
    actions = {str(one.get("action", "allow")) for one in given.values()}
    if len(actions) > 1:
        options.cannot(ours, "policies of one filter of Envoy's have one action; write a filter for each")
    found: Plain = {}
    for name, one in given.items():
        path = f"{options.path}.{ours}[{name!r}]"
        found[name] = {
            "permissions": _expressions(one.get("permissions"), "rules", path, options.wrong),
            "principals": _expressions(one.get("principals"), "ids", path, options.wrong),
        }
    return {"action": min(actions).upper(), "policies": found}


def _expressions(listed: object, word: str, path: str, wrong: list[str]) -> list[Plain]:
    if listed is None:
        return [{"any": True}]
    if not isinstance(listed, (list, tuple)) or not listed:
        wrong.append(f"{path}: Envoy has no empty list of {'permissions' if word == 'rules' else 'principals'}")
        return []
    return [_expression(one, word, path, wrong) for one in listed]


def _expression(expression: object, word: str, path: str, wrong: list[str]) -> Plain:
    entries = (
        [_entry(str(key), one, word, path, wrong) for key, one in expression.items()]
        if isinstance(expression, Mapping)
        else []
    )
    return entries[0] if len(entries) == 1 else {f"and_{word}": {word: entries}}


def _entry(key: str, value: object, word: str, path: str, wrong: list[str]) -> Plain:
    if key == "any":
        return {"any": True}
    if key in ("and", "or"):
        listed = value if isinstance(value, (list, tuple)) else []
        return {f"{key}_{word}": {word: [_expression(one, word, path, wrong) for one in listed]}}
    if key == "not":
        return {"not_rule" if word == "rules" else "not_id": _expression(value, word, path, wrong)}
    if key.startswith(("source.", "destination.", "tls.")) or key in (
        "operation",
        "kind",
        "client.address",
        "hostname",
    ):
        wrong.append(f"{path}: {key} is written by nothing yet; write headers and paths")
        return {"any": True}
    if key == "path":
        return {"url_path": {"path": string_matcher(long(value), path, wrong)}}
    name = {"method": ":method", "target": ":path", "host": ":authority"}.get(key, key.removeprefix("header."))
    return {"header": header_matcher(name, value, path, wrong)}
