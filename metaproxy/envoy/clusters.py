"""
Envoy's Cluster as a cluster of ours.

Lives here: `translate_cluster`: its kind, endpoints, limits. Does not: endpoints themselves (`endpoints`).
"""

from __future__ import annotations

from google.protobuf.message import Message

from metaproxy.envoy.endpoints import endpoints_of
from metaproxy.envoy.fields import Fields, shown_seconds, without_empty
from metaproxy.envoy.listeners import translated
from metaproxy.envoy.tables import Context, Plain
from metaproxy.envoy.translated import Translated

CONNECT_TIMEOUT = 5.0
"""Seconds, where a cluster does not say it."""
_BALANCERS = {
    "ROUND_ROBIN": "round_robin",
    "LEAST_REQUEST": "least_request",
    "RING_HASH": "ring_hash",
    "MAGLEV": "maglev",
    "RANDOM": "random",
}


def translate_cluster(cluster: Message, context: Context, path: str = "") -> Translated:
    """The cluster that an envoy.config.cluster.v3.Cluster becomes. path: where it stands, for the report."""
    fields = Fields(cluster, path or f"cluster {getattr(cluster, 'name', '')!r}", context.report)
    return translated(fields, context, _cluster)


def _cluster(fields: Fields, context: Context) -> list[Plain]:
    fields.require("name")
    fields.ignore("alt_stat_name")
    section: Plain = {"name": fields.text("name")}
    kind = fields.choice("type")
    if kind != "STATIC":
        context.report.unusable(fields.at("type"), f"metaproxy has no clusters of the type {kind}")
    assignment = fields.message_at("load_assignment")
    endpoints: list[Plain] = []
    if assignment is None:
        fields.report.invalid(fields.path, "load_assignment is missing")
    else:
        endpoints = endpoints_of(assignment)
    policy = fields.choice("lb_policy")
    balancer = _BALANCERS.get(policy)
    if balancer is None:
        fields.unhonoured("lb_policy", f"metaproxy has no {policy}")
    section["balancer"] = balancer or "round_robin"
    section["connect_timeout"] = shown_seconds(fields.seconds("connect_timeout", CONNECT_TIMEOUT) or CONNECT_TIMEOUT)
    return [{"endpoints": endpoints, **without_empty(section)}]
