"""
`topology: brokers`: the brokers of a cluster, as any one of them tells it.

Lives here: the question (Metadata of no topics) and what its answer means. Does not: who is asked, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metaproxy.codecs.framing import Layout
from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.values import Values, decode
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


def probe() -> Message:
    """ApiVersions: what a broker answers before a login."""
    frame = request(wire.API_VERSIONS, 0, b"")
    return Message(Kind.REQUEST, frame, 1, {"api": "ApiVersions", "operation": "ApiVersions"})


def layout_of(answers: Sequence[Message]) -> Layout:
    """What the answers to the question say. Raises FrameError."""
    if not answers or answers[-1].kind is Kind.ERROR:
        raise FrameError("it answers Metadata with an error")
    return layout(answers[-1])


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
        node = broker["NodeId"]
        what = {"node": str(node), "controller": "true" if node == said["ControllerId"] else "false"}
        if broker["Rack"]:
            what["rack"] = broker["Rack"].decode("utf-8", "replace")
        endpoints[address_of(broker)] = what
    return Layout(endpoints)


def address_of(broker: Values) -> str:
    """Of a struct that has a broker's Host and Port."""
    host = broker["Host"]
    text = host.decode("utf-8", "replace") if isinstance(host, bytes) else ""
    return f"[{text}]:{broker['Port']}" if ":" in text else f"{text}:{broker['Port']}"
