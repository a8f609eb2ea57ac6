"""Calls that pick an endpoint of a cluster each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.clients.http import HttpFailed
from metaproxy.filters.ext_authz.filter import ExtAuthz
from metaproxy.filters.jwt.filter import Jwt
from metaproxy.filters.rate_limit.global_ import GlobalRateLimit
from metaproxy.filters.service_cluster import GrpcToCluster, HttpToCluster
from metaproxy.plugins import OptionError

DESCRIPTOR = {"entries": [{"key": "user", "from": "user"}], "limit": {"requests_per_unit": 1, "unit": "hour"}}


class Picked:
    def __init__(self, address: str, secured: bool = False) -> None:
        self.address, self.secured = address, secured
        self.ends: list[bool] = []

    def connector(self) -> Any:
        raise AssertionError("nobody connects here")

    def end(self, well: bool) -> None:
        self.ends.append(well)


class Clusters:
    """Gives these endpoints in turn, None when there are no more."""

    def __init__(self, *picked: Picked) -> None:
        self.left = list(picked)

    def pick(self, name: str) -> Picked | None:
        return self.left.pop(0) if self.left else None


class Method:
    """A method of a service: notes its calls, which are answered by hand."""

    made: list[Method]

    def __init__(self, target: str) -> None:
        self.target = target
        self.calls: list[Deferred[str]] = []
        self.closed = False
        Method.made.append(self)

    def call(self, request: str, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[str]:
        self.calls.append(Deferred())
        return self.calls[-1]

    def close(self) -> None:
        self.closed = True


class Failed(Exception):
    pass


def grpc(*picked: Picked) -> GrpcToCluster[str, str]:
    Method.made = []
    return GrpcToCluster(Clusters(*picked), "authz", Method, lambda code, text: Failed(f"{code}: {text}"), Clock())


def test_each_call_goes_to_the_endpoint_that_was_picked_and_is_counted_there() -> None:
    first, again, other = Picked("a:1"), Picked("a:1"), Picked("b:1")
    calls = grpc(first, again, other)
    answers = [calls.call("q", 1.0) for _ in range(3)]
    a, b = Method.made
    assert (a.target, len(a.calls), b.target, len(b.calls)) == ("a:1", 2, "b:1", 1)
    a.calls[0].callback("yes")
    a.calls[1].errback(Failed("late"))
    assert answers[0].result == "yes" and answers[1].addErrback(lambda _: None) is not None
    assert (first.ends, again.ends, other.ends) == ([True], [False], [])
    calls.close()
    assert a.closed and b.closed


def test_without_an_endpoint_a_call_fails_at_once_and_says_so() -> None:
    told: list[str] = []
    grpc().call("q", 1.0).addErrback(lambda failure: told.append(failure.getErrorMessage()))
    http = HttpToCluster(Clusters(), "authz", Clock())
    http.call("GET", "http://x/", 1.0).addErrback(
        lambda failure: told.append(f"{failure.check(HttpFailed) is not None} {failure.getErrorMessage()}")
    )
    text = "no usable endpoint in cluster authz"
    assert told == [f"UNAVAILABLE: {text}", f"True {text}"]


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"cluster": "a", "grpc": "h:1"}, "one of them"),
        ({"cluster": "a", "http": "https://h/"}, "the cluster's `tls` decides"),
        ({"cluster": "a", "headers": {"a": "b"}}, "go with http"),
        ({}, "cluster: NAME"),
    ],
)
def test_what_can_not_be_asked_is_refused(service: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError) as error:
        ExtAuthz(service, Clock(), clusters=Clusters())
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"cluster": "a", "redis": "h:1"}, "one of them"),
        ({"redis": "h:1", "kind": "redis"}, "goes with cluster"),
        ({"cluster": "a", "password": "p"}, "go with redis"),
        ({"cluster": "a", "kind": "http"}, "kind"),
    ],
)
def test_a_rate_limit_service_is_one_thing_at_one_place(service: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError) as error:
        GlobalRateLimit([DESCRIPTOR], Clock(), service=service, clusters=Clusters())
    assert text in f"{error.value} {error.value.path}"


def test_a_filter_tells_which_clusters_it_asks() -> None:
    assert ExtAuthz({"cluster": "a"}, Clock(), clusters=Clusters()).asks == ("a",)
    assert ExtAuthz({"grpc": "h:1"}, Clock()).asks == ()
    redis: Any = {"cluster": "b", "kind": "redis"}
    assert GlobalRateLimit([DESCRIPTOR], Clock(), service=redis, clusters=Clusters()).asks == ("b",)


def test_a_filter_that_is_built_without_clusters_says_so() -> None:
    with pytest.raises(OptionError, match="no clusters here"):
        ExtAuthz({"cluster": "a"}, Clock())


def test_keys_of_tokens_are_fetched_from_a_cluster() -> None:
    def filter(**jwks: object) -> Jwt:
        return Jwt({"one": {"algorithms": ["RS256"], "jwks": jwks}}, Clock(), clusters=Clusters())

    assert filter(url="http://login.example.org/keys", cluster="login").asks == ("login",)
    with pytest.raises(OptionError, match="the cluster's `tls` decides"):
        filter(url="https://login.example.org/keys", cluster="login")
    with pytest.raises(OptionError, match="cluster goes with a url"):
        filter(inline='{"keys": []}', cluster="login")
