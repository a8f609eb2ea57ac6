from __future__ import annotations

from typing import Any

from cluster_network import Network
from cluster_picks import picked
from twisted.internet.task import Clock

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.membership import MOST, Membership
from metaproxy.codecs.framing import Codec


class Discovery:
    def __init__(self) -> None:
        self.update: Any = None
        self.failed: Any = None
        self.stops = 0

    def start(self, update: Any, failed: Any) -> None:
        self.update, self.failed = update, failed

    def stop(self) -> None:
        self.stops += 1


def read(items: Any) -> list[Endpoint]:
    if "wrong" in items:
        raise ValueError("wrong is no address")
    return [Endpoint(item) for item in items]


def works() -> tuple[Discovery, Cluster, list[str]]:
    discovery, told = Discovery(), []

    class Listening(Cluster):
        def tell(self, text: str) -> None:
            told.append(text)

    cluster = Listening("demo", Codec(), [], RoundRobin, monitors=[Membership(discovery, read)])  # type: ignore[arg-type]
    cluster.start(Network(Clock()))
    return discovery, cluster, told


def test_the_cluster_has_what_was_found_last() -> None:
    discovery, cluster, told = works()
    assert picked(cluster) == {"None"}
    discovery.update(["a:1", "b:1"])
    first = cluster.endpoints[0]
    discovery.update(["a:1", "c:1"])
    assert cluster.endpoints[0] is first
    assert picked(cluster) == {"Endpoint(a:1)", "Endpoint(c:1)"}
    assert cluster.counts.discoveries == 2
    assert told == ["2 endpoints: +a:1 +b:1", "2 endpoints: +c:1 -b:1"]


def test_a_failure_and_a_list_with_something_wrong_change_nothing() -> None:
    discovery, cluster, told = works()
    discovery.update(["a:1"])
    discovery.failed("dns: no answer in time")
    discovery.update(["b:1", "wrong"])
    discovery.update([f"a:{number}" for number in range(MOST + 1)])
    assert picked(cluster) == {"Endpoint(a:1)"}
    assert (cluster.counts.discoveries, cluster.counts.discovery_failures) == (1, 3)
    assert told[1:] == ["dns: no answer in time", "wrong is no address", f"{MOST + 1} endpoints; allowed are {MOST}"]


def test_a_long_list_is_told_in_short() -> None:
    discovery, _, told = works()
    discovery.update([f"a:{number}" for number in range(1000)])
    assert told[0].endswith(" and 990 more") and len(told[0]) < 200


def test_a_stopped_cluster_is_told_nothing_and_stops_its_discovery_once() -> None:
    discovery, cluster, _ = works()
    cluster.stop()
    cluster.stop()
    discovery.update(["a:1"])
    discovery.failed("x")
    assert discovery.stops == 1
    assert cluster.endpoints == [] and cluster.counts.discovery_failures == 0


def test_a_cluster_is_warm_once_there_was_an_answer_or_a_failure() -> None:
    discovery, cluster, _ = works()
    assert not cluster.warm
    discovery.failed("x")
    assert cluster.warm
    discovery, cluster, _ = works()
    discovery.update([])
    assert cluster.warm
