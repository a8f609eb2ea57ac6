"""What an exchange reads of a route: which of its targets is picked."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from metaproxy.routing.chosen import ChosenRoute, ChosenTarget
from metaproxy.routing.table import Route, Target


def test_a_route_and_its_targets_are_of_the_compiled_types() -> None:
    route: Route[None] = Route("all", targets=[Target(None)])
    assert isinstance(route, ChosenRoute) and all(isinstance(one, ChosenTarget) for one in route.targets)
    assert not hasattr(route, "__dict__") and not hasattr(route.targets[0], "__dict__")


def test_an_only_target_is_picked_without_a_draw() -> None:
    route: Route[None] = Route("one", targets=[Target(None, 3)])
    route.draw_with(lambda: pytest.fail("a number was drawn"))
    assert route.pick() is route.targets[0]


def test_several_are_picked_by_weight_and_none_of_weight_zero() -> None:
    first, second, third = targets = [Target(None, 1), Target(None, 0), Target(None, 3)]
    route: Route[None] = Route("several", targets=targets)
    route.draw_with(random.Random(1).random)
    found = Counter(route.pick() for _ in range(4000))
    assert found[second] == 0 and found[first] + found[third] == 4000
    assert 900 < found[first] < 1100


@pytest.mark.parametrize(("draw", "place"), [(0.0, 0), (0.2499, 0), (0.25, 2), (0.9999, 2)])
def test_bounds_belong_to_what_is_behind_them(draw: float, place: int) -> None:
    route: Route[None] = Route("several", targets=[Target(None, 1), Target(None, 0), Target(None, 3)])
    route.draw_with(lambda: draw)
    assert route.pick() is route.targets[place]
