"""
`topology: brokers`: the brokers of a cluster, as any one of them tells it.

Lives here: the question (Metadata of no topics) and what its answer means. Does not: who is asked, and when.
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.framing import Layout
from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.values import decode
from metaproxy.message import FrameError, Kind, Message

LAYOUTS: Final = {"brokers": ""}
_METADATA: Final = schema.KEYS["Metadata"]
_VERSION: Final = 1
"""The first one in which no topics can be asked for. It names racks and the controller, and brokers still have it."""


def question() -> Message:
    body = wire.INT.pack(0)
    return Message(Kind.REQUEST, request(_METADATA, _VERSION, body), 1, {"api": "Metadata", "operation": "Metadata"})


def request(key: int, version: int, body: bytes) -> bytes:
    """A request of the proxy's own."""
    client = b"metaproxy"
    head = wire.SHORT.pack(key) + wire.SHORT.pack(version) + wire.INT.pack(1) + wire.SHORT.pack(len(client)) + client
    return wire.framed(head + body)


def layout(answer: Message) -> Layout:
    """Raises FrameError."""
    form = schema.response(_METADATA, _VERSION)
    assert form is not None
    said = decode(answer.frame, wire.ANSWER.size, form)
    brokers = said["Brokers"]
    if not isinstance(brokers, list) or not brokers:
        raise FrameError("it tells of no brokers")
    endpoints: dict[str, dict[str, str]] = {}
    for broker in brokers:
        node, host = broker["NodeId"], broker["Host"].decode("utf-8", "replace")
        what = {"node": str(node), "controller": "true" if node == said["ControllerId"] else "false"}
        if broker["Rack"]:
            what["rack"] = broker["Rack"].decode("utf-8", "replace")
        endpoints[f"[{host}]:{broker['Port']}" if ":" in host else f"{host}:{broker['Port']}"] = what
    return Layout(endpoints)
