"""A folder of objects as a source of the configuration."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_api import FakeCluster
from mesh_objects import written
from mesh_stand import ENTRY, HOST, RULE
from observing import observing
from present import present
from stand import Stand
from twisted.logger import formatEvent

from metaproxy.admin.roles import MeshStatus
from metaproxy.app import mesh
from metaproxy.app.crds import LOOK_EVERY, Crds
from metaproxy.app.mesh import RETRY
from metaproxy.kubernetes.status import WITHIN

ROUTER = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}]}}"
ROOT = Path(__file__).parents[3]
TEXT = "crds: {folder: mesh}\nnode: {metadata: {NAMESPACE: demo}}\n"


class Meshed:
    """A proxy whose configuration names a folder, in which there is a service."""

    def __init__(self, tmp_path: Path, text: str = TEXT) -> None:
        self.folder = tmp_path / "mesh"
        self.folder.mkdir()
        self.write("entry", written("ServiceEntry", "hello", ENTRY))
        self.write("rule", written("DestinationRule", "hello", RULE))
        self.stand = Stand(tmp_path, text)
        self.crds = Crds(self.stand.configuration, self.stand.network.clock)
        self.crds.startService()

    def write(self, name: str, text: str) -> None:
        new = self.folder / ".new"
        new.write_text(text)
        os.replace(new, self.folder / f"{name}.yaml")

    def look(self) -> None:
        self.stand.network.clock.advance(LOOK_EVERY)

    @property
    def listeners(self) -> list[str]:
        return sorted(self.stand.proxy.listeners)

    @property
    def status(self) -> MeshStatus:
        return present(self.crds.status())

    def filters_of(self, listener: str) -> list[object]:
        (found,) = (one for one in self.stand.configuration.config.listeners if one.name == listener)
        return [use.options for use in found.filters]

    def clusters_of(self, listener: str) -> list[str | None]:
        (found,) = (one for one in self.stand.configuration.config.listeners if one.name == listener)
        return [route.cluster for route in found.routes]


@pytest.fixture
def meshed(tmp_path: Path) -> Meshed:
    return Meshed(tmp_path)


def test_what_is_in_the_folder_is_in_force_at_once(meshed: Meshed) -> None:
    assert meshed.listeners == ["127.0.10.1_20880"]
    assert list(meshed.stand.snapshot.clusters) == [f"outbound|20880||{HOST}"]
    assert meshed.status["clusters"] == 3
    assert meshed.status["listeners"] == ["127.0.10.1_20880"]


def test_a_changed_file_is_in_force_at_the_next_look(meshed: Meshed) -> None:
    meshed.write("router", written("MetaRouter", "hello", ROUTER))
    assert meshed.clusters_of("127.0.10.1_20880") == [f"outbound|20880||{HOST}"]
    meshed.look()
    assert meshed.clusters_of("127.0.10.1_20880") == [f"outbound|20880|v1|{HOST}"]


def test_a_bad_object_is_reported_and_what_was_before_stays_in_force(meshed: Meshed) -> None:
    meshed.write("router", written("MetaRouter", "hello", ROUTER))
    meshed.look()
    meshed.write("router", written("MetaRouter", "hello", ROUTER.replace("subset", "subsett")))
    meshed.write("entry", written("ServiceEntry", "hello", ENTRY.replace("127.0.10.1", "127.0.10.2")))
    meshed.look()
    assert meshed.listeners == ["127.0.10.2_20880"]
    assert meshed.clusters_of("127.0.10.2_20880") == [f"outbound|20880|v1|{HOST}"]
    (router,) = (one for one in meshed.status["objects"] if one["kind"] == "MetaRouter")
    assert router["state"] == "kept"
    assert "did you mean 'subset'?" in router["reasons"][0]


def test_a_house_protocol_is_read_by_a_codec_of_ones_own(tmp_path: Path) -> None:
    meshed = Meshed(tmp_path, f"{TEXT}plugins: {ROOT / 'docs' / 'examples'}\n")
    protocol = "{protocol: house, codec: metaproxy.codec.quill}"
    meshed.write("house", written("ApplicationProtocol", "house", protocol))
    meshed.write("entry", written("ServiceEntry", "hello", ENTRY.replace("-dubbo", "-house")))
    meshed.look()
    assert meshed.status["refused"] == []
    (listener,) = meshed.stand.configuration.config.listeners
    assert listener.protocol.name == "quill"


def test_an_address_that_is_taken_costs_its_listener_alone(meshed: Meshed) -> None:
    meshed.stand.network.taken.add(20881)
    for number, port in ((1, 20881), (2, 20882)):
        entry = ENTRY.replace(HOST, f"s{number}.x").replace("20880", str(port))
        meshed.write(f"s{number}", written("ServiceEntry", f"s{number}", entry))
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880", "127.0.10.1_20882"]
    assert any("20881" in text or "in use" in text for text in meshed.status["refused"])


def test_a_cluster_that_can_not_be_made_costs_no_other(meshed: Meshed, tmp_path: Path) -> None:
    for file in ("c.pem", "k.pem"):
        (tmp_path / file).write_text("no certificate")
    tls = f"{{mode: MUTUAL, clientCertificate: {tmp_path / 'c.pem'}, privateKey: {tmp_path / 'k.pem'}}}"
    meshed.write("rule", written("DestinationRule", "hello", f"{RULE}trafficPolicy: {{tls: {tls}}}"))
    meshed.write("other", written("ServiceEntry", "other", ENTRY.replace(HOST, "o.x").replace("10.1]", "10.2]")))
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880", "127.0.10.2_20880"]
    assert meshed.status["refused"] != []
    assert meshed.stand.snapshot.clusters.keys() == {f"outbound|20880||{HOST}", "outbound|20880||o.x"}
    meshed.write("rule", written("DestinationRule", "hello", RULE))
    meshed.look()
    assert meshed.status["refused"] == []


def test_an_address_that_is_free_again_is_taken_some_seconds_later(
    meshed: Meshed, monkeypatch: pytest.MonkeyPatch
) -> None:
    meshed.stand.network.taken.add(20881)
    meshed.write("s", written("ServiceEntry", "s", ENTRY.replace(HOST, "s.x").replace("20880", "20881")))
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880"]
    meshed.stand.network.taken.clear()
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880"]
    later = time.time() + RETRY
    monkeypatch.setattr(time, "time", lambda: later)
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880", "127.0.10.1_20881"]
    assert meshed.status["refused"] == []


def test_another_folder_takes_the_place_of_the_first_even_if_it_is_empty(meshed: Meshed, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    meshed.stand.write(TEXT.replace("folder: mesh", "folder: other"))
    assert meshed.stand.configuration.reload() == []
    meshed.look()
    assert (meshed.listeners, meshed.status["objects"]) == ([], [])


def test_without_the_key_there_is_nothing_and_it_may_come_and_go(tmp_path: Path) -> None:
    meshed = Meshed(tmp_path, "node: {metadata: {NAMESPACE: demo}}\n")
    assert (meshed.listeners, meshed.crds.status()) == ([], None)
    meshed.stand.write(TEXT)
    assert meshed.stand.configuration.reload() == []
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880"]
    meshed.stand.write("node: {}\n")
    assert meshed.stand.configuration.reload() == []
    meshed.look()
    assert (meshed.listeners, meshed.crds.status()) == ([], None)


def test_another_node_gets_what_is_its_own(meshed: Meshed) -> None:
    meshed.stand.write("crds: {folder: mesh}\nnode: {metadata: {NAMESPACE: demo, INSTANCE_IPS: 127.0.0.11}}\n")
    assert meshed.stand.configuration.reload() == []
    meshed.look()
    assert meshed.listeners == ["127.0.0.11_20880", "127.0.10.1_20880"]


def test_it_looks_no_more_once_it_is_stopped(meshed: Meshed) -> None:
    meshed.crds.stopService()
    meshed.write("router", written("MetaRouter", "hello", ROUTER))
    meshed.look()
    assert meshed.clusters_of("127.0.10.1_20880") == [f"outbound|20880||{HOST}"]


# -- policies that can't be read

SERVER = "crds: {folder: mesh}\nnode: {metadata: {NAMESPACE: demo, INSTANCE_IPS: 127.0.0.11}}\n"
POLICY = "{rules: [{to: [{operation: {methods: [sayHello]}}]}]}"


def test_a_policy_that_was_never_right_closes_the_servers_of_its_namespace_and_the_log_says_which(
    tmp_path: Path,
) -> None:
    meshed = Meshed(tmp_path, SERVER)
    lines: list[str] = []
    with observing(lambda event: lines.append(formatEvent(event))):
        meshed.write("policy", written("DubboAuthorizationPolicy", "p", POLICY.replace("methods", "method")))
        meshed.look()
        meshed.look()
        assert [line for line in lines if "denies all calls" in line] == [
            f"crds: {meshed.folder / 'policy.yaml'}:1: DubboAuthorizationPolicy demo/p: it was never right, and denies "
            "all calls of services of the namespace demo until it is"
        ]
        assert "ns[demo]-policy[p]-refused" in str(meshed.filters_of("127.0.0.11_20880"))
        assert "refused" not in str(meshed.filters_of("127.0.10.1_20880"))
        meshed.write("policy", written("DubboAuthorizationPolicy", "p", POLICY))
        meshed.look()
    assert "crds: DubboAuthorizationPolicy demo/p: no longer denies all calls" in lines
    assert "ns[demo]-policy[p]-rule[0]" in str(meshed.filters_of("127.0.0.11_20880"))


# -- an API server


KUBERNETES = "crds: {kubernetes: {}}\nnode: {metadata: {NAMESPACE: demo}}\n"


def found(kind: str, spec: str, version: int = 1) -> dict[str, Any]:
    """An object as an API server gives it."""
    text = written(kind, "hello", spec, resourceVersion=str(version), generation=version, uid="u")
    return dict(yaml.safe_load(text))


class Watched:
    """A proxy whose configuration names an API server, which has a service."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool = False) -> None:
        self.server = FakeCluster()
        self.server.away = away
        self.server.objects = {
            "serviceentries": [found("ServiceEntry", ENTRY)], "destinationrules": [found("DestinationRule", RULE)],
        }  # fmt: skip
        monkeypatch.setattr(mesh, "Api", lambda source, clock: self.server)
        self.stand = Stand(tmp_path, KUBERNETES)
        self.clock = self.stand.network.clock
        self.crds = Crds(self.stand.configuration, self.clock)
        self.crds.startService()
        self.turn()

    def turn(self) -> None:
        for _ in range(3):
            self.clock.advance(0)

    @property
    def routes(self) -> list[str | None]:
        (one,) = self.stand.configuration.config.listeners
        return [route.cluster for route in one.routes]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, monkeypatch)


def test_what_an_api_server_has_is_in_force_and_each_change_at_once(watched: Watched) -> None:
    assert sorted(watched.stand.proxy.listeners) == ["127.0.10.1_20880"]
    assert watched.routes == [f"outbound|20880||{HOST}"]
    watched.server.event("metarouters", "ADDED", found("MetaRouter", ROUTER, 2))
    watched.turn()
    assert watched.routes == [f"outbound|20880|v1|{HOST}"]


def test_it_is_ready_when_what_is_made_of_all_objects_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, monkeypatch, away=True)
    assert not watched.crds.is_ready()
    watched.server.away = False
    watched.clock.pump([0.5] * 20)
    assert watched.crds.is_ready() and watched.routes == [f"outbound|20880||{HOST}"]


def test_a_folder_is_ready_at_once_and_so_is_a_configuration_without_objects(meshed: Meshed, tmp_path: Path) -> None:
    assert meshed.crds.is_ready()
    meshed.stand.write("node: {}\n")
    assert meshed.stand.configuration.reload() == [] and meshed.crds.is_ready()


def test_what_became_of_an_object_goes_into_its_status(watched: Watched) -> None:
    watched.server.event("metarouters", "ADDED", found("MetaRouter", ROUTER.replace("subset", "subsett"), 2))
    watched.turn()
    watched.clock.advance(WITHIN)
    ((plural, key, status),) = watched.server.written
    assert (plural, str(key), status["observedGeneration"]) == ("metarouters", "demo/hello", 2)
    assert "did you mean 'subset'?" in str(status["conditions"])


def test_a_kind_that_can_not_be_asked_for_is_shown(watched: Watched) -> None:
    assert present(watched.crds.status())["source"] == "kubernetes"
    assert [text for text in present(watched.crds.status())["warnings"] if "gateways" in text] == []
    watched.server.refuse("gateways")
    assert [text for text in present(watched.crds.status())["warnings"] if "gateways" in text] == [
        "gateways.networking.istio.io: away"
    ]


def test_a_server_without_objects_takes_the_place_of_a_folder_that_had_some(
    meshed: Meshed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh, "Api", lambda source, clock: FakeCluster())
    meshed.stand.write(KUBERNETES)
    assert meshed.stand.configuration.reload() == []
    assert meshed.listeners == ["127.0.10.1_20880"]
    for _ in range(3):
        meshed.look()
    assert meshed.listeners == []


def test_another_source_ends_the_watches_of_the_one_before(watched: Watched) -> None:
    watched.stand.write("node: {}\n")
    assert watched.stand.configuration.reload() == []
    watched.clock.advance(LOOK_EVERY)
    assert watched.server.closed and watched.stand.proxy.listeners == {}
    watched.server.event("metarouters", "ADDED", found("MetaRouter", ROUTER, 2))
    watched.turn()
    assert watched.stand.proxy.listeners == {}


def test_the_end_of_the_service_ends_the_watches(watched: Watched) -> None:
    watched.crds.stopService()
    assert watched.server.closed
