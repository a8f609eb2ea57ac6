"""A compiled table gives the route that going through the routes one by one gives, whatever they are."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.message import FrameError, Kind, Message
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.table import Route, RouteTable, Target

KEYS = ["a", "b", "source.address"]
VALUES = ["1", "2", "10.0.0.1"]

values = st.sampled_from(VALUES)
comparisons = st.one_of(
    values,
    st.builds(lambda text: {"exact": text}, values),
    st.builds(lambda texts: {"in": texts}, st.lists(values, min_size=1, max_size=3)),
    st.builds(lambda kind, text: {kind: text}, st.sampled_from(["prefix", "suffix", "contains"]), values),
    st.just({"regex": "[12]"}),
    st.just({"range": [1, 2]}),
    st.just({"cidr": "10.0.0.0/8"}),
)


@st.composite
def specs(draw: st.DrawFn) -> object:
    if draw(st.integers(0, 5)) == 0:
        return {"present": draw(st.booleans()), "not": draw(st.booleans())}
    spec = draw(comparisons)
    extra: dict[str, object] = {}
    if draw(st.integers(0, 3)) == 0:
        extra["not"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        extra["default"] = draw(values)
    return {**(spec if isinstance(spec, dict) else {"exact": spec}), **extra} if extra else spec


class Cluster:
    name = "demo"


@st.composite
def routes(draw: st.DrawFn) -> list[Route[Cluster]]:
    return [
        Route(
            str(i),
            [compile_condition(key, draw(specs())) for key in draw(st.lists(st.sampled_from(KEYS), max_size=3))],
            [Target(Cluster())],
            percent=draw(st.sampled_from([100.0, 100.0, 100.0, 50.0, 0.0])),
        )
        for i in range(draw(st.integers(0, 10)))
    ]


facts = st.dictionaries(st.just("source.address"), values)
metadata = st.dictionaries(st.sampled_from(["a", "b"]), values)


def one_by_one(
    candidates: list[Route[Cluster]], message: Message, facts: Mapping[str, str], draw: random.Random
) -> Route[Cluster] | None:
    """What the configuration's documentation says, word for word."""
    for route in candidates:
        if all(
            condition.test(facts.get(condition.name) if condition.fact else message.get(condition.name))
            for condition in route.conditions
        ):
            if route.percent >= 100:
                return route
            if route.percent > 0 and draw.random() < route.percent / 100:
                return route
    return None


@examples(200)
@given(routes(), metadata, facts, st.integers(0, 1000))
def test_a_table_finds_what_going_through_the_routes_finds_and_draws_the_same_numbers(
    candidates: Any, known: Any, peer: Any, seed: Any
) -> None:
    ours, naive = random.Random(seed), random.Random(seed)
    message = Message(Kind.REQUEST, b"x", metadata=known)
    found = RouteTable(candidates, ours).match(message, peer)
    assert found is one_by_one(candidates, message, peer, naive)
    assert ours.random() == naive.random()


@given(routes(), metadata, facts, st.integers(0, 1000))
def test_a_frame_that_can_not_be_decoded_gives_the_same_route_or_its_error(
    candidates: Any, known: Any, peer: Any, seed: Any
) -> None:
    def fail(message: Message) -> None:
        raise FrameError("broken")

    message = Message(Kind.REQUEST, b"x", metadata=dict(known), more=fail)
    try:
        found = RouteTable(candidates, random.Random(seed)).match(message, peer)
    except FrameError:
        return
    whole = Message(Kind.REQUEST, b"x", metadata=known)
    assert found is one_by_one(candidates, whole, peer, random.Random(seed))


@given(routes(), metadata, facts)
def test_an_explanation_names_the_route_that_would_be_taken_first(candidates: Any, known: Any, peer: Any) -> None:
    certain = [route for route in candidates if route.percent >= 100]
    table = RouteTable(certain, random.Random(0))
    message = Message(Kind.REQUEST, b"x", metadata=known)
    found = table.match(message, peer)
    told = table.explain(message, peer)
    assert [name for name, _, _ in told] == [route.name for route in certain]
    assert next((name for name, holds, _ in told if holds), None) == (found and found.name)
