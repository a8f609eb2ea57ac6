"""
Objects of Kubernetes itself: services, the endpoints behind them, pods, secrets, and Istio's mesh configuration.

Lives here: the keys that are read of them; all others are passed over. Does not: what the mesh configuration says.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.schema.leaf import Leaf
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.numbers import Flag
from metaproxy.config.schema.reading import Schema
from metaproxy.config.schema.shape import ListOf, MapOf, option
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, PORT, TEXT, Choice, NumberOrName, PercentValue, TextMap
from metaproxy.units import Secret as HiddenText


@dataclass(frozen=True, slots=True)
class Open(Spec):
    """A part of an object of Kubernetes, of which a few keys are read."""

    OPEN: ClassVar = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPort(Open):
    """A port of a Service."""

    name: str = option(TEXT, "Picks the protocol.", "")
    port: int = option(PORT, "Where clients reach it.")
    target_port: int | str | None = option(NumberOrName(), "Where pods listen.", None, "the same")
    protocol: str = option(TEXT, "TCP alone counts.", "TCP")
    app_protocol: str = option(TEXT, "Not read.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Open):
    """A service: `NAME.NAMESPACE.svc.cluster.local`."""

    SPELT: ClassVar = {"cluster_ip": "clusterIP", "cluster_ips": "clusterIPs"}

    ports: tuple[KubernetesPort, ...] = option(ListOf(Struct(KubernetesPort)), "Its ports.", ())
    cluster_ip: str = option(TEXT, "Its address; `None` for none.", "")
    cluster_ips: tuple[str, ...] = option(ListOf(TEXT), "Its addresses.", ())
    selector: Mapping[str, str] = option(TextMap(), "Labels of its pods.", {})
    type: str = option(TEXT, "Not read.", "ClusterIP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Open):
    """How an endpoint is."""

    ready: bool | None = option(Flag(), "Whether it is used.", None, "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRef(Open):
    """Which object an endpoint is."""

    kind: str = option(TEXT, "Pod alone counts.", "")
    name: str = option(TEXT, "Its name; its labels are the endpoint's.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceEndpoint(Open):
    """A server."""

    addresses: tuple[str, ...] = option(ListOf(NAME, 1), "The first counts.")
    conditions: Conditions = option(Struct(Conditions), "How it is.", {})
    zone: str = option(TEXT, "Where it runs.", "")
    target_ref: TargetRef | None = option(Struct(TargetRef), "Its pod.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPort(Open):
    """A port at which servers listen."""

    name: str = option(TEXT, "The name of the service's port.", "")
    port: int | None = option(PORT, "Where.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSlice(Open):
    """Servers of the Service that the label `kubernetes.io/service-name` names."""

    address_type: str = option(TEXT, "IPv4 or IPv6.", "IPv4")
    endpoints: tuple[SliceEndpoint, ...] = option(ListOf(Struct(SliceEndpoint)), "The servers.", ())
    ports: tuple[EndpointPort, ...] = option(ListOf(Struct(EndpointPort)), "Their ports.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAddress(Open):
    """A server."""

    ip: str = option(NAME, "Its address.")
    target_ref: TargetRef | None = option(Struct(TargetRef), "Its pod.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSubset(Open):
    """Servers with the same ports."""

    addresses: tuple[EndpointAddress, ...] = option(ListOf(Struct(EndpointAddress)), "The servers.", ())
    ports: tuple[EndpointPort, ...] = option(ListOf(Struct(EndpointPort)), "Their ports.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints(Open):
    """Servers of the Service of the same name; not read where it has EndpointSlices."""

    subsets: tuple[EndpointSubset, ...] = option(ListOf(Struct(EndpointSubset)), "The servers.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCondition(Open):
    """How a pod is."""

    type: str = option(TEXT, "`Ready` alone counts.", "")
    status: str = option(TEXT, "`True`, `False` or `Unknown`.", "True")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus(Open):
    """Where a pod runs, and how it is."""

    SPELT: ClassVar = {"pod_ip": "podIP"}

    pod_ip: str = option(TEXT, "Its address.", "")
    conditions: tuple[PodCondition, ...] = option(
        ListOf(Struct(PodCondition)), "How it is; one that is not ready is no server.", ()
    )

    @property
    def ready(self) -> bool:
        """Whether it can be asked: it has an address, and does not say that it is not ready."""
        return bool(self.pod_ip) and all(one.status == "True" for one in self.conditions if one.type == "Ready")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod(Open):
    """A pod: its labels are those of the endpoint that it is."""

    status: PodStatus = option(Struct(PodStatus), "Where it runs.", {})


class Hidden(Leaf[HiddenText]):
    """A text that is never shown, also an empty one."""

    def parse(self, node: Node) -> HiddenText:
        if not isinstance(node.value, str):
            raise ValueError("not a text; write it in quotes")
        return HiddenText(node.value)

    def words(self) -> str:
        return "a text"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret(Open):
    """Texts that are never shown."""

    data: Mapping[str, HiddenText] = option(MapOf(Hidden(), "KEY"), "In base64.", {})
    string_data: Mapping[str, HiddenText] = option(MapOf(Hidden(), "KEY"), "As they are; goes before `data`.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTracing(Open):
    """Which requests are traced."""

    sampling: float = option(PercentValue(), "The share.", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig(Open):
    """What proxies begin with."""

    tracing: MeshTracing = option(Struct(MeshTracing), "Which requests are traced.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig(Open):
    """Istio's mesh configuration, at the key `mesh` of the ConfigMap `istio`, as far as Aeraki reads it."""

    access_log_file: str = option(TEXT, "Where lines of metaprotocol go.", "", "no log")
    access_log_encoding: str = option(Choice("TEXT", "JSON"), "How they are written.", "TEXT")
    access_log_format: str = option(TEXT, "What they show, with Envoy's operators.", "", "the usual fields")
    enable_tracing: bool = option(Flag(), "Whether requests have spans.", False)
    default_config: ProxyConfig = option(Struct(ProxyConfig), "What proxies begin with.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap(Open):
    """
    Texts. That of the name `istio` in the root namespace `istio-system` has Istio's mesh configuration at `mesh`, of
    which `accessLogFile`, `accessLogEncoding`, `accessLogFormat`, `enableTracing` and `defaultConfig.tracing.sampling`
    are read.
    """

    data: Mapping[str, str] = option(TextMap(), "The texts.", {})
