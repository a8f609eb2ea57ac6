"""
Which kinds of objects are read, of which API, and as what.

Lives here: `KINDS`. Does not: their keys (the modules beside).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.config.rules.rule import all_of
from metaproxy.config.schema.reading import SectionRules
from metaproxy.mesh.objects import destination_rule, meta_router, redis, service_entry, virtual_service
from metaproxy.mesh.objects.destination_rule import DestinationRule
from metaproxy.mesh.objects.dubbo_authorization import CLOSED, DubboAuthorizationPolicy
from metaproxy.mesh.objects.gateway import Gateway
from metaproxy.mesh.objects.kubernetes import ConfigMap, Endpoints, EndpointSlice, Pod, Secret, Service
from metaproxy.mesh.objects.meta_router import ApplicationProtocol, MetaRouter
from metaproxy.mesh.objects.redis import RedisDestination, RedisService
from metaproxy.mesh.objects.service_entry import ServiceEntry, WorkloadEntry
from metaproxy.mesh.objects.struct import Spec
from metaproxy.mesh.objects.virtual_service import VirtualService

AERAKI, DUBBO, REDIS = "metaprotocol.aeraki.io", "dubbo.aeraki.io", "redis.aeraki.io"
ISTIO, CORE, DISCOVERY = "networking.istio.io", "", "discovery.k8s.io"


@dataclass(frozen=True, slots=True)
class KnownKind:
    """
    A kind of object. group: of its API, '' for that of Kubernetes itself; versions: that are read; plural: its name in
    addresses of the API; namespaced: whether it belongs to a namespace; at: the key under which its own keys stand, ''
    where they stand at the top; refused: what holds in the place of an object that is refused, of which no version was
    right before; None for nothing.
    """

    name: str
    spec: type[Spec]
    group: str
    versions: tuple[str, ...]
    plural: str
    namespaced: bool = True
    at: str = "spec"
    refused: Spec | None = None


_ISTIO = ("v1alpha3", "v1beta1", "v1")

KINDS: dict[str, KnownKind] = {
    kind.name: kind
    for kind in (
        KnownKind("MetaRouter", MetaRouter, AERAKI, ("v1alpha1",), "metarouters"),
        KnownKind("ApplicationProtocol", ApplicationProtocol, AERAKI, ("v1alpha1",), "applicationprotocols", False),
        KnownKind(
            "DubboAuthorizationPolicy",
            DubboAuthorizationPolicy,
            DUBBO,
            ("v1alpha1",),
            "dubboauthorizationpolicies",
            refused=CLOSED,
        ),
        KnownKind("RedisService", RedisService, REDIS, ("v1alpha1",), "redisservices"),
        KnownKind("RedisDestination", RedisDestination, REDIS, ("v1alpha1",), "redisdestinations"),
        KnownKind("ServiceEntry", ServiceEntry, ISTIO, _ISTIO, "serviceentries"),
        KnownKind("WorkloadEntry", WorkloadEntry, ISTIO, _ISTIO, "workloadentries"),
        KnownKind("DestinationRule", DestinationRule, ISTIO, _ISTIO, "destinationrules"),
        KnownKind("VirtualService", VirtualService, ISTIO, _ISTIO, "virtualservices"),
        KnownKind("Gateway", Gateway, ISTIO, _ISTIO, "gateways"),
        KnownKind("Service", Service, CORE, ("v1",), "services"),
        KnownKind("EndpointSlice", EndpointSlice, DISCOVERY, ("v1", "v1beta1"), "endpointslices", at=""),
        KnownKind("Endpoints", Endpoints, CORE, ("v1",), "endpoints", at=""),
        KnownKind("Pod", Pod, CORE, ("v1",), "pods", at=""),
        KnownKind("Secret", Secret, CORE, ("v1",), "secrets", at=""),
        KnownKind("ConfigMap", ConfigMap, CORE, ("v1",), "configmaps", at=""),
    )
}
"""The kinds that are read, by their names."""

RULES: SectionRules = all_of(
    meta_router.RULES, redis.RULES, service_entry.RULES, destination_rule.RULES, virtual_service.RULES
)
"""The checks that look at several keys."""
