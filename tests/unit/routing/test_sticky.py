from __future__ import annotations

import math
import random
from typing import Any

import pytest

from metaproxy.message import Kind, Message
from metaproxy.routing.sticky import Sticking
from metaproxy.routing.table import Route, RouteTable, Target

USERS = [f"user-{number}" for number in range(20_000)]


class Cluster:
    def __init__(self, name: str) -> None:
        self.name = name


def request(**metadata: str) -> Message:
    return Message(Kind.REQUEST, b"x", metadata=metadata)


def split(canary: int, **options: Any) -> Route[Cluster]:
    targets = [Target(Cluster("v1"), 100 - canary), Target(Cluster("v2"), canary)]
    return Route("all", targets=targets, sticky=Sticking(["user"]), **options)


def side(route: Route[Cluster], user: str) -> str:
    return route.stick(request(user=user).get, {}).name


def close(found: int, share: float) -> bool:
    """Within 5 standard deviations of what independent draws would give."""
    count = len(USERS)
    return abs(found - share * count) <= 5 * math.sqrt(count * share * (1 - share)) + 1


def test_a_caller_is_always_on_the_same_side() -> None:
    route = split(30)
    assert all(side(route, user) == side(split(30), user) for user in USERS[:500])


@pytest.mark.parametrize("canary", [1, 10, 50, 90])
def test_callers_are_shared_out_by_weight(canary: int) -> None:
    route = split(canary)
    assert close(sum(side(route, user) == "v2" for user in USERS), canary / 100)


def test_who_is_on_the_canary_stays_there_while_it_grows() -> None:
    before = {user for user in USERS if side(split(1), user) == "v2"}
    half = {user for user in USERS if side(split(50), user) == "v2"}
    assert before and before < half < {user for user in USERS if side(split(100), user) == "v2"} == set(USERS)


def test_without_the_key_chance_decides() -> None:
    route = split(50)
    RouteTable([route], random.Random(7))
    assert {route.stick(request().get, {}).name for _ in range(100)} == {"v1", "v2"}


def test_a_percentage_sticks_too_and_has_nothing_to_do_with_the_weights() -> None:
    table = RouteTable([split(50, percent=50.0), Route("rest", targets=[Target(Cluster("old"))])], random.Random(1))

    def place(user: str) -> str:
        route = table.match(request(user=user), {})
        assert route is not None
        return side(route, user) if route.split_by_hash is not None else route.name

    found = [place(user) for user in USERS]
    assert found == [place(user) for user in USERS]
    assert close(found.count("rest"), 0.5) and close(found.count("v1"), 0.25) and close(found.count("v2"), 0.25)


def test_facts_of_the_connection_go_before_metadata_of_the_same_name() -> None:
    draw = Sticking(["source.address"])
    spoofed = request(**{"source.address": "9.9.9.9"}).get
    assert draw(spoofed, {"source.address": "1.1.1.1"}, 1) == draw(request().get, {"source.address": "1.1.1.1"}, 1)
    assert draw(request().get, {}, 1) is None
