"""
Commands run against the admin API in memory.

Lives here: `Terminal`. Does not: assertions.
"""

from __future__ import annotations

import io
import json
from typing import Any, Protocol, TypeVar

from browser import Desk, Response
from rich.console import Console

from metaproxy.cli.client import Admin, Query, decoded
from metaproxy.cli.main import parser
from metaproxy.cli.output import Output

T = TypeVar("T")


class Answering(Protocol):
    """What answers in memory as an admin API does."""

    def ask(self, method: str, path: str, body: bytes = b"", /) -> Response: ...


class DeskAdmin(Admin):
    """Asks it in the place of a socket."""

    def __init__(self, desk: Answering) -> None:
        super().__init__()
        self.desk = desk

    def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: bytes | None = None,
        query: Query | None = None,
        also: int = 200,
    ) -> T:
        given = "&".join(f"{key}={value}" for key, value in (query or {}).items() if value not in (None, ""))
        answer = self.desk.ask(method, f"{path}?{given}" if given else path, body or b"")
        if answer.status not in (200, also):
            raise self._error(answer.status, answer.body)
        return decoded(answer.body, kind)


class Terminal:
    """run(*arguments): the exit code; `out` and `err` are what was written since."""

    def __init__(self, **options: Any) -> None:
        self.desk = Desk(**options)
        self.admin: Any = DeskAdmin(self.desk)
        self.out = self.err = ""

    def run(self, *arguments: str) -> int:
        given = parser().parse_args(arguments)
        out, err = io.StringIO(), io.StringIO()
        wide: dict[str, Any] = {"width": 200, "highlight": False, "soft_wrap": True}
        output = Output(getattr(given, "json", False), Console(file=out, **wide), Console(file=err, **wide))
        code: int = given.run(given, self.admin, output)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def traffic(self, *services: str) -> None:
        client = self.desk.running.client()
        for service in services:
            self.desk.running.exchange(client, service)
