"""
What a rate limit service is asked: Envoy's rate limit actions as descriptors of ours.

Lives here: `descriptors_of`, `bucket_of`. Does not: the filters that have them (`http_filters`, `extensions`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.envoy.fields import Fields, shown_seconds
from metaproxy.envoy.http_matching import key_of
from metaproxy.envoy.tables import Plain


def descriptors_of(limits: Iterable[Fields], cluster: str = "") -> list[object]:
    """The descriptors of route.RateLimit messages. cluster: where the route leads to, '' for several."""
    found: list[object] = []
    for limit in limits:
        limit.refuse("stage", "metaproxy has one stage", 0)
        actions = limit.each("actions")
        entries = [_entry(action, cluster, len(actions) == 1) for action in actions]
        if entries and all(entry is not None for entry in entries):
            found.append(entries)
    return found


def _entry(action: Fields, cluster: str, alone: bool) -> Plain | None:
    which = action.which("action_specifier")
    inner = action.message_at(which) if which is not None else None
    if inner is None:
        action.report.invalid(action.path, "no action; write request_headers, remote_address or generic_key")
        return None
    if which == "generic_key":
        return {"key": inner.text("descriptor_key") or "generic_key", "value": inner.text("descriptor_value")}
    if which == "remote_address":
        return {"key": "remote_address", "from": "source.address"}
    if which == "destination_cluster" and cluster:
        return {"key": "destination_cluster", "value": cluster}
    if which == "request_headers":
        if inner.flag("skip_if_absent") and not alone:
            inner.essential("skip_if_absent", "without the header metaproxy leaves out the descriptor, not the entry")
        return {"key": inner.text("descriptor_key"), "from": key_of(inner.text("header_name")), "skip_if_absent": True}
    action.essential(which or "", "metaproxy makes descriptors of headers, the client's address and fixed values")
    return None


def bucket_of(bucket: Fields) -> Plain:
    """A TokenBucket as options of `local_rate_limit`."""
    most = bucket.whole("max_tokens")
    interval = bucket.seconds("fill_interval")
    if not most:
        bucket.invalid("max_tokens", "is missing, or 0")
        most = 1
    if not interval:
        bucket.invalid("fill_interval", "is missing, or 0")
        interval = 1.0
    limit = bucket.whole("tokens_per_fill", 1)
    plain: Plain = {"limit": limit, "per": shown_seconds(interval), "refill": "interval"}
    if most != limit:
        plain["burst"] = most
    return plain
