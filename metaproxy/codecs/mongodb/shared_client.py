"""
A client's connection whose login ends at the proxy, so that its commands may go over connections that others use too.

A connection to a server has no state but its login: cursors, sessions and transactions are the server's own, by their
ids. So any connection to the right server will do, for one command at a time.

Lives here: `SharedClient`. Does not: the conversation of a login (`users`), what passes the same way (`client`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metaproxy.codecs.mongodb import bson, hello, metadata, wire
from metaproxy.codecs.mongodb.client import LOOKED_AT, ClientSession
from metaproxy.codecs.mongodb.errors import document
from metaproxy.codecs.mongodb.hello import Addresses
from metaproxy.codecs.mongodb.kept import IN_TRANSACTION, ON_CURSORS, request_key
from metaproxy.codecs.mongodb.users import MECHANISMS, MOST_FAILURES, Conversation, Users
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message

_REFUSED: Final = {
    "getLastError": "it asks about the command before it on the same connection; use a write concern",
    "getPrevError": "it asks about the commands before it on the same connection",
    "resetError": "it is about the commands before it on the same connection",
}
"""Commands that only mean something on a connection of one's own, and why they do not work here."""
_LOOKED_AT: Final = LOOKED_AT | _REFUSED.keys() | ON_CURSORS


class SharedClient(ClientSession):
    """users: who may log in; None: nobody need."""

    def __init__(
        self, max_frame: int, stream_over: int, shown: Addresses, compressors: Sequence[str], users: Users | None
    ) -> None:
        super().__init__(max_frame, stream_over, shown, compressors)
        self._conversation = Conversation(users)
        self._asks = users is not None

    def _user(self) -> str:
        return self._conversation.user

    def _looks_at(self, name: str, frame: bytes) -> bool:
        return name in _LOOKED_AT or not self._conversation.admitted or IN_TRANSACTION in frame

    def _look(self, name: str, message: Message, body: wire.Body) -> None:
        if name in metadata.HELLO:
            self._hello(message, body)
        elif name in metadata.LOGIN:
            self._answer(message, self._conversation.answer(name, message.frame, body))
            self.closing = self._conversation.failures >= MOST_FAILURES
        elif not self._conversation.admitted:
            self._answer(message, document(ErrorKind.DENIED, f"command {name[:64]} requires authentication"))
        elif name in _REFUSED:
            text = f"{name} can't work through this proxy: {_REFUSED[name]}"
            self._answer(message, document(ErrorKind.UNSUPPORTED, text))
        else:
            super()._look(name, message, body)
            self._find_key(message, body, name)

    def _find_key(self, message: Message, body: wire.Body, name: str) -> None:
        key = request_key(message.frame, body, name)
        if key is not None:
            message.override_key = key

    def _answer(self, message: Message, answer: bytes) -> None:
        message.answer = b"" if message.kind is Kind.ONEWAY else wire.message(0, message.id, answer)
        message.kind, message.hold = Kind.REQUEST, Hold.NONE

    def _hello(self, message: Message, body: wire.Body) -> None:
        """A hello goes on without what its client says of itself; what it asks of logins is answered here."""
        frame = message.frame
        asked = hello.Asked(frame, body)
        self._application = asked.application or self._application
        self._offer(asked)
        if asked.mechanisms and self._asks:
            asked.added.append(bson.field("saslSupportedMechs", list(MECHANISMS)))
        if asked.speculative is not None and self._asks:
            answer = self._conversation.speculative(frame, asked.speculative)
            if answer is not None:
                asked.added.append(b"\x03speculativeAuthenticate\0" + answer)
        self._watch(message.id, asked)
        message.hold = Hold.NONE
        written = hello.without_login(frame, body)
        if wire.op_code(frame) == wire.OP_QUERY:
            message.frame = wire.hello_query(message.id, written)
        else:
            message.frame = wire.message(message.id, 0, written)

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        if not self._conversation.admitted:
            raise FrameError(f"a message of {size} bytes before a login")
        id = super()._open(head, size, messages)
        body = wire.last_body(head)
        self._find_key(messages[-1], body, metadata.first_name(head, body.at))
        return id
