"""
MongoDB's servers for tests: one alone, a replica set of three.

Lives here: starting them, waiting for a primary. Does not: command lines (catalogue.py), what is asked of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import catalogue
from catalogue import Start
from running import Program, eventually, free_port


def client(port: int, **options: Any) -> Any:
    """A MongoClient that gives up soon."""
    import pymongo

    return pymongo.MongoClient("127.0.0.1", port, **{"serverSelectionTimeoutMS": 5000, **options})


def server(start: Start, directory: Path, *options: str) -> int:
    """A mongod alone; its port."""
    port = free_port()
    start(catalogue.mongod(port, directory, *options))
    return port


class ReplicaSet:
    """Three members called rs0, with an election within two seconds."""

    def __init__(self, start: Start, directory: Path) -> None:
        self.ports: Sequence[int] = [free_port() for _ in range(3)]
        self.programs: dict[int, Program] = {}
        for port in self.ports:
            self.programs[port] = start(catalogue.mongod(port, directory, "--replSet", "rs0"))
        members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self.ports)]
        quick = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 300}
        with closing(client(self.ports[0], directConnection=True)) as admin:
            admin.admin.command("replSetInitiate", {"_id": "rs0", "settings": quick, "members": members})
        eventually(lambda: self.primary() and len(self.secondaries()) == 2, 30, 0.2)

    def _hello(self, port: int) -> dict[str, Any]:
        import pymongo

        with closing(client(port, directConnection=True, serverSelectionTimeoutMS=1000)) as admin:
            try:
                found: dict[str, Any] = admin.admin.command("hello")
            except pymongo.errors.PyMongoError:
                return {}
        return found

    def primary(self) -> int:
        """Its port; 0 while there is none."""
        return next((port for port in self.ports if self._hello(port).get("isWritablePrimary")), 0)

    def secondaries(self) -> list[int]:
        return [port for port in self.ports if self._hello(port).get("secondary")]
