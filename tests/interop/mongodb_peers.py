"""
MongoDB's servers for tests: one alone, a replica set of three.

Lives here: starting them, waiting for a primary. Does not: command lines (catalogue.py), what is asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import catalogue
from catalogue import Command, Start
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


def _key_file(directory: Path) -> Path:
    """What the members of a set that asks for logins know one another by."""
    file = directory / "members.key"
    file.write_text("a" * 64)
    file.chmod(0o600)
    return file


class ReplicaSet:
    """
    Three members called rs0, with an election within two seconds.

    options: of each mongod; login: a user and a password with which all may be done, where members ask for a login;
    about: options of clients, such as those of TLS; tags: of each member.
    """

    def __init__(
        self,
        start: Start,
        directory: Path,
        *options: str,
        login: tuple[str, str] | None = None,
        about: Mapping[str, Any] | None = None,
        tags: Sequence[Mapping[str, str]] = ({}, {}, {}),
    ) -> None:
        self.ports: Sequence[int] = [free_port() for _ in range(3)]
        self.programs: dict[int, Program] = {}
        self._about = dict(about or {})
        self._login: dict[str, Any] = {}
        self._commands: dict[int, Command] = {}
        self._start = start
        if login is not None:
            options = (*options, "--auth", "--keyFile", str(_key_file(directory)))
        for port in self.ports:
            self._commands[port] = catalogue.mongod(port, directory, "--replSet", "rs0", *options)
            self.programs[port] = start(self._commands[port])
        members = [
            {"_id": number, "host": f"127.0.0.1:{port}", "tags": tags[number]} for number, port in enumerate(self.ports)
        ]
        quick = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 300}
        with self.member(self.ports[0]) as admin:
            admin.admin.command("replSetInitiate", {"_id": "rs0", "settings": quick, "members": members})
        eventually(lambda: self.primary() and len(self.secondaries()) == 2, 30, 0.2)
        if login is not None:
            with self.member(self.primary()) as admin:
                admin.admin.command("createUser", login[0], pwd=login[1], roles=["root"], writeConcern={"w": 3})
            self._login = {"username": login[0], "password": login[1]}

    def member(self, port: int, **options: Any) -> Any:
        """A client of one member, to be closed by `with`."""
        return closing(client(port, directConnection=True, **{**self._about, **self._login, **options}))

    def kill(self, port: int) -> None:
        """Ends a member without a word."""
        self.programs[port].kill()

    def start_again(self, port: int) -> None:
        """Starts a killed member on its data."""
        self.programs[port] = self._start(self._commands[port])

    def _hello(self, port: int) -> dict[str, Any]:
        import pymongo

        with self.member(port, serverSelectionTimeoutMS=1000) as admin:
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
