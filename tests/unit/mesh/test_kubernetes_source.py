"""Objects of an API server come into the store, and what became of them back into their status."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_api import FakeCluster
from twisted.internet.task import Clock

from metaproxy.kubernetes.status import WITHIN, Statuses
from metaproxy.mesh.kubernetes_source import KubernetesSource
from metaproxy.mesh.objects.reading import Key, Object
from metaproxy.mesh.store import Store


def router(name: str = "cart", version: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": str(version), "generation": version, "uid": "u",
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]}  # fmt: skip
    route = [{"route": [{"destination": {"host": "cart.shop.svc.cluster.local"}}]}]
    spec = {"hosts": ["cart.shop.svc.cluster.local"], "routes": route, **spec}
    return {"apiVersion": "metaprotocol.aeraki.io/v1alpha1", "kind": "MetaRouter", "metadata": metadata, "spec": spec}


BUCKET = {"maxTokens": 2, "tokensPerFill": 2, "fillInterval": "1s"}


class Mesh:
    """A store that is filled from a cluster. events: what the store handed on, and "changed"."""

    def __init__(self, cluster: FakeCluster, namespace: str = "", writes: bool = True, looks: bool = True) -> None:
        self._looks = looks
        self.clock, self.cluster = Clock(), cluster
        self.events: list[str] = []
        statuses = Statuses(cluster, self.clock, lambda: 0.0, chance=lambda: 1.0) if writes else None
        self.store = Store(self)
        self.source = KubernetesSource(cluster, self.store, self._changed, self.clock, namespace, statuses)
        self.source.start()
        self.turn()

    def put(self, object: Object) -> None:
        self.events.append(f"put {object.key}")

    def remove(self, key: Key) -> None:
        self.events.append(f"remove {key}")

    def _changed(self) -> None:
        self.events.append("changed")
        if self._looks:
            self.source.look()

    def turn(self) -> None:
        self.clock.advance(0)
        self.clock.advance(0)


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.objects["metarouters"] = [router()]
    return cluster


def test_a_change_is_reported_when_all_kinds_were_listed(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    assert mesh.events == ["changed", "put MetaRouter shop/cart"] and mesh.source.ready


def test_changes_of_a_turn_are_reported_as_one(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    mesh.events.clear()
    cluster.event("metarouters", "ADDED", router("a", 2))
    cluster.event("metarouters", "ADDED", router("b", 3))
    cluster.event("metarouters", "DELETED", router("cart", 4))
    assert mesh.events == []
    mesh.turn()
    assert mesh.events == [
        "changed", "put MetaRouter shop/a", "put MetaRouter shop/b", "remove MetaRouter shop/cart",
    ]  # fmt: skip


def test_that_there_is_nothing_at_all_is_reported_once() -> None:
    mesh = Mesh(FakeCluster(), looks=False)
    assert mesh.events == ["changed"]
    assert mesh.source.look() and not mesh.source.look()


def test_what_comes_waits_until_it_is_looked_for(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    mesh.events.clear()
    cluster.event("metarouters", "ADDED", router("a", 2))
    cluster.event("metarouters", "DELETED", router("a", 3))
    assert mesh.source.look() and not mesh.source.look()
    assert mesh.events == []


def test_a_kind_that_the_server_does_not_have_holds_up_nothing(cluster: FakeCluster) -> None:
    cluster.absent = {"redisservices"}
    mesh = Mesh(cluster)
    assert mesh.events == ["changed", "put MetaRouter shop/cart"]
    assert mesh.source.failures == {
        "RedisService": "the API server has no redisservices.redis.aeraki.io: is its CRD installed?"
    }


def test_a_server_that_is_away_at_the_start_is_waited_for(cluster: FakeCluster) -> None:
    cluster.away = True
    mesh = Mesh(cluster)
    mesh.clock.advance(1)
    assert mesh.events == [] and not mesh.source.ready and len(mesh.source.failures) > 10
    cluster.away = False
    mesh.clock.pump([0.5] * 20)
    assert mesh.events[:2] == ["changed", "put MetaRouter shop/cart"] and mesh.source.failures == {}


def test_what_could_not_be_asked_for_is_forgotten_when_it_is_there(cluster: FakeCluster) -> None:
    cluster.absent = {"redisservices"}
    mesh = Mesh(cluster)
    cluster.absent = set()
    mesh.clock.advance(30)
    assert mesh.source.failures == {}


def test_an_event_has_its_object_read_and_no_other(cluster: FakeCluster) -> None:
    cluster.objects["metarouters"] = [router(f"r{number}") for number in range(50)]
    mesh = Mesh(cluster, looks=False)
    mesh.source.look()
    mesh.events.clear()
    cluster.event("metarouters", "MODIFIED", router("r7", 2, routes=[]))
    assert mesh.source.look()
    assert mesh.events == []  # it is refused: the version before holds
    cluster.event("metarouters", "MODIFIED", router("r7", 3, localRateLimit={"tokenBucket": BUCKET}))
    assert mesh.source.look()
    assert mesh.events == ["put MetaRouter shop/r7"]


def test_policies_that_may_not_be_read_are_waited_for_and_the_missing_right_is_named(cluster: FakeCluster) -> None:
    cluster.forbidden = {"dubboauthorizationpolicies", "redisservices"}
    mesh = Mesh(cluster)
    mesh.clock.advance(10)
    assert mesh.events == [] and not mesh.source.ready
    assert mesh.source.failures == {
        "RedisService": "redisservices.redis.aeraki.io: 403 forbidden; give its service account the RBAC rule "
        "{apiGroups: [redis.aeraki.io], resources: [redisservices], verbs: [list, watch]}",
        "DubboAuthorizationPolicy": "dubboauthorizationpolicies.dubbo.aeraki.io: 403 forbidden; give its service "
        "account the RBAC rule {apiGroups: [dubbo.aeraki.io], resources: [dubboauthorizationpolicies], "
        "verbs: [list, watch]}; nothing is put in force until it is known which there are",
    }
    cluster.forbidden = set()
    mesh.clock.pump([10] * 10)
    assert mesh.source.ready and mesh.source.failures == {}
    assert mesh.events[:2] == ["changed", "put MetaRouter shop/cart"]


def test_where_their_crd_is_not_installed_there_are_no_policies(cluster: FakeCluster) -> None:
    cluster.absent = {"dubboauthorizationpolicies"}
    assert Mesh(cluster).source.ready


def test_a_right_to_read_policies_that_is_taken_away_later_leaves_what_is_known_in_force(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    mesh.events.clear()
    cluster.forbidden = {"dubboauthorizationpolicies"}
    cluster.refuse("dubboauthorizationpolicies", 410)
    mesh.clock.pump([10] * 10)
    assert mesh.source.ready and mesh.events == []
    assert "RBAC rule" in mesh.source.failures["DubboAuthorizationPolicy"]


def test_of_a_whole_cluster_only_what_can_matter_is_asked_for(cluster: FakeCluster) -> None:
    Mesh(cluster)
    asked = {scope.resource.plural: scope for scope in cluster.scopes}
    assert asked["configmaps"].fields == "metadata.name=istio" and asked["secrets"].fields == "type=Opaque"
    assert "endpoints" not in asked and asked["metarouters"].fields == ""
    assert asked["serviceentries"].resource.version == "v1beta1"
    assert asked["endpointslices"].resource.version == "v1"


def test_it_may_be_confined_to_a_namespace(cluster: FakeCluster) -> None:
    Mesh(cluster, "shop")
    paths = {scope.path for scope in cluster.scopes}
    assert "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/shop/metarouters" in paths
    assert "/apis/metaprotocol.aeraki.io/v1alpha1/applicationprotocols" in paths


# -- statuses


def conditions(cluster: FakeCluster) -> list[tuple[str, str, str, int]]:
    """(object, status, message, generation) of each condition that was written."""
    found = []
    for plural, key, status in cluster.written:
        assert isinstance(status["conditions"], list)
        one = status["conditions"][0]
        found.append((f"{plural} {key}", one["status"], one["message"], one["observedGeneration"]))
    return found


def test_an_object_that_is_right_is_accepted(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    mesh.clock.advance(WITHIN)
    assert conditions(cluster) == [("metarouters shop/cart", "True", "", 1)]


def test_an_object_that_is_wrong_is_refused_with_path_and_reason(cluster: FakeCluster) -> None:
    cluster.objects["metarouters"] = [router(hostss=["x"])]
    mesh = Mesh(cluster)
    mesh.clock.advance(WITHIN)
    ((_, status, message, _),) = conditions(cluster)
    assert status == "False" and message.startswith("spec.hostss: ") and "hosts" in message


def test_a_version_that_is_wrong_leaves_the_one_before_in_force_and_says_so(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    mesh.clock.advance(WITHIN)
    mesh.events.clear()
    cluster.event("metarouters", "MODIFIED", router(version=2, hosts=[]))
    mesh.turn()
    mesh.clock.advance(WITHIN)
    (*_, (_, status, message, generation)) = conditions(cluster)
    assert (status, generation) == ("False", 2)
    assert message.endswith("\nThe version before stays in force.") and "put MetaRouter shop/cart" not in mesh.events


def test_objects_of_others_get_no_status(cluster: FakeCluster) -> None:
    cluster.objects = {
        "services": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "shop"}, "spec": {}}
        ]
    }
    mesh = Mesh(cluster)
    mesh.clock.advance(WITHIN)
    assert mesh.events == ["changed", "put Service shop/a"] and cluster.written == []


def test_a_proxy_may_be_kept_from_writing(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster, writes=False)
    mesh.clock.advance(WITHIN)
    assert cluster.written == []


def test_after_the_stop_nothing_is_left(cluster: FakeCluster) -> None:
    mesh = Mesh(cluster)
    cluster.event("metarouters", "ADDED", router("a", 2))
    mesh.source.stop()
    mesh.clock.advance(0)
    assert mesh.clock.getDelayedCalls() == [] and mesh.events == ["changed", "put MetaRouter shop/cart"]
