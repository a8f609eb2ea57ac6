"""
The routes of a listener, compiled: which one a request takes, and which of its targets.

Lives here: `Target`, `Route`, `RouteTable`, `SharedActions`, `change_actions`. Does not: what a single condition means
(`matcher`), how a route is found (`index`); clusters, filters and retries, which a route only carries for those who
act on it.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from metaproxy.counts import TargetCounts
from metaproxy.message import Message, Mutation, Reply, Side
from metaproxy.routing.chosen import ChosenRoute, ChosenTarget, RouteAction
from metaproxy.routing.index import WEIGHTS, Entry, KeyIndex, RouteIndex, Sticky
from metaproxy.routing.matcher import Condition
from metaproxy.support.words import words

MAX_KEYS = 256
"""Entries that one route may take in an index; `in` lists that multiply to more are tested one by one instead."""

MAX_SHOWN = 256
"""Characters of a value that an explanation repeats; the value itself may be as long as a frame."""

LOW, NORMAL, HIGH = range(3)
PRIORITIES = ("low", "normal", "high")
"""Of routes: requests of the first are refused first while the process is overloaded."""

Hook = Callable[[Any], object]
"""A filter's bound hook. It is handed the proxy's exchange, of which this room knows nothing."""
ChunkHook = Callable[..., object]
HeadHook = Callable[[Any, Side], object]


def nothing() -> None:
    """What `between` does by default."""


class Named(Protocol):
    """What a target leads to."""

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound="Named | None")
"""What targets lead to: clusters; None for a route's own replies."""
T = TypeVar("T")


class Target(ChosenTarget, Generic[C]):
    """
    Where a route sends its share. cluster: None for the route's own replies; weight: its
    part of the sum of weights, 0 for none; counts: of the exchanges that went there; fallback: the target to try when
    the cluster has no usable endpoint.
    """

    __slots__ = ()
    cluster: C
    fallback: Target[C] | None

    def __init__(
        self, cluster: C, weight: int = 1, counts: TargetCounts | None = None, fallback: Target[C] | None = None
    ) -> None:
        self.cluster = cluster
        self.weight = weight
        self.counts = counts or TargetCounts()
        self.fallback = fallback

    @property
    def name(self) -> str:
        """The cluster's name; '-' for the route's own replies."""
        return self.cluster.name if self.cluster is not None else "-"

    def __repr__(self) -> str:
        return f"Target({self.name}, {self.weight})"


class Acting(Generic[T]):
    """An attribute of a route's action. To set it gives the route an action of its own."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, route: ChosenRoute, owner: type) -> T:
        value: T = getattr(route.action, self._name)
        return value

    def __set__(self, route: ChosenRoute, value: T) -> None:
        route.action = route.action.changed(**{self._name: value})


class Route(ChosenRoute, Generic[C]):
    """
    One entry of `routes:`, resolved. Raises ValueError without a target or a reply, or when all weights are 0.

    conditions: all must hold; percent: the share of what matches that it takes, the rest goes on to the next route;
    timeout: seconds, None for the cluster's; hash_keys: metadata keys, () for the balancer's; subset: the metadata that
    endpoints must have; request, response: mutations; reply: the answer in place of forwarding, counted at
    reply_target, as are the proxy's own errors; only_target: of targets, None where there are several or none;
    on_request, on_response, on_chunk, on_complete: the bound hooks of the filters in the order of their calls; on_head:
    called with (exchange, side) when the head of a stream went on to the server, or to the client: for those who look
    on; retry, mirror: policies, made with the snapshot; split_by_hash: what draws in place of chance, so that a caller
    stays where it is; priority: its place in PRIORITIES.
    """

    __slots__ = ()
    targets: tuple[Target[C], ...]
    hash_keys = Acting[tuple[str, ...]]()
    mirror = Acting[object]()
    on_chunk = Acting[tuple[ChunkHook, ...]]()
    on_complete = Acting[tuple[Hook, ...]]()
    on_head = Acting[tuple[HeadHook, ...]]()
    on_request = Acting[tuple[Hook, ...]]()
    on_response = Acting[tuple[Hook, ...]]()
    reply = Acting[Reply | None]()
    request = Acting[Mutation | None]()
    response = Acting[Mutation | None]()
    retry = Acting[object]()
    split_by_hash = Acting[Sticky | None]()
    subset = Acting[dict[str, str] | None]()
    timeout = Acting[float | None]()

    def __init__(
        self,
        name: str,
        conditions: Sequence[Condition] = (),
        targets: Sequence[Target[C]] = (),
        percent: float = 100.0,
        timeout: float | None = None,
        hash_keys: Sequence[str] = (),
        subset: Mapping[str, str] | None = None,
        request: Mutation | None = None,
        response: Mutation | None = None,
        reply: Reply | None = None,
        reply_target: Target[None] | None = None,
        on_request: tuple[Hook, ...] = (),
        on_response: tuple[Hook, ...] = (),
        on_chunk: tuple[ChunkHook, ...] = (),
        on_complete: tuple[Hook, ...] = (),
        retry: object = None,
        mirror: object = None,
        sticky: Sticky | None = None,
        priority: int = NORMAL,
    ) -> None:
        self._bounds = tuple(accumulate(target.weight for target in targets))
        if targets and (min(target.weight for target in targets) < 0 or not self._bounds[-1]):
            raise ValueError(
                f"weights {[target.weight for target in targets]}; at least one must be above 0, none below"
            )
        if not targets and reply is None:
            raise ValueError("neither a cluster nor a reply; write cluster: NAME, or reply: {error: not_found}")
        self.name = name
        self.conditions = tuple(conditions)
        self.targets = tuple(targets)
        self.only_target = self.targets[0] if len(self.targets) == 1 else None
        self.percent = percent
        self.reply_target = reply_target if reply_target is not None else Target(None)
        self.priority = priority
        self.action = action = RouteAction()
        action.timeout = timeout
        action.hash_keys = hash_keys if isinstance(hash_keys, tuple) else tuple(hash_keys)
        action.subset = dict(subset) if subset is not None else None
        action.request = request
        action.response = response
        action.reply = reply
        action.on_request = on_request
        action.on_response = on_response
        action.on_chunk = on_chunk
        action.on_complete = on_complete
        action.on_head = ()
        action.retry = retry
        action.mirror = mirror
        action.split_by_hash = sticky
        self._uniform = random.random

    def draw_with(self, uniform: Callable[[], float]) -> None:
        """Have `pick` draw its numbers of [0, 1) with `uniform`."""
        self._uniform = uniform

    if TYPE_CHECKING:

        def pick(self) -> Target[C]: ...

    def stick(self, get: Callable[[str], str | None], facts: Mapping[str, str]) -> Target[C]:
        """As `pick`, for a route with `sticky`. May raise FrameError."""
        draw = (
            self.split_by_hash(get, facts, WEIGHTS)
            if self.split_by_hash is not None and len(self.targets) > 1
            else None
        )
        if draw is None:
            return self.pick()
        return self.targets[bisect_right(self._bounds, draw * self._bounds[-1], 0, len(self._bounds) - 1)]

    def all_targets(self) -> list[Target[C] | Target[None]]:
        """Where its exchanges may be counted: its targets with what each falls back to, and its own replies."""
        found: list[Target[C] | Target[None]] = []
        for target in self.targets:
            one: Target[C] | None = target
            while one is not None:
                found.append(one)
                one = one.fallback
        found.append(self.reply_target)
        return found

    def describe(self) -> dict[str, object]:
        """The route as JSON has it, with only what it was given."""
        shown: dict[str, object] = {"name": self.name}
        if self.conditions:
            specs: dict[str, list[object]] = {}
            for condition in self.conditions:
                specs.setdefault(condition.name, []).append(dict(condition.spec))
            # Resources of a control plane may ask two things of one key; a configuration file can't.
            shown["match"] = {name: found[0] if len(found) == 1 else found for name, found in specs.items()}
        if self.percent < 100:
            shown["percent"] = self.percent
        if self.targets:
            shown["clusters"] = {target.name: target.weight for target in self.targets}
        if self.reply is not None:
            shown["reply"] = {"error": self.reply.kind and self.reply.kind.value, "message": self.reply.text}
        if self.timeout is not None:
            shown["timeout"] = self.timeout
        if self.hash_keys:
            shown["hash"] = list(self.hash_keys)
        if self.subset is not None:
            shown["subset"] = dict(self.subset)
        if self.priority != NORMAL:
            shown["priority"] = PRIORITIES[self.priority]
        for name, mutation in (("request", self.request), ("response", self.response)):
            if mutation is not None:
                shown[name] = {"set": dict(mutation.set), "remove": list(mutation.remove)}
        for name, policy in (("retry", self.retry), ("mirror", self.mirror), ("sticky", self.split_by_hash)):
            if policy is not None:
                shown[name] = words(policy)
        return shown

    def __repr__(self) -> str:
        return f"Route({self.name}, {list(self.conditions)}, {list(self.targets)})"


def change_actions(routes: Iterable[ChosenRoute], change: Callable[[RouteAction], RouteAction]) -> None:
    """Give routes what `change` makes of their actions; those that have one in common still do."""
    changed: dict[RouteAction, RouteAction] = {}
    for route in routes:
        action = route.action
        found = changed.get(action)
        if found is None:
            found = changed[action] = change(action)
        route.action = found


class SharedActions:
    """The actions of a listener's routes, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], RouteAction] = {}

    def share(self, route: ChosenRoute) -> None:
        """Give it the action of a route before that does the same, if there is one."""
        action = route.action
        key = (action.timeout, action.hash_keys, *map(id, _OBJECTS(action)))
        route.action = self._known.setdefault(key, action)


_OBJECTS = attrgetter(*(name for name in RouteAction.__slots__ if name not in ("timeout", "hash_keys")))
"""What is the same where it is one object."""


class RouteTable(RouteIndex, Generic[C]):
    """
    First match wins. Gives its routes `random` to draw with; a route belongs to one table. between: called where other
    work may go on while it is made.

    What it costs is given by the number of different sets of keys that routes compare with exact values or `in` lists,
    and by the routes with other conditions that no exact one tells apart; not by the number of routes.
    """

    __slots__ = ("_end", "ranked", "routes")

    def __init__(
        self, routes: Sequence[Route[C]], random: random.Random, between: Callable[[], None] = nothing
    ) -> None:
        super().__init__(random.random)
        self.routes = tuple(routes)
        self.ranked = any(route.priority != NORMAL for route in routes)
        self._end = sys.maxsize  # the place of a route that takes whatever comes to it
        by_keys: dict[frozenset[tuple[str, bool]], KeyIndex] = {}
        for place, route in enumerate(self.routes):
            between()
            route.draw_with(random.random)
            self._add(by_keys, place, route)
        # A route of this kind at the top is all that a table ever answers.
        top = self.routes[0] if self.routes else None
        self._always = top if top is not None and not top.conditions and top.percent >= 100 else None

    if TYPE_CHECKING:

        def match(self, message: Message, facts: Mapping[str, str]) -> Route[C] | None: ...

    def explain(self, message: Message, facts: Mapping[str, str]) -> list[tuple[str, bool, str]]:
        """
        For each route its name, whether its conditions hold, and why it was or wasn't taken. A `percent` is named, not
        drawn. Raises FrameError as `match` does.
        """
        explained: list[tuple[str, bool, str]] = []
        taken = ""
        for route in self.routes:
            failed = next((f for f in (_failure(c, message, facts) for c in route.conditions) if f), "")
            if failed:
                explained.append((route.name, False, failed))
                continue
            reason = "all conditions hold" if route.conditions else "no conditions"
            if taken:
                reason += f", but {taken} comes first"
            elif route.percent < 100:
                reason += f"; takes {route.percent:g} % of such requests"
            else:
                taken = route.name
            explained.append((route.name, True, reason))
        return explained

    def describe(self) -> list[dict[str, object]]:
        """The routes in order as JSON has them, each with how it is found."""
        return [described for described, _ in self.described(0, len(self.routes))]

    def described(self, start: int, stop: int) -> list[tuple[dict[str, object], Route[C]]]:
        """The routes from `start` up to `stop`, each with what `describe` has of it: all may be too many at once."""
        places = range(start, min(stop, len(self.routes)))
        routes = [(place, self.routes[place]) for place in places]
        return [(route.describe() | {"found_by": self._found_by(place)}, route) for place, route in routes]

    def _found_by(self, place: int) -> str:
        """How a route is found."""
        if place > self._end:
            return "never: a route above takes everything"
        route = self.routes[place]
        listed, rest = _split(route.conditions)
        keys = next(index.keys for index in self._indexes if set(index.keys) == listed.keys())
        how = [f"look-up of {', '.join(name for name, _ in keys)}"] if listed else []
        if rest:
            how.append(f"test of {', '.join(condition.name for condition in rest)}")
        if route.percent < 100:
            how.append("draw")
        return ", then ".join(how) or "always"

    def _add(self, by_keys: dict[frozenset[tuple[str, bool]], KeyIndex], place: int, route: Route[C]) -> None:
        """Puts a route into the index of its keys."""
        if place > self._end:
            return
        listed, rest = _split(route.conditions)
        index = by_keys.get(frozenset(listed))
        if index is None:
            # The keys are asked in the order in which the first of the routes has them.
            index = by_keys[frozenset(listed)] = KeyIndex(tuple(listed), place)
            self.append(index)
        tests = tuple((condition.name, condition.fact, condition.test) for condition in rest)
        entry = Entry(place, route, tests, route.percent / 100.0, route.split_by_hash)
        index.add(entry, [sorted(listed[key]) for key in index.keys])
        if not listed and entry.sure:
            self._end = place


def _split(conditions: Sequence[Condition]) -> tuple[dict[tuple[str, bool], frozenset[str]], tuple[Condition, ...]]:
    """What an index can answer, as (name, fact) -> values, and the conditions that are left to be tested."""
    listed: dict[tuple[str, bool], frozenset[str]] = {}
    rest: list[Condition] = []
    size = 1
    for condition in conditions:
        key = condition.name, condition.fact
        if condition.values is None or key in listed or size * len(condition.values) > MAX_KEYS:
            rest.append(condition)
        else:
            listed[key] = condition.values
            size *= len(condition.values)
    return listed, tuple(rest)


def _failure(condition: Condition, message: Message, facts: Mapping[str, str]) -> str:
    """Why a condition doesn't hold, or ''."""
    value = facts.get(condition.name) if condition.fact else message.get(condition.name)
    if condition.test(value):
        return ""
    found = f"it is {value[:MAX_SHOWN]!r}" if value is not None else "there is none"
    return f"{condition} wanted, {found}"
