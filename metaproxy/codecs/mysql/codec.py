"""
The MySQL codec: options, errors, what a health check asks.

Lives here: `MySQL`. Does not: packets (`packets`, `answers`, `stream`), what a connection remembers (`client`,
`server`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Literal

from metaproxy.codecs import sql
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.login_time import LOGIN_TIME
from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.accounts import Accounts, Entrance
from metaproxy.codecs.mysql.client import ClientSession
from metaproxy.codecs.mysql.confidential import is_confidential
from metaproxy.codecs.mysql.errors import NO_LOGIN, error_for, named
from metaproxy.codecs.mysql.handshake import Capability
from metaproxy.codecs.mysql.kill import Kill
from metaproxy.codecs.mysql.messages import Command, LocalError
from metaproxy.codecs.mysql.metadata import KEYS, POOLED_KEYS
from metaproxy.codecs.mysql.packets import HEAD, error_packet, last_sequence, ok_packet, payload_of
from metaproxy.codecs.mysql.passwords import NATIVE
from metaproxy.codecs.mysql.pooled_client import PooledClient
from metaproxy.codecs.mysql.pooled_login import Seen
from metaproxy.codecs.mysql.pooled_messages import PooledCommand
from metaproxy.codecs.mysql.pooled_server import PooledServer
from metaproxy.codecs.mysql.profile import Profile
from metaproxy.codecs.mysql.proxy_login import MARIADB
from metaproxy.codecs.mysql.rewording import reword
from metaproxy.codecs.mysql.roles import QUESTION, traits_of
from metaproxy.codecs.mysql.server import ServerSession
from metaproxy.message import Correlation, ErrorKind, FinalFrame, Hold, Kind, Message, Side
from metaproxy.units import Bytes, Option, Seconds

_STREAM_OVER = Bytes(1 << 20)
_MULTI_STATEMENTS = int(Capability.MULTI_STATEMENTS)
_VERSION = b"8.0.40-metaproxy"


class MySQL(Codec):
    """MySQL and MariaDB, protocol 10."""

    name = "mysql"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    connections = "pinned"
    server_first = starts_tls = True
    mutable = "statements have no place for metadata"
    keys = KEYS
    open_keys = False

    def __init__(
        self,
        users: Annotated[
            object,
            Option(
                "Who may log in at the proxy: names with their passwords, or what a server keeps of them, `{app: "
                "{secret: NAME}}`. Servers are logged in at with the cluster's `credentials`. Without it, and without "
                "`auth_query`, logins pass: see [Connections](#connections).",
                secret=True,
            ),
        ] = None,
        auth_query: Annotated[
            str,
            Option(
                "SQL that asks a server for a user that `users` do not have, `?`: its name, and what the server keeps "
                "of its password: see [Users that the server knows](#users-that-the-server-knows)."
            ),
        ] = "",
        method: Annotated[
            Literal["caching_sha2_password", "mysql_native_password"],
            Option(
                "With `users`: how clients are asked to log in first. One that can't is asked for the other. "
                "Where a version is shown that begins with 5.5.5-, as MariaDB's do, it is mysql_native_password."
            ),
        ] = "caching_sha2_password",
        version: Annotated[
            str,
            Option(
                "With `users`: the version of a server that clients are shown.",
                default="that of the server that was seen last, before there was any 8.0.40-metaproxy",
            ),
        ] = "",
        stream_over: Annotated[
            Bytes,
            Option("Longer commands are passed on as they come, piece by piece, and so are answers.", least=65536),
        ] = _STREAM_OVER,
        login_timeout: Annotated[Seconds, Option("Time that a client has to log in; 0 for any.")] = LOGIN_TIME,
    ) -> None:
        if method not in ("caching_sha2_password", "mysql_native_password"):
            raise ValueError(f"method is {method!r}; write caching_sha2_password or mysql_native_password")
        if "\0" in version or len(version) > 60:
            raise ValueError("version is a text of at most 60 letters, such as 8.0.40")
        self._stream_over = stream_over
        self._login_timeout = login_timeout
        self.beats = login_timeout > 0
        self._method, self._version = method.encode(), version.encode()
        self._seen = Seen(_VERSION)
        if auth_query and ("?" not in auth_query or "\0" in auth_query):
            raise ValueError("auth_query needs ?, which stands for the user's name")
        self._auth_query = auth_query
        self._accounts = None if users is None and not auth_query else Accounts(users, bool(auth_query))
        if self._accounts is not None:
            self.connections, self.server_first, self.greets = "transaction", False, True
            self.cancels = self.login_as = True
            self.cancelled = "1317/70100"
            self.keys = KEYS | POOLED_KEYS
            self.topologies = ("primary_replica",)
        if not sql.can_find_tables():
            self.keys = {key: text for key, text in self.keys.items() if key != "tables"}

    def session(self, side: Side, max_frame: int) -> Session:
        accounts, over = self._accounts, self._stream_over
        if accounts is None:
            if side is Side.SERVER:
                return ServerSession(max_frame, over)
            return ClientSession(max_frame, over, self._login_timeout)
        if side is Side.SERVER:
            return PooledServer(max_frame, over, self._seen)
        version = self._version or self._seen.version
        # Connector/J expects no caching_sha2_password behind a version of MariaDB.
        method = NATIVE if version.startswith(MARIADB) else self._method
        entrance = Entrance(accounts, method)
        time, asked, seen = self._login_timeout, self._auth_query, self._seen
        return PooledClient(max_frame, over, entrance, version, method, time, asked, seen.more, seen.autocommit)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: a number and, behind a /, a SQLSTATE: 1205/HY000."""
        text = text or kind.value
        if kind is ErrorKind.NO_ENDPOINT and isinstance(request, PooledCommand) and request.kill is not None:
            return self._nothing_to_kill(request, request.kill)
        login = isinstance(request, Command) and request.login
        if request.kind is Kind.CONNECT and not login:
            return FinalFrame(error_packet(0, error_for(kind, name)[0], "", text))
        if request.kind is Kind.ONEWAY or getattr(request, "oneway", False):
            if isinstance(request, PooledCommand):
                request.refused_unheard()
            return b""
        number, state = NO_LOGIN if login and kind is ErrorKind.DENIED and not name else error_for(kind, name)
        sequence = last_sequence(request.frame) + 1
        error = LocalError(Kind.ERROR, error_packet(sequence, number, state, text), request.id)
        error.final = login
        return error

    def _nothing_to_kill(self, request: PooledCommand, kill: Kill) -> Message:
        """Nothing of that client is under way, as may be at a server: it is no error."""
        if not kill.query and isinstance(request.companion, PooledClient):
            request.companion.killed = True
        answer = LocalError(Kind.ERROR, ok_packet(last_sequence(request.frame) + 1), request.id)
        answer.final = False
        return answer

    def knows(self, name: str) -> bool:
        return named(name) is not None

    def probe(self) -> Message | None:
        """Where logins pass there is no user to ask as."""
        return None if self._accounts is None else Message(Kind.REQUEST, b"\1\0\0\0\x0e", profile=Profile())

    def inquiry(self, topology: str) -> Message | None:
        return Message(Kind.REQUEST, QUESTION, hold=Hold.EXCHANGE, profile=Profile(_MULTI_STATEMENTS))

    def traits(self, answer: Message) -> Mapping[str, str]:
        return traits_of(answer.frame)

    def safe(self, request: Message) -> bool:
        """What reads, where nothing is lost with its connection."""
        ours = request if isinstance(request, PooledCommand) and request.kind is Kind.REQUEST else None
        return ours is not None and isinstance(ours.owner, PooledClient) and ours.owner.may_ask_again(ours)

    def changes(self, request: Message) -> bool:
        return sql.changes(request)

    def cache_key(self, request: Message) -> Hashable | None:
        """The SQL and the values of parameters."""
        if not isinstance(request, PooledCommand) or request.effect is not None or request.lingers or request.follows:
            return None
        frame = request.frame
        if frame[HEAD] == commands.QUERY:
            said, values = payload_of(frame)[1:], b""
        elif frame[HEAD] == commands.STMT_EXECUTE and request.statement is not None:
            said, values = request.statement.text, frame[HEAD + 5 :]
        else:
            return None
        if sql.varies(sql.outline(said.decode("utf-8", "surrogateescape"), sql.MYSQL)):
            return None
        return frame[HEAD], said, values

    def reword(self, request: Message, change: Callable[[str], str | None]) -> Message | None:
        return reword(request, change)

    def confidential(self, request: Message) -> bool:
        if request.get("command") in ("login", "change_user", "auth_query"):
            return True
        said = request.reader.text(request) if isinstance(request, Command) else request.frame
        return said is not None and is_confidential(said, request.values("statement"))
