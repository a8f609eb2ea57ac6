"""
Stand-ins for what the proxy hands to plugins: an exchange for filters, endpoints for balancers.

Lives here: `FakeExchange`, `FakeEndpoint`, `FakeReport`. Does not: real exchanges; `Stage` runs those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from metaproxy.interfaces import IEndpoint, IExchange
from metaproxy.message import Chunk, Ending, Kind, Message, Mutation
from metaproxy.routing.matcher import FACTS


@implementer(IEndpoint)
class FakeEndpoint:
    """An endpoint for tests of balancers. active: set it to what should be under way."""

    def __init__(
        self, address: str, weight: int = 1, active: int = 0, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.weight = weight
        self.active = active
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        return f"FakeEndpoint({self.address!r}, {self.weight})"


@implementer(IExchange)
class FakeExchange:
    """
    An exchange for tests of filters: all of IExchange, and what the filter did to it.

    metadata: what the codec would have read of the request; facts: of the peer, such as source.address; message,
    response: whole messages, where metadata are not enough. Afterwards: `changes` is the Mutation of what the filter
    had set and removed, `time_limit` what it gave `limit`, `alteration` and `ending` what it gave `alter`, `learnt` as
    in IExchange; `forwarded` and `response` are what it gave `forward_as` and `answer_as`. streamed: set it for an
    exchange with a stream; chunks: what `gather` gives.

        exchange = FakeExchange({"tenant": "blue"})
        assert Tenants(["green"]).on_request(exchange).kind is ErrorKind.DENIED
    """

    def __init__(
        self,
        metadata: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        message: Message | None = None,
        response: Message | None = None,
        started: float = 0.0,
        listener: str = "front",
        protocol: str = "fake",
        route: str = "all",
        cluster: str = "demo",
        upstream_address: str = "-",
    ) -> None:
        if message is None:
            lower = {key.lower(): value for key, value in (metadata or {}).items()}
            message = Message(Kind.REQUEST, b"request", 1, {**lower, **(metadata or {})})
        self.message = message
        self.response = response
        self.facts = dict(facts or {})
        self.started = started
        self.ended = 0.0
        self.listener = listener
        self.protocol = protocol
        self.route = route
        self.cluster = cluster
        self.upstream_address = upstream_address
        self.outcome = ""
        self.details = ""
        self.learnt: dict[str, str | None] | None = None
        self.streamed = False
        self.chunks: list[Chunk] = []
        self.forwarded: Message | None = None
        self.changes = Mutation()
        self.time_limit: float | None = None
        self.alteration: Callable[[bytes], bytes] | None = None
        self.ending: Ending | None = None

    @property
    def request_bytes(self) -> int:
        return len(self.message.frame)

    @property
    def response_bytes(self) -> int:
        return 0 if self.response is None else len(self.response.frame)

    def get(self, key: str) -> str | None:
        fact = self.facts.get(key)
        if fact is not None or key.startswith(FACTS):
            return fact
        if self.learnt is not None and key in self.learnt:
            return self.learnt[key]
        return self.message.get(key)

    def limit(self, seconds: float) -> None:
        self.time_limit = seconds if self.time_limit is None else min(seconds, self.time_limit)

    def learn(self, key: str, value: str | None) -> None:
        if self.learnt is None:
            self.learnt = {}
        self.learnt[key] = self.learnt[key.lower()] = value

    def set(self, key: str, value: str) -> None:
        self.changes.set[key] = value

    def remove(self, key: str) -> None:
        self.changes.remove = (*self.changes.remove, key)

    def gather(self, most: int) -> Deferred[list[Chunk] | None]:
        return succeed(self.chunks if sum(len(chunk.frame) for chunk in self.chunks) <= most else None)

    def forward_as(self, message: Message) -> None:
        self.forwarded = message

    def answer_as(self, message: Message) -> None:
        self.response = message

    def alter(self, change: Callable[[bytes], bytes], ending: Ending | None = None) -> None:
        self.alteration, self.ending = change, ending

    def answer(self, response: Message) -> None:
        """A server has answered: on_response hooks may be called now."""
        self.response = response
        self.changes = Mutation()

    def complete(self, outcome: str = "ok", ended: float = 0.0) -> None:
        """The exchange is over: on_complete hooks may be called now."""
        self.outcome = outcome
        self.ended = ended or self.started

    def __repr__(self) -> str:
        return f"FakeExchange({self.message!r}, outcome={self.outcome!r})"


class FakeReport:
    """
    What a discovery reports, kept: pass `update` and `failed` to `IDiscovery.start`.

    updates: each list of endpoints, oldest first; failures: each text.
    """

    def __init__(self) -> None:
        self.updates: list[list[dict[str, object]]] = []
        self.failures: list[str] = []

    def update(self, endpoints: Sequence[Mapping[str, object]]) -> None:
        self.updates.append([dict(endpoint) for endpoint in endpoints])

    def failed(self, text: str) -> None:
        self.failures.append(text)
