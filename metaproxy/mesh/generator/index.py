"""
Objects by what is asked of them, and who asked: so a change reaches only what was made of what changed.

Lives here: `Index`, `View`, `topics_of`. Does not: what is made of objects.

A topic is what may be asked: all routers of a host, all workloads of a namespace with a label, one secret. An object
belongs to some topics. A `View` notes the topics that it was asked for; if an object of one of them comes, changes or
goes, what was made with the view is to be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

from google.protobuf.message import Message

from metaproxy.mesh.generator.messages import Messages
from metaproxy.mesh.objects.destination_rule import DestinationRule
from metaproxy.mesh.objects.dubbo_authorization import DubboAuthorizationPolicy
from metaproxy.mesh.objects.gateway import Gateway
from metaproxy.mesh.objects.kubernetes import ConfigMap, Endpoints, EndpointSlice, Pod, Secret, Service
from metaproxy.mesh.objects.meta_router import ApplicationProtocol, MetaRouter
from metaproxy.mesh.objects.reading import Key, Object
from metaproxy.mesh.objects.redis import RedisDestination, RedisService
from metaproxy.mesh.objects.service_entry import ServiceEntry, WorkloadEntry
from metaproxy.mesh.objects.struct import Spec
from metaproxy.mesh.objects.virtual_service import VirtualService

DOMAIN = "svc.cluster.local"
SERVICE_NAME = "kubernetes.io/service-name"
"""The label of an EndpointSlice that names its Service."""

S = TypeVar("S", bound=Spec)


class Topic(NamedTuple):
    """What may be asked. what: the kind of question; namespace: '' where it does not matter; name: of what."""

    what: str
    namespace: str
    name: str


def full_host(host: str, namespace: str) -> str:
    """Return a host in full: a short name is a Service of the namespace."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.{DOMAIN}"


def topics_of(object: Object) -> Iterator[Topic]:
    """Return what an object answers."""
    kind, namespace, name = object.key
    spec = object.spec
    match spec:
        case ServiceEntry():
            yield from (Topic("service", "", host) for host in spec.hosts)
        case Service():
            yield Topic("service", "", f"{name}.{namespace}.{DOMAIN}")
        case MetaRouter():
            yield Topic("router", "", spec.hosts[0])
            yield from (Topic("gateway-router", "", gateway_of(one, namespace)) for one in spec.gateways)
        case ApplicationProtocol():
            yield Topic("protocol", "", spec.protocol)
        case DestinationRule():
            yield Topic("rule", "", full_host(spec.host, namespace))
        case VirtualService():
            yield from (Topic("virtual", "", full_host(host, namespace)) for host in spec.hosts)
        case RedisService():
            yield from (Topic("redis", namespace, host) for host in spec.host)
        case RedisDestination():
            yield Topic("redis-destination", namespace, spec.host)
        case WorkloadEntry():
            labels = {**object.labels, **spec.labels}
            yield from (Topic("workload", namespace, f"{key}={value}") for key, value in labels.items())
        case Pod():
            yield Topic("pod", namespace, name)
            yield from (Topic("workload", namespace, f"{key}={value}") for key, value in object.labels.items())
        case EndpointSlice():
            yield Topic("slices", namespace, object.labels.get(SERVICE_NAME, ""))
        case Endpoints():
            yield Topic("endpoints", namespace, name)
        case DubboAuthorizationPolicy():
            yield Topic("policies", namespace, "")
        case Secret() | ConfigMap() | Gateway():
            yield Topic(kind, namespace, name)


def gateway_of(written: str, namespace: str) -> str:
    """Return NAMESPACE/NAME of a gateway as a MetaRouter of a namespace names it."""
    return written if "/" in written else f"{namespace}/{written}"


class Index:
    """
    Objects by topic.

    hosts: of services, with the objects that give each; addresses: of services, how often; gateways: by
    NAMESPACE/NAME.
    """

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._topics: dict[Topic, dict[Key, Object]] = {}
        self.hosts: dict[str, set[Key]] = {}
        self.addresses: Counter[str] = Counter()
        self.gateways: dict[str, Object] = {}

    def put(self, object: Object) -> set[Topic]:
        """Take an object, new or in another version. Return the topics of which the answers change."""
        touched = self.remove(object.key)
        self._objects[object.key] = object
        for topic in topics_of(object):
            self._topics.setdefault(topic, {})[object.key] = object
            touched.add(topic)
            if topic.what == "service":
                self.hosts.setdefault(topic.name, set()).add(object.key)
        if isinstance(object.spec, Gateway):
            self.gateways[f"{object.key.namespace}/{object.key.name}"] = object
        self.addresses.update(_addresses(object.spec))
        return touched

    def remove(self, key: Key) -> set[Topic]:
        """Forget an object. Return the topics of which the answers change."""
        object = self._objects.pop(key, None)
        if object is None:
            return set()
        touched = set(topics_of(object))
        for topic in touched:
            found = self._topics[topic]
            del found[key]
            if not found:
                del self._topics[topic]
            if topic.what == "service":
                self.hosts[topic.name].discard(key)
                if not self.hosts[topic.name]:
                    del self.hosts[topic.name]
        if isinstance(object.spec, Gateway):
            del self.gateways[f"{key.namespace}/{key.name}"]
        for address in _addresses(object.spec):
            self.addresses[address] -= 1
            if not self.addresses[address]:
                del self.addresses[address]
        return touched

    def owners(self, name: str) -> list[Key]:
        """Return the objects that give a host, or a gateway by NAMESPACE/NAME."""
        gateway = self.gateways.get(name)
        return sorted(self.hosts.get(name, ())) or ([gateway.key] if gateway is not None else [])

    def at(self, topic: Topic) -> list[Object]:
        """Return the objects of a topic, by namespace and name."""
        found = self._topics.get(topic)
        return [found[key] for key in sorted(found)] if found else []


def _addresses(spec: Spec) -> tuple[str, ...]:
    """Return the addresses at which clients reach a service."""
    if isinstance(spec, ServiceEntry):
        return spec.addresses
    return spec.cluster_ips or (spec.cluster_ip,) if isinstance(spec, Service) else ()


class View:
    """
    What is asked of an index while one thing is made. asked: the topics; notes: what is to be said of objects;
    messages: what is made.
    """

    def __init__(self, index: Index, before: Mapping[bytes, Message] | None = None) -> None:
        self._index = index
        self.messages = Messages(before or {})
        self.asked: set[Topic] = set()
        self.notes: dict[Key, list[str]] = {}

    def find(self, kind: type[S], what: str, name: str, namespace: str = "") -> list[tuple[Object, S]]:
        """Return the objects of a kind that answer, by namespace and name, each with its keys."""
        topic = Topic(what, namespace, name)
        self.asked.add(topic)
        return [(one, one.spec) for one in self._index.at(topic) if isinstance(one.spec, kind)]

    def note(self, object: Object, text: str) -> None:
        """Say of an object what became of it."""
        notes = self.notes.setdefault(object.key, [])
        if text not in notes:
            notes.append(text)


def visible(export_to: tuple[str, ...], own: str, namespace: str) -> bool:
    """Whether what a namespace exports is there for another. Without `exportTo` it is for all."""
    if not export_to or "*" in export_to or namespace in export_to:
        return True
    return "." in export_to and own == namespace
