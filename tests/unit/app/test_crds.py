"""A folder of objects as a source of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mesh_objects import written
from mesh_stand import ENTRY, HOST, RULE
from present import present
from stand import Stand

from metaproxy.admin.roles import MeshStatus
from metaproxy.app.crds import LOOK_EVERY, Crds

ROUTER = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}]}}"
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


def test_an_address_that_is_taken_costs_its_listener_alone(meshed: Meshed) -> None:
    meshed.stand.network.taken.add(20881)
    for number, port in ((1, 20881), (2, 20882)):
        entry = ENTRY.replace(HOST, f"s{number}.x").replace("20880", str(port))
        meshed.write(f"s{number}", written("ServiceEntry", f"s{number}", entry))
    meshed.look()
    assert meshed.listeners == ["127.0.10.1_20880", "127.0.10.1_20882"]
    assert any("20881" in text or "in use" in text for text in meshed.status["refused"])


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
