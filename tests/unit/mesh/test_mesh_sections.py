"""Envoy resources of a mesh as sections of our own configuration."""

from __future__ import annotations

import pytest
from mesh_stand import ENTRY, HOST, RULE, Stand
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.values import Context
from metaproxy.envoy.resources import Resources
from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.sections import Outcome, Sections
from metaproxy.plugins import Registry
from metaproxy.proxy.service_clusters import ServiceClusters

WHOLE = f"outbound|20880||{HOST}"


def context() -> Context:
    return Context(
        "crds", Registry(), {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock()), "xds": None}
    )


def of(stand: Stand) -> Outcome:
    return Sections(traced=True).of(stand.resources, context())


def test_a_service_is_a_listener_with_its_routes_and_clusters_with_their_endpoints() -> None:
    found = of(Stand().hello())
    assert found.refused == []
    (listener,) = found.listeners.values()
    assert (listener.name, listener.listen, listener.protocol.name) == (
        "127.0.10.1_20880", ("127.0.10.1:20880",), "dubbo",
    )  # fmt: skip
    assert [route.cluster for route in listener.routes] == [WHOLE]
    assert [one.address for one in found.clusters[WHOLE].endpoints] == ["127.0.0.11:20880", "127.0.0.12:20880"]


def test_what_has_not_changed_is_the_same_section() -> None:
    stand, sections, reading = Stand().hello(), Sections(), context()
    before = sections.of(stand.resources, reading)
    stand.put("DestinationRule", "hello", RULE.replace("version: v2", "version: v3"))
    after = sections.of(stand.resources, reading)
    same = {name for name, section in after.clusters.items() if section is before.clusters[name]}
    assert same == {WHOLE, f"outbound|20880|v1|{HOST}"}
    assert after.listeners["127.0.10.1_20880"] is before.listeners["127.0.10.1_20880"]


def test_changed_routes_make_their_listener_anew() -> None:
    stand, sections, reading = Stand().hello(), Sections(), context()
    before = sections.of(stand.resources, reading)
    router = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}]}}"
    after = sections.of(stand.put("MetaRouter", "hello", router).resources, reading)
    (listener,) = after.listeners.values()
    assert listener != before.listeners[listener.name]
    assert [route.cluster for route in listener.routes] == [f"outbound|20880|v1|{HOST}"]


def test_a_cluster_that_is_not_there_is_one_without_endpoints() -> None:
    router = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: not.there}}}}]}}]}}"
    found = of(Stand().hello().put("MetaRouter", "hello", router))
    assert found.clusters["outbound|20880||not.there"].endpoints == ()
    assert found.refused == []


def test_a_listener_that_can_not_be_is_refused_and_costs_no_other() -> None:
    stand = Stand().hello()
    stand.put("ApplicationProtocol", "house", "{protocol: house, codec: not.there}")
    entry = ENTRY.replace(HOST, "house.x").replace("127.0.10.1", "127.0.10.2").replace("-dubbo", "-house")
    found = of(stand.put("ServiceEntry", "house", entry))
    assert list(found.listeners) == ["127.0.10.1_20880"]
    assert any("no codec 'not.there'" in text for text in found.refused)


TLS = "{tls: {mode: MUTUAL, clientCertificate: /nowhere.pem, privateKey: /nowhere.pem}}"


def test_a_cluster_that_is_refused_has_no_endpoints_and_costs_no_other() -> None:
    stand = Stand().hello().put("ServiceEntry", "other", ENTRY.replace(HOST, "other.x").replace("10.1]", "10.2]"))
    found = of(stand.put("DestinationRule", "hello", f"{RULE}trafficPolicy: {TLS}"))
    assert any("/nowhere.pem" in text for text in found.refused)
    assert found.clusters[WHOLE].endpoints == ()
    assert len(found.clusters["outbound|20880||other.x"].endpoints) == 2
    assert sorted(found.listeners) == ["127.0.10.1_20880", "127.0.10.2_20880"]


def test_of_a_cluster_that_is_refused_the_version_before_stays() -> None:
    stand, sections, reading = Stand().hello(), Sections(), context()
    before = sections.of(stand.resources, reading)
    stand.put("DestinationRule", "hello", f"{RULE}trafficPolicy: {TLS}")
    after = sections.of(stand.resources, reading)
    assert after.clusters[WHOLE] is before.clusters[WHOLE]
    assert any("/nowhere.pem" in text for text in after.refused)
    stand.put("DestinationRule", "hello", RULE)
    assert sections.of(stand.resources, reading).refused == []


def test_nothing_is_nothing() -> None:
    assert Sections().of(Resources(), context()) == Outcome()


POLICY = """
trafficPolicy:
  loadBalancer: {consistentHash: {httpHeaderName: method}}
  connectionPool: {tcp: {maxConnections: 9, connectTimeout: 2s, tcpKeepalive: {time: 60s}}, http: {http2MaxRequests: 5}}
  outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 90s, maxEjectionPercent: 100}
  tls: {mode: SIMPLE, insecureSkipVerify: true}
"""
ROUTER = f"""
hosts: [{HOST}]
localRateLimit: {{tokenBucket: {{maxTokens: 2, fillInterval: 60s}}}}
globalRateLimit:
  {{domain: d, rateLimitService: outbound|8081||rls, descriptors: [{{property: method, descriptorKey: m}}]}}
routes:
- match: {{attributes: {{method: {{regex: say.*}}, x: {{exact: ''}}}}}}
  route: [{{destination: {{host: {HOST}, subset: v1}}}}]
  mirror: {{host: {HOST}, subset: v2}}
  mirrorPercentage: {{value: 50}}
  requestMutation: [{{key: foo, value: bar}}]
"""
CONFIG = "{data: {mesh: '{accessLogFile: /dev/stdout, accessLogEncoding: JSON, enableTracing: true}'}}"
DENY = "{action: DENY, rules: [{from: [{source: {namespaces: [a]}}], to: [{operation: {methods: ['get*']}}]}]}"


@pytest.mark.parametrize(
    "port",
    ["tcp-metaprotocol-dubbo", "tcp-metaprotocol-thrift", "tcp-metaprotocol-brpc", "tcp-metaprotocol-trpc",
     "tcp-dubbo", "tcp-thrift", "tcp-redis", "tcp-kafka"],
)  # fmt: skip
def test_all_that_is_made_of_objects_is_honoured(port: str) -> None:
    node = ProxyNode(namespace="demo", addresses=("127.0.0.11",))
    stand = Stand(node).put("ServiceEntry", "hello", ENTRY.replace("tcp-metaprotocol-dubbo", port))
    stand.put("DestinationRule", "hello", RULE + POLICY).put("MetaRouter", "hello", ROUTER)
    stand.put("DubboAuthorizationPolicy", "deny", DENY)
    stand.put("ConfigMap", "istio", CONFIG, "", namespace="istio-system")
    found = of(stand)
    assert (found.refused, found.warnings) == ([], [])
    assert sorted(found.listeners) == ["127.0.0.11_20880", "127.0.10.1_20880"]
    cluster = found.clusters[f"outbound|20880|v1|{HOST}"]
    assert (cluster.connect_timeout, cluster.breaker.max_connections) == (2.0, 9)
    assert cluster.tls is not None and cluster.outlier is not None
    assert (cluster.outlier.consecutive_errors, cluster.outlier.success_rate) == (2, 0)
    assert cluster.balancer.name == ("maglev" if port == "tcp-redis" else "ring_hash")
    filters = [use.name for use in found.listeners["127.0.0.11_20880"].filters]
    if "metaprotocol" in port:
        names = ["local_rate_limit", "global_rate_limit", "metadata_exchange", "istio_stats"]
        assert filters == ["rbac", *names]
        assert all(len(one.access_log) == 1 and one.tracing is not None for one in found.listeners.values())
    else:
        assert filters == (["rbac"] if port in ("tcp-dubbo", "tcp-thrift") else [])
