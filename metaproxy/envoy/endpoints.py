"""
Envoy's ClusterLoadAssignment as endpoints of ours.

Lives here: `endpoints_of`, `endpoints_of_message`. Does not: the cluster that has them (`clusters`).
"""

from __future__ import annotations

from google.protobuf.message import Message

from metaproxy.envoy.addresses import address_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report
from metaproxy.envoy.routing import SOCKET_MATCH, subset_of, texts_of
from metaproxy.envoy.tables import Plain

_USED = ("UNKNOWN", "HEALTHY", "DEGRADED")
MAX_WEIGHT = 65536


def endpoints_of_message(assignment: Message, report: Report, path: str = "", by_locality: bool = False) -> list[Plain]:
    """The endpoints of a ClusterLoadAssignment that came over EDS. path: where it stands; rest: see `endpoints_of`."""
    fields = Fields(assignment, path or f"endpoints {getattr(assignment, 'cluster_name', '')!r}", report)
    endpoints = endpoints_of(fields, by_locality)
    fields.close()
    return endpoints


def endpoints_of(assignment: Fields, by_locality: bool = False) -> list[Plain]:
    """
    The endpoints, each with its weight, zone, priority and metadata. Those that are said to be ill are left out.
    by_locality: whether the weights of localities count; each is shared by the endpoints of the locality then.
    """
    assignment.ignore("cluster_name")
    policy = assignment.message_at("policy")
    if policy is not None:
        policy.refuse("overprovisioning_factor", "it is 140 always", 140)
    found: dict[str, Plain] = {}
    for group in assignment.each("endpoints"):
        members = _members(group)
        if by_locality:
            members = _shared(members, group.whole("load_balancing_weight"))
        group.ignore("load_balancing_weight", "proximity")
        for endpoint in members:
            address = str(endpoint["address"])
            if address in found:
                assignment.report.warn(group.path, f"{address} is there already; the first one counts")
            else:
                found[address] = endpoint
    return list(found.values())


def _members(group: Fields) -> list[Plain]:
    locality = group.message_at("locality")
    zone = ""
    if locality is not None:
        locality.ignore("sub_zone")
        zone = locality.text("zone") or locality.text("region")
        locality.ignore("region")
    priority = group.whole("priority")
    group.ignore("metadata")
    beside: Plain = {}
    if zone:
        beside["zone"] = zone
    if priority:
        beside["priority"] = priority
    return [endpoint for one in group.each("lb_endpoints") if (endpoint := _endpoint(one, beside)) is not None]


def _endpoint(one: Fields, beside: Plain) -> Plain | None:
    endpoint = one.message_at("endpoint")
    if endpoint is None:
        if not one.given("endpoint_name"):
            one.report.invalid(one.path, "endpoint is missing")
        return None
    endpoint.ignore("hostname")
    address = address_of(endpoint.message_at("address"))
    weight, status = one.whole("load_balancing_weight", 1), one.choice("health_status")
    metadata = _metadata(one.message_at("metadata"))
    if address is None:
        endpoint.require("address")
        return None
    if status not in _USED:
        return None
    plain: Plain = {"address": address}
    if weight != 1:
        plain["weight"] = min(max(weight, 1), MAX_WEIGHT)
    plain.update(beside)
    if metadata:
        plain["metadata"] = metadata
    return plain


def _metadata(metadata: Fields | None) -> Plain:
    """What subsets look at, and by what an endpoint's transport socket is chosen."""
    return {} if metadata is None else {**texts_of(metadata, SOCKET_MATCH), **subset_of(metadata)}


def _shared(members: list[Plain], weight: int) -> list[Plain]:
    """The endpoints of a locality with its weight shared among them; one without a weight gets nothing."""
    if not weight:
        return []
    own = [_weight(one) for one in members]
    total = sum(own)
    scale = MAX_WEIGHT // 64
    return [
        {**one, "weight": min(max(round(weight * scale * part / total), 1), MAX_WEIGHT)}
        for one, part in zip(members, own, strict=True)
    ]


def _weight(endpoint: Plain) -> int:
    weight = endpoint.get("weight", 1)
    assert isinstance(weight, int)
    return weight
