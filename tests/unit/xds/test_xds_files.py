"""Resources from files; what becomes of them is in test_xds_source.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import Message
from twisted.internet.task import Clock
from xds_stage import CLUSTERS, ROUTES, RecordingSink, cluster, packed, routes

from metaproxy.config.slices import Slices
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.files import FileWatch, read_file
from metaproxy.xds.handler import ServerState

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


class Watched:
    """A watch of a path for clusters and routes."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.counts = ServerCounts()
        self.state = ServerState("files", [CLUSTERS, ROUTES], RecordingSink(), self.counts)
        self.watch = FileWatch(
            "files", path, [CLUSTERS, ROUTES], self.state, self.counts, self.clock, Slices(self.clock).run
        )
        self.watch.start()

    @property
    def clusters(self) -> list[str]:
        return sorted(one.name for one in self.state.stores["clusters"])

    def look(self) -> None:
        self.clock.advance(1)


def response(*resources: Message) -> bytes:
    data: bytes = discovery_pb2.DiscoveryResponse(
        version_info="1", resources=[packed(one) for one in resources]
    ).SerializeToString()
    return data


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", f'"@type": {CLUSTER}\nname: a\n'),
        ("a.yaml", f'- "@type": {CLUSTER}\n  name: a\n'),
        ("a.yml", f'version_info: "7"\nresources:\n- "@type": {CLUSTER}\n  name: a\n'),
        ("a.json", json.dumps({"versionInfo": "7", "resources": [{"@type": CLUSTER, "name": "a"}]})),
    ],
)
def test_a_file_is_a_response_a_resource_or_a_list_of_them(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert [one.type_url for one in read_file(path)] == [CLUSTER]


def test_a_resource_may_stand_in_one_with_a_version_of_its_own(tmp_path: Path) -> None:
    kind = "type.googleapis.com/envoy.service.discovery.v3.Resource"
    wrapped = {"@type": kind, "name": "a", "version": "7", "resource": {"@type": CLUSTER, "name": "a"}}
    (tmp_path / "a.json").write_text(json.dumps({"resources": [wrapped]}))
    watched = Watched(tmp_path)
    assert [(one.name, one.version) for one in watched.state.stores["clusters"]] == [("a", "7")]


def test_a_file_may_be_the_bytes_of_a_response(tmp_path: Path) -> None:
    path = tmp_path / "a.pb"
    path.write_bytes(response(cluster("a"), routes("r")))
    assert len(read_file(path)) == 2


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.yaml", f'"@type": {CLUSTER}\nnaem: a\n', "a.yaml:2:1: naem: "),
        ("a.yaml", "[", "a.yaml:2:1: not YAML"),
        ("a.yaml", '"@type": type.googleapis.com/envoy.config.core.v3.Node\n', "no type of resource"),
        ("a.pb", "\x08", "not a DiscoveryResponse"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_file(path)
    assert problem in str(caught.value)


def test_a_folder_is_all_its_files_and_a_change_is_seen_in_a_second(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(response(cluster("a")))
    (tmp_path / "b.pb").write_bytes(response(cluster("b")))
    (tmp_path / "notes.txt").write_text("no resource")
    watched = Watched(tmp_path)
    assert watched.clusters == ["a", "b"]
    assert watched.counts.connected
    (tmp_path / "b.pb").unlink()
    (tmp_path / "c.pb").write_bytes(response(cluster("c")))
    watched.look()
    assert watched.clusters == ["a", "c"]


def test_a_file_that_can_not_be_read_keeps_what_it_had(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(response(cluster("a")))
    watched = Watched(tmp_path)
    (tmp_path / "a.pb").write_bytes(b"\x08")
    (tmp_path / "b.pb").write_bytes(response(cluster("b")))
    watched.look()
    assert watched.clusters == ["a", "b"]
    assert watched.counts.of(CLUSTERS).failures == 1


def test_a_path_that_is_not_there_changes_nothing_and_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pb"
    path.write_bytes(response(cluster("a")))
    watched = Watched(path)
    path.unlink()
    watched.look()
    watched.look()
    assert watched.clusters == ["a"]
    assert not watched.counts.connected
    assert watched.counts.of(CLUSTERS).failures == 1
    path.write_bytes(response(cluster("b")))
    watched.look()
    assert watched.clusters == ["b"]


def test_names_that_are_wanted_later_are_found_in_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(response(routes("r"), routes("s")))
    watched = Watched(tmp_path)
    watched.state.want(ROUTES, ["s"])
    watched.watch.want(ROUTES, ["s"])
    assert [one.name for one in watched.state.stores["routes"]] == ["s"]


def test_two_resources_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pb").write_bytes(response(cluster("a")))
    (tmp_path / "b.pb").write_bytes(response(cluster("a", 2)))
    watched = Watched(tmp_path)
    assert watched.counts.of(CLUSTERS).rejected == 1
