"""An item of `xds:` against real servers of gRPC and HTTP in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_twisted
from authority import Authority
from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Site
from waiting import until
from xds_server import XdsServer as GrpcPeer
from xds_stage import CLUSTERS, ROUTES, RecordingSink, cluster, response

from metaproxy.config import model
from metaproxy.config.slices import Slices
from metaproxy.proxy.service_clusters import ServiceClusters
from metaproxy.xds.server import XdsServer, node_of

NET: Any = _reactor


def made(spec: model.Xds, folder: Path = Path("/")) -> XdsServer:
    reactor = IReactorTime(_reactor)
    clusters = ServiceClusters(reactor)
    return XdsServer(spec, model.Node(id="n1"), RecordingSink(), reactor, clusters, folder, Slices(reactor).run)


@pytest.fixture
def peer() -> Iterator[GrpcPeer]:
    peer = GrpcPeer()
    yield peer
    peer.stop()


def test_a_node_says_who_the_proxy_is() -> None:
    node = node_of(
        model.Node(id="n1", cluster="shop", zone="z", metadata={"LABELS": {"app": "cart"}, "INSTANCE_IPS": "10.0.0.1"})
    )
    assert (node.id, node.cluster, node.locality.zone, node.user_agent_name) == ("n1", "shop", "z", "metaproxy")
    assert node.metadata["LABELS"]["app"] == "cart"
    assert node.metadata["INSTANCE_IPS"] == "10.0.0.1"


@pytest_twisted.inlineCallbacks
def test_one_stream_for_all_kinds(peer: GrpcPeer) -> Any:
    server = made(model.Xds(server=peer.target, token=None))
    server.start()
    yield until(lambda: peer.streams and len(peer.streams[0].requests) == 2)
    assert peer.streams[0].path.endswith("/StreamAggregatedResources")
    assert peer.streams[0].requests[0].node.id == "n1"
    peer.streams[0].say(response(CLUSTERS, "v1", "1", cluster("a")))
    yield until(lambda: len(peer.streams[0].requests) == 3)
    assert [one.name for one in server.state.stores["clusters"]] == ["a"]
    assert server.counts.connected
    server.stop()


@pytest_twisted.inlineCallbacks
def test_a_stream_of_its_own_for_each_kind_and_one_for_all_names(peer: GrpcPeer) -> Any:
    server = made(model.Xds(server=peer.target, ads=False, resources=("routes", "clusters")))
    server.start()
    server.want(ROUTES, ["a", "b"])
    server.want(ROUTES, ["a", "b", "c"])
    yield until(lambda: len(peer.streams) == 2 and all(one.requests for one in peer.streams))
    paths = sorted(one.path.rpartition("/")[2] for one in peer.streams)
    assert paths == ["StreamClusters", "StreamRoutes"]
    streamed = next(one for one in peer.streams if one.path.endswith("StreamRoutes"))
    yield until(lambda: list(streamed.requests[-1].resource_names) == ["a", "b", "c"])
    assert streamed.requests[0].node.id == "n1"
    server.stop()


@pytest_twisted.inlineCallbacks
def test_delta_asks_for_what_differs(peer: GrpcPeer) -> Any:
    server = made(model.Xds(server=peer.target, transport="delta"))
    server.start()
    yield until(lambda: peer.streams and peer.streams[0].requests)
    assert peer.streams[0].path.endswith("/DeltaAggregatedResources")
    server.stop()


@pytest_twisted.inlineCallbacks
def test_tls_shows_a_certificate_and_checks_the_servers(tmp_path: Path) -> Any:
    authority = Authority(tmp_path)
    theirs, ours = authority.issue("istiod", "istiod.example"), authority.issue("proxy", "proxy.example")
    credentials = grpc.ssl_server_credentials(
        [(theirs.key.read_bytes(), theirs.certificate.read_bytes())], authority.ca.read_bytes(), True
    )
    peer = GrpcPeer(credentials=credentials)

    def tls(name: str) -> model.ClientTls:
        return model.ClientTls(ca=authority.ca, certificate=ours.certificate, key=ours.key, server_name=name)

    right = made(model.Xds(server=peer.target, tls=tls("istiod.example")))
    right.start()
    yield until(lambda: peer.streams and peer.streams[0].requests)
    right.stop()
    wrong = made(model.Xds(server=peer.target, tls=tls("other.example")))
    wrong.start()
    yield until(lambda: wrong.counts.of(CLUSTERS).failures)
    assert len(peer.streams) == 1
    wrong.stop()
    peer.stop()


class Polled(Resource):
    """Answers polls of clusters."""

    isLeaf = True

    def render_POST(self, request: Any) -> bytes:
        assert request.path == b"/v3/discovery:clusters"
        kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        return json.dumps({"version_info": "1", "resources": [{"@type": kind, "name": "a"}]}).encode()


@pytest_twisted.inlineCallbacks
def test_rest_polls_a_url() -> Any:
    port = NET.listenTCP(0, Site(Polled()), interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}"
    server = made(model.Xds(server=url, transport="rest", resources=("clusters",)))
    server.start()
    yield until(lambda: list(server.state.stores["clusters"]))
    server.stop()
    yield port.stopListening()


@pytest_twisted.inlineCallbacks
def test_a_cluster_without_endpoints_is_said_to_be_the_reason() -> Any:
    server = made(model.Xds(cluster="control-plane"))
    server.start()
    yield until(lambda: server.counts.of(CLUSTERS).failures)
    assert "control-plane" in server.counts.reason
    server.stop()


def test_files_are_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    (tmp_path / "cds.json").write_text(json.dumps({"@type": kind, "name": "a"}))
    server = made(model.Xds(server="cds.json", transport="file", resources=("clusters",)), tmp_path)
    server.start()
    assert [one.name for one in server.state.stores["clusters"]] == ["a"]
    server.stop()
