"""Streams of gRPC against a real server of grpcio in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from envoy.service.discovery.v3 import discovery_pb2
from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IReactorFromThreads
from waiting import until
from xds_server import XdsServer
from xds_stage import CLUSTERS, cluster, response

from metaproxy.xds.grpc_stream import MAX_REQUESTS, GrpcServer

reactor = IReactorFromThreads(_reactor)
PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


class Heard:
    """What a stream called."""

    def __init__(self) -> None:
        self.connections = 0
        self.responses: list[Any] = []
        self.done: list[Callable[[], None]] = []
        self.reasons: list[str] = []

    def connected(self) -> None:
        self.connections += 1

    def received(self, response: Any, done: Callable[[], None]) -> None:
        self.responses.append(response)
        self.done.append(done)

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def server() -> Iterator[XdsServer]:
    server = XdsServer()
    yield server
    server.stop()


def opened(target: str, heard: Heard, **options: Any) -> Any:
    return GrpcServer(target, reactor, **options).opener(PATH, False)(heard)


def request(nonce: str = "") -> discovery_pb2.DiscoveryRequest:
    return discovery_pb2.DiscoveryRequest(type_url=CLUSTERS.url, response_nonce=nonce)


@pytest_twisted.inlineCallbacks
def test_messages_go_both_ways_in_their_order(server: XdsServer) -> Any:
    heard = Heard()
    stream = opened(server.target, heard)
    for nonce in "abc":
        stream.send(request(nonce))
    yield until(lambda: server.streams and len(server.streams[0].requests) == 3)
    assert [one.response_nonce for one in server.streams[0].requests] == ["a", "b", "c"]
    assert server.streams[0].path == PATH
    assert heard.connections == 1
    server.streams[0].say(response(CLUSTERS, "v1", "1", cluster("a")))
    yield until(lambda: heard.responses)
    assert heard.responses[0].version_info == "v1"
    stream.close()


@pytest_twisted.inlineCallbacks
def test_no_more_than_two_responses_wait_for_the_reactor(server: XdsServer) -> Any:
    heard = Heard()
    stream = opened(server.target, heard)
    stream.send(request())
    yield until(lambda: server.streams)
    for nonce in "123":
        server.streams[0].say(response(CLUSTERS, "v", nonce))
    yield until(lambda: len(heard.responses) == 2)
    stream.send(request("more"))
    yield until(lambda: len(server.streams[0].requests) == 2)  # the third has had all the time to come
    assert len(heard.responses) == 2
    heard.done.pop()()
    yield until(lambda: len(heard.responses) == 3)
    stream.close()


@pytest_twisted.inlineCallbacks
def test_a_stream_that_the_server_ends_says_so_once(server: XdsServer) -> Any:
    heard = Heard()
    stream = opened(server.target, heard)
    stream.send(request())
    yield until(lambda: server.streams)
    server.streams[0].end()
    yield until(lambda: heard.reasons)
    assert heard.reasons == ["the server ended the stream"]
    stream.close()


@pytest_twisted.inlineCallbacks
def test_a_stream_without_a_server_ends_with_the_reason() -> Any:
    heard = Heard()
    server = XdsServer()
    server.stop()
    stream = opened(server.target, heard)
    yield until(lambda: heard.reasons)
    assert heard.reasons[0].startswith("UNAVAILABLE: ")
    assert heard.connections == 0
    stream.close()


@pytest_twisted.inlineCallbacks
def test_a_stream_that_is_closed_calls_nothing_and_is_over_for_the_server(server: XdsServer) -> Any:
    heard = Heard()
    stream = opened(server.target, heard)
    stream.send(request())
    yield until(lambda: server.streams and server.streams[0].requests)
    stream.close()
    yield until(lambda: server.streams[0].over)
    assert heard.reasons == []


@pytest_twisted.inlineCallbacks
def test_a_token_is_shown_as_of_when_the_stream_is_opened(server: XdsServer) -> Any:
    tokens = iter(["first", "second"])
    made = GrpcServer(server.target, reactor, token=lambda: next(tokens)).opener(PATH, False)
    streams = [made(Heard()), made(Heard())]
    for stream in streams:
        stream.send(request())
    yield until(lambda: len(server.streams) == 2)
    assert {one.metadata["authorization"] for one in server.streams} == {"Bearer first", "Bearer second"}
    for stream in streams:
        stream.close()


@pytest_twisted.inlineCallbacks
def test_a_server_may_be_a_socket_in_a_folder(tmp_path: Path) -> Any:
    server = XdsServer(f"unix:{tmp_path}/xds")
    heard = Heard()
    stream = opened(server.target, heard, authority="istiod")
    stream.send(request())
    yield until(lambda: server.streams and server.streams[0].requests)
    stream.close()
    server.stop()


@pytest_twisted.inlineCallbacks
def test_a_server_that_reads_nothing_loses_the_stream() -> Any:
    heard = Heard()
    stream = opened("127.0.0.1:1", heard)
    for _ in range(MAX_REQUESTS + 1):
        stream.send(request())
    yield until(lambda: heard.reasons)
    stream.close()


@pytest_twisted.inlineCallbacks
def test_responses_of_the_incremental_protocol_are_read_as_such(server: XdsServer) -> Any:
    heard = Heard()
    path = PATH.replace("Stream", "Delta")
    stream = GrpcServer(server.target, reactor).opener(path, True)(heard)
    stream.send(discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTERS.url))
    yield until(lambda: server.streams and server.streams[0].requests)
    server.streams[0].say(discovery_pb2.DeltaDiscoveryResponse(nonce="1", removed_resources=["a"]))
    yield until(lambda: heard.responses)
    assert list(heard.responses[0].removed_resources) == ["a"]
    stream.close()
