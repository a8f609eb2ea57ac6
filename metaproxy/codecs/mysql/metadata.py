"""
What routes and filters may know of a command: who sends it, to which database, and what its statement is.

Nothing is read of a statement that nobody asks for: `Message.more` fills in who and what first, then the rest.

Lives here: `KEYS`, `Identity`, `Reader`. Does not: SQL (`metaproxy.codecs.sql`), logins.
"""

from __future__ import annotations

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.packets import HEAD, payload_of
from metaproxy.codecs.mysql.query_attributes import skip_attributes
from metaproxy.codecs.mysql.statements import Statements, statement_kind
from metaproxy.message import Kind, Message, unreadable

KEYS = {
    "command": "the command of the protocol in lower case: query, stmt_prepare, stmt_execute, ping, login ...",
    "user": "who is logged in",
    "database": "the database that was chosen",
    "application_name": "what the client says that it is: program_name, else _client_name, of its attributes",
    "statement": "the kind of the statement: its first word in lower case, such as select",
    "operation": "the statement, or else the command",
}


class Identity:
    """Who a client is, as far as the session saw it. flags: capabilities that were agreed on."""

    __slots__ = ("application", "database", "flags", "statements", "user")

    def __init__(self) -> None:
        self.user = self.database = self.application = ""
        self.flags = 0
        self.statements = Statements()


class Reader:
    """`Message.more` of the commands of a client; made again when the client changes."""

    __slots__ = ("_known", "_queries", "_statements")

    def __init__(self, identity: Identity) -> None:
        known = {
            "user": identity.user,
            "database": identity.database,
            "application_name": identity.application,
        }
        self._known = {key: value for key, value in known.items() if value}
        self._queries = bool(identity.flags & Capability.QUERY_ATTRIBUTES)
        self._statements = identity.statements

    def login(self) -> dict[str, str]:
        """The metadata of a login."""
        return {**self._known, "command": "login", "operation": "login"}

    def __call__(self, message: Message) -> None:
        code = message.frame[HEAD]
        name = commands.NAMES.get(code, "unknown")
        metadata = message.metadata = {**self._known, "command": name, "operation": name}
        text = self.text(message)
        if text is None:
            if code in commands.PREPARED:
                message.unclear = unreadable
            return
        kind = statement_kind(text)
        if kind:
            metadata["statement"] = metadata["operation"] = kind

    def text(self, message: Message) -> bytes | None:
        """The statement of a command; None where it has none, or it is not known."""
        frame = message.frame
        code = frame[HEAD]
        if code == commands.QUERY:
            payload = frame[HEAD:] if message.kind is Kind.STREAM_OPEN else payload_of(frame)
            return payload[skip_attributes(payload, 1) if self._queries else 1 :]
        if code == commands.STMT_PREPARE:
            return payload_of(frame)[1:]
        if code in commands.PREPARED:
            return self._statements.text(int.from_bytes(frame[HEAD + 1 : HEAD + 5], "little"))
        return None
