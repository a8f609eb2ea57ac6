"""The gRPC server, over sockets of this machine."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from queue import Queue
from typing import Any
from weakref import WeakSet

import grpc
import pytest
import pytest_twisted
from control_client import Silent, cluster, publish, routes
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThread

from metaproxy.control.grpc_server import GrpcServer
from metaproxy.control.resource_types import CLUSTERS, ROUTES
from metaproxy.control.server import Control
from metaproxy.control.stream import Stream

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
TIMEOUT = 10.0
REACTOR = IReactorFromThreads(reactor)
MESSAGES = {False: (DiscoveryRequest, DiscoveryResponse), True: (DeltaDiscoveryRequest, DeltaDiscoveryResponse)}


class Peer:
    """A stream of a client of its own. `say` and `hear` block."""

    def __init__(self, where: str, path: str, delta: bool = False) -> None:
        self._request, response = MESSAGES[delta]
        self._channel = grpc.insecure_channel(where)
        self._requests: Queue[Any] = Queue()
        method = self._channel.stream_stream(path, self._request.SerializeToString, response.FromString)
        self._responses = method(iter(self._requests.get, None), timeout=TIMEOUT)

    def say(self, node: str = "a", **fields: Any) -> None:
        request = self._request(**fields)
        request.node.id = node
        self._requests.put(request)

    def hear(self) -> Any:
        return next(self._responses)

    def close(self) -> None:
        self._requests.put(None)
        self._channel.close()


class Stand:
    """A server on a free port, and the peers that came."""

    def __init__(self, observer: Silent | None = None, **options: Any) -> None:
        self.control = Control(reactor, observer or Silent(), max_streams=2)
        publish(self.control, {CLUSTERS.url: {"a": cluster("a", 1)}, ROUTES.url: {"r": routes("r")}})
        self.server = GrpcServer(self.control, REACTOR, "127.0.0.1:0", **options)
        self.server.startService()
        self.peers: list[Peer] = []

    def peer(self, path: str, delta: bool = False) -> Peer:
        self.peers.append(Peer(self.server.bound, path, delta))
        return self.peers[-1]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        pytest_twisted.blockon(self.server.stopService())


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    yield made
    made.close()


@pytest_twisted.inlineCallbacks
def test_an_aggregated_stream_gets_what_it_asks_for_and_what_changes(stand: Stand) -> Any:
    peer = stand.peer(f"{ADS}/StreamAggregatedResources")
    peer.say(type_url=CLUSTERS.url)
    first = yield deferToThread(peer.hear)
    assert len(first.resources) == 1
    peer.say(type_url=CLUSTERS.url, version_info=first.version_info, response_nonce=first.nonce)
    peer.say(type_url=ROUTES.url, resource_names=["r"])
    assert (yield deferToThread(peer.hear)).type_url == ROUTES.url
    publish(stand.control, {CLUSTERS.url: {"a": cluster("a", 2)}})
    second = yield deferToThread(peer.hear)
    assert (second.type_url, second.version_info != first.version_info) == (CLUSTERS.url, True)


@pytest_twisted.inlineCallbacks
def test_so_does_a_delta_stream(stand: Stand) -> Any:
    peer = stand.peer(f"{ADS}/DeltaAggregatedResources", delta=True)
    peer.say(type_url=CLUSTERS.url)
    first = yield deferToThread(peer.hear)
    assert [one.name for one in first.resources] == ["a"]
    peer.say(type_url=CLUSTERS.url, response_nonce=first.nonce)
    publish(stand.control, {CLUSTERS.url: {"a": cluster("a", 1), "b": cluster("b")}})
    assert [one.name for one in (yield deferToThread(peer.hear)).resources] == ["b"]


@pytest.mark.parametrize("delta", [False, True])
@pytest_twisted.inlineCallbacks
def test_so_does_a_stream_of_one_type_without_naming_it(stand: Stand, delta: bool) -> Any:
    method = "DeltaRoutes" if delta else "StreamRoutes"
    peer = stand.peer(f"/envoy.service.route.v3.RouteDiscoveryService/{method}", delta)
    if delta:
        peer.say(resource_names_subscribe=["r"])
    else:
        peer.say(resource_names=["r"])
    assert (yield deferToThread(peer.hear)).type_url == ROUTES.url


def ended(peer: Peer) -> tuple[str, str]:
    """Return the status and the text that a stream ends with."""
    try:
        peer.hear()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("the stream goes on")


@pytest_twisted.inlineCallbacks
def test_a_client_that_says_not_who_it_is_is_refused_with_what_to_write(stand: Stand) -> Any:
    peer = stand.peer(f"{ADS}/StreamAggregatedResources")
    peer.say(node="", type_url=CLUSTERS.url)
    code, text = yield deferToThread(ended, peer)
    assert code == "INVALID_ARGUMENT"
    assert "node" in text


@pytest_twisted.inlineCallbacks
def test_one_stream_too_many_is_refused_and_the_others_go_on(stand: Stand) -> Any:
    peers = [stand.peer(f"{ADS}/StreamAggregatedResources") for _ in range(2)]
    for peer in peers:
        peer.say(type_url=CLUSTERS.url)
        yield deferToThread(peer.hear)
    code, _ = yield deferToThread(ended, stand.peer(f"{ADS}/StreamAggregatedResources"))
    assert code == "RESOURCE_EXHAUSTED"
    assert len(stand.control.streams) == 2


@pytest_twisted.inlineCallbacks
def test_a_client_that_says_nothing_is_cut_off() -> Any:
    stand = Stand(stalled=0.05)
    try:
        code, _ = yield deferToThread(ended, stand.peer(f"{ADS}/StreamAggregatedResources"))
        assert code == "DEADLINE_EXCEEDED"
    finally:
        for peer in stand.peers:
            peer.close()
        yield stand.server.stopService()


class Leaving(Silent):
    """Fires when a stream has come, and when it has left. kept: all that came, of which something is left in memory."""

    def __init__(self) -> None:
        self.kept: WeakSet[Stream] = WeakSet()
        self.again()

    def again(self) -> None:
        self.came: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def joined(self, stream: Stream) -> None:
        self.kept.add(stream)
        self.came.callback(None)

    def left(self, stream: Stream) -> None:
        self.gone.callback(None)


@pytest_twisted.inlineCallbacks
def test_a_stream_that_ends_is_forgotten() -> Any:
    leaving = Leaving()
    stand = Stand(observer=leaving)
    peer = stand.peer(f"{ADS}/StreamAggregatedResources")
    peer.say(type_url=CLUSTERS.url)
    yield deferToThread(peer.hear)
    peer.close()
    yield leaving.gone
    assert stand.control.streams == {}
    yield stand.server.stopService()


@pytest_twisted.inlineCallbacks
def test_streams_cancelled_at_any_point_of_their_life_are_forgotten() -> Any:
    """More than may be open at a time, so that one that stays is seen: the next ones are refused."""
    leaving = Leaving()
    stand = Stand(observer=leaving)
    for turn in range(200):
        leaving.again()
        peer = stand.peer(f"{ADS}/StreamAggregatedResources")
        peer.say(type_url=CLUSTERS.url)
        if turn % 3:
            yield deferToThread(peer.hear)
        else:
            yield leaving.came
        peer.close()
        yield leaving.gone
    assert stand.control.streams == {}
    yield stand.server.stopService()
    gc.collect()
    assert len(leaving.kept) == 0, "a task that serves one of them goes on"


@pytest_twisted.inlineCallbacks
def test_a_client_that_does_not_read_is_cut_off() -> Any:
    leaving = Leaving()
    stand = Stand(observer=leaving, stalled=0.2)
    large = Cluster(name="a", alt_stat_name="x" * (32 << 20))  # more than the library buffers
    publish(stand.control, {CLUSTERS.url: {"a": large}})
    peer = stand.peer(f"{ADS}/StreamAggregatedResources")
    peer.say(type_url=CLUSTERS.url)
    yield leaving.gone
    assert stand.control.streams == {}
    peer.close()
    yield stand.server.stopService()


def test_an_address_that_is_taken_is_said_at_the_start(stand: Stand) -> None:
    other = GrpcServer(stand.control, REACTOR, stand.server.bound)
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        other.startService()
