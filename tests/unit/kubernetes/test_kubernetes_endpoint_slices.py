"""What EndpointSlices say of a service's endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from kubernetes_api import slice_of
from twisted.internet.task import Clock

from metaproxy.kubernetes.endpoint_slices import Family, Listener, NoSuchPort, Slice, Slices, endpoints, read
from metaproxy.kubernetes.resources import Key


def slices(*found: dict[str, object]) -> list[Slice]:
    return [one for each in found if (one := read(each)) is not None]


def addresses(*found: dict[str, object], port: str = "tcp-dubbo", family: Family = "auto") -> list[object]:
    return [one["address"] for one in endpoints(slices(*found), port, family)]


def target(address: str, **conditions: object) -> dict[str, object]:
    return {"addresses": [address], "conditions": conditions}


def test_endpoints_of_all_slices_of_a_service_count() -> None:
    found = slice_of("cart", "10.0.0.2", name="a"), slice_of("cart", "10.0.0.1", name="b")
    assert addresses(*found) == ["10.0.0.1:20880", "10.0.0.2:20880"]


def test_slices_of_a_service_may_give_a_port_different_numbers() -> None:
    found = slice_of("cart", "10.0.0.1", port=1), slice_of("cart", "10.0.0.2", port=2)
    assert addresses(*found) == ["10.0.0.1:1", "10.0.0.2:2"]


def test_an_endpoint_that_two_slices_have_is_there_once() -> None:
    assert addresses(slice_of("cart", "10.0.0.1", name="a"), slice_of("cart", "10.0.0.1", name="b")) == [
        "10.0.0.1:20880"
    ]


def test_only_what_is_ready_is_used_and_absent_means_ready() -> None:
    found = [target("10.0.0.1", ready=True), target("10.0.0.2", ready=False), target("10.0.0.3")]
    assert addresses(slice_of("cart", endpoints=found)) == ["10.0.0.1:20880", "10.0.0.3:20880"]


def test_when_nothing_is_ready_what_still_serves_while_it_ends_is_used() -> None:
    ending = target("10.0.0.1", ready=False, serving=True, terminating=True)
    gone = target("10.0.0.2", ready=False, serving=False, terminating=True)
    assert addresses(slice_of("cart", endpoints=[ending, gone])) == ["10.0.0.1:20880"]
    assert addresses(slice_of("cart", endpoints=[ending, target("10.0.0.9")])) == ["10.0.0.9:20880"]


def test_zones_are_handed_on() -> None:
    found = slice_of("cart", endpoints=[{"addresses": ["10.0.0.1"], "zone": "eu-1a"}])
    assert endpoints(slices(found), "tcp-dubbo") == [{"address": "10.0.0.1:20880", "zone": "eu-1a"}]


DUAL = (slice_of("cart", "10.0.0.1", name="a"), slice_of("cart", "fd00::1", name="b", addressType="IPv6"))


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("auto", ["10.0.0.1:20880"]),
        ("v4", ["10.0.0.1:20880"]),
        ("v6", ["[fd00::1]:20880"]),
        ("all", ["10.0.0.1:20880", "[fd00::1]:20880"]),
    ],
)
def test_a_dual_stack_service_has_each_pod_once_unless_all_are_asked_for(family: Family, expected: list[str]) -> None:
    assert addresses(*DUAL, family=family) == expected


def test_a_service_with_ipv6_alone_has_its_addresses() -> None:
    assert addresses(DUAL[1]) == ["[fd00::1]:20880"]


def test_a_port_may_be_a_number_or_the_only_one() -> None:
    assert addresses(slice_of("cart", "10.0.0.1"), port="20880") == ["10.0.0.1:20880"]
    assert addresses(slice_of("cart", "10.0.0.1"), port="") == ["10.0.0.1:20880"]


def test_a_port_that_is_not_there_is_named_with_those_that_are() -> None:
    two = slice_of("cart", "10.0.0.1", ports=[{"name": "tcp-dubbo", "port": 1}, {"name": "http", "port": 2}])
    with pytest.raises(NoSuchPort, match=r"no port 'grpc': it has http \(2\), tcp-dubbo \(1\)"):
        endpoints(slices(two), "grpc")
    with pytest.raises(NoSuchPort, match="name one"):
        endpoints(slices(two), "")


def test_a_service_without_slices_has_no_endpoints_which_is_no_mistake() -> None:
    assert endpoints([], "tcp-dubbo") == []


@pytest.mark.parametrize(
    "found",
    [{}, slice_of(""), slice_of("cart", addressType="FQDN"), {"metadata": 3, "endpoints": "x"}],
)
def test_what_says_nothing_of_a_service_is_no_slice(found: dict[str, object]) -> None:
    assert read(found) is None


def test_parts_of_a_slice_that_make_no_sense_are_left_out() -> None:
    found = slice_of(
        "cart",
        endpoints=[3, {"addresses": []}, {"addresses": [7]}, target("10.0.0.1")],
        ports=[
            {"name": "udp", "port": 9, "protocol": "UDP"},
            {"name": "x", "port": "y"},
            {"name": "tcp-dubbo", "port": 1},
        ],
    )
    assert addresses(found) == ["10.0.0.1:1"]


# -- many services, one watch


class Watcher:
    """A namespace whose slices were listed: cart and stock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.slices = Slices(self.clock)
        self.heard: dict[str, list[int]] = {"cart": [], "stock": []}
        for service in self.heard:
            self.slices.add(service, Listener(partial(self._hear, service), print))

    def _hear(self, service: str, found: Sequence[Slice]) -> None:
        self.heard[service].append(len(found))

    def put(self, name: str, found: dict[str, object]) -> None:
        self.slices.put(Key("shop", name), found)


def test_nothing_is_reported_before_all_is_known() -> None:
    watcher = Watcher()
    watcher.put("a", slice_of("cart", "10.0.0.1"))
    watcher.clock.advance(0)
    assert watcher.heard == {"cart": [], "stock": []}
    watcher.slices.synced()
    watcher.clock.advance(0)
    assert watcher.heard == {"cart": [1], "stock": [0]}


def test_a_change_is_reported_to_its_service_alone_and_several_as_one() -> None:
    watcher = Watcher()
    watcher.slices.synced()
    watcher.clock.advance(0)
    watcher.put("a", slice_of("cart", "10.0.0.1"))
    watcher.put("b", slice_of("cart", "10.0.0.2"))
    watcher.clock.advance(0)
    watcher.slices.remove(Key("shop", "a"))
    watcher.clock.advance(0)
    assert watcher.heard == {"cart": [0, 2, 1], "stock": [0]}


def test_a_slice_that_changes_in_no_way_that_matters_is_not_reported() -> None:
    watcher = Watcher()
    watcher.put("a", slice_of("cart", "10.0.0.1", version=1))
    watcher.slices.synced()
    watcher.clock.advance(0)
    watcher.put("a", slice_of("cart", "10.0.0.1", version=2))
    assert not watcher.clock.getDelayedCalls()


def test_a_slice_that_goes_to_another_service_leaves_the_first() -> None:
    watcher = Watcher()
    watcher.put("a", slice_of("cart", "10.0.0.1"))
    watcher.slices.synced()
    watcher.clock.advance(0)
    watcher.put("a", slice_of("stock", "10.0.0.1"))
    watcher.clock.advance(0)
    assert watcher.heard == {"cart": [1, 0], "stock": [0, 1]}


def test_who_comes_later_hears_at_once_what_is_known() -> None:
    watcher = Watcher()
    watcher.put("a", slice_of("cart", "10.0.0.1"))
    watcher.slices.synced()
    late: list[int] = []
    watcher.slices.add("cart", Listener(lambda found: late.append(len(found)), lambda why: None))
    assert late == [1]


def test_who_leaves_hears_no_more() -> None:
    watcher = Watcher()
    late: list[int] = []
    one = Listener(lambda found: late.append(len(found)), print)
    watcher.slices.add("cart", one)
    watcher.slices.discard("cart", one)
    watcher.slices.synced()
    watcher.clock.advance(0)
    assert late == [] and watcher.heard == {"cart": [0], "stock": [0]}
