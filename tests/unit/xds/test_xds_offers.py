"""What the servers offer of each name, kept resource by resource."""

from __future__ import annotations

from metaproxy.config import model
from metaproxy.config.schema.reading import Use
from metaproxy.xds.offers import Offers
from metaproxy.xds.translate import Built, ListenerForm, Need

FIRST, SECOND = Need("s", "clusters", "one"), Need("t", "clusters", "one")
RDS = Need("s", "routes", "r")


def cluster(name: str = "demo") -> Built:
    return Built(clusters=(model.Cluster(name=name),))


def form(rds: Need | None = RDS) -> ListenerForm:
    return ListenerForm(model.Listener(name="in", protocol=Use("dubbo")), {}, rds)


def test_of_two_resources_with_one_name_the_first_is_offered_and_the_other_takes_its_place() -> None:
    offers, one, two = Offers(), cluster(), cluster()
    offers.replace(FIRST, None, one)
    offers.replace(SECOND, None, two)
    assert offers.clusters["demo"].section is one.clusters[0]
    offers.replace(FIRST, one, None)
    assert offers.clusters["demo"].section is two.clusters[0]
    offers.replace(SECOND, two, None)
    assert offers.clusters == {}


def test_a_listener_of_the_file_is_offered_before_one_of_a_server() -> None:
    offers, own = Offers(), form()
    offers.replace(Need("s", "listeners", "in"), None, Built(listeners=(form(),)))
    offers.set_static({"in": own})
    assert offers.listeners["in"].form is own
    offers.set_static({})
    assert offers.listeners["in"].server == "s"


def test_names_that_are_offered_otherwise_are_touched() -> None:
    offers, before = Offers(), cluster("old")
    offers.replace(FIRST, None, before)
    offers.touched.clear()
    offers.replace(FIRST, before, cluster("new"))
    assert list(offers.touched) == ["old", "new"]


def test_routes_touch_the_listeners_that_wait_for_them() -> None:
    offers, need, before = Offers(), Need("s", "listeners", "in"), Built(listeners=(form(),))
    offers.replace(need, None, before)
    offers.touched.clear()
    offers.routes_changed(RDS)
    assert list(offers.touched) == ["in"]
    assert list(offers.waiting_for(RDS)) == [before.listeners[0]]
    offers.replace(need, before, Built(listeners=(form(None),)))
    assert list(offers.waiting_for(RDS)) == []
