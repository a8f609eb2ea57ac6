"""Control planes as a source of the application: a whole proxy in memory, fed by files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from stand import Stand
from xds_folder import eds_cluster, endpoints, listener, route_configuration

from metaproxy.app.xds import Xds
from metaproxy.control.carried import carried_listener

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
WITHOUT = 'listeners: [{name: front, listen: "127.0.0.1:7000", protocol: dubbo}]\n'


class XdsStand(Stand):
    """A proxy whose file names a folder of resources."""

    def __init__(self, tmp_path: Path, text: str) -> None:
        super().__init__(tmp_path, text)
        self.resources = tmp_path / "resources"
        self.resources.mkdir()
        self.xds = Xds(self.configuration, self.proxy, self.builder.service_clusters, self.network.clock)
        self.builder.injected["xds"] = self.xds
        self.configuration.startService()
        self.proxy.startService()
        self.xds.startService()

    def resource(self, name: str, *resources: object) -> None:
        (self.resources / f"{name}.json").write_text(json.dumps(resources))
        self.look()

    def look(self) -> None:
        self.network.clock.advance(1)
        for _ in range(8):
            self.network.clock.advance(0)


@pytest.fixture
def stand(tmp_path: Path) -> XdsStand:
    return XdsStand(tmp_path, f"{WITHOUT}xds: {{server: resources, transport: file}}\n")


def whole(stand: XdsStand) -> None:
    stand.resource(
        "all", eds_cluster("demo"), endpoints("demo", 1, 2), listener("in", rds="r", port=7001),
        route_configuration("r", "demo"),
    )  # fmt: skip


def test_what_a_server_gives_is_in_force_beside_the_file(stand: XdsStand) -> None:
    whole(stand)
    assert sorted(stand.proxy.listeners) == ["front", "in"]
    assert [one.address for one in stand.snapshot.clusters["demo"].endpoints] == ["127.0.0.1:1", "127.0.0.1:2"]
    (route,) = stand.proxy.listeners["in"].snapshot.routes.routes
    assert [target.cluster.name for target in route.targets] == ["demo"]


def test_endpoints_change_without_a_new_configuration(stand: XdsStand) -> None:
    whole(stand)
    version, cluster = stand.snapshot.version, stand.snapshot.clusters["demo"]
    stand.resource(
        "all", eds_cluster("demo"), endpoints("demo", 2, 3), listener("in", rds="r", port=7001),
        route_configuration("r", "demo"),
    )  # fmt: skip
    assert stand.snapshot.version == version
    assert [one.address for one in cluster.endpoints] == ["127.0.0.1:2", "127.0.0.1:3"]


def test_a_file_that_names_no_server_takes_what_they_gave_with_it(stand: XdsStand) -> None:
    whole(stand)
    stand.write(WITHOUT)
    stand.look()
    assert sorted(stand.proxy.listeners) == ["front"]
    assert sorted(stand.snapshot.clusters) == []


def test_a_server_that_is_named_later_is_asked_then(tmp_path: Path) -> None:
    stand = XdsStand(tmp_path, WITHOUT)
    assert stand.xds.source is None
    stand.write(f"{WITHOUT}xds: {{server: resources, transport: file}}\n")
    whole(stand)
    stand.look()
    assert sorted(stand.proxy.listeners) == ["front", "in"]


def test_a_cluster_of_the_file_may_have_its_endpoints_from_a_server(tmp_path: Path) -> None:
    text = 'xds: {server: resources, transport: file}\nlisteners: [{name: front, listen: "127.0.0.1:7000", protocol: '
    stand = XdsStand(tmp_path, f"{WITHOUT}")
    stand.write(f"{text}dubbo, routes: [{{cluster: own}}]}}]\nclusters: [{{name: own, discovery: {{eds: demo}}}}]\n")
    stand.look()
    assert not stand.proxy.ready
    stand.resource("all", endpoints("demo", 5))
    assert [one.address for one in stand.snapshot.clusters["own"].endpoints] == ["127.0.0.1:5"]
    assert stand.proxy.ready


def test_a_section_of_our_own_has_the_secret_that_it_names_also_when_that_changes(tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("one")
    stand = XdsStand(
        tmp_path, f"{WITHOUT}xds: {{server: resources, transport: file}}\nsecrets: {{word: {{file: {word}}}}}\n"
    )
    protocol = {"name": "redis", "auth": {"password": {"secret": "word"}}}
    section = {"name": "in", "listen": "127.0.0.1:7001", "protocol": protocol, "routes": [{"cluster": "demo"}]}
    carried = MessageToDict(carried_listener("in", section))
    stand.resource("all", {"@type": LISTENER, **carried}, eds_cluster("demo"), endpoints("demo", 1))

    def password() -> object:
        (found,) = (one for one in stand.configuration.config.listeners if one.name == "in")
        return found.protocol.options["auth"]

    assert password() == {"password": "one"}
    others = stand.configuration.config.clusters
    word.write_text("another")
    for _ in range(3):
        stand.look()
    assert password() == {"password": "another"}
    assert [one is other for one, other in zip(others, stand.configuration.config.clusters, strict=True)] == [True]


def test_an_address_that_is_taken_keeps_one_listener_out(stand: XdsStand) -> None:
    stand.network.taken.add(7002)
    stand.resource("other", listener("taken", cluster="demo", port=7002))
    whole(stand)
    assert sorted(stand.proxy.listeners) == ["front", "in"]


@pytest.mark.parametrize("text", [WITHOUT, f"{WITHOUT}xds: {{server: resources, transport: file}}\n"])
def test_it_ends_with_the_proxy(tmp_path: Path, text: str) -> None:
    stand = XdsStand(tmp_path, text)
    stand.xds.stopService()
    stand.resource("all", eds_cluster("demo"), endpoints("demo", 1))
    assert sorted(stand.snapshot.clusters) == []
