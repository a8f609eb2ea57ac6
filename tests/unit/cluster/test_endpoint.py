from __future__ import annotations

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
