"""
What is known of one exchange: its messages, where it went, how it ended; what filters add to it and take from it.

Lives here: `ExchangeFacts`, below `exchange.Exchange`. Does not: its path (`exchange`).
"""

from __future__ import annotations

from typing import cast

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, Target
from metaproxy.message import ErrorKind, Message, Mutation, Written
from metaproxy.proxy.attempt import AttemptOwner
from metaproxy.proxy.deadlines import Deadlines
from metaproxy.proxy.roles import ExchangeClient, ExchangeStream, Undertaking
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.routing.matcher import FACTS


class ExchangeFacts(AttemptOwner):
    """
    See IExchange and ICompletedExchange. client: its downstream connection. data: the bytes that answer it, None until
    they are known. attempt: what is under way for it: an Attempt or a SplitRequest. deadlines: the queue that it waits
    in; time_limit: see request_timeout; stream: what follows its heads, None while its messages are whole.
    """

    __slots__ = (
        "_alteration",
        "_changes",
        "attempt",
        "client",
        "data",
        "deadlines",
        "details",
        "ended",
        "endpoint",
        "learnt",
        "matched_route",
        "message",
        "outcome",
        "reply_kind",
        "response",
        "response_bytes",
        "snapshot",
        "started",
        "stream",
        "target",
        "time_limit",
        "tries",
    )  # fmt: skip
    tries: int

    def __init__(self, client: ExchangeClient, message: Message, snapshot: ListenerSnapshot, started: float) -> None:
        self.prepare(client, message, snapshot, started)

    def prepare(self, client: ExchangeClient, message: Message, snapshot: ListenerSnapshot, started: float) -> None:
        """What `__init__` does; on the path objects are made without it, which is quicker."""
        self.client = client
        self.message = message
        self.snapshot = snapshot
        self.started = started
        self.ended = 0.0
        self.outcome = ""
        self.details = ""
        self.response: Message | None = None
        self.response_bytes = 0
        self.data: Written | None = None
        self.attempt: Undertaking | None = None
        self.endpoint: Endpoint | None = None
        self.target: Target | None = None
        self.reply_kind: ErrorKind | None = None
        self.deadlines: Deadlines | None = None
        self._changes: Mutation | None = None
        self.time_limit = 0.0
        self.learnt: dict[str, str | None] | None = None
        self.stream: ExchangeStream | None = None
        self.matched_route: Route = snapshot.no_route
        """The matched route, or the listener's pseudo-route for none."""

    # -- mutations

    def set(self, key: str, value: str) -> None:
        if self._changes is None:
            self._changes = Mutation()
        self._changes.set[key] = value

    def remove(self, key: str) -> None:
        if self._changes is None:
            self._changes = Mutation()
        self._changes.remove = (*self._changes.remove, key)

    # -- facts

    def get(self, key: str) -> str | None:
        # Facts first: metadata come from the client, which could name a source of its own, also where there is none.
        fact = self.client.facts.get(key)
        if fact is not None or key.startswith(FACTS):
            return fact
        if self.learnt is not None and key in self.learnt:
            return self.learnt[key]
        return self.message.get(key)

    def narrow(self, rest: Message, details: str) -> None:
        self.message = rest
        self.details = f"{self.details}; {details}" if self.details else details

    def learn(self, key: str, value: str | None) -> None:
        if self.learnt is None:
            self.learnt = {}
        self.learnt[key] = self.learnt[key.lower()] = value

    @property
    def listener(self) -> str:
        return self.snapshot.name

    @property
    def protocol(self) -> str:
        return cast(str, self.snapshot.codec.name)

    @property
    def route(self) -> str:
        return self.matched_route.name

    @property
    def cluster(self) -> str:
        target = self.target
        return "-" if target is None else target.cluster.name

    @property
    def upstream_address(self) -> str:
        return "-" if self.endpoint is None else self.endpoint.address

    @property
    def attempts(self) -> int:
        """How often it was sent; the pieces of a split request count each."""
        made: int | None = getattr(self, "tries", None)  # a slot that only several fill
        return made if made is not None else int(self.endpoint is not None)

    @property
    def request_bytes(self) -> int:
        return len(self.message.frame) + (self.stream.request_bytes if self.stream is not None else 0)

    @property
    def streamed(self) -> bool:
        return self.stream is not None

    @property
    def request_chunks(self) -> int:
        return self.stream.request_chunks if self.stream is not None else 0

    @property
    def response_chunks(self) -> int:
        return self.stream.response_chunks if self.stream is not None else 0

    @property
    def first_byte(self) -> float:
        """When the answer's first byte was on its way to the client; 0.0 before, and where there was none."""
        begun = self.stream.first_byte if self.stream is not None else 0.0
        return begun or (self.ended if self.response_bytes else 0.0)
