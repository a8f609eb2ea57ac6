from __future__ import annotations

from typing import Any

from metaproxy.config import model
from metaproxy.config.schema.reading import Use
from metaproxy.config.value_check import check_value
from metaproxy.plugins import Registry

INJECTED: dict[str, object] = {"node": model.Node()}


def cluster(name: str = "one", **more: Any) -> model.Cluster:
    return model.Cluster(name=name, endpoints=(model.Endpoint(address="127.0.0.1:1"),), **more)


def listener(name: str = "front", **more: Any) -> model.Listener:
    return model.Listener(name=name, listen=("127.0.0.1:0",), protocol=Use("thrift"), **more)


def lines(config: model.Config) -> list[str]:
    return check_value(config, Registry(), INJECTED)


def test_a_value_in_which_all_names_are_known_is_right() -> None:
    routes = (model.Route(cluster="one", mirror=(model.Mirror(cluster="two"),)), model.Route(clusters={"one": 1}))
    clusters = (cluster(fallback=("two",)), cluster("two", balancer=Use("random")))
    assert lines(model.Config(listeners=(listener(routes=routes),), clusters=clusters)) == []


def test_each_name_that_refers_to_nothing_has_its_place() -> None:
    routes = (model.Route(cluster="one", mirror=(model.Mirror(cluster="tow"),)), model.Route(clusters={"three": 1}))
    found = lines(
        model.Config(listeners=(listener(routes=routes),), clusters=(cluster(), cluster("two", fallback=("x",))))
    )
    assert [line.partition(";")[0] for line in found] == [
        "listeners['front'].routes[0]: no cluster 'tow'",
        "listeners['front'].routes[1]: no cluster 'three'",
        "clusters['two'].fallback: no cluster 'x'",
    ]


def test_names_are_unique_and_not_empty() -> None:
    found = lines(model.Config(listeners=(listener(), listener()), clusters=(cluster(""),)))
    assert found == [
        "listeners[1]: 'front' is also the name of another one; rename one",
        "clusters[0]: no name; give it one",
    ]


def test_plugins_are_there_and_take_their_options() -> None:
    routes = (model.Route(cluster="one", filters={"f": Use("flter")}),)
    filters = (Use("local_rate_limit", {"limit": []}),)
    config = model.Config(
        listeners=(listener(filters=filters, routes=routes),),
        clusters=(cluster(balancer=Use("rondom"), discovery=Use("nowhere"), protocol=Use("dubo")),),
    )
    found = [line.partition(": ")[0] for line in lines(config)]
    assert found == [
        "listeners['front'].filters[0].local_rate_limit.limit",
        "listeners['front'].routes[0].filters.f",
        "clusters['one'].protocol",
        "clusters['one'].balancer",
        "clusters['one'].discovery",
    ]
