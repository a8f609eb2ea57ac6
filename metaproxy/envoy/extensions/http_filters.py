"""
Envoy's filters of HTTP that metaproxy has: router, fault, rate limits, RBAC.

Lives here: their translators. Does not: those that ask a service (`http_authorization`), which routes have them
(`http_filters`).
"""

from __future__ import annotations

from itertools import product

from metaproxy.envoy import rbac_policies
from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.http_filters import HTTP_FILTERS, OFF, ROUTE_FILTERS
from metaproxy.envoy.http_matching import add_header
from metaproxy.envoy.rate_limits import bucket_of, descriptors_of
from metaproxy.envoy.sources import cluster_of_grpc
from metaproxy.envoy.tables import Chain, Plain

_HTTP = "envoy.extensions.filters.http"
_NEVER: Plain = {"match": {"kind": "event"}, "limit": 1}
"""A condition that no request meets: a filter that acts on the routes only that say so."""
_MOST_FAULTS = 1 << 30
_RLS_TIMEOUT = 0.02


@HTTP_FILTERS.add(f"{_HTTP}.router.v3.Router", "envoy.filters.http.router", "envoy.router")
def router(config: Fields, chain: Chain) -> list[object]:
    """Every listener of ours routes, behind its filters."""
    config.ignore("dynamic_stats", "start_child_span", "suppress_envoy_headers", "respect_expected_rq_timeout")
    config.ignore("suppress_grpc_request_failure_code_stats")
    return []


@HTTP_FILTERS.add(f"{_HTTP}.grpc_web.v3.GrpcWeb", "envoy.filters.http.grpc_web")
def grpc_web(config: Fields, chain: Chain) -> list[object]:
    protocol = chain.section.get("protocol")
    if not (isinstance(protocol, dict) and protocol.get("name") == "grpc"):
        text = "only listeners whose routes are all for gRPC (match: {grpc: {}}) translate gRPC-Web"
        chain.report.unhonoured(config.path, text)
    return []


# -- fault


@HTTP_FILTERS.add(f"{_HTTP}.fault.v3.HTTPFault", "envoy.filters.http.fault")
def fault(config: Fields, chain: Chain) -> list[object]:
    options = _fault(config, chain)
    return [{"fault": options if isinstance(options, dict) else {"faults": []}}]


def _fault(config: Fields, chain: Chain) -> Plain | str | None:
    match: Plain = {}
    for header in config.each("headers"):
        add_header(match, header)
    delay, abort = _delay(config.message_at("delay")), _abort(config.message_at("abort"))
    rate = _rate(config.message_at("response_rate_limit"))
    config.ignore("disable_downstream_cluster_stats")
    faults: list[Plain] = []
    for chosen in product((True, False), repeat=3):
        effects = [one for one, here in zip((delay, abort, rate), chosen, strict=True) if here]
        if not any(chosen) or any(not effect[1] for effect in effects):
            continue
        if chosen[1] and chosen[2]:
            continue  # an answer of the proxy's own has no rate
        share = 1.0
        for one, here in zip((delay, abort, rate), chosen, strict=True):
            share *= one[0] / 100 if here else 1 - one[0] / 100
        if chosen[1] and rate[1]:
            share /= (1 - rate[0] / 100) or 1
        if share > 0:
            keys = {key: value for _, effect in effects for key, value in effect.items()}
            faults.append(without_empty({"percentage": number(share * 100), "match": match, **keys}))
    most = config.whole("max_active_faults", _MOST_FAULTS)
    return {"faults": faults, "max_active": most} if faults else OFF


def _delay(delay: Fields | None) -> tuple[float, Plain]:
    if delay is None:
        return 0.0, {}
    length = delay.seconds("fixed_delay")
    percent = delay.percent("percentage", 0.0) or 0.0
    return (percent, {"delay": shown_seconds(length)}) if length else (0.0, {})


def _abort(abort: Fields | None) -> tuple[float, Plain]:
    if abort is None:
        return 0.0, {}
    percent = abort.percent("percentage", 0.0) or 0.0
    if abort.which("error_type") == "http_status":
        status = abort.whole("http_status")
        return percent, {"error": {"name": str(status), "message": "fault filter abort"}}
    if abort.which("error_type") == "grpc_status":
        abort.unhonoured("grpc_status", "metaproxy aborts with a status of HTTP")
    return 0.0, {}


def _rate(rate: Fields | None) -> tuple[float, Plain]:
    if rate is None:
        return 0.0, {}
    percent = rate.percent("percentage", 0.0) or 0.0
    fixed = rate.message_at("fixed_limit")
    return (percent, {"rate": f"{fixed.whole('limit_kbps')}KiB"}) if fixed is not None else (0.0, {})


ROUTE_FILTERS.add(f"{_HTTP}.fault.v3.HTTPFault", "envoy.filters.http.fault")(("fault", _fault))


# -- rate limits


@HTTP_FILTERS.add(f"{_HTTP}.local_ratelimit.v3.LocalRateLimit", "envoy.filters.http.local_ratelimit")
def local_ratelimit(config: Fields, chain: Chain) -> list[object]:
    options = _local(config, chain)
    return [{"local_rate_limit": options if isinstance(options, dict) else {"conditions": [_NEVER]}}]


def _local(config: Fields, chain: Chain) -> Plain | str | None:
    config.ignore("stat_prefix", "vh_rate_limits", "max_dynamic_descriptors")
    for name in ("descriptors", "local_cluster_rate_limit"):
        if config.given(name):
            config.essential(name, "metaproxy has one bucket for all requests of a listener or a route")
    bucket = config.message_at("token_bucket")
    enabled = _share(config, "filter_enabled")
    enforced = _share(config, "filter_enforced")
    status = config.message_at("status")
    if status is not None and status.choice("code") not in ("Empty", "TooManyRequests"):
        status.unhonoured("code", "metaproxy refuses with the protocol's own error, 429")
    config.refuse("rate_limited_as_resource_exhausted", "it is so with the codec grpc, and never with http", False)
    options = bucket_of(bucket) if bucket is not None else {}
    if bucket is None or not enabled:
        return OFF
    if enabled != 100:
        config.unhonoured("filter_enabled", f"metaproxy counts all requests, not {enabled:g} % of them")
    if enforced != 100:
        options["enforced"] = number(enforced)
    if config.choice("enable_x_ratelimit_headers") == "DRAFT_VERSION_03":
        options["headers"] = True
    return options


def _share(config: Fields, name: str) -> float:
    """A RuntimeFractionalPercent; nothing is enabled where it is not given."""
    fraction = config.message_at(name)
    if fraction is None:
        return 0.0
    fraction.ignore("runtime_key")
    return fraction.percent("default_value", 100.0) or 0.0


ROUTE_FILTERS.add(f"{_HTTP}.local_ratelimit.v3.LocalRateLimit", "envoy.filters.http.local_ratelimit")(
    ("local_rate_limit", _local)
)


@HTTP_FILTERS.add(f"{_HTTP}.ratelimit.v3.RateLimit", "envoy.filters.http.ratelimit")
def ratelimit(config: Fields, chain: Chain) -> list[object]:
    config.require("domain")
    config.ignore("disable_x_envoy_ratelimited_header", "stat_prefix")
    config.refuse("stage", "metaproxy has one stage", 0)
    config.refuse("request_type", "metaproxy asks about every request; write both", "both", "")
    service = config.message_at("rate_limit_service")
    grpc = service.message_at("grpc_service") if service is not None else None
    cluster = cluster_of_grpc(grpc) if grpc is not None else None
    if service is not None:
        service.ignore("transport_api_version")  # v3 is all there is
    if grpc is not None:
        grpc.ignore("timeout")
    if cluster is None:
        if config.require("rate_limit_service"):
            config.report.essential(config.path, "nothing would be asked whether there are too many requests")
        return []
    length = config.seconds("timeout", _RLS_TIMEOUT) or _RLS_TIMEOUT
    listed = descriptors_of(config.each("rate_limits"))
    nothing = [[{"key": "never", "from": "x-metaproxy-never", "skip_if_absent": True}]]
    options: Plain = {"domain": config.text("domain"), "service": {"cluster": cluster}}
    options.update(timeout=shown_seconds(length), descriptors=listed or nothing)
    if config.flag("failure_mode_deny"):
        options["on_failure"] = "deny"
    if config.choice("enable_x_ratelimit_headers") == "DRAFT_VERSION_03":
        options["headers"] = True
    return [{"global_rate_limit": options}]


# -- RBAC


@HTTP_FILTERS.add(f"{_HTTP}.rbac.v3.RBAC", "envoy.filters.http.rbac")
def rbac(config: Fields, chain: Chain) -> list[object]:
    options = _rbac(config)
    return [{"rbac": options}] if options else []


def _rbac(config: Fields) -> Plain:
    config.ignore("rules_stat_prefix", "shadow_rules_stat_prefix")
    options = rbac_policies.options_of(config)
    if options and config.flag("track_per_rule_stats"):
        options["per_policy"] = True
    return options


def _rbac_at_route(config: Fields, chain: Chain) -> Plain | str | None:
    inner = config.message_at("rbac")
    return (_rbac(inner) or OFF) if inner is not None else OFF


ROUTE_FILTERS.add(f"{_HTTP}.rbac.v3.RBACPerRoute", "envoy.filters.http.rbac")(("rbac", _rbac_at_route))
