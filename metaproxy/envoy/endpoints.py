"""
Envoy's ClusterLoadAssignment as endpoints of ours.

Lives here: `endpoints_of`. Does not: the cluster that has them (`clusters`).
"""

from __future__ import annotations

from metaproxy.envoy.addresses import address_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import Plain

_USED = ("UNKNOWN", "HEALTHY", "DEGRADED")
MAX_WEIGHT = 65536


def endpoints_of(assignment: Fields) -> list[Plain]:
    """The endpoints, each with its weight, zone, priority and metadata. Those that are said to be ill are left out."""
    assignment.ignore("cluster_name")
    found: list[Plain] = []
    for group in assignment.each("endpoints"):
        zone = _zone(group)
        priority = group.whole("priority")
        group.ignore("load_balancing_weight")
        for one in group.each("lb_endpoints"):
            endpoint = _endpoint(one, zone, priority)
            if endpoint is not None:
                found.append(endpoint)
    return found


def _zone(group: Fields) -> str:
    locality = group.message_at("locality")
    if locality is None:
        return ""
    locality.ignore("region", "sub_zone")
    return locality.text("zone") or locality.text("region")


def _endpoint(one: Fields, zone: str, priority: int) -> Plain | None:
    endpoint = one.message_at("endpoint")
    if endpoint is None:
        one.report.invalid(one.path, "endpoint is missing")
        return None
    address = address_of(endpoint.message_at("address"))
    if address is None:
        endpoint.require("address")
        return None
    if one.choice("health_status") not in _USED:
        return None
    plain: Plain = {"address": address}
    weight = one.whole("load_balancing_weight", 1)
    if weight != 1:
        plain["weight"] = min(max(weight, 1), MAX_WEIGHT)
    if zone:
        plain["zone"] = zone
    if priority:
        plain["priority"] = priority
    return plain
