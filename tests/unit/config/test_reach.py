"""Which listeners reach each cluster, kept from configuration to configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from metaproxy.config import model, references
from metaproxy.config.delta import delta
from metaproxy.config.reach import Reach, ReachDraft
from metaproxy.config.schema.reading import Use
from metaproxy.units import Bytes


def listener(name: str, *clusters: str, protocol: str = "thrift", **more: Any) -> model.Listener:
    routes = tuple(model.Route(cluster=one) for one in clusters)
    return model.Listener(name=name, protocol=Use(protocol), routes=routes, **more)


def cluster(name: str, *fallback: str) -> model.Cluster:
    return model.Cluster(name=name, fallback=fallback)


class Kept:
    """A reach that follows one configuration after the other."""

    def __init__(self, *listeners: model.Listener, clusters: tuple[model.Cluster, ...]) -> None:
        self.reach, self.config = Reach(), model.Config()
        self.put(model.Config(listeners=listeners, clusters=clusters))

    def draft(self, config: model.Config) -> ReachDraft:
        return self.reach.draft(config, delta(self.config.listeners, config.listeners))

    def put(self, config: model.Config) -> ReachDraft:
        draft = self.draft(config)
        draft.commit()
        self.config = config
        whole = {name: {one.name for one in found} for name, found in references.senders(config).items()}
        assert self.reach.senders_of == whole
        return draft


def test_a_listener_that_changes_affects_the_clusters_that_it_reached_and_reaches() -> None:
    kept = Kept(listener("a", "x"), listener("b", "y"), clusters=tuple(map(cluster, "xyz")))
    draft = kept.put(replace(kept.config, listeners=(listener("a", "z"), kept.config.listeners[1])))
    assert draft.affected == {"x", "z"}
    assert (draft.senders("x"), draft.senders("y"), draft.senders("z")) == (set(), {"b"}, {"a"})


def test_a_fallback_that_changes_affects_what_is_reached_through_it() -> None:
    kept = Kept(listener("a", "x"), clusters=(cluster("x"), cluster("y", "z"), cluster("z")))
    changed = (cluster("x", "y"), *kept.config.clusters[1:])
    draft = kept.put(replace(kept.config, clusters=changed))
    assert draft.senders("z") == {"a"}
    assert draft.of("a").clusters == {"x", "y", "z"}
    draft = kept.put(replace(kept.config, clusters=(cluster("x"), *changed[1:])))
    assert draft.senders("z") == set()


def test_a_cluster_needs_the_protocol_of_the_first_listener_and_the_largest_frame_of_all() -> None:
    first, second = listener("a", "x", max_frame=Bytes(1024)), listener("b", "x", protocol="dubbo")
    kept = Kept(first, second, clusters=(cluster("x"),))
    need = kept.draft(kept.config).need("x")
    assert (need.protocol, need.max_frame) == (Use("thrift"), 16 << 20)
    draft = kept.put(replace(kept.config, listeners=(second, first)))
    assert "x" in draft.affected
    assert draft.need("x").protocol == Use("dubbo")
    draft = kept.put(replace(kept.config, listeners=(first,)))
    assert (draft.need("x").protocol, draft.need("x").max_frame) == (Use("thrift"), 1024)


def test_a_cluster_that_a_filter_asks_is_known_with_whether_that_is_over_grpc() -> None:
    asks = (
        Use("ext_authz", {"service": {"cluster": "x"}}),
        Use("ext_authz", {"service": {"cluster": "y", "http": {}}}),
    )
    kept = Kept(listener("a", filters=asks), clusters=tuple(map(cluster, "xyz")))
    draft = kept.draft(kept.config)
    assert [draft.need(name).asked for name in "xyz"] == [True, False, None]
    assert kept.put(replace(kept.config, listeners=())).need("x").asked is None


def test_a_draft_changes_nothing_before_it_is_in_force() -> None:
    kept = Kept(listener("a", "x"), clusters=tuple(map(cluster, "xy")))
    kept.draft(replace(kept.config, listeners=(listener("b", "y"),)))
    assert kept.reach.senders_of == {"x": {"a"}}
    assert kept.draft(kept.config).affected == set()


def test_a_cluster_that_is_a_control_plane_is_asked_over_grpc_or_http() -> None:
    kept = Kept(clusters=(cluster("plane"),))
    assert kept.draft(kept.config).need("plane").asked is None
    draft = kept.put(replace(kept.config, xds=(model.Xds(cluster="plane"),)))
    assert draft.affected == {"plane"}
    assert draft.need("plane").asked is True
    draft = kept.put(replace(kept.config, xds=(model.Xds(cluster="plane", transport="rest"),)))
    assert draft.need("plane").asked is False
    assert kept.put(replace(kept.config, xds=())).need("plane").asked is None


def test_a_cluster_that_gets_copies_is_known_for_that() -> None:
    plain = listener("a", "x", "y")
    route = model.Route(cluster="x", mirror=(model.Mirror(cluster="y"),))
    copying = replace(plain, routes=(route,))
    kept = Kept(copying, clusters=tuple(map(cluster, "xy")))
    assert [kept.draft(kept.config).need(name).copies for name in "xy"] == [False, True]
    assert not kept.put(replace(kept.config, listeners=(plain,))).need("y").copies
