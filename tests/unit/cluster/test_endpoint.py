from __future__ import annotations

from cluster_pool import with_pool
from zope.interface.verify import verifyObject

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.interfaces import IEndpoint


def test_it_is_what_a_balancer_may_look_at() -> None:
    assert verifyObject(IEndpoint, Endpoint("127.0.0.1:80"))


def test_its_metadata_are_its_own() -> None:
    given = {"zone": "a"}
    endpoint = Endpoint("127.0.0.1:80", 2, given)
    given["zone"] = "b"
    assert (endpoint.weight, endpoint.metadata, endpoint.active) == (2, {"zone": "a"}, 0)


def test_answers_are_counted_as_what_they_told() -> None:
    endpoint = Endpoint("127.0.0.1:80")
    for failed in (False, True, False):
        endpoint.answered(failed)
    assert (endpoint.counts.successes, endpoint.counts.errors) == (2, 1)


def test_it_has_no_connections_before_somebody_needs_one() -> None:
    assert Endpoint("127.0.0.1:80").pool is None
    assert repr(Endpoint("[::1]:80")) == "Endpoint([::1]:80)"


def test_it_is_in_use_while_an_exchange_is_under_way_or_a_connection_is_open() -> None:
    endpoint = Endpoint("127.0.0.1:80")
    pool = with_pool(endpoint)
    assert not endpoint.in_use
    pool.connections.add(1)
    assert endpoint.in_use
    pool.connections.clear()
    endpoint.active = 1
    assert endpoint.in_use


def test_it_takes_what_is_configured_and_nothing_else() -> None:
    endpoint, other = Endpoint("127.0.0.1:80"), Endpoint("127.0.0.1:80", 3, {"a": "b"})
    counts, before = endpoint.counts, endpoint.configured()
    endpoint.take(other)
    assert (endpoint.configured_weight, endpoint.metadata, endpoint.counts) == (3, {"a": "b"}, counts)
    assert endpoint.configured() != before
