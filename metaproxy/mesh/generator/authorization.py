"""
DubboAuthorizationPolicies as Envoy's RBAC policies: refusals first, then permissions.

Lives here: `rules_for`, and the filters that hold them. Does not: where in a listener they stand (`listeners`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.messages import Json, packed
from metaproxy.mesh.objects.dubbo_authorization import CLOSED, DubboAuthorizationPolicy, Operation, Rule, Source
from metaproxy.mesh.objects.reading import Object
from metaproxy.mesh.objects.unread_policy import ROOT_NAMESPACE

DUBBO_FILTER, NETWORK_FILTER = "envoy.filters.dubbo.rbac", "envoy.filters.network.rbac"
_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
_SPIFFE = "spiffe://"
_ANY: Json = {"any": True}

Policies = list[tuple[Object, DubboAuthorizationPolicy]]


def rules_for(view: View, namespace: str) -> list[Json]:
    """
    Return the messages of RBAC for the services of a namespace: one that denies, then one that allows, each only where
    there are such policies. Those of the root namespace hold everywhere.
    """
    places = dict.fromkeys((ROOT_NAMESPACE, namespace))
    found = [one for place in places for one in view.find(DubboAuthorizationPolicy, "policies", "", place)]
    made: list[Json] = []
    for action in ("DENY", "ALLOW"):
        chosen = [(object, policy) for object, policy in found if policy.action == action]
        policies = _policies(chosen)
        # Of a DENY without rules nothing follows; after an ALLOW without rules nothing is allowed.
        if policies or (chosen and action == "ALLOW"):
            made.append({"statPrefix": "dubbo.", "rules": {"action": action, "policies": policies}})
    return made


def network_filters(rules: Iterable[Json]) -> list[Json]:
    """Return filters that stand before one of any protocol."""
    return [{"name": NETWORK_FILTER, "typedConfig": packed(_RBAC, one)} for one in rules]


def dubbo_filters(rules: Iterable[Json]) -> list[Json]:
    """Return filters within that of native Dubbo."""
    return [{"name": DUBBO_FILTER, "config": packed(_RBAC, one)} for one in rules]


def _policies(given: Policies) -> Json:
    return {
        f"ns[{object.key.namespace}]-policy[{object.key.name}]-{_rule_name(policy, place)}": _policy(rule)
        for object, policy in given
        for place, rule in enumerate(policy.rules)
    }


def _rule_name(policy: DubboAuthorizationPolicy, place: int) -> str:
    return "refused" if policy is CLOSED else f"rule[{place}]"


def _policy(rule: Rule) -> Json:
    principals = [_and("andIds", "ids", _source(one.source)) for one in rule.from_]
    permissions = [_and("andRules", "rules", _operation(one.operation)) for one in rule.to]
    return {"permissions": permissions or [_ANY], "principals": principals or [_ANY]}


def _and(key: str, inner: str, parts: list[Json]) -> Json:
    return {key: {inner: parts}} if parts else _ANY


def _source(source: Source) -> list[Json]:
    parts: list[Json] = []
    for values, way, negated in (
        (source.principals, _principal, False),
        (source.not_principals, _principal, True),
        (source.namespaces, _namespace, False),
        (source.not_namespaces, _namespace, True),
    ):
        if values:
            one: Json = {"orIds": {"ids": [way(value) for value in values]}}
            parts.append({"notId": one} if negated else one)
    return parts


def _operation(operation: Operation) -> list[Json]:
    parts: list[Json] = []
    for values, key, negated in (
        (operation.interfaces, "service", False),
        (operation.not_interfaces, "service", True),
        (operation.methods, "method", False),
        (operation.not_methods, "method", True),
    ):
        if values:
            one: Json = {"orRules": {"rules": [_called(key, value) for value in values]}}
            parts.append({"notRule": one} if negated else one)
    return parts


def _principal(value: str) -> Json:
    return {"authenticated": {"principalName": _matcher(value, lambda text: _SPIFFE + text)}}


def _namespace(value: str) -> Json:
    return {"authenticated": {"principalName": {"safeRegex": {"regex": f".*/ns/{_as_regex(value)}/.*"}}}}


def _as_regex(value: str) -> str:
    """A namespace as a regular expression: `*` stands for anything, all else for itself."""
    return ".*".join("".join(f"\\{c}" if not (c.isalnum() or c == "_") else c for c in one) for one in value.split("*"))


def _called(key: str, value: str) -> Json:
    match = {"stringMatch": _matcher(value, lambda text: text)}
    return {"metadata": {"filter": DUBBO_FILTER, "path": [{"key": key}], "value": match}}


def _matcher(value: str, whole: Callable[[str], str]) -> Json:
    """whole: what is compared where a value is known from its beginning on."""
    if value == "*":
        return {"safeRegex": {"regex": ".+"}}
    if value.startswith("*"):
        return {"suffix": value[1:]}
    if value.endswith("*"):
        return {"prefix": whole(value[:-1])}
    return {"exact": whole(value)}
