"""
Envoy's filters of HTTP that decide who is let in: ext_authz, jwt_authn.

Lives here: their translators. Does not: RBAC (`http_filters`).
"""

from __future__ import annotations

from metaproxy.envoy.data_sources import inline_of
from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.http_filters import HTTP_FILTERS, OFF, ROUTE_FILTERS, named
from metaproxy.envoy.http_matching import key_of
from metaproxy.envoy.sources import cluster_of_grpc
from metaproxy.envoy.tables import Chain, Plain

_HTTP = "envoy.extensions.filters.http"
_AUTHZ_TIMEOUT = 0.2
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""What Envoy takes of keys that are public."""
_JWKS_REFRESH = 300.0
_SKEW = 60


@HTTP_FILTERS.add(f"{_HTTP}.ext_authz.v3.ExtAuthz", "envoy.filters.http.ext_authz")
def ext_authz(config: Fields, chain: Chain) -> list[object]:
    config.ignore("transport_api_version", "stat_prefix", "charge_cluster_response_stats")
    service, timeout = _service(config)
    if service is None:
        config.report.essential(config.path, "nothing would ask whether a request may pass; write envoy_grpc")
        return []
    options: Plain = {"service": service, "timeout": shown_seconds(timeout)}
    if config.flag("failure_mode_allow"):
        options["fail"] = "open"
    allowed = config.message_at("allowed_headers")
    if allowed is not None:
        options["metadata"] = _exact(allowed)
    status = config.message_at("status_on_error")
    if status is not None and status.choice("code") != "Forbidden":
        status.unhonoured("code", "without an answer metaproxy refuses with 403")
    return [{"ext_authz": options}]


def _service(config: Fields) -> tuple[Plain | None, float]:
    which = config.which("services")
    if which == "grpc_service":
        grpc = config.message_at("grpc_service")
        assert grpc is not None
        cluster = cluster_of_grpc(grpc)
        timeout = grpc.seconds("timeout", _AUTHZ_TIMEOUT) or _AUTHZ_TIMEOUT
        return ({"cluster": cluster} if cluster else None), timeout
    http = config.message_at("http_service") if which == "http_service" else None
    uri = http.message_at("server_uri") if http is not None else None
    if http is None or uri is None:
        config.report.invalid(config.path, "no service; write grpc_service or http_service with server_uri")
        return None, _AUTHZ_TIMEOUT
    plain: Plain = {"cluster": uri.text("cluster"), "http": uri.text("uri") + http.text("path_prefix")}
    answer = http.message_at("authorization_response")
    upstream = answer.message_at("allowed_upstream_headers") if answer is not None else None
    if upstream is not None:
        plain["upstream_headers"] = _exact(upstream)
    request = http.message_at("authorization_request")
    headers: Plain = {}
    for header in request.each("headers_to_add") if request is not None else []:
        headers[header.text("key")] = header.text("value")
    plain["headers"] = headers
    return without_empty(plain), uri.seconds("timeout", _AUTHZ_TIMEOUT) or _AUTHZ_TIMEOUT


def _exact(matchers: Fields) -> list[str]:
    """The names of a ListStringMatcher."""
    found = []
    for matcher in matchers.each("patterns"):
        if matcher.which("match_pattern") == "exact":
            matcher.ignore("ignore_case")  # names of headers are always compared so
            found.append(key_of(matcher.text("exact")))
        else:
            which = matcher.which("match_pattern") or "exact"
            matcher.unhonoured(which, "metaproxy wants each header's name; write exact")
    return found


def _authz_at_route(config: Fields, chain: Chain) -> Plain | str | None:
    if config.flag("disabled"):
        return OFF
    settings = config.message_at("check_settings")
    options = named(chain, "ext_authz")
    if settings is None or options is None:
        return None
    for name in ("grpc_service", "http_service"):
        if settings.has(name) and settings.given(name):
            settings.essential(name, "metaproxy asks one service for all routes of a listener")
    settings.ignore("disable_request_body_buffering")  # bodies are never sent
    return {**options, "context": settings.words("context_extensions")}


ROUTE_FILTERS.add(f"{_HTTP}.ext_authz.v3.ExtAuthzPerRoute", "envoy.filters.http.ext_authz")(
    ("ext_authz", _authz_at_route)
)


# -- tokens


@HTTP_FILTERS.add(f"{_HTTP}.jwt_authn.v3.JwtAuthentication", "envoy.filters.http.jwt_authn")
def jwt_authn(config: Fields, chain: Chain) -> list[object]:
    config.ignore("stat_prefix")
    if config.given("filter_state_rules"):
        config.essential("filter_state_rules", "metaproxy has no filter state; write rules")
    providers = {name: _provider(one) for name, one in config.entries("providers").items()}
    named_ = config.entries("requirement_map")
    rules = config.each("rules")
    if len(rules) > 1:
        config.report.essential(
            config.at("rules"), "metaproxy has the same tokens on all routes; write one rule, for /"
        )
    if not rules:
        return []
    rule = rules[0]
    match = rule.message_at("match")
    if match is None or match.text("prefix") not in ("", "/") or match.which("path_specifier") != "prefix":
        rule.unhonoured("match", "metaproxy asks for tokens on all routes of a listener; write prefix: /")
    requires = rule.message_at("requires")
    if rule.given("requirement_name"):
        requires = named_.get(rule.text("requirement_name"))
        if requires is None:
            rule.invalid("requirement_name", f"requirement_map has no {rule.text('requirement_name')!r}")
    if requires is None:
        return []
    wanted, how = _requirement(requires)
    unknown = [name for name in wanted if name not in providers]
    if unknown:
        requires.report.invalid(requires.path, f"no provider {unknown[0]!r}")
    chosen = {name: providers[name] for name in wanted or providers if name in providers}
    return [{"jwt": {"providers": chosen, "require": how}}] if chosen else []


def _requirement(requires: Fields) -> tuple[list[str], str]:
    """The providers that a JwtRequirement names, and `require:`."""
    which = requires.which("requires_type")
    if which == "provider_name":
        return [requires.text("provider_name")], "any"
    if which in ("allow_missing", "allow_missing_or_failed"):
        requires.message_at(which)
        return [], which
    inner = requires.message_at(which) if which in ("requires_any", "requires_all") else None
    if which is None or inner is None:
        if which is None:
            requires.report.invalid(requires.path, "says nothing; write provider_name")
        else:
            requires.essential(which, "write provider_name, and audiences at the provider")
        return [], "any"
    names: list[str] = []
    how = which.removeprefix("requires_")
    listed = inner.each("requirements")
    direct = {one.text("provider_name") for one in listed if one.which("requires_type") == "provider_name"}
    for one in listed:
        if how == "any" and _each_may_be_missing(one, direct):
            how = "allow_missing"
            continue
        found, more = _requirement(one)
        if more in ("allow_missing", "allow_missing_or_failed") and how == "any":
            how = more
        elif len(found) != 1:
            one.report.essential(one.path, "metaproxy asks for any or all of several providers, and nothing nested")
        names += found
    return names, how


def _each_may_be_missing(requires: Fields, named: set[str]) -> bool:
    """
    Whether this is what Istio writes behind several providers that it names: all of them, each or no token. Beside
    these it adds just that there may be none.
    """
    inner = requires.message_at("requires_all") if requires.which("requires_type") == "requires_all" else None
    each = inner.each("requirements") if inner is not None else []
    if not each or any(one.which("requires_type") != "requires_any" for one in each):
        return False
    found = [_requirement(one) for one in each]
    return all(how == "allow_missing" and len(names) == 1 and named.issuperset(names) for names, how in found)


def _provider(provider: Fields) -> Plain:
    plain: Plain = {"algorithms": list(_ALGORITHMS), "issuer": provider.text("issuer")}
    plain["audiences"] = provider.texts("audiences")
    plain["jwks"] = _jwks(provider)
    for name in ("subjects", "require_expiration", "max_lifetime", "forward_payload_header"):
        if provider.has(name) and provider.given(name):
            provider.essential(name, "metaproxy asks for issuer, audiences, exp and nbf, and sends no payload on")
    headers = provider.each("from_headers")
    if headers:
        plain["key"] = key_of(headers[0].text("name"))
        plain["prefix"] = headers[0].text("value_prefix")
    for header in headers[1:]:
        header.report.unhonoured(header.path, "metaproxy looks for a provider's token under one name")
    if provider.flag("forward"):
        plain["forward"] = True
    skew = provider.whole("clock_skew_seconds", _SKEW)
    if skew != _SKEW:
        plain["clock_skew"] = f"{skew}s"
    claims: Plain = {}
    for claim in provider.each("claim_to_headers"):
        claims[claim.text("claim_name")] = claim.text("header_name").lower()
    plain["claims_to_metadata"] = claims
    return {key: value for key, value in plain.items() if value or key == "prefix"}


def _jwks(provider: Fields) -> Plain:
    which = provider.which("jwks_source_specifier")
    if which == "local_jwks":
        local = provider.message_at("local_jwks")
        assert local is not None
        if local.which("specifier") == "filename":
            local.ignore("watched_directory")
            return {"file": local.text("filename")}
        return {"inline": inline_of(local, "a JWKS") or ""}
    remote = provider.message_at("remote_jwks")
    uri = remote.message_at("http_uri") if remote is not None else None
    if remote is None or uri is None:
        provider.report.invalid(provider.path, "no keys; write remote_jwks with http_uri, or local_jwks")
        return {}
    plain: Plain = {"url": uri.text("uri"), "cluster": uri.text("cluster")}
    timeout = uri.seconds("timeout")
    if timeout:
        plain["timeout"] = shown_seconds(timeout)
    plain["refresh"] = shown_seconds(remote.seconds("cache_duration", _JWKS_REFRESH) or _JWKS_REFRESH)
    remote.ignore("async_fetch", "retry_policy")  # keys are fetched before they are needed, and again after a failure
    return without_empty(plain)


def _jwt_at_route(config: Fields, chain: Chain) -> Plain | str | None:
    if config.flag("disabled"):
        return OFF
    config.essential("requirement_name", "metaproxy asks for the same tokens on all routes, or for none (disabled)")
    return None


ROUTE_FILTERS.add(f"{_HTTP}.jwt_authn.v3.PerRouteConfig", "envoy.filters.http.jwt_authn")(("jwt", _jwt_at_route))
