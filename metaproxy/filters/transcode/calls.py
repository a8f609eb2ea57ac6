"""
What a protocol is to the filter: requests that become its calls, and answers that become JSON.

Lives here: the Protocols `Translator` and `Call`, `Request`, `check_json`. Does not: any protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from metaproxy.codecs.http.model import Head
from metaproxy.filters.transcode.answers import Refused
from metaproxy.message import Chunk, Kind, Message


class Request(NamedTuple):
    """A whole request. path: without the query. more: fills in the metadata of what is sent: the client's."""

    head: Head
    path: str
    query: str
    body: bytes
    more: Callable[[Message], None]

    def message(self, frame: bytes, profile: Hashable = None) -> Message:
        """What is sent, of a protocol whose messages are whole."""
        return Message(Kind.REQUEST, frame, 0, None, self.more, profile=profile)


def check_json(request: Request) -> None:
    """Raises Refused where the body is no JSON by its own word: forms of other sites could else call what they like."""
    kind = request.head.value(b"content-type")
    if kind is None or not request.body:
        return
    name = kind.partition(b";")[0].strip().lower()
    if name != b"application/json" and not name.endswith(b"+json"):
        raise Refused(415, f"the body's type is {kind.decode('latin-1'):.100}; write content-type: application/json")


class Call(Protocol):
    """One request under way. name: of what is called, for logs."""

    name: str

    def message(self, request: Request) -> Message:
        """What is sent. Raises Refused."""

    def answer(self, head: Message, chunks: list[Chunk]) -> Message:
        """What the client gets, of a whole answer (no chunks) or of one that was gathered. Raises Refused."""

    def begin(self, head: Message) -> Message | None:
        """The head of an answer that goes on as a stream; None for one that is gathered."""

    def chunk(self, chunk: Chunk) -> Chunk:
        """What the client gets of such a stream. Raises Refused: then it is cut off."""


class Translator(Protocol):
    """protocols: names of those that its calls are of. asks: clusters that it asks as services."""

    @property
    def protocols(self) -> tuple[str, ...]: ...
    @property
    def asks(self) -> tuple[str, ...]: ...

    def ready(self) -> Deferred[None] | None:
        """Something to wait for before `find`, None for nothing."""

    def find(self, method: str, path: str) -> Call | None:
        """The call that a request means. Raises Refused, where only the method is wrong or the path can't be read."""

    def inherit(self, previous: object) -> None: ...
    def stop(self) -> None: ...
