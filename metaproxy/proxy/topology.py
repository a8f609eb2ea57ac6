"""
What the servers of a cluster say they are: which one takes writes, which ones follow it, and how far behind.

Lives here: `Topology`, which asks each endpoint from time to time and tells the cluster, so that `subset: {role:
primary}` finds it; requests that find no server of the role they need wait for one. Does not: the question and what its
answer means (`ICodec.inquiry`, `ICodec.traits`).

Where the protocol tells positions in the primary's log, what it had acknowledged before it was asked is at or before
the position that it gives; so a replica that has come there has all of that (`Endpoint.fresh`).

An endpoint whose server does not answer has no role. Of several that say they are the primary, those of an older term
are none: a primary that was replaced while it was away does not know of it yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.cluster.cluster import PRIMARY, REPLICA, Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import Done
from metaproxy.message import FrameError, Message
from metaproxy.proxy.pause import Pause
from metaproxy.proxy.probes import Codec

if TYPE_CHECKING:
    from metaproxy.cluster.roles import Network

SOON = 0.1
"""Seconds after which an endpoint is asked that has just failed a request."""
MARKS = 256
"""Positions of the primary that are remembered."""
LATEST = 2.0
"""Seconds that a server has for its answer."""


class _Question(Codec):
    """Asks one endpoint what it is."""

    traits: Mapping[str, str] = {}

    def __init__(self, topology: str, cluster: Cluster, endpoint: Endpoint, done: Done) -> None:
        super().__init__(cluster, endpoint, done)
        self._topology = topology

    def question(self) -> Message | None:
        message: Message | None = self.cluster.codec.inquiry(self._topology)
        return message

    def judge(self, answer: Message) -> None:
        try:
            self.traits = self.cluster.codec.traits(answer)
        except FrameError as error:
            self.failed(str(error))
        else:
            self.passed()


class _Asked:
    """An endpoint between two questions."""

    __slots__ = ("claims", "endpoint", "lag", "limit", "position", "question", "role", "since", "term", "timer")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.question: _Question | None = None
        self.timer: IDelayedCall | None = None
        self.limit: IDelayedCall | None = None
        self.role = ""
        self.term = self.position = 0
        self.lag = self.since = 0.0
        self.claims = 0.0  # when it said first that it is the primary, and has done ever since


class Topology:
    """
    A cluster's monitor. name: as `topology:` has it; interval: seconds from an answer to the next question; max_lag:
    seconds that a replica may be behind, 0 for any; most: requests that may wait for a role.
    """

    def __init__(self, name: str, interval: float, max_lag: float, most: int, clock: IReactorTime) -> None:
        self._name = name
        self._interval = interval
        self._max_lag = max_lag
        self._most = most
        self._clock = clock
        self._cluster: Cluster | None = None
        self._network: Network | None = None
        self._waiting: Pause | None = None
        self._all: dict[Endpoint, _Asked] = {}
        self._unasked: set[Endpoint] = set()
        self._marked: Endpoint | None = None
        self._primary: Endpoint | None = None  # the last one, be it away meanwhile
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS)

    @property
    def warm(self) -> bool:
        """Whether each endpoint has been asked once."""
        return not self._unasked

    def start(self, cluster: Cluster, network: Network) -> None:
        self._cluster, self._network = cluster, network
        self._waiting = cluster.lacking = Pause(self._clock, self._most)
        self.changed()

    def stop(self) -> None:
        cluster, self._cluster = self._cluster, None
        for asked in list(self._all.values()):
            self._drop(asked)
        if cluster is not None and self._waiting is not None:
            cluster.lacking = None
            self._waiting.release(None)

    def changed(self) -> None:
        endpoints = self._cluster.endpoints if self._cluster is not None else []
        for asked in [asked for endpoint, asked in self._all.items() if endpoint not in endpoints]:
            self._drop(asked)
        for endpoint in endpoints:
            if endpoint not in self._all:
                asked = self._all[endpoint] = _Asked(endpoint)
                asked.role = endpoint.learnt.get("role", "")  # of the configuration before
                self._unasked.add(endpoint)
                endpoint.doubted = partial(self._ask_soon, asked)
                asked.timer = self._clock.callLater(0, self._ask, asked)

    def _drop(self, asked: _Asked) -> None:
        del self._all[asked.endpoint]
        self._unasked.discard(asked.endpoint)
        asked.endpoint.doubted = None
        _stop(asked.timer)
        _stop(asked.limit)
        if asked.question is not None:
            asked.question.leave()

    # -- a question

    def _ask_soon(self, asked: _Asked) -> None:
        """A request has failed: what is known of the endpoint may be true no more."""
        if asked.timer is not None and asked.timer.active() and asked.timer.getTime() > self._clock.seconds() + SOON:
            asked.timer.reset(SOON)

    def _ask(self, asked: _Asked) -> None:
        cluster, network = self._cluster, self._network
        if cluster is None or network is None:
            return
        asked.timer = None
        asked.since = self._clock.seconds()

        def done(well: bool, text: str) -> None:
            self._answered(asked, question.traits if well else {}, text)

        question = asked.question = _Question(self._name, cluster, asked.endpoint, done)
        asked.limit = self._clock.callLater(LATEST, question.failed, f"no answer within {LATEST:g} s")
        question.connect(network, LATEST)

    def _answered(self, asked: _Asked, traits: Mapping[str, str], text: str) -> None:
        _stop(asked.limit)
        asked.question = None
        if self._cluster is None or asked.endpoint not in self._all:
            return
        asked.timer = self._clock.callLater(self._interval, self._ask, asked)
        is_first = asked.endpoint in self._unasked
        self._unasked.discard(asked.endpoint)
        before = asked.role
        asked.role = traits.get("role", "")
        asked.term, asked.lag = int(traits.get("term", "0")), float(traits.get("lag", "0"))
        asked.position = int(traits.get("position", "0"))
        asked.endpoint.lag = asked.lag if asked.role == REPLICA and "lag" in traits else None
        if asked.role == PRIMARY != before:
            asked.claims = self._clock.seconds()
        if asked.role != before or (is_first and not asked.role):
            why = f": {text}" if text else ""
            self._cluster.tell(f"{asked.endpoint.address} is {asked.role or 'of no known role'}{why}")
        self._learn(self._cluster)

    def _learn(self, cluster: Cluster) -> None:
        claiming = [asked for asked in self._all.values() if asked.role == PRIMARY]
        primary = max(claiming, key=lambda asked: (asked.term, -asked.claims), default=None)
        self._compare(primary)
        if primary is not None and primary.endpoint is not self._primary:
            cluster.counts.promotions += self._primary is not None
            self._primary = primary.endpoint
        differs = [asked.endpoint.learn(self._traits(asked, primary)) for asked in self._all.values()]
        if any(differs):
            cluster.refresh()
            if self._waiting is not None:
                self._waiting.release(cluster)

    def _compare(self, primary: _Asked | None) -> None:
        """Which writes replicas have."""
        if primary is not None and primary.position:
            if primary.endpoint is not self._marked:  # another primary's log is another one from some place on
                self._marks.clear()
                self._marked = primary.endpoint
            self._marks.append((primary.since, primary.position))
            primary.position = 0  # it is noted
        for asked in self._all.values():
            if asked.role == REPLICA and asked.position:
                reached = (since for since, position in self._marks if position <= asked.position)
                asked.endpoint.fresh = max(reached, default=asked.endpoint.fresh)

    def _traits(self, asked: _Asked, primary: _Asked | None) -> dict[str, str]:
        role = asked.role
        if role == PRIMARY and asked is not primary:
            role = "replaced"
        elif role == REPLICA and 0 < self._max_lag < asked.lag:
            role = "lagging"
        return {"role": role} if role else {}


def _stop(timer: IDelayedCall | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()
