"""
Which servers a cluster has, and which of them has what, as one of them tells it.

Lives here: `LayoutMonitor`, which asks one server after the other until one answers, from time to time and when a
server says that the answer is true no more. Requests that find no server wait for the next answer. Does not: the
questions and what the answers mean (`ICodec.layout`), where a request goes by them (`Cluster.lay_out`).

The endpoints of the configuration are those that are asked first. They need not be among those that the answer has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import Done
from metaproxy.cluster.roles import WaitingExchange
from metaproxy.interfaces import ILayout
from metaproxy.message import FrameError, Message
from metaproxy.proxy.pause import Pause
from metaproxy.proxy.probes import Codec
from metaproxy.support import addresses

if TYPE_CHECKING:
    from metaproxy.cluster.roles import Network

SOON = 0.1
"""Seconds from an answer to the next question, when something says that the answer is true no more."""
LATEST = 2.0
"""Seconds that a server has for its answers."""
MOST = 10_000
"""Servers that one may tell of."""
MOST_BYTES = 2 << 20
"""Bytes of its answers: a server of Redis Cluster says some 150 of each."""


class _Question(Codec):
    """Asks one server for the layout."""

    most = MOST_BYTES
    layout: ILayout | None = None

    def __init__(
        self,
        topology: str,
        name: str,
        credentials: Mapping[str, str] | None,
        cluster: Cluster,
        endpoint: Endpoint,
        done: Done,
    ) -> None:
        super().__init__(cluster, endpoint, done)
        self.credentials = cluster.credentials if credentials is None else credentials
        self._topology = topology
        self._questions = list(cluster.codec.layout_questions(topology, name))
        self._answers: list[Message] = []

    def question(self) -> Message | None:
        return self._questions.pop(0)

    def judge(self, answer: Message) -> None:
        self._answers.append(answer)
        if self._questions:
            self.ask(self._questions.pop(0))
            return
        try:
            self.layout = self._read()
        except (FrameError, ValueError) as error:
            self.failed(str(error))
        else:
            self.passed()

    def _read(self) -> ILayout:
        found: ILayout = self.cluster.codec.layout(self._topology, self._answers, self.endpoint.address)
        if not 0 < len(found.endpoints) <= MOST:
            raise FrameError(f"it tells of {len(found.endpoints)} servers; 1 to {MOST} are allowed")
        for address in found.endpoints:
            addresses.parse(address)
        return found


class _Lacking(Pause):
    """Requests that find no server. doubt: called for each, so that the servers are asked soon."""

    def __init__(self, clock: IReactorTime, most: int, doubt: Callable[[], None]) -> None:
        super().__init__(clock, most)
        self._doubt = doubt

    def take(self, exchange: WaitingExchange[Cluster]) -> None:
        super().take(exchange)
        self._doubt()


class LayoutMonitor:
    """
    A cluster's monitor. topology, name: as `topology:` has them; interval: seconds from an answer to the next question;
    most: requests that may wait; seeds: addresses that are asked first; credentials: how the proxy logs in to ask, None
    for those of the cluster.
    """

    def __init__(
        self,
        topology: str,
        name: str,
        interval: float,
        most: int,
        seeds: Sequence[str],
        clock: IReactorTime,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        self._topology, self._name = topology, name
        self._interval, self._most, self._clock = interval, most, clock
        self._seeds = [Endpoint(address) for address in seeds]
        self._credentials = credentials
        self._cluster: Cluster | None = None
        self._network: Network | None = None
        self._waiting: Pause | None = None
        self._timer: IDelayedCall | None = None
        self._limit: IDelayedCall | None = None
        self._question: _Question | None = None
        self._left: list[Endpoint] = []  # to be asked before it is known that no server answers
        self._turn = 0
        self._silent: set[str] = set()  # who did not answer the last time
        self._second: ILayout | None = None  # of this round, for want of a better one
        self._doubted = False  # since the question that is under way was asked
        self._hopeless = False
        self.warm = False

    def start(self, cluster: Cluster, network: Network) -> None:
        self._cluster, self._network = cluster, network
        cluster.asks_layout = True
        self._waiting = cluster.lacking = _Lacking(self._clock, self._most, self.doubt)
        self._timer = self._clock.callLater(0, self._begin)

    def stop(self) -> None:
        cluster, self._cluster = self._cluster, None
        _stop(self._timer)
        _stop(self._limit)
        if self._question is not None:
            self._question.leave()
        if cluster is not None and self._waiting is not None:
            for endpoint in cluster.endpoints:
                endpoint.doubted = None
            cluster.lacking = None
            self._waiting.release(None)

    def changed(self) -> None:
        """No-op: this monitor caused the change."""

    def doubt(self) -> None:
        """A request has failed, or a server has said that another one has what was asked for."""
        self._doubted = True
        if self._timer is not None and self._timer.active() and self._timer.getTime() > self._clock.seconds() + SOON:
            self._timer.reset(SOON)

    # -- a round of questions

    def _begin(self) -> None:
        cluster = self._cluster
        if cluster is None:
            return
        self._doubted, self._second = False, None
        members = cluster.endpoints if cluster.layout is not None and not cluster.layout.outside else []
        known = {endpoint.address for endpoint in self._seeds}
        every = [*self._seeds, *(one for one in members if one.address not in known)]
        if not every:
            self._hear_nothing(cluster, "it has no endpoint to ask")
            return
        self._silent &= {one.address for one in every}
        self._turn = (self._turn + 1) % len(every)  # each in its turn, as one may know less than the others
        self._left = sorted((*every[self._turn :], *every[: self._turn]), key=lambda one: one.address in self._silent)
        self._ask()

    def _ask(self) -> None:
        cluster, network = self._cluster, self._network
        if cluster is None or network is None:
            return
        endpoint = self._left.pop(0)

        def done(well: bool, text: str) -> None:
            _stop(self._limit)
            self._question = None
            if self._cluster is None:
                return
            self._heard(self._cluster, endpoint.address, question.layout if well else None, text)

        question = self._question = _Question(self._topology, self._name, self._credentials, cluster, endpoint, done)
        self._limit = self._clock.callLater(LATEST, question.failed, f"no answer within {LATEST:g} s")
        question.connect(network, LATEST)

    def _heard(self, cluster: Cluster, address: str, found: ILayout | None, text: str) -> None:
        """found: what it says, None for nothing, and then why."""
        known, second = cluster.layout, self._second
        if found is None:
            self._silent.add(address)
        else:
            self._silent.discard(address)
            if not found.doubtful and (known is None or found.epoch >= known.epoch):
                self._answered(cluster, found)
                return
            if second is None or (not found.doubtful, found.epoch) > (not second.doubtful, second.epoch):
                self._second = second = found
        if self._left:
            self._ask()
        elif second is not None and (known is None or not second.doubtful):
            self._answered(cluster, second)
        else:
            self._hear_nothing(cluster, f"{address}: {text or 'it says that it does not know'}")

    def _hear_nothing(self, cluster: Cluster, text: str) -> None:
        self.warm = True
        cluster.counts.discovery_failures += 1
        if not self._hopeless:
            cluster.tell(f"no server tells which there are; the last one, {text}")
        self._hopeless = True
        self._timer = self._clock.callLater(self._interval, self._begin)

    def _answered(self, cluster: Cluster, layout: ILayout) -> None:
        self._hopeless = False
        before = _shown(cluster) if cluster.layout is not None else {}
        cluster.counts.discoveries += 1
        cluster.lay_out(layout)
        for endpoint in cluster.endpoints:
            endpoint.doubted = self.doubt
        now = _shown(cluster)
        if now != before:
            changes = [f"{address} is {what}" for address, what in now.items() if before.get(address) != what]
            changes += [f"{address} is gone" for address in before if address not in now]
            more = f" and {len(changes) - 10} more" if len(changes) > 10 else ""
            cluster.tell(f"{len(now)} servers: {', '.join(changes[:10])}{more}")
            cluster.counts.promotions += sum(
                what.startswith("primary") and not before[address].startswith("primary")
                for address, what in now.items()
                if address in before
            )
        self.warm = True
        if self._waiting is not None:
            self._waiting.release(cluster)
        if self._cluster is not None:
            self._timer = self._clock.callLater(SOON if self._doubted else self._interval, self._begin)


def _shown(cluster: Cluster) -> dict[str, str]:
    return {
        one.address: " ".join(filter(None, (_part(one.learnt), one.learnt.get("shard")))) for one in cluster.endpoints
    }


def _part(learnt: Mapping[str, str]) -> str:
    return learnt.get("role") or (f"node {learnt['node']}" if "node" in learnt else "of no role")


def _stop(timer: IDelayedCall | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()
