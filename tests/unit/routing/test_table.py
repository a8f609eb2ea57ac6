"""Routes and their table: which one a request takes, what it costs, what is explained of it."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from present import present

from metaproxy.counts import TargetCounts
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Reply
from metaproxy.routing.chosen import RouteAction
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.table import Route, RouteTable, SharedActions, Target, change_actions

PEER = {"source.address": "10.1.2.3"}


class Cluster:
    def __init__(self, name: str) -> None:
        self.name = name


class NoRandom(random.Random):
    """Numbers that may not be asked for."""

    def random(self) -> float:
        raise AssertionError("a random number was drawn")


class Draws(random.Random):
    """The numbers given, one a draw."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.left = list(numbers)

    def random(self) -> float:
        return self.left.pop(0)


class CountedMessage(Message):
    """A request that remembers which keys were asked for."""

    __slots__ = ("asked",)

    def __init__(self, **metadata: str) -> None:
        super().__init__(Kind.REQUEST, b"x", metadata=metadata)
        self.asked: list[str] = []

    def get(self, key: str) -> str | None:
        self.asked.append(key)
        return super().get(key)


def route(name: str, match: dict[str, object] | None = None, **options: Any) -> Route[Cluster]:
    conditions = [compile_condition(key, spec) for key, spec in (match or {}).items()]
    return Route(name, conditions, [Target(Cluster(name))], **options)


def request(**metadata: str) -> Message:
    return Message(Kind.REQUEST, b"x", metadata=metadata)


def matched(routes: list[Route[Cluster]], message: Message, draws: random.Random | None = None) -> str | None:
    found = RouteTable(routes, draws or NoRandom()).match(message, PEER)
    return found.name if found is not None else None


def test_the_first_of_the_routes_that_match_is_taken() -> None:
    routes = [
        route("a", {"method": "buy"}),
        route("b", {"method": {"prefix": "say"}}),
        route("c", {"method": "sayBye"}),
        route("d", {"method": "look"}),
    ]
    assert [matched(routes, request(method=method)) for method in ("buy", "sayBye", "look", "none")] == [
        "a", "b", "d", None,
    ]  # fmt: skip


def test_every_condition_of_a_route_must_hold() -> None:
    routes = [route("a", {"interface": "Demo", "method": {"prefix": "say"}, "user": "bob"})]
    assert matched(routes, request(interface="Demo", method="sayBye", user="bob")) == "a"
    for other in ({"interface": "X"}, {"method": "buy"}, {"user": "eve"}):
        assert matched(routes, request(**{"interface": "Demo", "method": "sayBye", "user": "bob"} | other)) is None


def test_a_table_without_routes_matches_nothing() -> None:
    assert matched([], request()) is None


def test_routes_with_the_same_keys_in_another_order_are_told_apart() -> None:
    routes = [route("a", {"x": "1", "y": "2"}), route("b", {"y": "1", "x": "2"})]
    assert matched(routes, request(x="1", y="2")) == "a"
    assert matched(routes, request(x="2", y="1")) == "b"


def test_an_exact_route_below_a_wider_one_waits_its_turn() -> None:
    routes = [route("a", {"x": "1", "y": {"prefix": "p"}}), route("b", {"y": "pq"}), route("c", {"x": "1"})]
    assert matched(routes, request(x="1", y="pq")) == "a"
    assert matched(routes, request(x="2", y="pq")) == "b"
    assert matched(routes, request(x="1", y="z")) == "c"


def test_lists_are_looked_up_like_single_values() -> None:
    routes = [route("a", {"x": {"in": ["1", "2"]}, "y": {"in": ["3", "4"]}}), route("b", {"x": "1"})]
    assert [matched(routes, request(x=x, y=y)) for x, y in ("13", "24", "15", "53")] == ["a", "a", "b", None]


def test_lists_that_multiply_to_many_entries_are_tested_instead_of_looked_up() -> None:
    numbers = [str(number) for number in range(40)]
    routes = [route("a", {"x": {"in": numbers}, "y": {"in": numbers}, "z": "1"})]
    assert RouteTable(routes, NoRandom()).describe()[0]["found_by"] == "look-up of x, z, then test of y"
    assert matched(routes, request(x="39", y="0", z="1")) == "a"
    assert matched(routes, request(x="39", y="40", z="1")) is None


def test_two_conditions_on_one_key_must_both_hold() -> None:
    both = [compile_condition("x", "2"), compile_condition("x", {"in": ["1", "2"]})]
    routes = [Route("a", both, [Target(Cluster("a"))])]
    assert matched(routes, request(x="2")) == "a"
    assert matched(routes, request(x="1")) is None


def test_facts_are_read_from_the_connection_and_never_from_the_message() -> None:
    routes = [route("a", {"source.address": {"cidr": "10.0.0.0/8"}}), route("b", {"source.address": "10.9.9.9"})]
    assert matched(routes, request(**{"source.address": "10.9.9.9"})) == "a"
    assert matched(routes[1:], request(**{"source.address": "10.9.9.9"})) is None


def test_keys_are_looked_up_in_lower_case() -> None:
    assert matched([route("a", {"User": "bob"})], request(user="bob")) == "a"


def test_a_condition_for_absence_matches_a_message_without_the_key() -> None:
    routes = [route("a", {"user": {"present": False}}), route("b")]
    assert matched(routes, request()) == "a"
    assert matched(routes, request(user="bob")) == "b"


def test_a_catch_all_alone_looks_at_nothing() -> None:
    message = CountedMessage(method="say")
    assert matched([route("all"), route("never", {"method": "say"})], message) == "all"
    assert message.asked == []


def test_a_thousand_exact_routes_ask_for_two_keys_only() -> None:
    routes = [route(str(i), {"interface": f"Demo{i}", "method": "say"}) for i in range(1000)]
    message = CountedMessage(interface="Demo999", method="say")
    assert matched(routes, message) == "999"
    assert message.asked == ["interface", "method"]


def test_a_key_is_not_asked_for_when_a_route_above_decides() -> None:
    message = CountedMessage(method="say", user="bob")
    assert matched([route("a", {"method": "say"}), route("b", {"user": "bob"})], message) == "a"
    assert message.asked == ["method"]


def test_a_key_is_not_asked_for_when_a_tested_route_above_decides() -> None:
    message = CountedMessage(method="say", user="bob")
    assert matched([route("a", {"method": {"prefix": "s"}}), route("b", {"user": "bob"})], message) == "a"
    assert message.asked == ["method"]


def test_candidates_of_two_look_ups_are_tried_in_the_order_of_the_routes() -> None:
    routes = [
        route("0", {"x": "1", "z": {"prefix": "no"}}),
        route("1", {"y": "1", "z": {"prefix": "no"}}),
        route("2", {"x": "1", "z": {"prefix": "yes"}}),
        route("3", {"y": "1", "z": {"prefix": "yes"}}),
        route("4", {"x": "1"}),
    ]
    assert matched(routes, request(x="1", y="1", z="yes")) == "2"
    assert matched(routes[:2] + routes[3:], request(x="1", y="1", z="yes")) == "3"
    assert matched([*routes[1:2], routes[0], routes[3], routes[2]], request(x="1", y="1", z="yes")) == "3"


def test_only_routes_with_the_right_exact_value_have_their_other_conditions_tested() -> None:
    routes = [route(str(i), {"interface": f"Demo{i}", "method": {"prefix": "say"}}) for i in range(100)]
    message = CountedMessage(interface="Demo50", method="sayBye")
    assert matched(routes, message) == "50"
    assert message.asked == ["interface", "method"]


def test_a_frame_that_can_not_be_decoded_raises_where_a_key_is_missed() -> None:
    def fail(message: Message) -> None:
        raise FrameError("no string at byte 7")

    routes = [route("a", {"method": "say"}), route("b", {"user": "bob"})]
    known = Message(Kind.REQUEST, b"x", metadata={"method": "say"}, more=fail)
    assert matched(routes, known) == "a"
    unknown = Message(Kind.REQUEST, b"x", metadata={"method": "buy"}, more=fail)
    with pytest.raises(FrameError, match="byte 7"):
        matched(routes, unknown)


@pytest.mark.parametrize(("percent", "drawn", "name"), [(25, 0.2499, "a"), (25, 0.25, "b"), (0.5, 0.0051, "b")])
def test_a_percentage_takes_the_draws_below_it(percent: float, drawn: float, name: str) -> None:
    assert matched([route("a", percent=percent), route("b")], request(), Draws(drawn)) == name


def test_no_number_is_drawn_for_all_or_for_nothing_or_before_the_conditions_hold() -> None:
    routes = [route("none", percent=0), route("part", {"x": "1"}, percent=50), route("all", percent=100)]
    assert matched(routes, request(x="2"), NoRandom()) == "all"


def test_percentages_are_drawn_in_the_order_of_the_routes() -> None:
    routes = [
        route("a", {"x": "1"}, percent=50),
        route("b", {"y": "1"}, percent=50),
        route("c", {"x": "1"}, percent=50),
    ]
    draws = Draws(0.9, 0.8, 0.1)
    assert matched(routes, request(x="1", y="1"), draws) == "c"
    assert draws.left == []


def test_a_quarter_of_what_matches_is_a_quarter() -> None:
    table = RouteTable([route("canary", percent=25), route("rest")], random.Random(5))
    count = sum(present(table.match(request(), PEER)).name == "canary" for _ in range(20_000))
    assert abs(count - 5000) < 4.9 * math.sqrt(20_000 * 0.25 * 0.75)  # one seed in a million fails


def test_one_target_costs_no_random_number() -> None:
    only = route("a")
    RouteTable([only], NoRandom())
    assert only.pick() is only.targets[0]


def test_targets_are_picked_by_weight() -> None:
    weights = {"v1": 90, "v2": 9, "none": 0, "v3": 1}
    split = Route("a", targets=[Target(Cluster(name), weight) for name, weight in weights.items()])
    RouteTable([split], random.Random(6))
    counts = Counter(split.pick().name for _ in range(50_000))
    for name, weight in weights.items():
        share = weight / 100
        # 4.9 standard deviations: one seed in a million fails.
        assert abs(counts[name] - 50_000 * share) <= 4.9 * math.sqrt(50_000 * share * (1 - share)), name


@pytest.mark.parametrize(("drawn", "name"), [(0.0, "b"), (0.49, "b"), (0.5, "c"), (1 - 2**-53, "c")])
def test_a_target_of_weight_0_is_never_picked(drawn: float, name: str) -> None:
    split = Route(
        "r", targets=[Target(Cluster(name), weight) for name, weight in zip("abcd", (0, 1, 1, 0), strict=True)]
    )
    RouteTable([split], Draws(drawn))
    assert split.pick().name == name


@pytest.mark.parametrize("weights", [(0, 0), (0,), (2, -1)])
def test_weights_that_leave_nothing_to_pick_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one must be above 0, none below"):
        Route("a", targets=[Target(Cluster("c"), weight) for weight in weights])


def test_a_route_that_neither_forwards_nor_replies_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write cluster: NAME, or reply: \{error: not_found\}"):
        Route("a")


def test_a_reply_needs_no_target_and_is_counted_apart() -> None:
    refusing: Route[Cluster] = Route("a", reply=Reply(ErrorKind.DENIED, "gone"))
    assert refusing.reply_target.name == "-"
    assert isinstance(refusing.reply_target.counts, TargetCounts)
    assert matched([refusing], request()) == "a"


def test_counts_given_to_a_target_are_the_ones_that_count() -> None:
    counts = TargetCounts()
    assert Target(Cluster("a"), 1, counts).counts is counts


def test_an_explanation_tells_of_every_route_why() -> None:
    table = RouteTable(
        [
            route("a", {"method": {"prefix": "say"}}),
            route("b", {"user": "bob"}),
            route("c", {"source.address": "10.1.2.3"}, percent=25),
            route("d", {"method": "buy"}),
            route("e"),
        ],
        NoRandom(),
    )
    assert table.explain(request(method="buy"), PEER) == [
        ("a", False, "method: prefix \"say\" wanted, it is 'buy'"),
        ("b", False, 'user: exact "bob" wanted, there is none'),
        ("c", True, "all conditions hold; takes 25 % of such requests"),
        ("d", True, "all conditions hold"),
        ("e", True, "no conditions, but d comes first"),
    ]


def test_an_explanation_shows_the_beginning_of_a_long_value_only() -> None:
    ((_, _, reason),) = RouteTable([route("a", {"key": "x"})], NoRandom()).explain(request(key="y" * 10_000), PEER)
    assert len(reason) < 400


def test_a_description_shows_what_was_compiled() -> None:
    full = route(
        "canary",
        {"method": {"prefix": "say", "not": True}, "user": "bob"},
        percent=25,
        timeout=2.0,
        hash_keys=["user"],
        subset={"version": "v2"},
        request=Mutation({"tenant": "blue"}, ("debug",)),
        response=Mutation({"served-by": "x"}),
    )
    table = RouteTable(
        [full, Route("gone", reply=Reply(ErrorKind.NOT_FOUND, "gone")), route("late", {"user": "eve"})], NoRandom()
    )
    described = table.describe()
    assert [one for one, _ in table.described(0, 1)] == described[:1]
    assert [(one, route) for one, route in table.described(1, 99)] == list(
        zip(described[1:], table.routes[1:], strict=True)
    )
    assert json.loads(json.dumps(described)) == described == [
        {
            "name": "canary",
            "match": {"method": {"prefix": "say", "not": True}, "user": {"exact": "bob"}},
            "percent": 25,
            "clusters": {"canary": 1},
            "timeout": 2.0,
            "hash": ["user"],
            "subset": {"version": "v2"},
            "request": {"set": {"tenant": "blue"}, "remove": ["debug"]},
            "response": {"set": {"served-by": "x"}, "remove": []},
            "found_by": "look-up of user, then test of method, then draw",
        },
        {"name": "gone", "reply": {"error": "not_found", "message": "gone"}, "found_by": "always"},
        {
            "name": "late",
            "match": {"user": {"exact": "eve"}},
            "clusters": {"late": 1},
            "found_by": "never: a route above takes everything",
        },
    ]  # fmt: skip


def test_a_description_keeps_both_conditions_on_one_key_and_names_policies() -> None:
    both = [compile_condition("x", {"prefix": "a"}), compile_condition("x", {"suffix": "b"})]
    (described,) = RouteTable(
        [Route("a", both, [Target(Cluster("c"))], retry="twice", mirror="shadow")], NoRandom()
    ).describe()
    assert described["match"] == {"x": [{"prefix": "a"}, {"suffix": "b"}]}
    assert (described["retry"], described["mirror"]) == ("twice", "shadow")


def test_routes_and_targets_read_well() -> None:
    assert repr(route("a", {"x": "1"})) == 'Route(a, [Condition(x: exact "1")], [Target(a, 1)])'


# -- actions


def same(exchange: Any) -> None: ...


def test_routes_that_do_the_same_share_an_action() -> None:
    hooks, table = (same,), SharedActions()
    routes: list[Route[None]] = [
        Route(name, targets=[Target(None)], timeout=timeout, hash_keys=["user"], on_request=hooks)
        for name, timeout in (("a", 1.0), ("b", 1.0), ("c", 2.0))
    ]
    for route in routes:
        table.share(route)
    assert routes[0].action is routes[1].action is not routes[2].action
    assert [route.timeout for route in routes] == [1.0, 1.0, 2.0]
    assert all(route.on_request is hooks and route.hash_keys == ("user",) for route in routes)


@pytest.mark.parametrize("what", ["subset", "request", "reply", "retry", "mirror", "sticky", "on_complete", "on_chunk"])
def test_routes_that_do_different_things_share_none(what: str) -> None:
    table = SharedActions()
    values = {"subset": {"version": "2"}, "on_complete": (same,), "on_chunk": (same,)}
    own: dict[str, Any] = {what: values.get(what, object())}
    one: Route[None] = Route("one", targets=[Target(None)])
    other: Route[None] = Route("other", targets=[Target(None)], **own)
    for route in (one, other):
        table.share(route)
    assert one.action is not other.action


def test_what_is_set_on_a_route_is_set_on_no_other() -> None:
    table = SharedActions()
    routes: list[Route[None]] = [Route(name, targets=[Target(None)], timeout=3.0) for name in "ab"]
    for route in routes:
        table.share(route)
    routes[0].on_complete = (same,)
    assert [route.on_complete for route in routes] == [(same,), ()]
    assert [route.timeout for route in routes] == [3.0, 3.0]


def test_actions_in_common_are_changed_once_and_stay_in_common() -> None:
    table, changed = SharedActions(), []
    routes: list[Route[None]] = [Route(name, targets=[Target(None)]) for name in "abc"]
    routes[2].timeout = 2.0
    for route in routes:
        table.share(route)

    def change(action: RouteAction) -> RouteAction:
        changed.append(action)
        return action.changed(on_complete=(same,))

    change_actions(routes, change)
    assert len(changed) == 2 and routes[0].action is routes[1].action is not routes[2].action
    assert [(route.on_complete, route.timeout) for route in routes] == [
        ((same,), None),
        ((same,), None),
        ((same,), 2.0),
    ]


def test_other_work_may_go_on_between_the_routes_of_a_table() -> None:
    places: list[int] = []
    routes: list[Route[None]] = [Route(name, targets=[Target(None)]) for name in "abc"]
    RouteTable(routes, random.Random(), lambda: places.append(1))
    assert len(places) == 3
