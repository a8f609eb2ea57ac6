"""What holds of the control plane's server whatever happens in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_client import ALL, MAKERS, Client, Silent, cluster, endpoints, listener, publish, routes
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from examples import examples
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from metaproxy.control.content import Content
from metaproxy.control.documents import Document
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_NAME, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES
from metaproxy.control.server import Control
from metaproxy.control.snapshot import difference, snapshot

BAD = 7
NAMES = ["a", "b", "c", "d"]
WILD = [CLUSTERS, LISTENERS]

kinds = st.sampled_from([CLUSTERS, ENDPOINTS, LISTENERS, ROUTES])
values = st.one_of(st.integers(0, 3), st.just(BAD))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), kinds, st.sampled_from(NAMES), values),
        st.tuples(st.just("remove"), kinds, st.sampled_from(NAMES)),
        st.tuples(st.just("want"), kinds, st.sets(st.sampled_from(NAMES))),
        st.tuples(st.just("to_server")),
        st.tuples(st.just("to_client")),
        st.tuples(st.just("reconnect"), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.floats(0.1, 5)),
    ),
    max_size=60,
)
World = dict[str, dict[str, Message]]


def is_bad(message: Message) -> bool:
    return message in [maker(name, BAD) for maker in MAKERS.values() for name in NAMES]


class Play:
    """Two servers of one source, and a client that is with one of them."""

    def __init__(self, delta: bool) -> None:
        self.clock = Clock()
        self.controls = [Control(self.clock, Silent()), Control(self.clock, Silent())]
        self.world: World = {url: {} for url in MAKERS}
        self.client = Client(delta, is_bad)
        for kind in WILD:
            self.client.want(kind, [ALL])
        for kind in (ENDPOINTS, ROUTES):
            self.client.want(kind, NAMES[:2])
        self.client.connect(self.controls[0])

    def step(self, what: str, *rest: Any) -> None:
        if what == "set":
            kind, name, value = rest
            self.world[kind.url][name] = MAKERS[kind.url](name, value)
        elif what == "remove":
            kind, name = rest
            self.world[kind.url].pop(name, None)
        elif what == "want":
            kind, names = rest
            self.client.want(kind, names if kind not in WILD else [ALL])
        elif what == "reconnect":
            self.client.connect(self.controls[rest[0]])
        elif what == "wait":
            self.clock.advance(rest[0])
        elif what == "to_server":
            self.client.to_server()
        else:
            self.client.to_client()
        if what in ("set", "remove"):
            for control in self.controls:
                publish(control, {url: dict(found) for url, found in self.world.items()})

    def end(self) -> None:
        """Everything arrives, and what is gone has had the time to be removed."""
        for _ in range(4):
            self.client.settle(2000)
            self.clock.advance(10)
        self.client.settle(2000)


@examples(200)
@given(st.booleans(), steps)
def test_in_the_end_a_client_has_what_the_server_has_whatever_it_asked_accepted_and_refused(
    delta: bool, steps: list[Any]
) -> None:
    play = Play(delta)
    for step in steps:
        play.step(*step)
    play.end()
    # Who refuses a listener or routes runs older ones, which may need what is gone.
    older = any(is_bad(one) for kind in (LISTENERS, ROUTES) for one in play.world[kind.url].values())
    for url, there in play.world.items():
        wanted = play.client.names[url]
        should = {name: one for name, one in there.items() if ALL in wanted or name in wanted}
        good = {name: one for name, one in should.items() if not is_bad(one)}
        has = play.client.has.get(url, {})
        whole = not delta and url in (CLUSTERS.url, LISTENERS.url)
        assert not any(map(is_bad, has.values()))
        # A whole response with one that is bad is refused as a whole.
        if not whole or good == should:
            assert {name: has.get(name) for name in good} == good
        if not older and (delta or (whole and good == should)):
            assert has.keys() - should.keys() == set()


@examples(50)
@given(st.booleans(), steps)
def test_what_a_client_refused_is_not_sent_again_before_it_changes(delta: bool, steps: list[Any]) -> None:
    play = Play(delta)
    for step in steps:
        play.step(*step)
    play.end()
    sent = play.client.responses
    for _ in range(3):
        play.step("wait", 60.0)
        play.end()
    assert play.client.responses == sent


meshes = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1).flatmap(
    lambda clusters: st.tuples(
        st.just(clusters), st.dictionaries(st.sampled_from(["r", "s"]), st.sampled_from(sorted(clusters)))
    )
)


moves = st.lists(st.sampled_from(["to_client", "to_client", "to_server", "to_server", "away"]), max_size=40)


def mesh(clusters: Mapping[str, int], targets: Mapping[str, str]) -> World:
    """A state in which each route leads to a cluster that there is."""
    return {
        CLUSTERS.url: {name: cluster(name, value) for name, value in clusters.items()},
        ENDPOINTS.url: {name: endpoints(name) for name in clusters},
        LISTENERS.url: {name: listener(name) for name in targets},
        ROUTES.url: {name: routes(name, cluster=target) for name, target in targets.items()},
    }


BACK = [
    (({"a": 0}, {"r": "a"}), ["away"]),
    (({"b": 1}, {}), ["to_client"]),
    (({"a": 0}, {}), []),
    (({"b": 1}, {"r": "b"}), []),
]
"""A cluster goes while it is on its way to a client, and comes back."""


@examples(60)
@given(st.booleans(), st.lists(st.tuples(meshes, moves), min_size=1, max_size=6))
@example(False, BACK)
@example(True, BACK)
def test_no_client_ever_has_a_route_to_a_cluster_that_it_has_not(delta: bool, meshes: list[Any]) -> None:
    clock = Clock()
    control = Control(clock, Silent())
    client = Client(delta, follows=True)
    client.want(CLUSTERS, [ALL])
    client.want(ENDPOINTS, [])
    client.want(LISTENERS, [ALL])
    client.want(ROUTES, [])
    client.connect(control)

    def check() -> None:
        has = {name: client.has.get(kind.url, {}) for name, kind in BY_NAME.items()}
        for one in has["routes"].values():
            assert isinstance(one, RouteConfiguration)
            target = one.virtual_hosts[0].routes[0].route.cluster
            assert target in has["clusters"]
            assert target in has["endpoints"]

    away = False
    for (clusters, targets), between in meshes:
        publish(control, mesh(clusters, targets))
        if away:
            client.connect(control)
        away = False
        for move in between:  # as many messages, in this order, before the next change
            if move == "away":  # until the next change; what it has accepted is known
                client.settle()
                client.disconnect()
                away = True
                break
            if move == "to_client":
                client.to_client() or client.to_server()
            else:
                client.to_server() or client.to_client()
            check()
    if away:
        client.connect(control)
    while client.to_server() or client.to_client():
        check()
    for _ in range(2):
        clock.advance(10)
        while client.to_server() or client.to_client():
            check()
    (clusters, _), _ = meshes[-1]
    assert client.has[CLUSTERS.url].keys() == clusters.keys()


PATHS = ["a.yaml", "b.yaml", "groups/g/a.yaml", "versions/v/a.yaml", "versions/v/groups/g/a.yaml"]
texts = st.dictionaries(st.sampled_from(PATHS), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)))


def document(path: str, clusters: Mapping[str, int]) -> Document:
    return Document(path, {CLUSTERS.url: {name: cluster(name, value) for name, value in clusters.items()}})


@examples(100)
@given(st.lists(texts, min_size=1, max_size=6))
def test_a_content_that_follows_another_serves_what_it_would_serve_alone(states: list[Any]) -> None:
    before: Content | None = None
    known: dict[tuple[str, str], Document] = {}
    for state in states:
        documents = {
            path: known.setdefault((path, str(sorted(found.items()))), document(path, found))
            for path, found in state.items()
        }
        after, alone = Content(documents, before), Content(documents)
        assert bool(after.problems) == bool(alone.problems)
        if after.problems:
            continue  # it is refused, and the one before stays
        assert (after.versions, after.groups) == (alone.versions, alone.groups)
        for version in ("", "v"):
            for group in ("", "g"):
                node = Node("n", group)
                found, should = after.snapshot(version, node), alone.snapshot(version, node)
                assert found.version == should.version
                assert found.types.keys() == should.types.keys()
                if before is not None:
                    assert difference(before.snapshot(version, node), found) == {
                        url: names for url, names in difference(before.snapshot(version, node), should).items() if names
                    }
        after.settle()
        before = after


@given(st.dictionaries(st.sampled_from(NAMES), values), st.permutations(NAMES))
def test_versions_are_of_the_content_alone(content: Mapping[str, int], order: list[str]) -> None:
    one = snapshot({CLUSTERS.url: {name: cluster(name, value) for name, value in content.items()}})
    shuffled = {name: cluster(name, content[name]) for name in order if name in content}
    other = snapshot({CLUSTERS.url: shuffled})
    assert one.version == other.version
    assert one.versions == other.versions
