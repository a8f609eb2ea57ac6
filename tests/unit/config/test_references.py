"""What a configuration refers to: files, and which clusters are reached from where."""

from __future__ import annotations

from pathlib import Path

from metaproxy.config.model import (
    Admin,
    AdminTls,
    Certificate,
    ClientTls,
    Cluster,
    Config,
    Listener,
    Mirror,
    Route,
    SecretSource,
    ServerTls,
)
from metaproxy.config.references import asked, clusters_of, files_of, mirrors, senders, targets_of
from metaproxy.config.schema.reading import Use


def listener(name: str, *routes: Route, filters: tuple[Use, ...] = (), tls: ServerTls | None = None) -> Listener:
    return Listener(name=name, listen=("a:1",), protocol=Use("dubbo"), routes=routes, filters=filters, tls=tls)


def test_the_files_of_a_configuration_are_those_of_its_secrets_certificates_and_keys() -> None:
    one = Path("1"), Path("2"), Path("3"), Path("4"), Path("5"), Path("6"), Path("7"), Path("8"), Path("9"), Path("10")
    more = Certificate(certificate=one[3], key=one[4])
    config = Config(
        secrets={"a": SecretSource(file=one[0]), "b": SecretSource(env="B")},
        admin=Admin(tls=AdminTls(certificate=one[1], key=one[2])),
        listeners=(listener("in", tls=ServerTls(certificate=one[5], key=one[6], certificates=(more,))), listener("b")),
        clusters=(Cluster(name="a", tls=ClientTls(ca=one[7], certificate=one[8], key=one[9])), Cluster(name="b")),
    )
    assert files_of(config) == set(one)


def test_the_clusters_of_a_route_are_those_that_answer_and_then_those_that_get_copies() -> None:
    assert clusters_of(Route(cluster="a", mirror=(Mirror(cluster="c"),))) == ["a", "c"]
    assert clusters_of(Route(clusters={"a": 1, "b": 0})) == ["a", "b"]


def test_what_requests_go_to_and_what_gets_copies_are_told_apart() -> None:
    routes = Route(cluster="a", mirror=(Mirror(cluster="c"),)), Route(clusters={"a": 1, "b": 0})
    assert [targets_of(route) for route in routes] == [["a"], ["a", "b"]]
    assert mirrors(listener("in", *routes, Route(cluster="c", mirror=(Mirror(cluster="d"),)))) == {"c", "d"}


def test_the_senders_of_a_cluster_are_the_listeners_that_reach_it_directly_by_copies_or_by_fallback() -> None:
    first = listener("first", Route(cluster="a"), Route(cluster="b", mirror=(Mirror(cluster="copies"),)))
    second = listener("second", Route(cluster="b"))
    clusters = Cluster(name="a", fallback=("spare",)), Cluster(name="spare", fallback=("a", "last"))
    found = senders(Config(listeners=(first, second), clusters=clusters))
    names = {cluster: [one.name for one in found[cluster]] for cluster in found}
    assert names == {
        "a": ["first"],
        "spare": ["first"],
        "last": ["first"],
        "b": ["first", "second"],
        "copies": ["first"],
    }


def test_a_cluster_that_a_filter_asks_is_found_wherever_its_service_stands_with_whether_it_is_grpc() -> None:
    filters = (
        Use("ext_authz", {"service": {"cluster": "grpc"}}),
        Use("ext_authz", {"service": {"cluster": "http", "http": {}}}),
        Use("rate_limit", {"service": {"cluster": "redis", "kind": "redis"}}),
    )
    deep = Use("jwt", {"providers": {"main": {"jwks": {"cluster": "keys", "url": "http://a/"}}}})
    config = Config(
        listeners=(listener("in", Route(cluster="a", filters={"jwt": deep, "off": None}), filters=filters),)
    )
    assert asked(config) == {"grpc": True, "http": False, "redis": False, "keys": False}


def test_a_cluster_that_two_filters_ask_is_asked_over_grpc_if_one_of_them_does_so() -> None:
    filters = (
        Use("one", {"service": {"cluster": "both", "http": {}}}),
        Use("two", {"service": {"cluster": "both"}}),
        Use("three", {"service": {"cluster": "both", "url": "http://a/"}}),
    )
    assert asked(Config(listeners=(listener("in", filters=filters),))) == {"both": True}
