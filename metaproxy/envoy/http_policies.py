"""
What Envoy's routes of HTTP say of a request besides where it goes: time, retries, hashes.

Lives here: `common`, `hash_keys`, `retry_of`. Does not: destinations (`http_routes`), filters (`http_filters`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.http_matching import key_of
from metaproxy.envoy.tables import Chain, Plain

_RETRIES: dict[str, tuple[str, ...]] = {
    "5xx": ("connect", "reset", "timeout", "error"),
    "reset": ("connect", "reset", "timeout"),
    "reset-before-request": ("connect",),
    "connect-failure": ("connect",),
    "refused-stream": ("connect",),
    "http3-post-connect-failure": ("connect",),
}
"""Conditions of retry_on -> those of ours."""
_GRPC_FAILURES = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
_BASE = 0.025
_PREVIOUS = "envoy.retry_host_predicates.previous_hosts"


def common(route: Fields, action: Fields, host: Fields, table: Fields, chain: Chain, grpc: bool) -> Plain:
    """Keys of a route that forwards."""
    plain: Plain = {}
    timeout = action.seconds("timeout")
    if timeout is not None:
        plain["timeout"] = shown_seconds(timeout)
    keys = hash_keys(action, grpc)
    if keys:
        plain["hash"] = keys
    policy = action.message_at("retry_policy")
    outer = host.message_at("retry_policy")
    policy = policy or outer
    if policy is not None:
        plain["retry"] = retry_of(policy, grpc)
    action.refuse("priority", "metaproxy has one breaker a cluster", 0)
    action.refuse("cluster_not_found_response_code", "it is 503, as the error is the cluster's", 0)
    return plain


def hash_keys(action: Fields, grpc: bool) -> list[str]:
    """The keys of a route's hash policies."""
    found: list[str] = []
    policies = action.each("hash_policy")
    for place, policy in enumerate(policies):
        which = policy.which("policy_specifier")
        inner = policy.message_at(which) if which is not None else None
        if inner is None:
            policy.report.invalid(policy.path, "nothing to hash; write header, cookie or connection_properties")
            continue
        key = ""
        if which == "header":
            key = key_of(inner.text("header_name"), grpc)
        elif which == "cookie":
            key = f"cookie.{inner.text('name')}"
        elif which == "connection_properties" and inner.flag("source_ip"):
            key = "source.address"
        elif which == "query_parameter":
            key = f"query.{inner.text('name')}"
        if policy.flag("terminal") and place + 1 < len(policies):
            policy.unhonoured("terminal", "metaproxy hashes all keys that are there, and does not stop at the first")
        if key and key not in found:
            found.append(key)
    return found


def retry_of(policy: Fields, grpc: bool) -> Plain:
    """`retry:` of a RetryPolicy; {} where it never tries again."""
    words = [word.strip() for word in policy.text("retry_on").split(",") if word.strip()]
    attempts = policy.whole("num_retries", 1)
    on = list(_reasons(words, policy, grpc))
    for predicate in policy.each("retry_host_predicate"):
        extension = predicate.extension()
        if not (extension.type.endswith("PreviousHostsPredicate") or extension.name == _PREVIOUS):
            predicate.report.unhonoured(predicate.path, "metaproxy tries another endpoint, and knows no other rule")
    policy.ignore("host_selection_retry_max_attempts")  # another endpoint is picked if there is one
    backoff = policy.message_at("retry_back_off")
    base = (backoff.seconds("base_interval") if backoff is not None else None) or _BASE
    most = (backoff.seconds("max_interval") if backoff is not None else None) or base * 10
    per_try = policy.seconds("per_try_timeout")
    if not attempts or not on:
        return {}
    plain: Plain = {"attempts": min(attempts, 100), "on": on, "unsafe": on != ["connect"]}
    if per_try:
        plain["per_try_timeout"] = shown_seconds(per_try)
    if backoff is not None:
        plain["backoff"] = f"{shown_seconds(base)}..{shown_seconds(most)}"
    return {key: value for key, value in plain.items() if value}


def _reasons(words: Iterable[str], policy: Fields, grpc: bool) -> Iterable[str]:
    found: dict[str, None] = {}
    codes = policy.wholes("retriable_status_codes")
    for word in words:
        reasons = _RETRIES.get(word)
        if reasons is not None:
            found.update(dict.fromkeys(reasons))
        elif grpc and word in _GRPC_FAILURES:
            found["error"] = None
            if word == "cancelled":
                policy.unhonoured(
                    "retry_on", "cancelled is no failure of a server here; see failures of the codec grpc"
                )
        elif word == "retriable-status-codes" and not codes:
            continue  # with none it says nothing
        else:
            text = f"metaproxy has nothing for {word!r}; it has {', '.join(_RETRIES)}"
            policy.unhonoured("retry_on", text)
    return found
