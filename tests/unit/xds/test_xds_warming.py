"""Which versions count; what the source makes of it is in test_xds_source.py."""

from __future__ import annotations

from metaproxy.config import model
from metaproxy.config.schema.reading import Use
from metaproxy.xds.offers import ClusterOffer, ListenerOffer
from metaproxy.xds.translate import ListenerForm, Need
from metaproxy.xds.warming import Warming

EDS = Need("s", "endpoints", "demo")
RDS = Need("s", "routes", "r")


class Stage:
    """there: needs that came; late: those that did not in time; routes: where the listener leads."""

    def __init__(self) -> None:
        self.there: set[Need] = set()
        self.late: set[Need] = set()
        self.routes: str | None = None
        self.linger = True
        self.early: set[str] = set()
        self.warming = Warming(
            self.there.__contains__, self.late.__contains__, self._compose, lambda name: self.linger,
            self.early.__contains__,
        )  # fmt: skip
        self._made: dict[str | None, model.Listener] = {}

    def _compose(self, form: ListenerForm) -> model.Listener | None:
        if self.routes is None:
            return None
        if self.routes not in self._made:
            self._made[self.routes] = listener(model.Route(cluster=self.routes))
        return self._made[self.routes]

    def look(self, clusters: dict[str, ClusterOffer], listeners: dict[str, ListenerOffer] | None = None) -> list[str]:
        """Return the names of what is in force, clusters behind listeners."""
        found = self.warming.next(clusters, listeners or {})
        self.warming.accept(found)
        return [*found.listeners, *found.clusters]


def listener(*routes: model.Route) -> model.Listener:
    return model.Listener(name="in", protocol=Use("dubbo"), routes=routes)


def offer() -> dict[str, ListenerOffer]:
    return {"in": ListenerOffer(ListenerForm(listener(), {}, RDS))}


def one(*needs: Need) -> dict[str, ClusterOffer]:
    return {"demo": ClusterOffer(model.Cluster(name="demo"), needs)}


def test_a_cluster_that_needs_nothing_is_in_force_at_once() -> None:
    assert Stage().look(one()) == ["demo"]


def test_a_cluster_waits_for_what_it_needs_or_for_its_time() -> None:
    stage = Stage()
    assert stage.look(one(EDS)) == []
    stage.late.add(EDS)
    assert stage.look(one(EDS)) == ["demo"]


def test_what_waits_is_told() -> None:
    stage = Stage()
    assert stage.warming.next(one(EDS), offer()).waiting == ("demo", "in")


def test_a_listener_waits_for_a_cluster_that_waits() -> None:
    stage = Stage()
    stage.routes = "demo"
    assert stage.look(one(EDS), offer()) == []
    stage.there.add(EDS)
    assert stage.look(one(EDS), offer()) == ["in", "demo"]


def test_a_listener_that_waits_for_its_servers_clusters_is_not_in_force() -> None:
    stage = Stage()
    stage.routes = "demo"
    stage.early.add("s")
    waits = {"in": ListenerOffer(offer()["in"].form, (), "s")}
    assert stage.look({}, waits) == []
    stage.early.clear()
    assert stage.look({}, waits) == ["in", "demo"]


def test_a_name_that_the_file_has_is_not_made_up() -> None:
    stage = Stage()
    stage.routes = "demo"
    found = stage.warming.next({}, offer(), ["demo"])
    assert found.clusters == {}


def test_a_cluster_that_is_made_up_is_the_same_object_each_time() -> None:
    stage = Stage()
    stage.routes = "demo"
    first = stage.warming.next({}, offer()).clusters["demo"]
    assert stage.warming.next({}, offer()).clusters["demo"] is first


def test_a_cluster_that_is_gone_stays_for_its_listeners_and_no_longer_than_it_may() -> None:
    stage = Stage()
    stage.routes = "demo"
    offered = one()
    stage.look(offered, offer())
    assert stage.warming.next({}, offer()).clusters["demo"] is offered["demo"].section
    stage.linger = False
    assert stage.warming.next({}, offer()).clusters["demo"] is not offered["demo"].section
    stage.linger = True
    assert stage.look({}, {}) == []


def test_a_listener_without_routes_is_in_force_when_they_are_late_unless_there_is_one_that_works() -> None:
    stage = Stage()
    stage.late.add(RDS)
    assert stage.look({}, offer()) == ["in"]
    stage = Stage()
    stage.routes = "demo"
    stage.look({}, offer())
    works = stage.warming.listeners["in"]
    stage.routes, stage.late = None, {RDS}
    assert stage.warming.next({}, offer()).listeners["in"] is works


def test_what_waited_is_looked_at_again_though_nothing_touched_it() -> None:
    stage = Stage()
    stage.look(one(EDS))
    stage.there.add(EDS)
    assert stage.warming.next(one(EDS), {}, (), ()).changed_clusters.keys() == {"demo"}


def test_a_cluster_that_is_made_up_goes_with_the_last_route_to_it() -> None:
    stage = Stage()
    stage.routes = "demo"
    assert stage.look({}, offer()) == ["in", "demo"]
    stage.routes = "other"
    found = stage.warming.next({}, offer(), (), ["in"])
    assert list(found.clusters) == ["other"]
    assert found.changed_clusters["demo"] is None


def test_what_nothing_touched_is_not_looked_at() -> None:
    stage = Stage()
    stage.routes = "demo"
    stage.look(one(), offer())
    stage.routes = "other"
    assert not stage.warming.next(one(), offer(), (), ())
