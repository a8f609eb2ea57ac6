"""
The PostgreSQL codec: options, errors, health.

Lives here: `Postgres`. docs/reference/codecs/postgres.md describes it for users. Does not: what a connection remembers
(`client`, `server`), bytes (`wire`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Literal

from metaproxy.codecs import sql
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.login_time import LOGIN_TIME
from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.client import ClientRequest, ClientSession, LocalError
from metaproxy.codecs.postgres.errors import UNCERTAIN, code_of, is_code
from metaproxy.codecs.postgres.metadata import KEYS, asked
from metaproxy.codecs.postgres.pooled_client import Admission, PooledClient, PooledRequest, Profile
from metaproxy.codecs.postgres.pooled_server import PooledServer
from metaproxy.codecs.postgres.rewording import reword
from metaproxy.codecs.postgres.roles import QUESTION, traits_of
from metaproxy.codecs.postgres.server import ServerSession
from metaproxy.codecs.postgres.units import EXTENDED, SYNCED
from metaproxy.codecs.postgres.users import users as known_users
from metaproxy.message import Correlation, ErrorKind, Hold, Kind, Message, Side
from metaproxy.units import Bytes, Option, Seconds

_STREAM_OVER = Bytes(1 << 20)
_WITH_SECRETS = frozenset(("create", "alter", "do"))
"""Statements that may set a password: of a role, a user mapping, a subscription."""
_FIRST = (wire.CANCEL, wire.SSL, wire.GSSENC)


class Postgres(Codec):
    """PostgreSQL's protocol 3."""

    name = "postgres"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    connections = "pinned"
    mutable = "SQL is passed on as it is"
    keys = KEYS
    open_keys = False
    starts_tls = True
    cancels = True
    cancelled = "57014"
    alpn = ("postgresql",)
    alpn_upstream = ("postgresql",)

    def __init__(
        self,
        stream_over: Annotated[
            Bytes,
            Option("Requests with more bytes are passed on as they come, piece by piece; answers are anyhow.", least=1),
        ] = _STREAM_OVER,
        users: Annotated[
            object,
            Option(
                "Who may log in at the proxy, `{name: password}`; without it logins pass: see [Users](#users).",
                secret=True,
            ),
        ] = None,
        auth: Annotated[
            Literal["scram-sha-256", "md5", "password", "trust"],
            Option(
                "How `users` log in. `password`: only over TLS; `trust`: without a password, for connections that "
                "no other client can make."
            ),
        ] = "scram-sha-256",
        auth_query: Annotated[
            str,
            Option(
                "SQL that asks a server for a user that `users` do not have, `$1`: its name, and what PostgreSQL keeps "
                "of its password: see [Users that the server knows](#users-that-the-server-knows)."
            ),
        ] = "",
        max_prepared_statements: Annotated[
            int, Option("Prepared statements that are kept on each connection to a server, for `users`.", least=1)
        ] = 200,
        own_database: Annotated[
            str, Option("The database in which servers are asked for their health, their role, and by `auth_query`.")
        ] = "postgres",
        login_timeout: Annotated[Seconds, Option("Time that a client has to log in; 0 for any.")] = LOGIN_TIME,
    ) -> None:
        self._login_timeout = login_timeout
        self.beats = login_timeout > 0
        self._stream_over = stream_over
        self._own_database = own_database
        known = known_users(users, auth)
        self._admission: Admission | None = None
        if known is not None or auth_query:
            self._admission = Admission(known or {}, auth, auth_query, own_database)
        self._most_statements = max_prepared_statements
        if not sql.can_find_tables():
            self.keys = {key: text for key, text in KEYS.items() if key != "tables"}
        if auth_query and ("$1" not in auth_query or "\0" in auth_query):
            raise ValueError("auth_query needs $1, which stands for the user's name")
        if auth_query and auth == "trust":
            raise ValueError("auth: trust asks for no password, so that auth_query has no use; leave one of them out")
        if self._admission is not None:
            self.connections = "transaction"
            self.login_as = True
            self.topologies = ("primary_replica",)
        elif auth != "scram-sha-256":
            raise ValueError("auth is how `users` log in, and there are none; leave it out, or write users")

    def detect(self, data: bytes) -> bool | None:
        """A first message without a type: its length, and a version or what stands in its place."""
        if len(data) < 8:
            return None if data[:2] == b"\0\0"[: len(data)] else False
        size, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        return 8 <= size <= wire.MAX_STARTUP and (code >> 16 == 3 or code in _FIRST)

    def session(self, side: Side, max_frame: int) -> Session:
        admission, over, time = self._admission, self._stream_over, self._login_timeout
        if admission is None:
            return ClientSession(max_frame, over, time) if side is Side.CLIENT else ServerSession(max_frame, over)
        if side is Side.CLIENT:
            return PooledClient(max_frame, over, admission, time)
        return PooledServer(max_frame, over, self._most_statements, self._own_database)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """name: a SQLSTATE."""
        if request.kind is Kind.ONEWAY:
            return b""
        ours = request if isinstance(request, ClientRequest) else None
        login = ours is not None and ours.login
        lost = kind in UNCERTAIN and not (ours is not None and ours.session.survives(ours))
        fatal = login or lost or kind is ErrorKind.DRAINING
        frame = wire.error("FATAL" if fatal else "ERROR", code_of(kind, name, login), text or kind.value)
        if not fatal and request.id & (EXTENDED | SYNCED) != EXTENDED:
            frame += wire.ready(b"I")  # the client's session knows better
        error = LocalError(Kind.ERROR, frame, request.id)
        error.fatal = fatal
        return error

    def knows(self, name: str) -> bool:
        return is_code(name)

    def safe(self, request: Message) -> bool:
        """What reads, where nothing is lost with its connection."""
        ours = request if isinstance(request, ClientRequest) else None
        return ours is not None and ours.session.survives(ours) and ours.get("read_only") == "true"

    def changes(self, request: Message) -> bool:
        return sql.changes(request)

    def cache_key(self, request: Message) -> Hashable | None:
        """The frame, and the SQL of statements that were prepared before."""
        if not isinstance(request, PooledRequest) or request.effects:
            return None
        _, texts, _ = asked(request, request.session, request.batch)
        if any(
            text is None or sql.varies(sql.outline(text.decode("utf-8", "replace"), sql.POSTGRES)) for text in texts
        ):
            return None
        needs = tuple(request.batch.needs.items()) if request.batch is not None else ()
        return request.frame, needs

    def reword(self, request: Message, change: Callable[[str], str | None]) -> Message | None:
        return reword(request, change) if isinstance(request, ClientRequest) else None

    def probe(self) -> Message | None:
        """Nothing: an empty query."""
        return self._question(wire.message(b"Q", b"\0")) if self._admission is not None else None

    def inquiry(self, topology: str) -> Message | None:
        return self._question(QUESTION)

    def traits(self, answer: Message) -> Mapping[str, str]:
        return traits_of(answer.frame)

    def _question(self, frame: bytes) -> Message:
        """What the proxy asks for itself, on a connection of its own."""
        profile = Profile("", self._own_database, "", ())
        return Message(Kind.REQUEST, frame, 0, {"command": "query"}, hold=Hold.EXCHANGE, profile=profile)

    def confidential(self, request: Message) -> bool:
        if isinstance(request, ClientRequest) and request.login:
            return True
        frame = request.frame.lower()
        if b"password" not in frame:
            return False
        kinds = request.values("statement")
        return not kinds or not _WITH_SECRETS.isdisjoint(kinds) or b"dblink" in frame
