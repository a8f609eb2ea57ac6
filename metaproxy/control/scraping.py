"""
Asking nodes for their counters, at the admin API that their metadata names.

Lives here: `admin_of`, `Scraper`. Does not: what the counters say (`rates`).

A node says in its metadata where its admin API is: `admin: 9901`, or `admin: 10.0.0.7:9901`. A server that asks at any
address that a client names could be sent anywhere, so the host must be the one that the node's stream comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import DeferredSemaphore
from twisted.python.failure import Failure

from metaproxy.admin.roles import IReactor
from metaproxy.clients.http import Answer, HttpCalls, HttpFailed
from metaproxy.control.nodes import Node
from metaproxy.control.rates import FILTER, Counts, counts_of
from metaproxy.control.settings import Scrape
from metaproxy.support import addresses
from metaproxy.support.bounded_json import loads

KEY = "admin"
"""Of a node's metadata."""
AT_A_TIME = 32
"""Nodes that are asked at the same time."""
MAX_BODY = 8 << 20
"""Bytes of an answer."""


class NotThere(ValueError):
    """A node has no admin API that may be asked."""


def admin_of(node: Node, anywhere: bool) -> str:
    """Return where a node's admin API is, as host:port. Raises NotThere with what to write."""
    given = node.metadata.get(KEY)
    if given is None:
        raise NotThere(f"no `{KEY}` in the node's metadata; write `node: {{metadata: {{{KEY}: 9901}}}}`")
    text = str(int(given)) if isinstance(given, float) else str(given)
    if text.isdecimal():
        if not node.peer:
            raise NotThere("the node's stream comes from no address; write host:port in its metadata")
        text = addresses.show((node.peer, int(text)))
    try:
        where = addresses.parse(text)
    except ValueError as error:
        raise NotThere(f"{KEY} in the node's metadata: {error}") from None
    if not anywhere and where.host != node.peer:
        raise NotThere(f"its admin API at {where.host} is not where its stream comes from, {node.peer or 'a socket'}")
    return addresses.show(where.sockaddr)


class Scraped(NamedTuple):
    """What came of asking a node. error: why there are no counts."""

    node: Node
    counts: Counts | None
    error: str


class Scraper:
    """Asks for counters."""

    def __init__(self, settings: Scrape, reactor: IReactor) -> None:
        self._settings = settings
        self._calls = HttpCalls(reactor)
        self._free = DeferredSemaphore(AT_A_TIME)
        token = settings.token
        self._headers = [("authorization", f"Bearer {token}")] if token is not None else []

    def ask(self, nodes: Sequence[Node], found: Callable[[Scraped], None]) -> None:
        """Ask each of the nodes; `found` is called once for each."""
        for node in nodes:
            try:
                where = admin_of(node, self._settings.anywhere)
            except NotThere as error:
                found(Scraped(node, None, str(error)))
                continue
            self._free.run(self._ask, node, f"http://{where}/stats?format=json&filter={FILTER}", found)

    def _ask(self, node: Node, url: str, found: Callable[[Scraped], None]) -> object:
        called = self._calls.call("GET", url, self._settings.timeout, self._headers, most=MAX_BODY)
        outcome = called.addCallbacks(_read, _failed)
        return outcome.addCallback(lambda what: found(Scraped(node, *what)))

    def close(self) -> object:
        return self._calls.close()


Outcome = tuple[Counts | None, str]


def _read(answer: Answer) -> Outcome:
    if answer.status != 200:
        return None, f"its admin API answers {answer.status}"
    try:
        return counts_of(loads(answer.body)), ""
    except ValueError as error:
        return None, f"its admin API: {error}"


def _failed(failure: Failure) -> Outcome:
    failure.trap(HttpFailed)
    return None, f"its admin API: {failure.value}"
