"""All streams of one server."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from control_client import ALL, Client, Silent, cluster, publish
from google.protobuf.message import Message
from twisted.internet.task import Clock

from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.server import Control
from metaproxy.control.snapshot import Snapshot, snapshot
from metaproxy.control.stream import Refused, Stream


def clusters(value: int) -> Mapping[str, Mapping[str, Message]]:
    return {CLUSTERS.url: {"a": cluster("a", value)}}


def client(control: Control, node: str = "a", delta: bool = False) -> Client:
    made = Client(delta, node=node)
    made.want(CLUSTERS, [ALL])
    made.connect(control)
    made.settle()
    return made


def test_what_is_published_reaches_all_who_asked() -> None:
    control = Control(Clock(), Silent())
    clients = [client(control, "a"), client(control, "b", delta=True)]
    publish(control, clusters(3))
    for one in clients:
        one.settle()
        assert one.has[CLUSTERS.url] == {"a": cluster("a", 3)}


def test_nodes_may_have_different_targets() -> None:
    class ByName:
        def __init__(self) -> None:
            self.made = {"a": snapshot(clusters(1)), "b": snapshot(clusters(2))}

        def target(self, node: Node) -> Snapshot:
            return self.made[node.id]

    control = Control(Clock(), Silent())
    control.publish(ByName())
    assert client(control, "a").has[CLUSTERS.url] == {"a": cluster("a", 1)}
    assert client(control, "b").has[CLUSTERS.url] == {"a": cluster("a", 2)}


def test_a_stream_more_than_are_allowed_is_refused() -> None:
    control = Control(Clock(), Silent(), max_streams=1)
    client(control)
    with pytest.raises(Refused, match="1 streams"):
        control.connect(lambda _: None)


def test_a_stream_that_has_ended_makes_room_and_is_sent_nothing() -> None:
    control = Control(Clock(), Silent(), max_streams=1)
    gone = client(control)
    gone.disconnect()
    assert control.streams == {}
    publish(control, clusters(1))
    assert client(control).has[CLUSTERS.url] == {"a": cluster("a", 1)}


@pytest.mark.parametrize("data", [b"\xff\xff", b""])
def test_what_is_no_request_and_what_names_no_node_ends_the_stream(data: bytes) -> None:
    control = Control(Clock(), Silent())
    stream = control.connect(lambda _: None)
    with pytest.raises(Refused):
        control.receive(stream, data)


def test_an_observer_learns_of_each_stream() -> None:
    class Notes(Silent):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def joined(self, stream: Stream) -> None:
            self.seen.append("joined")

        def aimed(self, stream: Stream) -> None:
            self.seen.append("aimed")

        def left(self, stream: Stream) -> None:
            self.seen.append("left")

    notes = Notes()
    control = Control(Clock(), notes)
    one = client(control)
    publish(control, clusters(1))
    publish(control, clusters(1))  # the same content: no aim is taken, as there is nothing to send
    one.disconnect()
    assert notes.seen[0] == "joined"
    assert notes.seen[-1] == "left"
    assert "aimed" in notes.seen
