"""
Envoy's RBAC policies as options of our filter `rbac`.

Lives here: `policies_of`, permissions and principals as expressions. Does not: the filters that have them
(`extensions`), what an expression means (`routing.expression`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.http_matching import add_header
from metaproxy.envoy.matching import string_condition
from metaproxy.envoy.tables import Plain

_ACTIONS = {"ALLOW": "allow", "DENY": "deny", "LOG": "log"}
_DUBBO = "envoy.filters.dubbo.rbac"
"""The name under which a policy for Dubbo asks for `service` and `method`."""
_TAKEN = ("", "none", "secret", "runtime")
"""Names that mean something else where policies stand."""
NEVER: Plain = {"action": "allow", "permissions": []}
"""A policy that allows nothing."""


def options_of(config: Fields) -> Plain:
    """`policies:` and `shadow:` of a filter's message."""
    plain: Plain = {}
    if config.given("matcher"):
        config.essential("matcher", "metaproxy reads policies from rules")
    for name, ours in (("rules", "policies"), ("shadow_rules", "shadow")):
        rules = config.message_at(name)
        if rules is not None:
            policies = policies_of(rules)
            if policies:
                plain[ours] = policies
    return plain


def policies_of(rules: Fields) -> Plain:
    """The policies of an envoy.config.rbac.v3.RBAC. Of one that allows and has none nothing passes."""
    rules.guard()
    if rules.given("audit_logging_options"):
        rules.unhonoured("audit_logging_options", "metaproxy has no logs of decisions; an access log has them")
    action = _ACTIONS.get(rules.choice("action"), "deny")
    found: Plain = {}
    for name, policy in rules.entries("policies").items():
        for beside in ("condition", "checked_condition", "cel_config"):
            if policy.has(beside) and policy.given(beside):
                policy.essential(beside, "metaproxy's policies have no expressions in CEL")
        permissions = [_permission(one) for one in policy.each("permissions")]
        principals = [_principal(one) for one in policy.each("principals")]
        found[_name(name, found)] = {"action": action, "permissions": permissions, "principals": principals}
    if not found and action == "allow":
        return {"nothing": NEVER}
    return found


def _name(name: str, others: Plain) -> str:
    """A name as ours may be, and that no other policy has."""
    kept = "".join(letter if "!" <= letter <= "~" else "-" for letter in name)[:128]
    given = kept = f"policy-{kept}" if kept in _TAKEN else kept
    count = 1
    while given in others:
        count += 1
        given = f"{kept[:110]}#{count}"
    return given


def _permission(rule: Fields) -> Plain:
    which = rule.which("rule")
    if which == "any":
        return _any(rule)
    if which in ("and_rules", "or_rules"):
        return _set(rule, which, "rules", _permission)
    inner = _inner(rule, which)
    if which == "not_rule" and inner is not None:
        return {"not": _permission(inner)}
    if which == "destination_port":
        return {"destination.port": str(rule.whole("destination_port"))}
    if which == "destination_port_range" and inner is not None:
        return {"destination.port": {"range": [inner.whole("start"), inner.whole("end")]}}
    if which == "destination_ip" and inner is not None:
        return {"destination.address": {"cidr": cidr_of(inner)}}
    if which == "requested_server_name" and inner is not None:
        return _condition("tls.sni", string_condition(inner))
    return _common(rule, which, inner)


def _principal(principal: Fields) -> Plain:
    which = principal.which("identifier")
    if which == "any":
        return _any(principal)
    if which in ("and_ids", "or_ids"):
        return _set(principal, which, "ids", _principal)
    inner = _inner(principal, which)
    if which == "not_id" and inner is not None:
        return {"not": _principal(inner)}
    if which in ("source_ip", "direct_remote_ip") and inner is not None:
        return {"source.address": {"cidr": cidr_of(inner)}}
    if which == "remote_ip" and inner is not None:
        return {"source.address": {"cidr": cidr_of(inner)}}
    if which == "authenticated" and inner is not None:
        name = inner.message_at("principal_name")
        if name is None:
            return {"source.identity": {"present": True}}
        return _condition("source.identity", string_condition(name))
    return _common(principal, which, inner)


def _common(rule: Fields, which: str | None, inner: Fields | None) -> Plain:
    """What both a permission and a principal may ask."""
    if which == "header" and inner is not None:
        match: Plain = {}
        add_header(match, inner)
        return match or {"or": []}
    if which == "url_path" and inner is not None:
        path = inner.message_at("path")
        return _condition("path", string_condition(path) if path is not None else None)
    if which == "metadata" and inner is not None:
        found = _dubbo(inner)
        if found is not None:
            return found
    if which is None:
        rule.report.invalid(rule.path, "says nothing; write any: true for all")
    else:
        rule.essential(which, "metaproxy's policies look at headers, paths, names of TLS, addresses and ports")
    return {"or": []}


def _inner(rule: Fields, which: str | None) -> Fields | None:
    if which is None or which == "destination_port":
        return None
    return rule.message_at(which)


def _any(rule: Fields) -> Plain:
    return {"any": True} if rule.flag("any") else {"or": []}


def _set(rule: Fields, which: str, name: str, translate: Callable[[Fields], Plain]) -> Plain:
    inner = rule.message_at(which)
    listed: Iterable[Fields] = inner.each(name) if inner is not None else ()
    return {which.partition("_")[0]: [translate(one) for one in listed]}


def _condition(key: str, condition: Plain | None) -> Plain:
    return {"or": []} if condition is None else {key: condition}


def _dubbo(matcher: Fields) -> Plain | None:
    """What Aeraki's policies for Dubbo ask: the service and the method, in metadata of this filter."""
    path = matcher.each("path")
    if matcher.text("filter") != _DUBBO or len(path) != 1:
        return None
    key = {"service": "interface", "method": "method"}.get(path[0].text("key"))
    value = matcher.message_at("value")
    text = value.message_at("string_match") if value is not None else None
    condition = string_condition(text) if text is not None else None
    if key is None or condition is None:
        return None
    if matcher.flag("invert"):
        condition["not"] = True
    return {key: condition}


def cidr_of(range_: Fields) -> str:
    """A CidrRange as a text."""
    address, length = range_.text("address_prefix"), range_.whole("prefix_len")
    try:
        return str(ipaddress.ip_network(f"{address}/{length}", strict=False))
    except ValueError:
        range_.report.invalid(range_.path, f"{address}/{length} is no network")
        return "0.0.0.0/32"
