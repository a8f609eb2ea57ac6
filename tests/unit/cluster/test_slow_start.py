from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from cluster_network import Network
from twisted.internet.task import Clock

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.slow_start import SlowStart
from metaproxy.codecs.framing import Codec
from metaproxy.message import Kind, Message

REQUEST = Message(Kind.REQUEST, b"", 1, {})


class Works:
    def __init__(self, *endpoints: Endpoint, window: float = 20.0) -> None:
        self.clock = Clock()
        self.slow_start = SlowStart(window, self.clock)
        self.cluster = Cluster("demo", Codec(), endpoints, RoundRobin, slow_start=self.slow_start)
        self.cluster.start(Network(self.clock))

    def share(self, address: str, times: int = 2000) -> float:
        picked = Counter(one.address for _ in range(times) if (one := self.cluster.pick(REQUEST, (), None)) is not None)
        return picked[address] / times


def test_an_endpoint_that_joins_gets_a_tenth_of_its_weight_and_more_with_time() -> None:
    works = Works(Endpoint("a:1"))
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    shares = []
    for _ in range(21):
        shares.append(works.share("b:1"))
        works.clock.advance(1.0)
    assert shares[0] == pytest.approx(0.1 / 1.1, abs=0.01)
    assert shares[10] == pytest.approx(0.5 / 1.5, abs=0.01)
    assert shares[20] == pytest.approx(0.5, abs=0.01)
    assert all(later > before - 0.002 for before, later in pairwise(shares))


def test_when_it_is_over_weights_are_as_configured_and_no_timer_is_left() -> None:
    works = Works(Endpoint("a:1", 3))
    works.cluster.update([Endpoint("a:1", 3), Endpoint("b:1", 2)])
    assert [one.weight for one in works.cluster.endpoints] == [300, 20]
    works.clock.pump([1.0] * 21)
    assert [one.weight for one in works.cluster.endpoints] == [3, 2]
    assert works.clock.getDelayedCalls() == []


def test_those_of_the_beginning_start_at_once() -> None:
    works = Works(Endpoint("a:1"), Endpoint("b:1"))
    assert works.clock.getDelayedCalls() == []
    assert works.share("b:1") == 0.5
    works = Works()
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    assert works.share("b:1") == 0.5


def test_one_that_recovers_or_is_restored_starts_slowly() -> None:
    works = Works(Endpoint("a:1"), Endpoint("b:1"))
    second = works.cluster.endpoints[1]
    second.healthy = False
    works.cluster.refresh()
    second.healthy = True
    works.cluster.recovered(second)
    assert works.share("b:1") == pytest.approx(0.1 / 1.1, abs=0.01)
    works.clock.pump([1.0] * 21)
    works.cluster.drain(second)
    works.cluster.restore(second)
    assert works.share("b:1") == pytest.approx(0.1 / 1.1, abs=0.01)


def test_restoring_what_was_in_service_changes_nothing() -> None:
    works = Works(Endpoint("a:1"), Endpoint("b:1"))
    works.cluster.restore(works.cluster.endpoints[1])
    assert works.share("b:1") == 0.5


def test_two_that_start_at_different_times_share_one_timer() -> None:
    works = Works(Endpoint("a:1"))
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    works.clock.pump([1.0] * 5)
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1"), Endpoint("c:1")])
    assert len(works.clock.getDelayedCalls()) == 1
    works.clock.advance(1.0)
    assert [one.weight for one in works.cluster.endpoints] == [100, 30, 10]


def test_the_balancer_is_rebuilt_at_steps_only() -> None:
    works = Works(Endpoint("a:1"))
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    before = works.cluster.balancer
    works.clock.advance(0.9)
    works.cluster.refresh()
    assert works.cluster.balancer is before


def test_keys_are_not_moved_by_a_slow_start() -> None:
    clock = Clock()
    cluster = Cluster("demo", Codec(), [Endpoint("a:1")], RingHash, slow_start=SlowStart(20.0, clock))
    cluster.start(Network(clock))
    cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    assert [one.weight for one in cluster.endpoints] == [1, 1]


def test_a_stopped_one_has_no_timer() -> None:
    works = Works(Endpoint("a:1"))
    works.cluster.update([Endpoint("a:1"), Endpoint("b:1")])
    works.cluster.stop()
    assert works.clock.getDelayedCalls() == []
