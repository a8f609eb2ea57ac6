"""What is between watches and a discovery; test_zookeeper_discovery.py has the layouts."""

from __future__ import annotations

from twisted.internet.task import Clock
from zookeeper_tree import Ensemble

from metaproxy.discovery.zookeeper.folder import MAX_APPLICATIONS, Folder, Mapping
from metaproxy.discovery.zookeeper.session import PAUSE, Session


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.ensemble = Ensemble(self.clock)
        self.session = Session(self.clock, self.ensemble.client, "zk")
        self.changes = 0
        self.failures: list[str] = []

    def changed(self) -> None:
        self.changes += 1

    def turn(self) -> None:
        self.clock.pump([0, 0, 0, PAUSE, 0, 0])


def test_servers_are_reported_once_all_of_them_were_read() -> None:
    bench = Bench()
    for n in range(1, 101):
        bench.ensemble.put(f"/a/n{n}", b"127.0.0.1:%d" % n)
    folder = Folder(bench.session, "/a", bench.changed, bench.failures.append)
    assert not folder.ready
    bench.turn()
    assert (bench.changes, len(folder.instances())) == (1, 100)


def test_content_that_is_read_again_and_is_the_same_changes_nothing() -> None:
    bench = Bench()
    bench.ensemble.put("/a/n", b"127.0.0.1:1")
    Folder(bench.session, "/a", bench.changed, bench.failures.append)
    bench.turn()
    bench.ensemble.put("/a/n", b" 127.0.0.1:1 ")
    bench.turn()
    assert bench.changes == 1


def test_only_the_node_that_changed_is_read_again() -> None:
    bench = Bench()
    for n in range(1, 4):
        bench.ensemble.put(f"/a/n{n}", b"127.0.0.1:%d" % n)
    Folder(bench.session, "/a", bench.changed, bench.failures.append)
    bench.turn()
    bench.ensemble.reads.clear()
    bench.ensemble.put("/a/n2", b"127.0.0.1:9")
    bench.turn()
    assert bench.ensemble.reads == ["/a/n2"]


def test_a_node_that_is_gone_is_not_read_again_after_an_outage() -> None:
    bench = Bench()
    bench.ensemble.put("/a/n1", b"127.0.0.1:1")
    bench.ensemble.put("/a/n2", b"127.0.0.1:2")
    Folder(bench.session, "/a", bench.changed, bench.failures.append)
    bench.turn()
    bench.ensemble.drop("/a/n1")
    bench.turn()
    bench.ensemble.reads.clear()
    bench.ensemble.crash()
    bench.ensemble.come_back()
    bench.turn()
    assert sorted(bench.ensemble.reads) == ["/a", "/a/n2"]


def test_an_application_that_is_no_longer_mapped_is_not_watched() -> None:
    bench = Bench()
    bench.ensemble.put("/dubbo/mapping/x", b"one,two")
    Mapping(bench.session, "/dubbo/mapping/x", "/services", bench.changed, bench.failures.append)
    bench.turn()
    bench.ensemble.put("/dubbo/mapping/x", b"two")
    bench.turn()
    bench.ensemble.reads.clear()
    bench.ensemble.put("/services/one/n", b"127.0.0.1:1")
    bench.turn()
    assert bench.ensemble.reads == []


def test_a_mapping_to_too_many_applications_is_refused() -> None:
    bench = Bench()
    names = b",".join(b"app%d" % n for n in range(MAX_APPLICATIONS + 1))
    bench.ensemble.put("/dubbo/mapping/x", names)
    Mapping(bench.session, "/dubbo/mapping/x", "/services", bench.changed, bench.failures.append)
    bench.turn()
    assert bench.changes == 0
    assert "65 applications; allowed are 64" in bench.failures[0]


def test_an_application_whose_name_is_a_path_is_not_asked_for() -> None:
    bench = Bench()
    bench.ensemble.put("/dubbo/mapping/x", b"../secrets, shop,")
    mapping = Mapping(bench.session, "/dubbo/mapping/x", "/services", bench.changed, bench.failures.append)
    bench.turn()
    assert bench.ensemble.reads == ["/dubbo/mapping/x", "/services/shop"]
    assert mapping.instances() == []
