"""From resources to what is in force: what is asked for, what waits, what stays, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from call_count import count_calls
from ecds_resources import discovered, extension, limit_of
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from google.protobuf.json_format import ParseDict
from twisted.internet.defer import succeed
from xds_folder import (
    XdsFolder,
    eds_cluster,
    endpoints,
    listener,
    route_configuration,
    static_cluster,
)
from xds_stage import assignment, routes

from metaproxy.xds.resource_types import BY_NAME
from metaproxy.xds.translate import Need
from metaproxy.xds.update import Resource, Update, own_name


@pytest.fixture
def folder(tmp_path: Path) -> XdsFolder:
    return XdsFolder(tmp_path)


class Watcher:
    """A cluster that hears of endpoints."""

    def __init__(self, source: Any, name: str, server: str = "") -> None:
        self.updates: list[list[str]] = []
        self.failures: list[str] = []
        self.end: Callable[[], None] = source.watch_endpoints(server, name, self._update, self.failures.append)

    def _update(self, items: Any) -> None:
        self.updates.append([one["address"] for one in items])


def whole(folder: XdsFolder, *clusters: str) -> None:
    """A listener whose routes lead to these clusters, and all that they need."""
    folder.write("clusters", *(eds_cluster(one) for one in clusters))
    folder.write("endpoints", *(endpoints(one, 1000 + place) for place, one in enumerate(clusters)))
    folder.write("listeners", listener("in", rds="r"))
    folder.write("routes", route_configuration("r", *clusters))


class TestWarming:
    def test_a_cluster_is_in_force_once_its_endpoints_are_there(self, folder: XdsFolder) -> None:
        folder.write("clusters", eds_cluster("demo"))
        assert folder.clusters == {}
        folder.write("endpoints", endpoints("demo", 1))
        assert list(folder.clusters) == ["demo"]

    def test_a_cluster_without_endpoints_is_in_force_after_the_time_for_them(self, folder: XdsFolder) -> None:
        folder.write("clusters", eds_cluster("demo"))
        folder.later(13)
        assert folder.clusters == {}
        folder.later(3)
        assert list(folder.clusters) == ["demo"]
        assert folder.source.servers["files"].counts.subscriptions["endpoints"].timeouts == 1

    def test_a_time_of_zero_has_no_end(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, options=", initial_fetch_timeout: 0s")
        folder.write("clusters", eds_cluster("demo"))
        folder.later(100)
        assert folder.clusters == {}

    def test_a_new_version_waits_while_the_old_one_works(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        before = folder.clusters["demo"]
        changed = {"service_name": "other", "eds_config": {"ads": {}}}
        folder.write("clusters", eds_cluster("demo", eds_cluster_config=changed))
        assert folder.clusters["demo"] is before
        folder.write("endpoints", endpoints("demo", 1), endpoints("other", 2))
        assert folder.clusters["demo"].discovery.options["target"] == "other"  # type: ignore[union-attr]

    def test_a_listener_is_in_force_once_its_routes_are_there(self, folder: XdsFolder) -> None:
        folder.write("clusters", static_cluster("demo"))
        folder.write("listeners", listener("in", rds="r"))
        assert folder.listeners == {}
        folder.write("routes", route_configuration("r", "demo"))
        assert folder.targets("in") == ["demo"]

    def test_a_listener_without_routes_is_in_force_after_the_time_for_them(self, folder: XdsFolder) -> None:
        folder.write("listeners", listener("in", rds="r"))
        folder.later(16)
        assert folder.targets("in") == []
        folder.write("clusters", static_cluster("demo"))
        folder.write("routes", route_configuration("r", "demo"))
        assert folder.targets("in") == ["demo"]

    def test_routes_wait_for_the_clusters_that_they_lead_to(self, folder: XdsFolder) -> None:
        whole(folder, "v1")
        folder.write("clusters", eds_cluster("v1"), eds_cluster("v2"))
        folder.write("routes", route_configuration("r", "v2"))
        assert folder.targets("in") == ["v1"]
        folder.write("endpoints", endpoints("v1", 1), endpoints("v2", 2))
        assert folder.targets("in") == ["v2"]

    def test_a_listener_waits_for_the_clusters_of_its_server(self, folder: XdsFolder) -> None:
        folder.write("listeners", listener("in", cluster="demo"))
        assert folder.targets("in") == ["demo"]  # the files were read: there is no such cluster, and that is known


class TestRemoval:
    def test_a_listener_that_is_gone_goes(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.write("listeners")
        assert folder.listeners == {}

    def test_a_cluster_that_is_gone_stays_for_a_time_while_routes_lead_to_it(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        before = folder.clusters["demo"]
        folder.write("clusters")
        folder.later(10)
        assert folder.clusters["demo"] is before
        folder.later(10)
        assert folder.clusters["demo"] is not before
        assert folder.clusters["demo"].endpoints == ()

    def test_a_cluster_that_is_gone_goes_when_no_route_leads_to_it(self, folder: XdsFolder) -> None:
        whole(folder, "v1", "v2")
        folder.write("clusters", eds_cluster("v1"))
        folder.write("routes", route_configuration("r", "v1"))
        assert list(folder.clusters) == ["v1"]

    def test_a_cluster_that_comes_back_is_used_again(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.write("clusters")
        folder.write("clusters", eds_cluster("demo", 2))
        folder.later(30)
        assert float(folder.clusters["demo"].connect_timeout) == 2.0

    def test_routes_that_are_gone_stay_in_force(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.write("routes")
        assert folder.targets("in") == ["demo"]


class TestChanges:
    def test_what_is_equal_is_the_same_object_and_puts_nothing(self, folder: XdsFolder) -> None:
        whole(folder, "v1", "v2")
        before, puts = folder.clusters["v1"], len(folder.configuration.puts)
        folder.write("more", static_cluster("v3"))
        assert folder.clusters["v1"] is before
        assert len(folder.configuration.puts) == puts + 1
        folder.write("listeners", listener("in", rds="r"))
        assert len(folder.configuration.puts) == puts + 1

    def test_endpoints_go_straight_to_the_clusters_that_watch_them(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        puts = len(folder.configuration.puts)
        watcher = Watcher(folder.source, "demo")
        folder.look()
        folder.write("endpoints", endpoints("demo", 7, 8))
        assert watcher.updates == [["127.0.0.1:1000"], ["127.0.0.1:7", "127.0.0.1:8"]]
        assert len(folder.configuration.puts) == puts
        watcher.end()
        folder.write("endpoints", endpoints("demo", 9))
        assert len(watcher.updates) == 2

    def test_endpoints_that_do_not_come_are_a_failure_of_the_cluster(self, folder: XdsFolder) -> None:
        watcher = Watcher(folder.source, "demo", "files")
        folder.later(16)
        assert watcher.failures == ["xds files: no endpoints 'demo' in 15 s"]
        late = Watcher(folder.source, "demo", "files")
        assert late.failures == watcher.failures

    def test_routes_that_two_listeners_share_are_asked_for_as_long_as_one_needs_them(self, folder: XdsFolder) -> None:
        folder.write("clusters", static_cluster("demo"))
        folder.write("routes", route_configuration("r", "demo"))
        folder.write("listeners", listener("a", rds="r"), listener("b", rds="r", port=2))
        store = folder.source.servers["files"].state.stores["routes"]
        assert list(store.entries) == ["r"]
        folder.write("listeners", listener("b", rds="r", port=2))
        assert list(store.entries) == ["r"]
        folder.write("listeners")
        assert list(store.entries) == []

    def test_a_route_to_a_cluster_that_no_server_has_is_right_and_leads_to_one_without_endpoints(
        self, folder: XdsFolder
    ) -> None:
        folder.write("listeners", listener("in", cluster="nowhere"))
        assert folder.targets("in") == ["nowhere"]
        assert folder.clusters["nowhere"].endpoints == ()


class TestWhatIsWrong:
    def test_malformed_routes_are_refused_with_resource_and_path_and_those_before_stay(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.write("routes", {**route_configuration("r"), "virtual_hosts": []})
        entry = folder.source.servers["files"].state.stores["routes"].entries["r"]
        assert "routes 'r': no virtual_hosts" in entry.error
        assert folder.targets("in") == ["demo"]

    def test_a_listener_beyond_us_is_skipped_and_the_others_are_in_force(self, folder: XdsFolder) -> None:
        alien = listener("alien", cluster="demo", port=1)
        chain: Any = alien["filter_chains"]
        chain[0]["filters"][0] = {
            "name": "echo",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"},
        }
        folder.write("clusters", static_cluster("demo"))
        folder.write("listeners", alien, listener("in", cluster="demo"))
        assert list(folder.listeners) == ["in"]
        entry = folder.source.servers["files"].state.stores["listeners"].entries["alien"]
        assert "filter_chains[0].filters[0]" in entry.skipped
        assert entry.error == ""

    def test_strict_refuses_what_is_beyond_us(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, options=", lenient: false")
        folder.write("clusters", static_cluster("demo") | {"track_cluster_stats": {"timeout_budgets": True}})
        entry = folder.source.servers["files"].state.stores["clusters"].entries["demo"]
        assert "track_cluster_stats" in entry.error
        assert folder.clusters == {}

    def test_a_listener_that_can_not_be_had_is_left_out_and_tried_again(self, folder: XdsFolder) -> None:
        def refuse(listeners: Any, clusters: Any) -> list[str]:
            taken = [one.name for one in listeners if "127.0.0.1:81" in one.listen]
            return [f"xds: listener {name}: 127.0.0.1:81: Address already in use" for name in taken]

        folder.configuration.refuse = refuse
        folder.write("clusters", static_cluster("demo"))
        folder.write("listeners", listener("taken", cluster="demo", port=81), listener("in", cluster="demo"))
        assert list(folder.listeners) == ["in"]
        assert "already in use" in folder.source.enforcement.problems["taken"]
        tried = folder.configuration.tried
        folder.later(20)
        assert folder.configuration.tried == tried
        folder.configuration.refuse = lambda _listeners, _clusters: []
        folder.later(20)
        assert sorted(folder.listeners) == ["in", "taken"]
        assert folder.source.enforcement.problems == {}

    def test_a_change_that_is_refused_leaves_the_version_before(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        before = folder.clusters["demo"]

        def refuse(listeners: Any, clusters: Any) -> list[str]:
            return ["xds: clusters['demo']: no"] if clusters[0].connect_timeout == 9 else []

        folder.configuration.refuse = refuse
        folder.write("clusters", eds_cluster("demo", 9))
        assert folder.clusters["demo"] is before
        folder.write("clusters", eds_cluster("demo", 3))
        assert float(folder.clusters["demo"].connect_timeout) == 3.0

    def test_a_refusal_that_names_nothing_leaves_out_all_that_is_new(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.configuration.refuse = lambda _listeners, _clusters: ["xds: out of memory"]
        folder.write("listeners", listener("in", rds="r"), listener("new", cluster="demo", port=2))
        folder.later(5)
        assert list(folder.listeners) == ["in"]
        assert folder.configuration.tried < 10


def trusted(name: str, authority: Authority) -> dict[str, object]:
    """A secret: who signs certificates."""
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    pem = authority.ca.read_text()
    return {"@type": kind, "name": name, "validation_context": {"trusted_ca": {"inline_string": pem}}}


def with_tls(name: str, secret: str) -> dict[str, object]:
    """A cluster whose servers' certificates are checked with a secret."""
    config = {"name": secret, "sds_config": {"ads": {}, "resource_api_version": "V3"}}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    tls = {
        "@type": kind, "sni": "demo.example",
        "common_tls_context": {"validation_context_sds_secret_config": config},
    }  # fmt: skip
    return static_cluster(name) | {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}}


def for_marked(name: str, source: dict[str, object]) -> dict[str, object]:
    """A cluster as istiod sends it: TLS for the endpoints that are marked, with a certificate of a server."""
    config = {"name": "default", "sds_config": {**source, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    tls = {"@type": kind, "common_tls_context": {"tls_certificate_sds_secret_configs": [config]}}
    plain = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}
    matches = [
        {"name": "tlsMode-istio", "match": {"tlsMode": "istio"},
         "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}},
        {"name": "tlsMode-disabled", "match": {},
         "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": plain}},
    ]  # fmt: skip
    return static_cluster(name) | {"transport_socket_matches": matches}


class TestSecrets:
    def test_a_cluster_waits_for_its_secrets_and_changes_with_them(self, folder: XdsFolder, tmp_path: Path) -> None:
        one, two = Authority(tmp_path, "one"), Authority(tmp_path, "two")
        folder.write("clusters", with_tls("demo", "ROOTCA"))
        assert folder.clusters == {}
        assert not folder.source.ready
        folder.write("secrets", trusted("ROOTCA", one))
        first = folder.clusters["demo"].tls
        assert first is not None
        assert first.ca is not None
        assert first.ca.read_text() == one.ca.read_text()
        assert folder.source.ready
        folder.write("secrets", trusted("ROOTCA", two))
        second = folder.clusters["demo"].tls
        assert second is not None
        assert second.ca is not None
        assert second.ca.read_text() == two.ca.read_text()

    def test_what_works_goes_on_while_a_new_version_waits_for_a_secret(self, folder: XdsFolder, tmp_path: Path) -> None:
        folder.write("clusters", static_cluster("demo"))
        before = folder.clusters["demo"]
        folder.write("clusters", with_tls("demo", "ROOTCA"))
        assert folder.clusters["demo"] is before
        folder.write("secrets", trusted("ROOTCA", Authority(tmp_path, "one")))
        assert folder.clusters["demo"].tls is not None

    def test_a_secret_that_never_comes_costs_its_cluster_alone(self, folder: XdsFolder) -> None:
        folder.write("clusters", with_tls("demo", "ROOTCA"), static_cluster("other"))
        assert list(folder.clusters) == ["other"]
        folder.later(16)
        assert list(folder.clusters) == ["other"]
        assert folder.source.ready
        warnings = folder.source.built.get(Need("files", "clusters", "demo")).warnings  # type: ignore[union-attr]
        assert warnings == ("waits for secrets: 'ROOTCA'",)

    def test_one_that_only_some_endpoints_need_is_waited_for_and_then_done_without(self, folder: XdsFolder) -> None:
        folder.write("clusters", for_marked("demo", {"ads": {}}), static_cluster("other"))
        assert list(folder.clusters) == ["other"] and not folder.source.ready
        folder.later(16)
        tls = folder.clusters["demo"].tls
        assert tls is not None and "'default' is not there" in tls.unavailable and tls.when == {"tlsMode": "istio"}
        assert folder.source.ready

    def test_one_of_a_server_that_is_no_cluster_is_not_waited_for(self, folder: XdsFolder) -> None:
        """A gateway without Istio's agent: istiod has all clusters ask `sds-grpc`, which the agent's bootstrap has."""
        agent = {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}]}
        folder.write("clusters", for_marked("demo", {"api_config_source": {**agent, "transport_api_version": "V3"}}))
        tls = folder.clusters["demo"].tls
        assert tls is not None and tls.unavailable
        assert folder.source.ready and "sds-grpc" not in folder.source.servers

    def test_secrets_are_asked_for_by_name_and_forgotten_with_who_needs_them(
        self, folder: XdsFolder, tmp_path: Path
    ) -> None:
        folder.write("secrets", trusted("ROOTCA", Authority(tmp_path, "one")), trusted("other", Authority(tmp_path)))
        folder.write("clusters", with_tls("demo", "ROOTCA"))
        store = folder.source.servers["files"].state.stores["secrets"]
        assert list(store.entries) == ["ROOTCA"]
        folder.write("clusters")
        assert list(store.entries) == []
        assert folder.source.built.parts["secrets"] == {}


class TestFiltersThatAreConfiguredByAServer:
    """ECDS."""

    @staticmethod
    def limit(folder: XdsFolder) -> object:
        (use,) = folder.listeners["in"].filters
        return use.options["limit"]

    def test_a_listener_waits_for_them_and_changes_with_them(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, start=False)
        folder.write("listeners", discovered("in"))
        folder.source.start()
        folder.look()
        assert folder.listeners == {} and not folder.source.ready
        folder.write("extensions", extension(limit_of(5)), extension(limit_of(1), "of-nobody"))
        assert self.limit(folder) == 5 and folder.source.ready
        assert list(folder.source.servers["files"].state.stores["extensions"].entries) == ["limit"]
        folder.write("extensions", extension(limit_of(7)))
        assert self.limit(folder) == 7
        folder.write("listeners")
        assert folder.source.built.parts["extensions"] == {}

    def test_without_one_in_time_there_is_no_listener(self, folder: XdsFolder) -> None:
        folder.write("listeners", discovered("in"))
        folder.later(16)
        assert folder.listeners == {} and folder.source.ready
        folder.write("extensions", extension(limit_of(5)))
        assert self.limit(folder) == 5

    def test_a_default_counts_when_the_time_is_over(self, folder: XdsFolder) -> None:
        folder.write("listeners", discovered("in", {"default_config": limit_of(2)}))
        assert folder.listeners == {}
        folder.later(16)
        assert self.limit(folder) == 2
        folder.write("extensions", extension(limit_of(5)))
        assert self.limit(folder) == 5

    def test_a_default_may_count_at_once(self, folder: XdsFolder) -> None:
        at_once = {"default_config": limit_of(2), "apply_default_config_without_warming": True}
        folder.write("listeners", discovered("in", at_once))
        assert self.limit(folder) == 2

    def test_one_that_its_listener_can_not_use_is_refused_and_the_one_before_goes_on(self, folder: XdsFolder) -> None:
        folder.write("listeners", discovered("in"))
        folder.write("extensions", extension(limit_of(5)))
        cors = {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}
        folder.write("extensions", extension(cors))
        assert self.limit(folder) == 5
        entry = folder.source.servers["files"].state.stores["extensions"].entries["limit"]
        assert "listeners 'in'" in entry.error and "LocalRateLimit" in entry.error

    def test_what_is_not_read_of_one_is_reported_as_everywhere(self, folder: XdsFolder) -> None:
        folder.write("listeners", discovered("in"))
        folder.write("extensions", extension({**limit_of(5), "always_consume_default_token_bucket": False}))
        built = folder.source.built.get(Need("files", "listeners", "in"))
        assert built is not None and any("always_consume_default_token_bucket" in one for one in built.warnings)


class TestStaticListeners:
    TEXT = (
        "listeners: [{name: in, listen: 127.0.0.1:1, protocol: dubbo, routes: {rds: {name: r, server: files}}}]\n"
        "clusters: [{name: demo, endpoints: [127.0.0.1:2]}]\n"
    )

    def test_a_listener_of_the_file_gets_its_routes(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, self.TEXT)
        folder.write("routes", route_configuration("r", "demo"))
        assert folder.targets("in") == ["demo"]
        assert folder.listeners["in"].listen == ("127.0.0.1:1",)
        assert folder.clusters == {}  # demo is the file's

    def test_its_routes_change_with_the_server(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, self.TEXT)
        folder.write("routes", route_configuration("r", "demo"))
        folder.write("routes", route_configuration("r", "demo", "demo"))
        assert [one.name for one in folder.listeners["in"].routes] == ["default", "default#2"]

    def test_routes_that_the_protocol_can_not_have_are_refused(self, tmp_path: Path) -> None:
        text = self.TEXT.replace("dubbo", "mute")
        folder = XdsFolder(tmp_path, text)
        configuration: Any = route_configuration("r", "demo")
        added = [{"header": {"key": "a", "value": "b"}}]
        configuration["virtual_hosts"][0]["routes"][0]["request_headers_to_add"] = added
        folder.write("routes", configuration)
        entry = folder.source.servers["files"].state.stores["routes"].entries["r"]
        assert "messages of mute can't be changed" in entry.error


class TestConfiguration:
    def test_readiness_comes_with_the_first_resources_and_stays(self, folder: XdsFolder) -> None:
        assert not folder.source.ready
        folder.write("clusters", eds_cluster("demo"))
        assert not folder.source.ready
        folder.write("endpoints", endpoints("demo", 1))
        assert folder.source.ready
        folder.write("clusters", eds_cluster("demo"), eds_cluster("new"))
        assert folder.source.ready

    def test_readiness_comes_without_a_server_after_its_time(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path, start=False)
        folder.folder.rmdir()
        folder.source.start()
        folder.later(14)
        assert not folder.source.ready
        folder.later(2)
        assert folder.source.ready

    def test_a_server_with_other_settings_takes_over_what_there_was(self, tmp_path: Path) -> None:
        folder = XdsFolder(tmp_path)
        folder.write("clusters", static_cluster("a"), static_cluster("b"))
        before = folder.clusters["a"]
        text = f"xds: [{{name: files, server: {folder.folder}, transport: file, initial_fetch_timeout: 5s}}]\n"
        folder.configuration.base = folder.read(text)
        (folder.folder / "clusters.json").rename(folder.folder / "clusters.old")
        folder.source.configure()
        assert sorted(folder.clusters) == ["a", "b"]
        folder.write("fewer", static_cluster("a"))
        assert folder.clusters == {"a": before}

    def test_a_server_that_the_configuration_names_no_more_takes_what_it_had_with_it(self, folder: XdsFolder) -> None:
        folder.write("clusters", static_cluster("a"))
        folder.configuration.base = folder.read("listeners: []\n")
        folder.source.configure()
        folder.look()
        assert folder.clusters == {}
        assert folder.source.servers == {}

    def test_a_file_that_a_listener_names_becomes_a_server(self, folder: XdsFolder, tmp_path: Path) -> None:
        aside = tmp_path / "aside.json"
        aside.write_text(json.dumps([route_configuration("r", "demo")]))
        folder.write("clusters", static_cluster("demo"))
        source = {"path_config_source": {"path": str(aside)}}
        folder.write("listeners", listener("in", rds="r", source=source))
        folder.later(2)
        assert folder.targets("in") == ["demo"]

    def test_nothing_is_left_behind(self, folder: XdsFolder) -> None:
        whole(folder, "demo")
        folder.write("clusters", eds_cluster("demo"), eds_cluster("late"))
        folder.source.stop()
        folder.clock.advance(0)
        assert folder.clock.getDelayedCalls() == []


class AtOnce:
    """Slices that end before they begin: all that they do can be counted."""

    busy = False

    def run(self, work: Callable[[], Any]) -> Any:
        return succeed(work())


class LargeMesh:
    """A proxy whose mesh is in force, and what is called when its server says more."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir()
        self.folder = XdsFolder(folder)
        slices: Any = AtOnce()
        self.folder.configuration.slices = slices
        self.state = self.folder.source.servers["files"].state
        self.names = [f"s{number}" for number in range(size)]
        self.say("clusters", *(cluster_message(eds_cluster(name)) for name in self.names))
        self.say("listeners", *(listener_message(listener(name, rds=name)) for name in self.names))
        self.say("endpoints", *(assignment(name, 1) for name in self.names))
        self.say("routes", *(routes(name, name) for name in self.names))
        assert len(self.folder.listeners) == len(self.folder.clusters) == size

    def say(self, kind: str, *messages: Any, removed: tuple[str, ...] = ()) -> None:
        of = BY_NAME[kind]
        found = {name: Resource(name, "1", one.SerializeToString()) for one in messages if (name := own_name(one, of))}
        self.state.take(of, Update("1", found, [*removed]))
        for _ in range(3):
            self.folder.clock.advance(0)

    def work(self, kind: str, *messages: Any, removed: tuple[str, ...] = ()) -> int:
        """Return how many functions are called for what is said."""
        return count_calls(lambda: self.say(kind, *messages, removed=removed))


def cluster_message(plain: Any) -> Any:
    return ParseDict({key: one for key, one in plain.items() if key != "@type"}, cluster_pb2.Cluster())


def listener_message(plain: Any) -> Any:
    return ParseDict({key: one for key, one in plain.items() if key != "@type"}, listener_pb2.Listener())


def all_work(folder: Path, size: int) -> dict[str, int]:
    mesh = LargeMesh(folder, size)
    slow = eds_cluster("s3", 7)
    return {
        "endpoints": mesh.work("endpoints", assignment("s3", 2)),
        "routes": mesh.work("routes", routes("s3", "s4")),
        "cluster": mesh.work("clusters", cluster_message(slow)),
        "listener": mesh.work("listeners", listener_message(listener("s3", rds="s3", port=7))),
        "another cluster": mesh.work("clusters", cluster_message(eds_cluster("new")), removed=("s3",)),
        "its endpoints": mesh.work("endpoints", assignment("new", 2)),
    }


def test_an_update_costs_what_it_touches_and_not_what_there_is(tmp_path: Path) -> None:
    all_work(tmp_path / "first", 10)  # what is imported and compiled at first
    few = {what: pytest.approx(calls, abs=10) for what, calls in all_work(tmp_path / "small", 10).items()}
    assert all_work(tmp_path / "large", 200) == few
