"""
A client's connection whose login ends at the proxy, so that its commands may go over connections that others use too.

A connection to a server has no state but its login: cursors, sessions and transactions are the server's own, by their
ids. So any connection to the right server will do, for one command at a time.

Lives here: `SharedClient`. Does not: the conversation of a login (`users`), what passes the same way (`client`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from metaproxy.codecs.mongodb import bson, hello, metadata, wire
from metaproxy.codecs.mongodb.client import LOOKED_AT, ClientSession, Command
from metaproxy.codecs.mongodb.errors import document
from metaproxy.codecs.mongodb.hello import Addresses
from metaproxy.codecs.mongodb.identity import X509
from metaproxy.codecs.mongodb.kept import IN_TRANSACTION, ON_CURSORS, request_key
from metaproxy.codecs.mongodb.login_names import FIRST_KEY
from metaproxy.codecs.mongodb.user_lookup import has_certificate, question, verifier_of
from metaproxy.codecs.mongodb.users import MECHANISMS, MOST_FAILURES, Conversation, Start, Users
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message

_REFUSED: Final = {
    "getLastError": "it asks about the command before it on the same connection; use a write concern",
    "getPrevError": "it asks about the commands before it on the same connection",
    "resetError": "it is about the commands before it on the same connection",
}
"""Commands that only mean something on a connection of one's own, and why they do not work here."""
AUTH_QUERY: Final = "auth_query"
"""The command that a request for what a server knows of a user is, for routes and rules."""
SUBJECT: Final = "source.distinguished_name"
_BEGINS: Final = ("saslStart", "authenticate")
_LOOKED_AT: Final = LOOKED_AT | _REFUSED.keys() | ON_CURSORS


class Lookup(Command):
    """
    What a server is asked about a user who logs in. Its id is a key of its own, which no other request can have, so
    that its answer is never taken for that of a command, and is never its client's.
    """

    __slots__ = ("start",)
    start: Start


class LocalError(Message):
    """The proxy's own error in the place of such an answer."""

    __slots__ = ()


class SharedClient(ClientSession):
    """users: who may log in; None: no login is needed."""

    __slots__ = ("_asks", "_conversation", "_key", "_lookup", "_users")

    def __init__(
        self, max_frame: int, stream_over: int, shown: Addresses, compressors: Sequence[str], users: Users | None
    ) -> None:
        super().__init__(max_frame, stream_over, shown, compressors)
        self._conversation = Conversation(users)
        self._asks = users is not None
        self._users = users
        self._key = FIRST_KEY
        self._lookup: Lookup | None = None  # while a server is asked about the user, nothing may come

    def _become(self) -> None:
        """What follows is asked by who has logged in by now; what came before is not, though it may still wait."""
        self._profile = self._conversation.identity
        user = self._conversation.user
        self._more = partial(self._read_as, (user,) if user else ())

    def _looks_at(self, name: str, frame: bytes) -> bool:
        return name in _LOOKED_AT or not self._conversation.admitted or IN_TRANSACTION in frame

    def _look(self, name: str, message: Message, body: wire.Body) -> Message:
        if self._lookup is not None:
            raise FrameError("a message before the answer to saslStart")
        if name in metadata.HELLO:
            self._hello(message, body)
        elif name in metadata.LOGIN:
            return self._log_in(name, message, body)
        elif not self._conversation.admitted:
            self._answer(message, document(ErrorKind.DENIED, f"command {name[:64]} requires authentication"))
        elif name in _REFUSED:
            text = f"{name} can't work through this proxy: {_REFUSED[name]}"
            self._answer(message, document(ErrorKind.UNSUPPORTED, text))
        else:
            super()._look(name, message, body)
            self._find_key(message, body, name)
        return message

    def _log_in(self, name: str, message: Message, body: wire.Body) -> Message:
        frame, subject = message.frame, self.facts.get(SUBJECT, "")
        if name in _BEGINS:
            start = self._conversation.unknown_user(name, frame, body, subject)
            if start is not None and message.kind is Kind.ONEWAY:
                raise FrameError(f"a {name} that wants no answer")
            if start is not None:
                return self._ask(message, start)
        self._answer(message, self._conversation.answer(name, frame, body, subject))
        self._logged_in()
        return message

    def _logged_in(self) -> None:
        """A step of a login was made."""
        self._become()
        self.closing = self._conversation.failures >= MOST_FAILURES

    def _ask(self, message: Message, start: Start) -> Message:
        """A request to a server, in the place of a saslStart."""
        about = {"command": AUTH_QUERY, "database": start.database, "user": start.user, "operation": AUTH_QUERY}
        if self._application:
            about["application"] = self._application
        asked = question(message.id, start.user, start.database)
        self._key += 1
        self._lookup = lookup = Lookup(Kind.REQUEST, asked, self._key, about, hold=Hold.EXCHANGE)
        self._become()
        lookup.start = start
        self._watch(lookup.id, hello.Asked(asked, wire.body(asked)))
        return lookup

    def _answer_watched(self, message: Message, key: int, id: int) -> bytes:
        """Also that to a lookup."""
        lookup = self._lookup
        if lookup is None or key != lookup.id:
            return super()._answer_watched(message, key, id)
        self._lookup = None
        del self._hellos[key]
        if isinstance(message, LocalError):
            return message.frame
        return b"" if self.error is not None else self._looked_up(lookup, message)

    def _looked_up(self, lookup: Lookup, message: Message) -> bytes:
        """What a server knows of the user is there, and the login goes on. Raises FrameError."""
        if message.kind is not Kind.RESPONSE:
            raise FrameError(f"auth_query failed: {message.get('code_name') or 'its answer is too long'}")
        start = lookup.start
        if start.mechanism == X509:
            said = self._conversation.looked_up_certificate(start, has_certificate(message.frame, start.user))
        else:
            found = verifier_of(message.frame, start.user, start.database, start.mechanism)
            said = self._conversation.looked_up(start, found)
        id = wire.request_id(lookup.frame)
        answer = wire.message(0, id, said)
        self._logged_in()
        return self._packed(message, answer, id) if self._packs else answer

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
        if asked.user and self._users is not None and self._users.asks and not self._users.knows(asked.user):
            asked.passes_mechanisms = True
        elif asked.mechanisms and self._asks:
            asked.added.append(bson.field("saslSupportedMechs", list(MECHANISMS)))
        if asked.speculative is not None and self._asks:
            name = metadata.first_name(frame, asked.speculative.at)
            subject = self.facts.get(SUBJECT, "")
            answer = self._conversation.speculative(name, frame, asked.speculative, subject)
            self._become()
            if answer is not None:
                asked.added.append(b"\x03speculativeAuthenticate\0" + answer)
        self._watch(message.id, asked)
        message.hold = Hold.NONE
        written = hello.without_login(frame, body, asked.passes_mechanisms)
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
