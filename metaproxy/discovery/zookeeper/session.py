"""
Nodes of a ZooKeeper ensemble, watched over one session.

Lives here: `Session`: what is read when, how much at a time, again after a change and after the session was lost;
`Watch`. Does not: the protocol (`client`), the meaning of a node (`folder`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.discovery.zookeeper.client import Changed, Client, Gone
from metaproxy.support.backoff import Backoff

T = TypeVar("T")

AT_A_TIME = 64
"""Questions that wait for an answer."""
PAUSE = 0.1
"""Seconds between two readings of a node, so that a hundred servers that start together cost one."""
FIRST, LAST = 1.0, 30.0
"""Seconds until what the server refused is asked again."""
FIRST_REPORT = 3.0
"""Seconds after which it is reported that there is no connection yet: a proxy that starts is not ready before."""
REPORT = 30.0
"""Seconds of an outage after which it is reported again, and a client begins from nothing."""


class _Node(Protocol):
    """A watch of any kind."""

    def again(self) -> None: ...
    def read(self) -> Deferred[None] | None: ...


class Watch(Generic[T]):
    """
    One node. found: called with each answer, None for no such node; failed: with a text, when there is none. read: how
    it is asked for. ready: whether there was an answer, or a failure.
    """

    def __init__(
        self,
        session: Session,
        path: str,
        read: Callable[[str, Changed], Deferred[T | None]],
        found: Callable[[T | None], None],
        failed: Callable[[str], None],
    ) -> None:
        self.path = path
        self.ready = False
        self._session = session
        self._read = read
        self._found = found
        self._failed = failed
        self._backoff = Backoff(FIRST, LAST)
        self._timer: IDelayedCall | None = None
        self._last_read = float("-inf")
        self._round = 0
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        self._cancel()
        self._session.forget(self)

    def again(self) -> None:
        """The session is there, for the first time or after it was lost: all that was under way is void."""
        self._round += 1
        self._cancel()
        self._session.ask(self)

    def read(self) -> Deferred[None] | None:
        """Ask now. Fires when the answer was used; None where nothing is to be asked."""
        if self._stopped:
            return None
        self._last_read = self._session.clock.seconds()
        self._round += 1
        round = self._round
        asked = self._read(self.path, lambda: self._changed(round))
        return asked.addCallbacks(lambda found: self._answered(round, found), lambda why: self._wrong(round, why))

    def _changed(self, round: int) -> None:
        if round == self._round and not self._stopped:
            since = self._session.clock.seconds() - self._last_read
            self._later(max(0.0, PAUSE - since))

    def _answered(self, round: int, found: T | None) -> None:
        if round == self._round and not self._stopped:
            self._backoff.reset()
            self.ready = True
            self._found(found)

    def _wrong(self, round: int, why: Failure) -> None:
        if round != self._round or self._stopped or why.check(Gone):  # the session asks all again when it is back
            return
        self.ready = True
        self._later(self._backoff.next())
        self._failed(f"{self.path}: {why.getErrorMessage() or type(why.value).__name__}")

    def _later(self, seconds: float) -> None:
        self._cancel()
        self._timer = self._session.clock.callLater(seconds, self._ask)

    def _ask(self) -> None:
        self._timer = None
        self._session.ask(self)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Session:
    """
    make: gives a client, which is opened at once. name: for reports, the servers.
    """

    def __init__(self, clock: IReactorTime, make: Callable[[], Client], name: str) -> None:
        self.clock = clock
        self.connected = False
        self._make = make
        self._name = name
        self._users: dict[object, Callable[[str], None]] = {}
        self._watches: dict[_Node, None] = {}
        self._due: deque[_Node] = deque()
        self._asking = 0
        self._why = "no connection"
        self._timer: IDelayedCall | None = clock.callLater(FIRST_REPORT, self._not_there_yet)
        self._open()

    def _open(self) -> None:
        self.client = self._make()
        client = self.client
        client.open(lambda: self._connected(client), lambda why: self._lost(client, why))

    def close(self) -> None:
        self._stop_timer()
        self.client.close()

    # -- who uses it

    def join(self, user: object, away: Callable[[str], None]) -> None:
        """away: called with a text when the session is lost, and from time to time while it is."""
        self._users[user] = away

    def leave(self, user: object) -> None:
        del self._users[user]

    def children(
        self, path: str, found: Callable[[list[str] | None], None], failed: Callable[[str], None]
    ) -> Watch[list[str]]:
        watch = Watch(self, path, lambda at, changed: self.client.children(at, changed), found, failed)
        self._begin(watch)
        return watch

    def data(self, path: str, found: Callable[[bytes | None], None], failed: Callable[[str], None]) -> Watch[bytes]:
        watch = Watch(self, path, lambda at, changed: self.client.data(at, changed), found, failed)
        self._begin(watch)
        return watch

    def _begin(self, watch: _Node) -> None:
        self._watches[watch] = None
        self.ask(watch)

    def forget(self, watch: _Node) -> None:
        self._watches.pop(watch, None)

    # -- questions

    def ask(self, watch: _Node) -> None:
        """Read the node as soon as it is its turn."""
        if self.connected:
            self._due.append(watch)
            self._pump()

    def _pump(self) -> None:
        while self._due and self._asking < AT_A_TIME:
            asked = self._due.popleft().read()
            if asked is not None:
                self._asking += 1
                asked.addBoth(self._done)

    def _done(self, _: object) -> None:
        self._asking -= 1
        self._pump()

    # -- the connection

    def _connected(self, client: Client) -> None:
        if client is not self.client:
            return
        self.connected = True
        self._stop_timer()
        for watch in list(self._watches):
            watch.again()

    def _lost(self, client: Client, why: str) -> None:
        if client is not self.client:
            return
        self._why = why
        self._due.clear()
        if self.connected:
            self.connected = False
            self._report()
        if self._timer is None:
            self._timer = self.clock.callLater(REPORT, self._still_away)

    def _not_there_yet(self) -> None:
        self._timer = self.clock.callLater(REPORT, self._still_away)
        self._report()

    def _still_away(self) -> None:
        """A client that gave up, for whatever reason, must not be waited for."""
        self._timer = self.clock.callLater(REPORT, self._still_away)
        before = self.client
        self._asking = 0  # what it was asked is not answered any more
        self._open()
        before.close()
        self._report()

    def _report(self) -> None:
        for away in list(self._users.values()):
            away(f"zookeeper {self._name}: {self._why}")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
