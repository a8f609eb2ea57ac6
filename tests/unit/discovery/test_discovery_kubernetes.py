"""The endpoints of Kubernetes services, over connections to a server that speaks the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import yaml
from kubernetes_api import slice_of
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from metaproxy.discovery.kubernetes import Kubernetes
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport

NET: Any = reactor


class Server(Resource):
    """Lists `slices`, and keeps watches open for `send`. asked: paths without parameters, with "watch" for watches."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[dict[str, object]] = []
        self.asked: list[str] = []
        self.watches: list[Any] = []

    def render_GET(self, request: Any) -> Any:
        path = request.path.decode()
        if b"watch" not in request.args:
            self.asked.append(path)
            return json.dumps({"metadata": {"resourceVersion": "1"}, "items": self.slices}).encode()
        self.asked.append(f"watch {path}")
        self.watches.append(request)
        request.write(b"")
        return NOT_DONE_YET

    def send(self, kind: str, found: dict[str, object]) -> None:
        self.watches[-1].write(json.dumps({"type": kind, "object": found}).encode() + b"\n")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def kubeconfig(server: Server, tmp_path: Path) -> Iterator[str]:
    port = NET.listenTCP(0, Site(server), interface="127.0.0.1")
    file = tmp_path / "kubeconfig"
    url = f"http://127.0.0.1:{port.getHost().port}"
    file.write_text(yaml.safe_dump({
        "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
    }))  # fmt: skip
    yield str(file)
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """A watch ends with its last cluster, a turn later."""
    yield
    pytest_twisted.blockon(_turns())


def _turns(seconds: float = 0.05) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    NET.callLater(seconds, done.callback, None)
    return done


async def until(check: Any) -> None:
    """Wait for what nothing announces."""
    for _ in range(300):
        if check():
            return
        await _turns(0.01)
    raise AssertionError("it did not come")


@pytest_twisted.ensureDeferred
async def test_endpoints_are_reported_when_they_are_known_and_when_they_change(server: Server, kubeconfig: str) -> None:
    server.slices = [slice_of("cart", "10.0.0.1"), slice_of("stock", "10.0.0.9")]
    one, report = Kubernetes("shop/cart:tcp-dubbo", NET, kubeconfig), FakeReport()
    one.start(report.update, report.failed)
    await until(lambda: server.watches)
    server.send("MODIFIED", slice_of("cart", "10.0.0.1", "10.0.0.2", version=2))
    await until(lambda: len(report.updates) == 2)
    assert report.updates == [
        [{"address": "10.0.0.1:20880"}],
        [{"address": "10.0.0.1:20880"}, {"address": "10.0.0.2:20880"}],
    ]
    one.stop()


@pytest_twisted.ensureDeferred
async def test_clusters_of_a_namespace_share_a_watch_which_ends_with_the_last(server: Server, kubeconfig: str) -> None:
    server.slices = [slice_of("cart", "10.0.0.1"), slice_of("stock", "10.0.0.9")]
    reports = [FakeReport(), FakeReport(), FakeReport()]
    targets = ("shop/cart:tcp-dubbo", "shop/stock:20880", "other/cart")
    clusters = [Kubernetes(target, NET, kubeconfig) for target in targets]
    for cluster, report in zip(clusters, reports, strict=True):
        cluster.start(report.update, report.failed)
    await until(lambda: len(server.watches) == 2 and all(report.updates for report in reports))
    path = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
    assert sorted(server.asked) == sorted(
        [path.format("shop"), path.format("other"), f"watch {path.format('shop')}", f"watch {path.format('other')}"]
    )
    assert reports[1].updates == [[{"address": "10.0.0.9:20880"}]]
    ended = [watch.notifyFinish() for watch in server.watches]
    for cluster in clusters:
        cluster.stop()
    for one in ended:
        with pytest.raises(Exception, match="Connection"):
            await one


@pytest_twisted.ensureDeferred
async def test_a_cluster_that_replaces_another_goes_on_with_its_watch(server: Server, kubeconfig: str) -> None:
    server.slices = [slice_of("cart", "10.0.0.1")]
    report = FakeReport()
    one = Kubernetes("shop/cart", NET, kubeconfig)
    one.start(report.update, report.failed)
    await until(lambda: server.watches)
    one.stop()
    two = Kubernetes("shop/cart", NET, kubeconfig)
    two.start(report.update, report.failed)
    await _turns()
    assert len(report.updates) == 2 and len(server.asked) == 2
    two.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_away_is_reported_and_the_last_answer_stays(server: Server, kubeconfig: str) -> None:
    server.slices = [slice_of("cart", "10.0.0.1")]
    one, report = Kubernetes("shop/cart:tcp-dubbo", NET, kubeconfig), FakeReport()
    one.start(report.update, report.failed)
    await until(lambda: server.watches)
    server.watches[0].transport.abortConnection()
    await until(lambda: report.failures)
    await until(lambda: len(server.watches) == 2)
    assert len(report.updates) == 1 and report.failures[0].startswith("kubernetes: endpointslices.discovery.k8s.io: ")
    one.stop()


@pytest_twisted.ensureDeferred
async def test_a_port_that_the_service_lacks_is_a_failure(server: Server, kubeconfig: str) -> None:
    server.slices = [slice_of("cart", "10.0.0.1")]
    one, report = Kubernetes("shop/cart:http", NET, kubeconfig), FakeReport()
    one.start(report.update, report.failed)
    await until(lambda: report.failures)
    assert report.failures == ["kubernetes: shop/cart: no port 'http': it has tcp-dubbo (20880)"]
    assert report.updates == []
    one.stop()


@pytest.mark.parametrize("target", ["cart", "shop/cart:tcp_dubbo", "shop/cart/x", "shop/cart:", ""])
def test_a_target_must_name_namespace_and_service(target: str) -> None:
    with pytest.raises(ValueError, match="write one such as shop/cart:tcp-dubbo"):
        Kubernetes(target, NET)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="context: is one of a kubeconfig"):
        Kubernetes("shop/cart", NET, context="x")
    with pytest.raises(ValueError, match="family: 'ipv4' is none of"):
        Kubernetes("shop/cart", NET, family="ipv4")  # type: ignore[arg-type]
    (tmp_path / "k").write_text("{}")
    with pytest.raises(ValueError, match="no current-context"):
        Kubernetes("shop/cart", NET, str(tmp_path / "k"))


def test_it_is_a_discovery() -> None:
    assert verifyObject(IDiscovery, Kubernetes("shop/cart", NET))
