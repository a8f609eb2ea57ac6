"""A Kubernetes API server as the source of a control plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seen_texts import SeenTexts
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from metaproxy.control.sources.kubernetes import GATHER, RETURNED, Kubernetes
from metaproxy.kubernetes.api import ApiError, Page
from metaproxy.kubernetes.resources import Key, Object, Resource, Scope


class FakeApi:
    """Objects by their kind; each list is answered at once, each watch stays open."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {}
        self.refused: set[str] = set()
        self.watches: dict[str, Callable[[bytes], None]] = {}
        self.applied: list[tuple[Key, Object]] = []
        self.scopes: dict[str, Scope] = {}

    def page(self, scope: Scope, rest: str = "") -> Deferred[Page]:
        self.scopes[scope.resource.kind] = scope
        if scope.resource.kind in self.refused:
            return fail(ApiError("forbidden", 403))
        return succeed(Page(self.objects.get(scope.resource.kind, []), "1", "", 1))

    def watch(self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]) -> Deferred[None]:
        self.watches[scope.resource.kind] = received
        return Deferred()

    def apply(self, resource: Resource, key: Key, found: Object, manager: str) -> Deferred[Object]:
        self.applied.append((key, found))
        return fail(ApiError("forbidden", 403)) if "apply" in self.refused else succeed(found)

    def close(self) -> None:
        pass


def named(name: str, labels: dict[str, str] | None = None, **more: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "demo", "resourceVersion": "7", "labels": labels or {}}, **more}


class Stand:
    def __init__(self, api: FakeApi) -> None:
        self.clock, self.api, self.seen = Clock(), api, SeenTexts()
        self.source = Kubernetes(api, self.clock, "demo")
        self.source.start(self.seen)
        self.clock.advance(0)
        self.clock.advance(GATHER)


@pytest.fixture
def api() -> FakeApi:
    made = FakeApi()
    made.objects["MetaRouter"] = [named("r", spec={"hosts": ["x"]})]
    made.objects["ConfigMap"] = [named("c", data={"a.yaml": "text"})]
    return made


def test_objects_and_entries_of_config_maps_are_documents(api: FakeApi) -> None:
    (texts,) = Stand(api).seen.updates
    assert texts["configmaps/demo/c/a.yaml"] == b"text"
    router = texts["metarouters.metaprotocol.aeraki.io/demo/r.json"] or b""
    assert b'"kind": "MetaRouter"' in router
    assert b"resourceVersion" not in router


def test_config_maps_are_those_with_the_label(api: FakeApi) -> None:
    stand = Stand(api)
    assert stand.api.scopes["ConfigMap"].labels == "metaproxy.io/control=true"
    assert "Secret" not in stand.api.scopes


def test_labels_say_for_which_version_and_group_an_object_is(api: FakeApi) -> None:
    labels = {"metaproxy.io/version": "v2", "metaproxy.io/group": "edge"}
    api.objects["ConfigMap"] = [named("c", labels, data={"a.yaml": "text"})]
    (texts,) = Stand(api).seen.updates
    assert "versions/v2/groups/edge/configmaps/demo/c/a.yaml" in texts


def test_a_change_is_taken_alone(api: FakeApi) -> None:
    stand = Stand(api)
    stand.api.watches["ConfigMap"](
        b'{"type": "MODIFIED", "object": {"metadata": {"name": "c", "namespace": "demo", "resourceVersion": "8"}, '
        b'"data": {"a.yaml": "text", "b.yaml": "more"}}}\n'
    )
    stand.clock.advance(GATHER)
    assert stand.seen.updates[1:] == [{"configmaps/demo/c/b.yaml": b"more"}]


def test_what_is_removed_is_gone(api: FakeApi) -> None:
    stand = Stand(api)
    stand.api.watches["MetaRouter"](
        b'{"type": "DELETED", "object": {"metadata": {"name": "r", "namespace": "demo", "resourceVersion": "9"}}}\n'
    )
    stand.clock.advance(GATHER)
    (gone,) = stand.seen.updates[-1].items()
    assert gone == ("metarouters.metaprotocol.aeraki.io/demo/r.json", None)


def test_a_kind_that_may_not_be_read_is_one_without_objects(api: FakeApi) -> None:
    api.refused = {"RedisService"}
    assert len(Stand(api).seen.updates[0]) == 2


def test_while_policies_may_not_be_read_nothing_is_served_and_the_missing_right_is_said(api: FakeApi) -> None:
    api.refused = {"DubboAuthorizationPolicy"}
    stand = Stand(api)
    stand.clock.advance(1)
    assert stand.seen.updates == []
    assert "resources: [dubboauthorizationpolicies], verbs: [list, watch]}" in stand.seen.failures[0]
    api.refused = set()
    stand.clock.pump([5] * 10)
    assert len(stand.seen.updates[0]) == 2


def test_config_maps_that_may_not_be_read_are_said(api: FakeApi) -> None:
    api.refused = {"ConfigMap"}
    stand = Stand(api)
    assert stand.seen.updates == []
    assert "configmaps" in stand.seen.failures[0]


def test_the_end_of_a_rollout_is_written_to_a_config_map_and_read_from_it(api: FakeApi) -> None:
    stand = Stand(api)
    stand.source.write("groups/edge/rollout-returned.yaml", b"x")
    ((key, found),) = stand.api.applied
    assert key == Key("demo", RETURNED)
    assert found["data"] == {"groups.edge.rollout-returned.yaml": "x"}
    api.objects["ConfigMap"] = [named(RETURNED, data=found["data"])]
    (texts,) = Stand(api).seen.updates
    assert texts["groups/edge/rollout-returned.yaml"] == b"x"


def test_an_end_that_can_not_be_written_fails(api: FakeApi) -> None:
    stand = Stand(api)
    api.refused = {"apply"}
    failed: list[object] = []
    stand.source.write("rollout-returned.yaml", b"x").addErrback(lambda failure: failed.append(failure.value))
    assert isinstance(failed[0], OSError)


def test_it_can_be_stopped(api: FakeApi) -> None:
    stand = Stand(api)
    stand.source.stop()
    stand.clock.advance(1)
    assert len(stand.seen.updates) == 1
