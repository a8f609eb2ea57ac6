"""
The proxy for which resources are made, as far as they depend on it.

Lives here: `ProxyNode`; where its listeners listen. Does not: the resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

SIDECAR, ROUTER = "sidecar", "router"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ProxyNode:
    """
    kind: `sidecar`, or `router` for one at the edge, which has the listeners of gateways. namespace, labels, addresses:
    of the workload that it stands beside. bind: the address of listeners for services whose own address the proxy can't
    bind. application: the address at which the workload's own servers listen, behind the proxy. outbound: whether it
    listens for calls of services.
    """

    kind: str = SIDECAR
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    addresses: tuple[str, ...] = ()
    bind: str = LOOPBACK
    application: str = LOOPBACK
    outbound: bool = True

    def listens_at(self, address: str) -> str:
        """Return where a listener for a service's address listens: there, if it is one of this machine's, or `bind`."""
        try:
            local = ip_address(address).is_loopback or address in self.addresses
        except ValueError:
            local = False
        return address if local else self.bind

    def selected(self, selector: Mapping[str, str]) -> bool:
        """Whether the workload has all labels of a selector."""
        return all(self.labels.get(name) == value for name, value in selector.items())


def node_of(node_id: str, metadata: Mapping[str, object], bind: str = LOOPBACK, app: str = LOOPBACK) -> ProxyNode:
    """
    Return the node that an id and metadata describe, as Istio's proxies have them: `KIND~IP~POD.NAMESPACE~DOMAIN`, and
    `NAMESPACE`, `LABELS`, `INSTANCE_IPS`. What is not said has its default.
    """
    parts = node_id.split("~")
    whole = len(parts) == 4
    kind = parts[0] if whole and parts[0] in (SIDECAR, ROUTER) else SIDECAR
    namespace = _text(metadata.get("NAMESPACE")) or (parts[2].rpartition(".")[2] if whole else "") or "default"
    labels = metadata.get("LABELS")
    known = {str(name): str(value) for name, value in labels.items()} if isinstance(labels, Mapping) else {}
    addresses = _addresses(metadata.get("INSTANCE_IPS")) or ((parts[1],) if whole and parts[1] else ())
    return ProxyNode(kind, namespace, known, addresses, bind, app)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _addresses(value: object) -> tuple[str, ...]:
    """INSTANCE_IPS: a list, or one text with commas."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else ()
    return tuple(str(item).strip() for item in items if str(item).strip())
