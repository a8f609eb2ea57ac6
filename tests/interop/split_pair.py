"""
A primary and its replica behind one cluster: reads go to the replica, writes to the primary, whichever that is.

Lives here: the configuration, the roles that are seen, clients that write while the primary is lost. Does not: the
servers and the drivers (test_postgres_splitting.py, test_mysql_splitting.py).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar

from proxied import Proxy, listener
from running import eventually, free_port


class IServer(Protocol):
    """A primary or a replica."""

    port: int

    def ask(self, text: str, /) -> str: ...
    def promote(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


ServerT = TypeVar("ServerT", bound=IServer)


class SplitPair(Generic[ServerT]):
    """
    primary, replica: servers; port: of the proxy.

    protocol: its name and options. reads: what the route of reads has besides (retry).
    """

    def __init__(
        self, proxy: Callable[..., Proxy], protocol: dict[str, Any], primary: ServerT, replica: ServerT, **reads: Any
    ) -> None:
        self.primary, self.replica = primary, replica
        self.port = free_port()
        routes = [
            {"name": "reads", "match": {"read_only": "true"}, "cluster": "db", "subset": {"role": "replica"}, **reads},
            {
                "name": "writes", "cluster": "db", "subset": {"role": "primary"},
                "retry": {"attempts": 3, "on": ["connect"]},
            },
        ]  # fmt: skip
        cluster = {
            "name": "db",
            "endpoints": [f"127.0.0.1:{primary.port}", f"127.0.0.1:{replica.port}"],
            "topology": "primary_replica",
            "topology_interval": "200ms",
            "read_your_writes": "position",
            "max_replica_lag": "3s",
            "credentials": {"user": "app", "password": "secret"},
            "connections": {"mode": "transaction", "per_endpoint": 5},
            "request_timeout": "20s",
        }
        self.proxy = proxy({"listeners": [listener("db", self.port, protocol, routes)], "clusters": [cluster]})
        assert eventually(lambda: sorted(self.roles()) == ["primary", "replica"], 10), self.roles()

    def roles(self) -> list[str]:
        (found,) = self.proxy.admin("/clusters")["clusters"]
        return [one["metadata"].get("role", "") for one in found["endpoints"]]

    def stop(self) -> None:
        self.replica.stop()
        self.primary.stop()


class Writers:
    """
    Ten clients that write numbers, each its own, for as long as the `with` takes.

    acknowledged, unknown: the numbers whose write was answered with success, and with an error; codes: of the errors.
    write: carries out one insert. code: of an error. lost: whether a connection can be used no more.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        write: Callable[[Any, int], object],
        error: type[Exception],
        code: Callable[[Any], object],
        lost: Callable[[Any], bool],
    ) -> None:
        self._connect, self._write, self._error, self._code, self._lost = connect, write, error, code, lost
        self.acknowledged: list[int] = []
        self.unknown: list[int] = []
        self.codes: Counter[object] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(first,)) for first in range(10)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def have_written(self, more: int, seconds: float = 20) -> bool:
        """Whether so many more writes are acknowledged in that time."""
        enough = len(self.acknowledged) + more
        return bool(eventually(lambda: len(self.acknowledged) > enough, seconds))

    def _run(self, number: int) -> None:
        connection = self._connect()
        while not self._over.is_set():
            try:
                self._write(connection, number)
                self.acknowledged.append(number)
            except self._error as error:
                self.unknown.append(number)
                self.codes[self._code(error)] += 1
                if self._lost(connection):
                    connection = self._connected(connection)
            number += 10
        connection.close()

    def _connected(self, before: Any) -> Any:
        try:
            return self._connect()
        except self._error:
            time.sleep(0.05)
            return before


def lose_primary(pair: SplitPair[Any], writers: Writers) -> None:
    """The primary is killed, the replica becomes the primary: prints how long it takes until writes work."""
    lost = time.monotonic()
    pair.primary.kill()
    pair.replica.promote()
    assert writers.have_written(100)
    print(f"writes again after {time.monotonic() - lost:.2f} s; with an unknown end, by code: {dict(writers.codes)}")


def check_written(writers: Writers, numbers: str, codes: set[object]) -> None:
    """
    No acknowledged write is lost, none is carried out twice, and what can't be saved ends with an error that says so.

    numbers: what the new primary has, a line each. codes: of the errors that there may be.
    """
    found = [int(line) for line in numbers.split()]
    assert len(found) == len(set(found)), "a statement was carried out twice"
    assert not set(writers.acknowledged) - set(found), "an acknowledged write is lost"
    assert set(found) <= set(writers.acknowledged) | set(writers.unknown)
    assert set(writers.codes) <= codes
    assert len(writers.unknown) < 50, "only what was under way, or asked before the loss was seen"
