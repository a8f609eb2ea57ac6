"""Who sends copies stands where a client does, and keeps nothing."""

from __future__ import annotations

from harness import Quill, Stage, call

from metaproxy.message import ErrorKind, Kind, Message
from metaproxy.proxy.mirror_client import MirrorClient
from metaproxy.proxy.pool import pool_of


def test_it_is_pinned_to_no_connection() -> None:
    stage = Stage(codec=Quill())
    stage.say(stage.client(), call(7))
    (endpoint,) = stage.cluster.endpoints
    (connection,) = pool_of(endpoint, stage.cluster, stage.network).connections
    client = MirrorClient(stage.network)
    client.pinned_by_cluster = {("a", "", None): connection}
    client.pin_lost(connection, ErrorKind.RESET, "gone")
    assert client.pinned_by_cluster == {}
    client.event(Message(Kind.EVENT, b""), connection)
    client.event_open(Message(Kind.EVENT_OPEN, b""), connection)
    client.released(connection)
    client.unpin()
    assert client.session_pin is None
    client.pinned(connection)
    assert not connection.alive
