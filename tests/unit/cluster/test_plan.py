from __future__ import annotations

from math import inf

import pytest

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.plan import Settings, plan, spread

CALM = Settings(0)
"""No panic, no zone."""


def group(priority: int, total: int, usable: int, zone: str = "") -> list[Endpoint]:
    """So many endpoints of one priority, the last of them unhealthy."""
    made = [Endpoint(f"p{priority}{zone}:{number}", priority=priority, zone=zone) for number in range(total)]
    for endpoint in made[usable:]:
        endpoint.healthy = False
    return made


def shares(*groups: list[Endpoint], settings: Settings = CALM) -> dict[str, float]:
    """Percent of the requests by priority (and zone)."""
    found: dict[str, float] = {}
    for level in plan([endpoint for one in groups for endpoint in one], settings):
        name = level.members[0][0].address.partition(":")[0]
        found[name] = found.get(name, 0) + round(level.share * 100, 2)
    return found


def members(*groups: list[Endpoint], settings: Settings = CALM) -> set[str]:
    levels = plan([endpoint for one in groups for endpoint in one], settings)
    return {endpoint.address for level in levels for endpoint, _ in level.members}


# The table of Envoy's documentation ("Priority levels"), with its overprovisioning factor of 1.4.
@pytest.mark.parametrize(
    ("healthy", "first", "second"),
    [(100, 100, 0), (72, 100, 0), (71, 99.4, 0.6), (50, 70, 30), (25, 35, 65), (0, 0, 100)],
)
def test_the_next_priority_gets_what_the_first_cannot_take_as_in_envoy(
    healthy: int, first: float, second: float
) -> None:
    found = shares(group(0, 100, healthy), group(1, 100, 100))
    assert (found.get("p0", 0), found.get("p1", 0)) == (first, second)


# The second table: three priorities.
@pytest.mark.parametrize(
    ("healthy", "wanted"),
    [
        ((100, 100, 100), (100, 0, 0)),
        ((72, 72, 100), (100, 0, 0)),
        ((50, 50, 100), (70, 30, 0)),
        ((50, 25, 100), (70, 30, 0)),
        ((25, 25, 100), (35, 35, 30)),
        ((25, 0, 25), (50, 0, 50)),
    ],
)
def test_three_priorities_share_as_in_envoy(healthy: tuple[int, int, int], wanted: tuple[int, int, int]) -> None:
    found = shares(*(group(priority, 100, usable) for priority, usable in enumerate(healthy)))
    assert tuple(found.get(f"p{priority}", 0) for priority in range(3)) == wanted


def test_priorities_need_not_follow_each_other() -> None:
    assert shares(group(3, 2, 0), group(7, 2, 2)) == {"p7": 100}


def test_health_is_disregarded_below_the_panic_threshold() -> None:
    endpoints = group(0, 4, 1)
    assert members(endpoints, settings=Settings(50)) == {f"p0:{number}" for number in range(4)}
    assert members(endpoints, settings=Settings(25)) == {"p0:0"}
    assert members(endpoints, settings=Settings(0)) == {"p0:0"}


def test_there_is_no_panic_while_other_priorities_can_take_it_all() -> None:
    assert members(group(0, 4, 1), group(1, 2, 2), settings=Settings(50)) == {"p0:0", "p1:0", "p1:1"}


def test_an_endpoint_that_logs_off_gets_nothing_while_another_is_usable() -> None:
    first, second = group(0, 2, 2), group(1, 1, 1)
    first[0].logged_off_until = 10.0
    assert members(first, second) == {"p0:1"}
    first[1].logged_off_until = 10.0
    assert members(first, second) == {"p1:0"}
    second[0].healthy = False
    assert members(first, second) == {"p0:0", "p0:1"}, "better than none"


def test_endpoints_that_all_log_off_are_used() -> None:
    endpoints = group(0, 2, 2)
    for endpoint in endpoints:
        endpoint.logged_off_until = 10.0
    assert members(endpoints) == {"p0:0", "p0:1"}


def test_only_a_priority_below_the_threshold_panics() -> None:
    found = members(group(0, 10, 1), group(1, 10, 6), settings=Settings(50))
    assert found == {f"p0:{number}" for number in range(10)} | {f"p1:{number}" for number in range(6)}


def test_when_nobody_is_usable_anywhere_priorities_share_by_size() -> None:
    assert shares(group(0, 3, 0), group(1, 1, 0), settings=Settings(50)) == {"p0": 75, "p1": 25}


def test_without_a_panic_nobody_usable_means_nobody() -> None:
    assert plan(group(0, 3, 0), Settings(0)) == plan([], Settings(50)) == ()


def test_an_ejected_endpoint_is_not_used_and_a_drained_one_not_even_in_panic() -> None:
    endpoints = group(0, 3, 3)
    endpoints[0].ejected_until = inf
    endpoints[1].drained = True
    assert members(endpoints, settings=Settings(50)) == {"p0:2"}
    endpoints[2].healthy = False
    assert members(endpoints, settings=Settings(50)) == {"p0:0", "p0:2"}
    endpoints[0].drained = endpoints[2].drained = True
    assert members(endpoints, settings=Settings(50)) == set()


ZONE = Settings(50, "a", 70)


@pytest.mark.parametrize(("usable", "own"), [(10, 100), (8, 100), (7, 100), (6, 85.71), (5, 71.43), (0, 0)])
def test_the_own_zone_takes_all_until_too_few_of_it_are_usable(usable: int, own: float) -> None:
    found = shares(group(0, 10, usable, "a"), group(0, 10, 10, "b"), settings=ZONE)
    assert found.get("p0a", 0) == own
    assert found.get("p0b", 0) == pytest.approx(100 - own)


def test_without_another_zone_or_without_its_own_the_zone_does_not_matter() -> None:
    assert shares(group(0, 4, 3, "a"), settings=ZONE) == {"p0a": 100}
    assert shares(group(0, 4, 3, "b"), settings=ZONE) == {"p0b": 100}
    assert len(plan([*group(0, 2, 2, "b"), *group(0, 2, 2, "c")], ZONE)) == 1
    assert len(plan([*group(0, 2, 2, "a"), *group(0, 2, 2, "b")], Settings(50))) == 1


def test_a_priority_comes_before_a_zone_and_a_panic_knows_no_zone() -> None:
    assert shares(group(0, 2, 2, "b"), group(1, 2, 2, "a"), settings=ZONE) == {"p0b": 100}
    assert members(group(0, 4, 1, "a"), group(0, 4, 1, "b"), settings=ZONE) == {
        f"p0{zone}:{number}" for zone in "ab" for number in range(4)
    }


def test_min_healthy_of_nothing_keeps_requests_in_the_zone_as_long_as_anybody_is_there() -> None:
    settings = Settings(50, "a", 0)
    assert shares(group(0, 10, 2, "a"), group(0, 30, 30, "b"), settings=settings) == {"p0a": 100}


def test_members_have_their_weights() -> None:
    (level,) = plan([Endpoint("a:1", 3), Endpoint("b:1")], Settings())
    assert level.share == 1
    assert [(endpoint.address, weight) for endpoint, weight in level.members] == [("a:1", 3), ("b:1", 1)]


def test_shares_add_up_to_one_whatever_the_health() -> None:
    for health in ([0.3, 0.3, 0.3], [0.1], [1.0, 1.0], [0.0, 0.7, 0.3], [1 / 3] * 7):
        assert sum(spread(health)) == pytest.approx(1.0)
    assert spread([0.0, 0.0]) == [0.0, 0.0]
