"""
A generator with objects in it, and what it makes, as plain values.

Lives here: `Stand`. Does not: any expectation.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from mesh_objects import read_one

from metaproxy.envoy.message_types import full_name, message_class
from metaproxy.envoy.resources import Resources
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.objects.reading import Key

HOST = "hello.demo.svc.cluster.local"
CLIENT = ProxyNode(namespace="demo")
ENTRY = f"""
hosts: [{HOST}]
addresses: [127.0.10.1]
ports: [{{number: 20880, name: tcp-metaprotocol-dubbo}}]
endpoints:
- {{address: 127.0.0.11, labels: {{version: v1}}}}
- {{address: 127.0.0.12, labels: {{version: v2}}}}
"""
RULE = f"""
host: {HOST}
subsets:
- {{name: v1, labels: {{version: v1}}}}
- {{name: v2, labels: {{version: v2}}}}
"""


class Stand:
    """What `put` adds is in the namespace demo, unless it is said otherwise."""

    def __init__(self, node: ProxyNode = CLIENT) -> None:
        self.generator = Generator()
        self.node = node

    def put(self, kind: str, name: str, spec: str, at: str = "spec", **metadata: object) -> Stand:
        self.generator.put(read_one(kind, name, spec, at, **metadata))
        return self

    def hello(self) -> Stand:
        """A service of Dubbo with two versions."""
        return self.put("ServiceEntry", "hello", ENTRY).put("DestinationRule", "hello", RULE)

    @property
    def resources(self) -> Resources:
        return self.generator.resources(self.node)

    def one(self, kind: str, name: str) -> dict[str, object]:
        """A message as plain values, what is packed in it unpacked."""
        return plain(getattr(self.resources, kind)[name])

    def filter(self, listener: str) -> dict[str, object]:
        """The last filter of a listener."""
        message = self.resources.listeners[listener]
        (chain,) = getattr(message, "filter_chains")  # noqa: B009
        packed: Packed = chain.filters[-1].typed_config
        return plain(unpacked(packed))

    def notes(self, kind: str, name: str, namespace: str = "demo") -> list[str]:
        return self.generator.notes(self.node).get(Key(kind, namespace, name), [])


def unpacked(packed: Packed) -> Message:
    found = message_class(full_name(packed.type_url))
    assert found is not None
    message = found()
    message.ParseFromString(packed.value)
    return message


def plain(message: Message) -> dict[str, object]:
    return MessageToDict(message, preserving_proto_field_name=True)


def endpoints(message: dict[str, object]) -> list[str]:
    """The addresses of a ClusterLoadAssignment in plain values."""
    groups = message.get("endpoints", [])
    assert isinstance(groups, list)
    places = [one["endpoint"]["address"]["socket_address"] for group in groups for one in group["lb_endpoints"]]
    return [f"{place['address']}:{place['port_value']}" for place in places]
