"""Whatever is known of endpoints, a plan makes sense."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.plan import Settings, plan, spread


@st.composite
def endpoint(draw: Any) -> Any:
    one = Endpoint("a:1", draw(st.integers(1, 9)), None, draw(st.integers(0, 3)), draw(st.sampled_from(["", "a", "b"])))
    one.healthy, one.drained = draw(st.booleans()), draw(st.booleans())
    one.ejected_until = draw(st.sampled_from([0.0, 5.0]))
    return one


endpoints = st.lists(endpoint(), max_size=12)
settings = st.builds(
    Settings, st.sampled_from([0, 20, 50, 100]), st.sampled_from(["", "a"]), st.sampled_from([0, 70, 100])
)


@given(endpoints, settings)
def test_shares_add_up_to_one_and_nobody_is_in_two_levels_or_drained(given_endpoints: Any, given_settings: Any) -> None:
    levels = plan(given_endpoints, given_settings)
    members = [one for level in levels for one, _ in level.members]
    assert len(set(members)) == len(members)
    assert not any(one.drained for one in members)
    assert all(level.share > 0 and level.members for level in levels)
    if levels:
        assert abs(sum(level.share for level in levels) - 1) < 1e-6


@given(endpoints, settings)
def test_there_is_somebody_to_pick_as_long_as_somebody_is_usable(given_endpoints: Any, given_settings: Any) -> None:
    levels = plan(given_endpoints, given_settings)
    usable = [one for one in given_endpoints if one.usable]
    if usable:
        assert levels
    elif given_settings.panic_threshold == 0:
        assert levels == ()
    else:
        assert bool(levels) == any(not one.drained for one in given_endpoints)


@given(endpoints)
def test_without_a_panic_only_usable_ones_are_picked(given_endpoints: Any) -> None:
    assert all(one.usable for level in plan(given_endpoints, Settings(0)) for one, _ in level.members)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_an_earlier_level_never_gets_less_than_its_health_allows(health: Any) -> None:
    shares = spread(health)
    if sum(health) >= 1:
        left = 1.0
        for one, share in zip(health, shares, strict=True):
            assert abs(share - min(one, left)) < 1e-6
            left = max(0.0, left - share)
    elif sum(health) > 1e-6:
        assert abs(sum(shares) - 1) < 1e-6
