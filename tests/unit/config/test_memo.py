"""Sections that come again as they were are the same objects, and what is wrong is found as if they were read again."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import pytest
from checked import REGISTRY
from hypothesis import given
from hypothesis import strategies as st
from present import present
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.memo import digest
from metaproxy.config.values import Context, read_section
from metaproxy.units import Secret


def context() -> Context:
    return Context("istiod", REGISTRY, {"clock": Clock(), "node": model.Node()})


def listener(*routes: Mapping[str, object], **more: object) -> dict[str, Any]:
    return {"name": "in", "listen": "127.0.0.1:7000", "protocol": "dubbo", "routes": list(routes), **more}


def route(name: str, **more: object) -> dict[str, Any]:
    return {"name": name, "match": {"interface": name}, "cluster": "demo", **more}


def read(known: Context, data: object) -> model.Listener:
    section, problems = read_section(model.Listener, data, known)
    assert problems == []
    return present(section)


def test_a_section_of_equal_data_is_the_same_object() -> None:
    known, data = context(), listener(route("a"))
    first = read(known, data)
    assert read(known, copy.deepcopy(data)) is first
    assert read(known, listener(route("b"))) is not first
    assert read(context(), data) is not first


def test_routes_that_come_again_are_the_same_objects_wherever_they_stand() -> None:
    known = context()
    a, b = read(known, listener(route("a"), route("b"))).routes
    changed = read(known, listener(route("new"), route("b"), route("a", timeout="9s")))
    assert changed.routes[1] is b
    assert changed.routes[2] is not a and changed.routes[2].name == "a"
    assert [one.name for one in changed.routes] == ["new", "b", "a"]


def test_nothing_is_taken_over_when_something_else_of_the_listener_has_changed() -> None:
    known = context()
    (a,) = read(known, listener(route("a"))).routes
    assert read(known, listener(route("a"), protocol="thrift")).routes[0] is not a


@pytest.mark.parametrize("more", [{"request": {"set": {"x": "1"}}}, {"filters": {"local_rate_limit": "off"}}])
def test_routes_within_which_rules_of_their_listener_look_are_read_each_time(more: dict[str, object]) -> None:
    known = context()
    data = listener(route("a", **more), filters=[{"local_rate_limit": {"limit": 5}}])
    (a,) = read(known, data).routes
    data["routes"].append(route("b"))
    assert read(known, data).routes[0] is not a


def test_a_route_of_a_name_that_came_before_is_found_with_its_place() -> None:
    known = context()
    read(known, listener(route("a"), route("b")))
    section, problems = read_section(model.Listener, listener(route("a"), route("b"), route("a", timeout="9s")), known)
    assert section is None
    assert [str(one) for one in problems] == [
        "istiod: listeners['in'].routes[2].name: a route 'a' is there already, at routes[0]"
    ]


def test_true_and_1_are_not_equal_nor_are_texts_and_numbers() -> None:
    values: list[object] = [1, True, 1.0, "1", [1], {"a": 1}, {"a": True}, None, ""]
    assert len({digest(value) for value in values}) == len(values)


def test_equal_data_have_equal_digests_however_they_were_made() -> None:
    text = "".join(["a", "b"])
    assert digest({"x": [text, text]}) == digest({"x": ["ab", "".join(["a", "b"])]})


def test_what_is_not_plain_is_read_each_time() -> None:
    assert digest({"password": Secret("x")}) is None
    known = context()
    data = {"name": "x", "endpoints": ["127.0.0.1:1"], "credentials": {"password": Secret("x")}}
    first, _ = read_section(model.Cluster, data, known)
    assert read_section(model.Cluster, data, known)[0] is not first


def test_what_is_forgotten_is_read_again() -> None:
    known = context()
    kept, gone = read(known, listener(route("a"))), read(known, {**listener(route("a")), "name": "out"})
    known.memo.forget([kept])
    assert len(known.memo) == 1
    assert read(known, listener(route("a"))) is kept
    assert read(known, {**listener(route("a")), "name": "out"}) is not gone


ROUTES = [
    route("a"), route("b"), route("b", timeout="1s"), route("c", timeout="bad"), {"name": "d"}, route("e", match={}),
    route("f", request={"set": {"x": "1"}}), route("g", match={"interfac": "x"}), {"cluster": "demo"},
    route("h", filters={"local_rate_limit": {"limit": 3}}),
]  # fmt: skip
"""Right ones and wrong ones."""
LIMITS = [{"local_rate_limit": {"limit": 5}}]


@given(st.lists(st.tuples(st.lists(st.sampled_from(range(len(ROUTES))), max_size=6), st.booleans()), max_size=6))
def test_what_was_read_before_changes_neither_what_is_read_nor_what_is_found_wrong(
    steps: list[tuple[list[int], bool]],
) -> None:
    known = context()
    for places, filters in steps:
        data = listener(*(ROUTES[place] for place in places), **({"filters": LIMITS} if filters else {}))
        section, problems = read_section(model.Listener, data, known)
        whole, expected = read_section(model.Listener, copy.deepcopy(data), context())
        assert section == whole
        # One object that stands in three places has one place in errors: the same is said of it, though not as often.
        assert {one.text.partition(", at ")[0] for one in problems} == {
            one.text.partition(", at ")[0] for one in expected
        }


def test_a_thousand_routes_are_the_same_objects_but_for_one() -> None:
    known, routes = context(), [route(f"r{number}") for number in range(1000)]
    before = read(known, listener(*routes)).routes
    place = random.Random(1).randrange(1000)
    routes[place] = route("new")
    after = read(known, listener(*routes)).routes
    assert [number for number in range(1000) if after[number] is not before[number]] == [place]
