"""What routes of several protocols have in common, as Envoy has it."""

from __future__ import annotations

from metaproxy.config import model
from metaproxy.envoy.writing.keys import Keys
from metaproxy.envoy.writing.routes import Around, destination, mirrors, names_of, subset, time_of
from metaproxy.units import Percent, Seconds

ENDPOINT = model.Endpoint(address="127.0.0.1:1")


def keys(**values: object) -> Keys:
    return Keys(model.Route(**values), "routes[0]", [])  # type: ignore[arg-type]


def test_one_cluster_or_several() -> None:
    assert destination(keys(cluster="a")) == {"cluster": "a"}
    weighted = [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}]
    assert destination(keys(clusters={"a": 1, "b": 2})) == {"weighted_clusters": {"clusters": weighted}}
    assert names_of(keys(clusters={"a": 1, "b": 2})) == ["a", "b"]


def test_subsets_and_mirrors() -> None:
    assert subset(keys(cluster="a", subset={"v": "1"})) == {
        "metadata_match": {"filter_metadata": {"envoy.lb": {"v": "1"}}}
    }
    (mirror,) = mirrors(keys(cluster="a", mirror=(model.Mirror(cluster="b", percent=Percent(10)),)))
    assert mirror["cluster"] == "b"


def clusters(**times: float) -> Around:
    made = {
        name: model.Cluster(name=name, endpoints=(ENDPOINT,), request_timeout=Seconds(time))
        for name, time in times.items()
    }
    return Around(made)


def test_a_routes_time_is_its_own_or_else_that_of_its_clusters() -> None:
    around = clusters(a=3.0, b=15.0)
    assert time_of(keys(cluster="a", timeout=Seconds(1.0)), around) == 1.0
    assert time_of(keys(cluster="a"), around) == 3.0
    assert time_of(keys(cluster="b"), around) is None  # as in Envoy by default
    assert around.timed == {"a", "b"}


def test_clusters_with_different_times_need_one_of_the_routes_own() -> None:
    route = keys(clusters={"a": 1, "b": 1})
    time_of(route, clusters(a=3.0, b=4.0))
    assert len(route.wrong) == 1
