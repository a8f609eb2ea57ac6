"""
What is asked of ZooKeeper, and kazoo, which asks it.

Lives here: `Client`, the questions of one session as Deferreds; `Kazoo`, which has kazoo's threads answer them; the
bound on what a server may send. Does not: what is watched, and when it is read again (`session`).
"""

from __future__ import annotations

import importlib.util
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.support.extras import install

log = Logger()

MAX_ANSWER = 16 << 20
"""Bytes of one answer; a list of 10,000 providers has a fifth of that."""
FIRST_DELAY, LAST_DELAY, JITTER = 0.1, 5.0, 0.5
"""Of kazoo's attempts to connect: seconds, and the part that is random."""

T = TypeVar("T")
Changed = Callable[[], None]


class Gone(Exception):
    """The question was lost with the connection; it is asked again on the next one."""


class Refused(Exception):
    """The server's answer is an error, such as a lack of rights. The text says which."""


class Client(Protocol):
    """
    One session. All calls and callbacks are in the reactor's thread. changed: called once, when the answer is no longer
    true; not when the connection is lost. Deferreds fail with Gone or Refused.
    """

    def open(self, connected: Callable[[], None], lost: Callable[[str], None]) -> None:
        """Begin to connect, and to connect again whenever the connection is lost, until `close`."""

    def children(self, path: str, changed: Changed) -> Deferred[list[str] | None]:
        """The names of a node's children; None where there is no such node, which `changed` watches for, too."""

    def data(self, path: str, changed: Changed) -> Deferred[bytes | None]:
        """The content of a node; None where there is no such node."""

    def close(self) -> None:
        """End the session. Nothing is called after this, and what was asked is not answered."""


def check_installed() -> None:
    """Raises ValueError with what to install."""
    if importlib.util.find_spec("kazoo") is None:
        raise ValueError(f"zookeeper needs kazoo; install it with: {install('zookeeper')}")


class _Event(Protocol):
    """What kazoo calls a watch with."""

    type: str


class _Result(Protocol[T]):
    """What kazoo answers with, in one of its threads."""

    exception: Exception | None
    value: T

    def rawlink(self, done: Callable[[_Result[T]], None]) -> None: ...


_Question = Callable[[str, Callable[[_Event], None]], _Result[T]]


class Kazoo:
    """
    kazoo's client, on its own threads, behind the reactor. It was taken as it knows ensembles, sessions and
    authentication; of its threads nothing runs in ours: each result is handed to the reactor.
    """

    def __init__(
        self, reactor: IReactorThreads, servers: Sequence[str], timeout: float, user: str = "", password: str = ""
    ) -> None:
        from kazoo.client import KazooClient

        self._reactor = reactor
        self._client = KazooClient(
            ",".join(servers),
            timeout=timeout,
            handler=_handler(),
            logger=_silent(),
            auth_data=[("digest", f"{user}:{password}")] if user else None,
            connection_retry={
                "max_tries": -1, "delay": FIRST_DELAY, "max_delay": LAST_DELAY, "max_jitter": JITTER,
            },
        )  # fmt: skip
        self._closed = False

    def open(self, connected: Callable[[], None], lost: Callable[[str], None]) -> None:
        from kazoo.protocol.states import KazooState

        def changed(state: str) -> None:
            if state == KazooState.CONNECTED:
                self._later(connected)
            else:
                self._later(lost, "the session has ended" if state == KazooState.LOST else "the connection is lost")

        self._client.add_listener(changed)
        self._client.start_async()

    def children(self, path: str, changed: Changed) -> Deferred[list[str] | None]:
        question: _Question[list[str]] = self._client.get_children_async
        return self._ask(question, path, changed)

    def data(self, path: str, changed: Changed) -> Deferred[bytes | None]:
        question: _Question[tuple[bytes, object]] = self._client.get_async
        return self._ask(question, path, changed).addCallback(lambda found: found[0] if found is not None else None)

    def close(self) -> None:
        """kazoo waits for its threads to end: that is done in another one."""
        self._closed = True
        pool = self._reactor.getThreadPool()
        deferToThreadPool(self._reactor, pool, self._end).addErrback(
            lambda failure: log.failure("zookeeper: closing a session", failure)
        )

    def _end(self) -> None:
        self._client.stop()
        self._client.close()

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        """Called in kazoo's threads."""
        if not self._closed:
            self._reactor.callFromThread(lambda: None if self._closed else call(*arguments))

    def _ask(self, question: _Question[T], path: str, changed: Changed) -> Deferred[T | None]:
        from kazoo.exceptions import NoNodeError

        answered: Deferred[T | None] = Deferred()

        def event(found: _Event) -> None:
            if found.type != "NONE":  # that one is of the session, not of the node
                self._later(changed)

        def failed(error: Exception) -> None:
            self._later(answered.errback, Failure(_as_ours(error)))

        def done(result: _Result[T]) -> None:
            error = result.exception
            if error is None:
                self._later(answered.callback, result.value)
            elif isinstance(error, NoNodeError):
                self._client.exists_async(path, event).rawlink(made)
            else:
                failed(error)

        def made(result: _Result[object]) -> None:
            if result.exception is not None:
                failed(result.exception)
            elif result.value is not None:  # in between: ask again
                question(path, event).rawlink(done)
            else:
                self._later(answered.callback, None)

        question(path, event).rawlink(done)
        return answered


def _as_ours(error: Exception) -> Exception:
    from kazoo.exceptions import ConnectionClosedError, ConnectionLoss, SessionExpiredError

    if isinstance(error, (ConnectionClosedError, ConnectionLoss, SessionExpiredError)):
        return Gone()
    return Refused(f"{type(error).__name__.removesuffix('Error')} {error}".strip())


class BoundedSocket(socket.socket):
    """A socket from which kazoo reads answers of bounded size: it asks for as many bytes as the server announced."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        if size > MAX_ANSWER:
            raise OSError(f"an answer of {size} bytes; allowed are {MAX_ANSWER}")
        return super().recv(size, flags)


def _silent() -> logging.Logger:
    """kazoo's own lines would go to stderr, beside the log; what they say is reported by `lost`."""
    logger = logging.getLogger("metaproxy.discovery.zookeeper.kazoo")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def _handler() -> object:
    from kazoo.handlers.threading import SequentialThreadingHandler

    class Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
        """Threads as kazoo has them, with bounded sockets."""

        def create_connection(self, *arguments: object, **options: object) -> BoundedSocket:
            made: socket.socket = super().create_connection(*arguments, **options)
            timeout = made.gettimeout()
            bounded = BoundedSocket(made.family, made.type, made.proto, fileno=made.detach())
            bounded.settimeout(timeout)
            return bounded

    return Handler()
