from __future__ import annotations

from urllib.parse import quote

import pytest
from twisted.internet.task import Clock
from zookeeper_tree import Ensemble, FakeClient
from zope.interface.verify import verifyObject

from metaproxy.discovery.zookeeper.discovery import Zookeeper
from metaproxy.discovery.zookeeper.session import PAUSE
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport
from metaproxy.units import Seconds

DEMO = "/dubbo/org.example.Demo"
SERVERS = ["127.0.0.1:2181"]


class World:
    """An ensemble, and discoveries that ask it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ensemble = Ensemble(self.clock)

    def discovery(self, target: str, **options: object) -> tuple[Zookeeper, FakeReport]:
        ensemble = self.ensemble

        class Asking(Zookeeper):
            def client(self) -> FakeClient:
                return ensemble.client()

        found, report = Asking(target, self.clock, SERVERS, **options), FakeReport()  # type: ignore[arg-type]
        found.start(report.update, report.failed)
        self.turn()
        return found, report

    def turn(self) -> None:
        self.clock.pump([0, 0, 0, PAUSE, 0, 0, 0])

    def provider(self, port: int, query: str = "version=1.0.0", path: str = DEMO) -> str:
        name = quote(f"dubbo://127.0.0.1:{port}/org.example.Demo?{query}", safe="")
        self.ensemble.put(f"{path}/providers/{name}")
        self.turn()
        return f"{path}/providers/{name}"

    def rule(self, text: str) -> str:
        path = f"{DEMO}/configurators/{quote(text, safe='')}"
        self.ensemble.put(path)
        self.turn()
        return path


@pytest.fixture
def world() -> World:
    return World()


def ports(report: FakeReport) -> list[int]:
    return sorted(int(str(one["address"]).rpartition(":")[2]) for one in report.updates[-1])


def test_it_is_a_discovery(world: World) -> None:
    found, _ = world.discovery(f"{DEMO}/providers")
    assert verifyObject(IDiscovery, found)


# -- providers by interface


def test_providers_come_and_go(world: World) -> None:
    _, report = world.discovery(f"{DEMO}/providers")
    first = world.provider(1)
    world.provider(2)
    assert ports(report) == [1, 2]
    world.ensemble.drop(first)
    world.turn()
    assert ports(report) == [2]
    assert report.failures == []


def test_a_cluster_can_ask_for_one_version(world: World) -> None:
    world.provider(1, "version=1.0.0")
    world.provider(2, "version=2.0.0")
    _, report = world.discovery(f"{DEMO}/providers", where={"version": "2.0.0"})
    assert ports(report) == [2]


def test_rules_of_an_operator_are_applied_and_taken_back(world: World) -> None:
    world.provider(1)
    world.provider(2)
    _, report = world.discovery(f"{DEMO}/providers")
    disabled = world.rule("override://127.0.0.1:2/org.example.Demo?category=configurators&disabled=true")
    world.rule("override://0.0.0.0/org.example.Demo?category=configurators&weight=7")
    assert [(one["address"], one["weight"]) for one in report.updates[-1]] == [("127.0.0.1:1", 7)]
    world.ensemble.drop(disabled)
    world.turn()
    assert ports(report) == [1, 2]


def test_rules_that_were_there_before_are_applied_to_the_first_list(world: World) -> None:
    world.provider(1)
    world.provider(2)
    world.rule("override://127.0.0.1:2/org.example.Demo?category=configurators&disabled=true")
    _, report = world.discovery(f"{DEMO}/providers")
    assert [len(each) for each in report.updates] == [1]


def test_an_entry_that_is_broken_costs_no_other(world: World) -> None:
    world.provider(1)
    world.provider(99999)
    _, report = world.discovery(f"{DEMO}/providers")
    assert ports(report) == [1]
    assert "99999" in report.failures[0]


# -- providers by application

APPLICATION = b'{"name":"shop","address":"127.0.0.1","port":%d,"payload":{"metadata":{"region":"x"}}}'


def test_instances_of_an_application_come_change_and_go(world: World) -> None:
    world.ensemble.put("/services/shop/127.0.0.1:1", APPLICATION % 1)
    _, report = world.discovery("/services/shop")
    world.ensemble.put("/services/shop/127.0.0.1:2", APPLICATION % 2)
    world.turn()
    assert ports(report) == [1, 2]
    world.ensemble.put("/services/shop/127.0.0.1:2", APPLICATION % 3)
    world.turn()
    assert ports(report) == [1, 3]
    world.ensemble.drop("/services/shop/127.0.0.1:1")
    world.turn()
    assert ports(report) == [3]


def test_an_interface_has_the_servers_of_all_applications_that_it_is_mapped_to(world: World) -> None:
    world.ensemble.put("/services/shop/a", APPLICATION % 1)
    world.ensemble.put("/services/store/b", APPLICATION % 2)
    world.ensemble.put("/services/other/c", APPLICATION % 3)
    world.ensemble.put("/dubbo/mapping/org.example.Demo", b"shop")
    _, report = world.discovery("/dubbo/mapping/org.example.Demo")
    assert ports(report) == [1]
    world.ensemble.put("/dubbo/mapping/org.example.Demo", b"shop,store")
    world.turn()
    assert ports(report) == [1, 2]
    world.ensemble.put("/dubbo/mapping/org.example.Demo", b"store")
    world.turn()
    assert ports(report) == [2]


def test_applications_may_be_registered_elsewhere(world: World) -> None:
    world.ensemble.put("/apps/shop/a", APPLICATION % 1)
    world.ensemble.put("/dubbo/mapping/org.example.Demo", b"shop")
    _, report = world.discovery("/dubbo/mapping/org.example.Demo", services="/apps/")
    assert ports(report) == [1]


# -- nodes of any kind


def test_a_node_is_a_server_by_its_name_or_by_its_content(world: World) -> None:
    world.ensemble.put("/mine/127.0.0.1:1")
    world.ensemble.put("/mine/member_0002", b'{"host": "127.0.0.1", "port": 2, "weight": 5}')
    world.ensemble.put("/mine/notes", b"not a server")
    _, report = world.discovery("/mine")
    assert [(one["address"], one["weight"]) for one in report.updates[-1]] == [("127.0.0.1:1", 1), ("127.0.0.1:2", 5)]
    assert "/mine/notes" in report.failures[0]


def test_a_node_that_may_not_be_read_is_not_waited_for(world: World) -> None:
    world.ensemble.put("/mine/127.0.0.1:1")
    world.ensemble.put("/mine/secret")
    world.ensemble.refused.add("/mine/secret")
    _, report = world.discovery("/mine")
    assert ports(report) == [1]
    assert report.failures[0] == "zookeeper: /mine/secret: NoAuth"


def test_a_list_that_may_not_be_read_is_no_empty_one(world: World) -> None:
    world.provider(1)
    world.ensemble.refused.add(f"{DEMO}/providers")
    _, report = world.discovery(f"{DEMO}/providers")
    assert report.updates == []
    assert report.failures == [f"zookeeper: {DEMO}/providers: NoAuth"]


def test_too_many_children_are_refused_before_any_is_read(world: World) -> None:
    for n in range(10_001):
        world.ensemble.nodes[f"/mine/{n}"] = b""
    world.ensemble.nodes["/mine"] = b""
    _, report = world.discovery("/mine")
    assert world.ensemble.reads == ["/mine"]
    assert "allowed are 10000" in report.failures[0]
    assert report.updates == []


# -- outages


def test_while_the_ensemble_is_away_the_last_endpoints_stay_and_that_is_reported(world: World) -> None:
    world.provider(1)
    _, report = world.discovery(f"{DEMO}/providers")
    world.ensemble.crash()
    world.clock.advance(100)
    assert ports(report) == [1]
    assert report.failures[0] == "zookeeper 127.0.0.1:2181: the connection is lost"


def test_after_the_session_was_lost_changes_are_found(world: World) -> None:
    before = world.provider(1)
    _, report = world.discovery(f"{DEMO}/providers")
    world.ensemble.crash("the session has ended")
    world.ensemble.drop(before)
    world.provider(2)
    assert ports(report) == [1]
    world.ensemble.come_back()
    world.turn()
    assert ports(report) == [2]


def test_an_ensemble_that_comes_back_empty_takes_no_endpoint_before_the_time_to_settle_is_over(world: World) -> None:
    before = world.provider(1)
    _, report = world.discovery(f"{DEMO}/providers", settle=30.0)
    world.ensemble.crash()
    world.ensemble.drop(before)
    world.ensemble.come_back()
    world.turn()
    assert ports(report) == [1]
    world.clock.advance(30)
    assert ports(report) == []


# -- sessions


def test_a_thousand_clusters_have_one_session(world: World) -> None:
    for n in range(1000):
        world.ensemble.nodes[f"/s/{n}"] = b""
        world.ensemble.nodes[f"/s/{n}/127.0.0.1:{n + 1}"] = b""
    all_of_them = [world.discovery(f"/s/{n}") for n in range(1000)]
    assert world.ensemble.opened == 1
    assert [ports(report) for _, report in all_of_them] == [[n + 1] for n in range(1000)]
    for found, _ in all_of_them:
        found.stop()
    world.clock.advance(0)
    assert world.ensemble.clients == []
    assert world.clock.getDelayedCalls() == []


def test_another_login_is_another_session(world: World) -> None:
    world.discovery("/a")
    world.discovery("/a", user="me")
    assert world.ensemble.opened == 2


def test_nothing_is_reported_after_stop(world: World) -> None:
    found, report = world.discovery(f"{DEMO}/providers")
    found.stop()
    world.provider(1)
    assert report.updates == [[]]
    found.stop()
    assert world.clock.getDelayedCalls() == []


def test_one_that_was_never_started_can_be_stopped() -> None:
    Zookeeper("/a", Clock(), SERVERS).stop()


# -- options


@pytest.mark.parametrize("path", ["dubbo/x", "", "//a"])
def test_a_path_begins_with_a_slash(path: str) -> None:
    with pytest.raises(ValueError, match="write one such as"):
        Zookeeper(path, Clock(), SERVERS)


def test_servers_are_addresses() -> None:
    with pytest.raises(ValueError, match="host:port"):
        Zookeeper("/a", Clock(), ["127.0.0.1"], timeout=Seconds(5.0))
