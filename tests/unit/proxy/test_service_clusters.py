"""Clusters that filters ask; real services behind TLS are in tests/interop/test_service_clusters.py."""

from __future__ import annotations

from typing import Any

from harness import Stage
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from metaproxy.cluster.breaker import Breaker
from metaproxy.proxy.service_clusters import ServiceClusters


class Asker(Protocol):
    """Who asks: notes what happens to its connection."""

    def __init__(self) -> None:
        self.said = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.said += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


def asked(**settings: Any) -> tuple[Stage, ServiceClusters, MemoryReactorClock]:
    stage, reactor = Stage(**settings), MemoryReactorClock()
    known = ServiceClusters(reactor)
    known.clusters = {"demo": stage.cluster}
    return stage, known, reactor


def test_a_cluster_that_is_not_there_or_has_no_endpoint_gives_none() -> None:
    stage, known, _ = asked(endpoints=0)
    assert known.pick("elsewhere") is None and known.pick("demo") is None
    assert stage.cluster.counts.no_endpoint == 1


def test_calls_go_to_the_endpoints_in_turn_and_are_counted() -> None:
    stage, known, _ = asked(endpoints=2)
    calls = [known.pick("demo") for _ in range(4)]
    assert {one.address for one in calls if one} == {"127.0.0.1:1000", "127.0.0.1:1001"}
    assert [one.active for one in stage.endpoints] == [2, 2] and stage.cluster.breaker.requests == 4
    for number, one in enumerate(calls):
        assert one is not None
        one.end(number > 0)
    assert [one.active for one in stage.endpoints] == [0, 0] and stage.cluster.breaker.requests == 0
    assert sum(one.counts.successes for one in stage.endpoints) == 3


def test_an_endpoint_that_is_out_is_not_asked() -> None:
    stage, known, _ = asked(endpoints=2)
    stage.cluster.eject(stage.endpoints[0])
    picked = [known.pick("demo") for _ in range(3)]
    assert [one and one.address for one in picked] == ["127.0.0.1:1001"] * 3


def test_the_breaker_bounds_what_is_asked_at_a_time() -> None:
    stage, known, _ = asked(breaker=Breaker(max_requests=1))
    first = known.pick("demo")
    assert first is not None and known.pick("demo") is None
    assert stage.cluster.counts.overflow_requests == 1
    first.end(True)
    assert known.pick("demo") is not None


def connecting(known: ServiceClusters, reactor: MemoryReactorClock) -> tuple[Any, Any]:
    picked = known.pick("demo")
    assert picked is not None
    made = picked.connector().connect(Factory.forProtocol(Asker))
    return made, reactor.tcpClients[-1]


def test_a_connection_is_the_askers_once_it_is_there() -> None:
    stage, known, reactor = asked()
    made, (host, port, factory, timeout, _) = connecting(known, reactor)
    assert (host, port, timeout) == ("127.0.0.1", 1000, 1.0)
    protocol = factory.buildProtocol(None)
    protocol.makeConnection(stage.client())
    asker = made.result
    assert isinstance(asker, Asker) and stage.endpoints[0].counts.connections == 1
    protocol.dataReceived(b"hello")
    protocol.connectionLost(Failure(ConnectionDone()))
    assert asker.said == b"hello" and asker.lost


def test_a_connection_that_fails_is_told_and_counted() -> None:
    stage, known, reactor = asked()
    stage.cluster.start(stage.network)
    made, (_, _, factory, _, _) = connecting(known, reactor)
    factory.clientConnectionFailed(None, Failure(OSError("refused")))
    told: list[Failure] = []
    made.addErrback(told.append)
    assert "127.0.0.1:1000" in told[0].getErrorMessage() and "refused" in told[0].getErrorMessage()
    assert stage.endpoints[0].counts.connect_errors == 1
