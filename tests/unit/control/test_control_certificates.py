"""TLS of the gRPC server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_twisted
from authority import Authority, Issued
from control_client import Silent, cluster, publish
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from metaproxy.config.model import AdminTls
from metaproxy.control.certificates import server_credentials
from metaproxy.control.grpc_server import GrpcServer
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.server import Control

REACTOR: Any = reactor
PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


class Stand:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.own = self.authority.issue("control", "localhost", file="control")
        tls = AdminTls(certificate=self.own.certificate, key=self.own.key, client_ca=self.authority.ca)
        control = Control(REACTOR, Silent())
        publish(control, {CLUSTERS.url: {"a": cluster("a")}})
        self.server = GrpcServer(control, REACTOR, "127.0.0.1:0", server_credentials(tls))
        self.server.startService()

    def asks(self, own: Issued | None, trusted: Path | None = None) -> str:
        """Return what a client with this certificate gets: `ok`, or the status."""
        files = (own.key.read_bytes(), own.certificate.read_bytes()) if own is not None else (None, None)
        credentials = grpc.ssl_channel_credentials((trusted or self.authority.ca).read_bytes(), *files)
        port = self.server.bound.rpartition(":")[2]
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            method = channel.stream_stream(PATH, DiscoveryRequest.SerializeToString, DiscoveryResponse.FromString)
            request = DiscoveryRequest(type_url=CLUSTERS.url)
            request.node.id = "a"
            try:
                return "ok" if next(method(iter([request]), timeout=5)).resources else "nothing"
            except grpc.RpcError as error:
                return str(error.code().name)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    pytest_twisted.blockon(made.server.stopService())


@pytest_twisted.inlineCallbacks
def test_a_client_with_a_certificate_of_the_authority_is_served_and_others_are_not(stand: Stand, tmp_path: Path) -> Any:
    right = stand.authority.issue("proxy")
    wrong = Authority(tmp_path, "other authority").issue("proxy")
    assert (yield deferToThread(stand.asks, right)) == "ok"
    assert (yield deferToThread(stand.asks, wrong)) == "UNAVAILABLE"
    assert (yield deferToThread(stand.asks, None)) == "UNAVAILABLE"


@pytest_twisted.inlineCallbacks
def test_files_that_change_are_read_again(stand: Stand, tmp_path: Path) -> Any:
    client = stand.authority.issue("proxy")
    assert (yield deferToThread(stand.asks, client)) == "ok"
    other = Authority(tmp_path, "other authority")
    renewed = other.issue("control", "localhost")
    stand.own.key.write_bytes(renewed.key.read_bytes())
    stand.own.certificate.write_bytes(renewed.certificate.read_bytes())
    assert (yield deferToThread(stand.asks, client, other.ca)) == "ok"


@pytest_twisted.inlineCallbacks
def test_files_that_can_not_be_read_leave_the_ones_before_in_use(stand: Stand) -> Any:
    client = stand.authority.issue("proxy")
    stand.own.key.unlink()
    assert (yield deferToThread(stand.asks, client)) == "ok"
