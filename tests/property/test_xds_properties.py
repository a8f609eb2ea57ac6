"""
Whatever order, loss and cutting of streams: the client ends in the server's last state, and every response that reaches
it is answered once.
"""

from __future__ import annotations

from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st
from xds_stage import CLUSTERS, ROUTES, XdsStage, cluster, packed, routes

from metaproxy.xds.resource_types import ResourceType

NAMES = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(NAMES), st.integers(1, 4)),
        st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.just("want"), st.sets(st.sampled_from(NAMES)), st.just(0)),
        st.tuples(st.just("push"), st.just(""), st.just(0)),
        st.tuples(st.just("lose"), st.just(""), st.just(0)),
        st.tuples(st.just("cut"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 40)),
        st.tuples(st.just("refuse"), st.sets(st.sampled_from(NAMES)), st.just(0)),
        st.tuples(st.just("slow"), st.just(""), st.just(0)),
    ),
    min_size=12,
    max_size=40,
)


def message(kind: ResourceType, name: str, value: int) -> Any:
    return cluster(name, value) if kind is CLUSTERS else routes(name, f"cluster-{value}")


class ModelServer:
    """
    What a control plane does, by the rules of the protocol: it answers a request that has no nonce, or the last nonce
    with other names or another version; it leaves one that has an old nonce. strict: at the begin of a stream it looks
    at the version alone.
    """

    def __init__(self, kind: ResourceType, is_delta: bool, strict: bool) -> None:
        self.kind = kind
        self.is_delta = is_delta
        self.strict = strict
        self.state: dict[str, int] = {}
        self.version = 0
        self.forget()

    def forget(self) -> None:
        """A stream is new."""
        self.nonce = 0
        self.names: set[str] = set()
        self.asked = False
        self.answered: set[str] = set()
        self.sent: dict[str, str] = {}  # of the incremental protocol: versions that the client has
        self.due = False
        self.answers: list[str] = []
        self.sent_nonces: list[str] = []

    def wanted(self) -> dict[str, int]:
        every = self.kind.wildcard
        return {name: value for name, value in self.state.items() if every or name in self.names}

    def hear(self, request: Any) -> Any | None:
        """Return the response to a request, if there is one to make."""
        return self._hear_delta(request) if self.is_delta else self._hear(request)

    def _hear(self, request: Any) -> Any | None:
        if request.response_nonce and request.response_nonce != str(self.nonce):
            if request.response_nonce in self.sent_nonces:
                self.answers.append(request.response_nonce)
            return None
        if self.due and request.response_nonce:
            accepted = request.version_info == self.offered
            assert accepted or request.HasField("error_detail"), "neither accepted nor refused"
            self.answers.append(request.response_nonce)
            self.due = False
        names, first = set(request.resource_names), not self.asked
        fresh = (
            bool((names - self.answered) & set(self.state)) and not self.kind.wildcard and not (first and self.strict)
        )
        self.names, self.asked = names, True
        if request.HasField("error_detail") and not fresh:
            return None
        return self.push() if fresh or request.version_info != str(self.version) else None

    def _hear_delta(self, request: Any) -> Any | None:
        if request.response_nonce:
            self.answers.append(request.response_nonce)
            self.due = False
        if not self.asked:
            self.sent = dict(request.initial_resource_versions)
        self.asked = True
        self.names |= set(request.resource_names_subscribe)
        for name in request.resource_names_unsubscribe:
            self.names.discard(name)
            self.sent.pop(name, None)
        return self.push()

    def push(self) -> Any | None:
        """Return a response with the state, or nothing where the client has it."""
        if not self.asked:
            return None
        if self.is_delta:
            wanted = self.wanted()
            more = {name: value for name, value in wanted.items() if self.sent.get(name) != str(value)}
            gone = [name for name in self.sent if name not in wanted]
            if not more and not gone:
                return None
            self._next()
            made = discovery_pb2.DeltaDiscoveryResponse(
                type_url=self.kind.url, nonce=str(self.nonce), removed_resources=gone
            )
            for name, value in more.items():
                made.resources.add(name=name, version=str(value), resource=packed(message(self.kind, name, value)))
                self.sent[name] = str(value)
            for name in gone:
                del self.sent[name]
            return made
        self._next()
        self.offered = str(self.version)
        self.answered |= set(self.wanted())
        resources = [packed(message(self.kind, name, value)) for name, value in self.wanted().items()]
        return discovery_pb2.DiscoveryResponse(
            type_url=self.kind.url, version_info=str(self.version), nonce=str(self.nonce), resources=resources
        )

    def _next(self) -> None:
        self.nonce += 1
        self.due = True
        self.sent_nonces.append(str(self.nonce))


class XdsPlay:
    """A client and the model of a server, with a wire between them that may lose what is on it with its stream."""

    def __init__(self, kind: ResourceType, is_delta: bool, strict: bool) -> None:
        self.kind = kind
        self.server = ModelServer(kind, is_delta, strict)
        self.stage = XdsStage(kind, delta=is_delta, names={} if kind.wildcard else {kind.name: ["a"]})
        self.streams = 1
        self.heard: list[str] = []
        self.refused = False

    def step(self, what: str, name: Any, value: int) -> None:
        server, stage = self.server, self.stage
        if what == "set" and server.state.get(name) != value:
            server.state[name] = value
            server.version += 1
            self.flow(server.push())
        elif what == "delete" and server.state.pop(name, None) is not None:
            server.version += 1
            self.flow(server.push())
        elif what == "want" and not self.kind.wildcard:
            stage.want(self.kind, *sorted(name))
            self.flow()
        elif what == "push":
            self.flow(server.push())
        elif what == "lose":
            server.push()  # it is on its way as the stream ends
            self.cut()
        elif what == "cut":
            self.cut()
        elif what == "wait":
            stage.clock.advance(value)
            self.flow()
        elif what == "refuse":
            self.refused = True
            stage.sink.refused = dict.fromkeys(name, "no")
        elif what == "slow":
            stage.sink.waits = not stage.sink.waits
        if not stage.sink.waits:
            while stage.sink.waiting:
                stage.sink.go_on()
        self.flow()

    def flow(self, response: Any | None = None) -> None:
        """Carry what is on the wire until nothing is."""
        if len(self.stage.streams) != self.streams:
            self.streams = len(self.stage.streams)
            self.server.forget()
            self.heard = []
            response = None
        stream = self.stage.stream
        if stream.closed:
            return
        while True:
            if response is not None:
                self.heard.append(response.nonce)
                stream.say(response)
            if not stream.sent:
                break
            response = self.server.hear(stream.sent.pop(0))

    def cut(self) -> None:
        if not self.stage.stream.closed:
            self.stage.stream.end()

    def settle(self) -> None:
        """Let all that waits happen, and the server send what it has."""
        self.stage.sink.refused = {}
        self.stage.sink.waits = False
        while self.stage.sink.waiting:
            self.stage.sink.go_on()
        self.flow()
        if self.refused:  # what was refused comes again with a change, or with a stream
            self.cut()
        for _ in range(4):
            self.stage.clock.advance(31)
            self.flow()


def play(kind: ResourceType, is_delta: bool, steps: list[tuple[str, Any, int]], strict: bool = False) -> None:
    made = XdsPlay(kind, is_delta, strict)
    made.flow()
    for step in steps:
        made.step(*step)
    made.settle()
    held = made.stage.held(kind)
    for name, value in made.server.wanted().items():
        assert held.get(name) == message(kind, name, value).SerializeToString(), name
    if kind.wildcard:
        assert set(held) == set(made.server.state)
    assert made.server.answers == made.heard, "each response is answered once, in order"


@given(STEPS)
def test_clusters_by_the_state_of_the_world_end_as_the_server_has_them(steps: list[tuple[str, Any, int]]) -> None:
    play(CLUSTERS, False, steps)


@given(STEPS, st.booleans())
def test_routes_by_the_state_of_the_world_end_as_the_server_has_them(
    steps: list[tuple[str, Any, int]], strict: bool
) -> None:
    play(ROUTES, False, steps, strict)


@given(STEPS)
def test_clusters_by_the_incremental_protocol_end_as_the_server_has_them(steps: list[tuple[str, Any, int]]) -> None:
    play(CLUSTERS, True, steps)


@given(STEPS)
def test_routes_by_the_incremental_protocol_end_as_the_server_has_them(steps: list[tuple[str, Any, int]]) -> None:
    play(ROUTES, True, steps)
