"""
What is known of a service, from any source: its addresses, its ports, the servers behind it.

Lives here: `ServiceModel` and its parts, `service_at`. Does not: what proxies get of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from metaproxy.mesh.generator.index import View, visible
from metaproxy.mesh.objects.kubernetes import (
    EndpointPort,
    Endpoints,
    EndpointSlice,
    KubernetesPort,
    Pod,
    Service,
    TargetRef,
)
from metaproxy.mesh.objects.reading import Object
from metaproxy.mesh.objects.service_entry import ServiceEntry, ServicePort, WorkloadEntry

STATIC, DNS = "STATIC", "DNS"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service. target: where servers listen, if they do not say it themselves."""

    number: int
    name: str
    target: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A server. ports: where it listens, by the name of the service's port."""

    address: str
    ports: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    region: str = ""
    weight: int = 1

    def port(self, port: Port) -> int:
        """Return where it listens for a port of the service."""
        return self.ports.get(port.name, port.target)

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return all(self.labels.get(name) == value for name, value in labels.items())


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """
    A service. object: what says so; resolution: whether servers are addresses (STATIC) or names (DNS); selector: labels
    of its servers, where it is said so.
    """

    host: str
    object: Object
    addresses: tuple[str, ...]
    ports: tuple[Port, ...]
    resolution: str
    workloads: tuple[Workload, ...]
    selector: Mapping[str, str]

    @property
    def namespace(self) -> str:
        return self.object.key.namespace


def service_at(view: View, host: str, namespace: str) -> ServiceModel | None:
    """
    Return the service of a host, as a namespace knows it. Of several the namespace's own goes before others, then the
    first by namespace and name counts.
    """
    entries = view.find(ServiceEntry, "service", host)
    seen = [(one, spec) for one, spec in entries if visible(spec.export_to, one.key.namespace, namespace)]
    seen.sort(key=lambda one: one[0].key.namespace != namespace)
    for other, _ in seen[1:]:
        view.note(other, f"{seen[0][0].key} has the host {host}, too, and goes before it")
    services = view.find(Service, "service", host)
    if seen:
        for other, _ in services:
            view.note(other, f"{seen[0][0].key} has the host {host}, too, and goes before it")
        return _of_entry(view, host, *seen[0])
    return _of_service(view, host, *services[0]) if services else None


def _of_entry(view: View, host: str, object: Object, entry: ServiceEntry) -> ServiceModel:
    selector = _selector(object, entry)
    if entry.workload_selector is not None:
        workloads = tuple(_selected(view, object.key.namespace, entry.workload_selector.labels))
    else:
        workloads = tuple(_workload(one, {}) for one in entry.endpoints)
    names = entry.resolution != STATIC or any(not is_address(one.address) for one in workloads)
    if names and not workloads:
        workloads = (Workload(host),)
    ports = tuple(_port(port) for port in entry.ports)
    return ServiceModel(host, object, entry.addresses, ports, DNS if names else STATIC, workloads, selector)


def _port(port: ServicePort) -> Port:
    return Port(port.number, port.name, port.target_port or port.number)


def _selector(object: Object, entry: ServiceEntry) -> Mapping[str, str]:
    """Return the labels of the servers, as the entry or Aeraki's annotation says them."""
    if entry.workload_selector is not None:
        return entry.workload_selector.labels
    written = object.annotations.get("workloadSelector", "")
    key, colon, value = written.partition(":")
    if not written:
        return {}
    return {key.strip(): value.strip()} if colon else {"app": written}


def _selected(view: View, namespace: str, labels: Mapping[str, str]) -> Iterator[Workload]:
    """Return the WorkloadEntries and Pods of a namespace that have all of some labels."""
    if not labels:
        return
    first = min(f"{name}={value}" for name, value in labels.items())
    for object, entry in view.find(WorkloadEntry, "workload", first, namespace):
        workload = _workload(entry, object.labels)
        if workload.has(labels):
            yield workload
    for object, pod in view.find(Pod, "workload", first, namespace):
        workload = Workload(pod.status.pod_ip, labels=object.labels)
        if pod.status.ready and workload.has(labels):
            yield workload


def _workload(entry: WorkloadEntry, labels: Mapping[str, str]) -> Workload:
    region, _, rest = entry.locality.partition("/")
    zone = rest.partition("/")[0]
    return Workload(entry.address, entry.ports, {**labels, **entry.labels}, zone, region, max(entry.weight, 1))


def is_address(text: str) -> bool:
    """Whether a text is an IP address, and no name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# -- Kubernetes


def _of_service(view: View, host: str, object: Object, service: Service) -> ServiceModel:
    addresses = tuple(one for one in (service.cluster_ips or (service.cluster_ip,)) if one and one != "None")
    namespace, name = object.key.namespace, object.key.name
    workloads = _by_slices(view, namespace, name) or _by_endpoints(view, namespace, name)
    ports = tuple(_kubernetes_port(one) for one in service.ports if one.protocol == "TCP")
    return ServiceModel(host, object, addresses, ports, STATIC, tuple(workloads), service.selector)


def _kubernetes_port(port: KubernetesPort) -> Port:
    target = port.target_port if isinstance(port.target_port, int) else port.port
    return Port(port.port, port.name, target)


def _by_slices(view: View, namespace: str, name: str) -> list[Workload]:
    workloads: dict[str, Workload] = {}
    for _, one in view.find(EndpointSlice, "slices", name, namespace):
        ports = _ports(one.ports)
        for endpoint in one.endpoints:
            if endpoint.conditions.ready is not False:
                labels = _labels(view, namespace, endpoint.target_ref)
                address = endpoint.addresses[0]
                workloads[address] = Workload(address, ports, labels, endpoint.zone)
    return list(workloads.values())


def _by_endpoints(view: View, namespace: str, name: str) -> list[Workload]:
    return [
        Workload(address.ip, _ports(subset.ports), _labels(view, namespace, address.target_ref))
        for _, one in view.find(Endpoints, "endpoints", name, namespace)
        for subset in one.subsets
        for address in subset.addresses
    ]


def _ports(ports: tuple[EndpointPort, ...]) -> dict[str, int]:
    return {port.name: port.port for port in ports if port.port is not None}


def _labels(view: View, namespace: str, target: TargetRef | None) -> Mapping[str, str]:
    if target is None or target.kind != "Pod":
        return {}
    return next((object.labels for object, _ in view.find(Pod, "pod", target.name, namespace)), {})
