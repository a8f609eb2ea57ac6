"""
The clusters of a service and the endpoints in them, as istiod names and makes them.

Lives here: `Names`, `outbound`, `inbound`. Does not: limits and TLS (`policy`), which clusters routes name (`routes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address

from google.protobuf.message import Message

from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.messages import Json, without_nothing
from metaproxy.mesh.generator.policy import cluster_keys, limit_keys, policy_of
from metaproxy.mesh.generator.services import DNS, Port, ServiceModel, Workload
from metaproxy.mesh.objects.destination_rule import DestinationRule


def cluster_name(port: int, subset: str, host: str) -> str:
    """Return the name of the cluster of a subset, '' for the whole service."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_name(port: int) -> str:
    """Return the name of the cluster of a workload's own server."""
    return f"inbound|{port}||"


def clusters_of(
    view: View, service: ServiceModel, port: Port, rule: DestinationRule | None, more: Json | None = None
) -> Iterator[tuple[Message, Message | None]]:
    """
    Return the clusters of a port of a service, one for each subset and one for all, each with its endpoints where these
    come apart from it. more: keys in the place of those that the rule gives.
    """
    subsets = [("", {}), *((one.name, one.labels) for one in (rule.subsets if rule is not None else ()))]
    for subset, labels in subsets:
        name = cluster_name(port.number, subset, service.host)
        policy = policy_of(rule, subset, port.number)
        if more is not None and "lbPolicy" in more:
            policy = replace(policy, load_balancer=None)
        keys = {**cluster_keys(policy, service), **(more or {})}
        workloads = [one for one in service.workloads if one.has(labels)]
        assignment: Json = {"clusterName": name, "endpoints": list(localities(workloads, port))}
        if more is not None and "clusterType" in more:
            yield view.messages.of("clusters", {"name": name, **keys}), None
        elif service.resolution == DNS:
            cluster: Json = {"name": name, "type": "STRICT_DNS", "dnsLookupFamily": "V4_PREFERRED"}
            yield view.messages.of("clusters", {**cluster, **keys, "loadAssignment": assignment}), None
        else:
            source = {"edsConfig": {"ads": {}, "resourceApiVersion": "V3"}, "serviceName": name}
            cluster = {"name": name, "type": "EDS", "edsClusterConfig": source}
            made = view.messages.of("clusters", {**cluster, **keys})
            yield made, view.messages.of("endpoints", assignment)


def inbound_cluster(view: View, address: str, port: int) -> Message:
    """Return the cluster of a workload's own server."""
    name = inbound_name(port)
    endpoint = {"endpoint": {"address": socket_address(address, port)}}
    assignment = {"clusterName": name, "endpoints": [{"lbEndpoints": [endpoint]}]}
    data: Json = {"name": name, "type": "STATIC", "loadAssignment": assignment, **limit_keys(None)}
    return view.messages.of("clusters", data)


def localities(workloads: Iterable[Workload], port: Port) -> Iterator[Json]:
    """Return servers by where they run."""
    places: dict[tuple[str, str], list[Json]] = {}
    for one in workloads:
        endpoint: Json = {"endpoint": {"address": socket_address(one.address, one.port(port))}}
        if one.weight != 1:
            endpoint["loadBalancingWeight"] = one.weight
        if one.labels:
            endpoint["metadata"] = {"filterMetadata": {"envoy.lb": dict(one.labels)}}
        places.setdefault((one.region, one.zone), []).append(endpoint)
    for (region, zone), endpoints in places.items():
        locality = without_nothing({"region": region or None, "zone": zone or None})
        weight = sum(int(str(one.get("loadBalancingWeight", 1))) for one in endpoints)
        where: Json = {"locality": locality, "loadBalancingWeight": weight} if locality else {}
        yield {**where, "lbEndpoints": endpoints}


def socket_address(address: str, port: int) -> Json:
    """Return an address of a message: an IP address or a name with a port, or `unix:/path`."""
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix://").removeprefix("unix:")}}
    try:
        address = str(ip_address(address))
    except ValueError:
        pass  # a name
    return {"socketAddress": {"address": address, "portValue": port}}
