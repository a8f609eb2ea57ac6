"""
The Redis codec: options, errors, requests that several servers answer together.

Lives here: `Redis`. Does not: framing (`resp`), what a connection remembers (`client`, `server`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Literal

from metaproxy.codecs.cutters import compiled_function
from metaproxy.codecs.framing import Codec, Layout, Session, begins
from metaproxy.codecs.redis import commands, layouts, rewording
from metaproxy.codecs.redis import split as pieces
from metaproxy.codecs.redis.accounts import accounts
from metaproxy.codecs.redis.client import ClientSession
from metaproxy.codecs.redis.identity import Identity
from metaproxy.codecs.redis.metadata import KEYS
from metaproxy.codecs.redis.pinned_client import PinnedClient, is_answered
from metaproxy.codecs.redis.pinned_server import PinnedServer
from metaproxy.codecs.redis.presented import Presented
from metaproxy.codecs.redis.server import ServerSession
from metaproxy.message import Correlation, ErrorKind, FinalFrame, Kind, Message, Part, Redirect, Side
from metaproxy.support.addresses import parse
from metaproxy.units import Bytes, Option

WORDS: dict[ErrorKind, str] = {
    ErrorKind.NOT_FOUND: "ERR", ErrorKind.NO_CLUSTER: "ERR", ErrorKind.NO_ENDPOINT: "ERR", ErrorKind.CONNECT: "ERR",
    ErrorKind.RESET: "ERR", ErrorKind.TIMEOUT: "ERR", ErrorKind.OVERLOAD: "ERR", ErrorKind.LIMITED: "ERR",
    ErrorKind.DENIED: "NOPERM", ErrorKind.BAD_REQUEST: "ERR", ErrorKind.BAD_RESPONSE: "ERR",
    ErrorKind.UNSUPPORTED: "ERR", ErrorKind.DRAINING: "ERR", ErrorKind.INTERNAL: "ERR",
}  # fmt: skip
"""
The word that an error begins with. Clients act on some: at LOADING and TRYAGAIN they try again, at READONLY and MOVED
they look for another server. None of these would be true here, so all but one are the plain ERR.
"""
_WORD = re.compile(r"[A-Z][A-Z0-9]{1,31}")
_COMMAND = re.compile(r"[!-{}~]+")
"""The name of a command: printable, and without the | that stands before a subcommand in rules."""
_STREAM_OVER = Bytes(1 << 20)
_CROSSSLOT = "Keys in request don't belong to the same endpoint"


class Redis(Codec):
    """Redis, RESP2 and RESP3."""

    name = "redis"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True
    keys = KEYS
    open_keys = False
    upper_keys = ("command", "operation")
    hash_aliases = {"key": "tag"}
    layouts = layouts.LAYOUTS
    rewords = "key"

    def __init__(
        self,
        auth: Annotated[
            object,
            Option(
                "What clients log in with: `{password: ...}` for `AUTH password`, `{users: {name: password}}`, or "
                "both; a text is a password.",
                secret=True,
            ),
        ] = None,
        databases: Annotated[
            int, Option("How many there are to `SELECT`; not more than the servers have.", least=1, most=16384)
        ] = 16,
        deny: Annotated[list[str] | None, Option("Commands that clients may not use; answered with `-NOPERM`.")] = None,
        users: Annotated[
            object,
            Option(
                "Users with passwords and rules of their own: see [Users](#users).", secret=("password", "passwords")
            ),
        ] = None,
        mode: Annotated[
            Literal["shared", "pinned"],
            Option(
                "`shared`: clients share connections, and some commands are refused. `pinned`: each client has a "
                "connection of its own, and everything passes: see [Pinned connections](#pinned-connections)."
            ),
        ] = "shared",
        present: Annotated[
            Literal["server", "cluster"],
            Option(
                "What the proxy is to its clients: `server`, or `cluster`, a Redis Cluster of one node that has all "
                "slots, for clients that know nothing else."
            ),
        ] = "server",
        advertise: Annotated[
            str,
            Option(
                "With `present: cluster` the `host:port` at which clients reach this listener; the address that their "
                "connection leads to where it is left out."
            ),
        ] = "",
        stream_over: Annotated[
            Bytes,
            Option(
                "Larger commands and answers are passed on as they come, piece by piece: see "
                "[Large values](#large-values).",
                least=1,
            ),
        ] = _STREAM_OVER,
    ) -> None:
        if mode not in ("shared", "pinned"):
            raise ValueError(f"mode is {mode!r}; write shared or pinned")
        self._pinned = mode == "pinned"
        self._presented = _presented(present, advertise, self._pinned)
        if self._pinned:
            if auth is not None or users is not None or databases != 16:
                what = "with mode: pinned logins and SELECT are the server's"
                raise ValueError(f"{what}: leave out auth, users and databases, or write mode: shared")
            self.connections = "pinned"
            self.rewords = ""
            self.keys = {key: text for key, text in KEYS.items() if key not in ("user", "database")}
        if not 1 <= databases <= 16384:
            raise ValueError("databases must be 1 to 16384")
        self._stream_over = stream_over
        self._accounts = accounts(auth, users)
        self._databases = databases
        for each in deny or ():
            if not _COMMAND.fullmatch(each):
                raise ValueError(f"deny has {each!r}, which is no name of a command; users.rules deny subcommands")
        self._denied = frozenset(name.upper().encode() for name in deny or ())
        self._heads = commands.heads(self._denied)
        self._numbers = itertools.count(1)

    def detect(self, data: bytes) -> bool | None:
        """Commands as arrays, as clients send them; what is typed by hand could be of many protocols."""
        return begins(data, *(b"*%d" % digit for digit in range(1, 10)))

    def session(self, side: Side, max_frame: int) -> Session:
        if self._pinned:
            if side is Side.SERVER:
                return PinnedServer(max_frame, self._stream_over)
            return PinnedClient(max_frame, self._stream_over, self._heads, self._denied)
        if side is Side.SERVER:
            return ServerSession(max_frame, self._stream_over)
        mode = b"standalone" if self._presented is None else b"cluster"
        identity = Identity(self._accounts, self._databases, next(self._numbers), mode)
        return ClientSession(max_frame, self._stream_over, identity, self._heads, self._denied, self._presented)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        """name: any word of upper-case letters and digits, such as LOADING."""
        if self._pinned and not is_answered(request, kind):
            return FinalFrame() if kind is ErrorKind.RESET else b""
        if _WORD.fullmatch(name):
            line = f"{name} {text or (_CROSSSLOT if name == 'CROSSSLOT' else kind.value)}"
        else:
            line = f"{WORDS[kind]} {text or kind.value}"
        return b"-%b\r\n" % line.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")

    def knows(self, name: str) -> bool:
        return _WORD.fullmatch(name) is not None

    def safe(self, request: Message) -> bool:
        return not self._pinned and not request.hold and request.get("command") in commands.READS

    def probe(self) -> Message:
        return Message(Kind.REQUEST, b"*1\r\n$4\r\nPING\r\n", 0, {"command": "PING"})

    def alive(self, answer: Message) -> bool:
        """One that asks for a login serves those who log in; one that is loading its data serves no client."""
        return answer.kind is not Kind.ERROR or answer.frame.startswith((b"-NOAUTH", b"-NOPERM"))

    def layout_questions(self, topology: str, name: str) -> list[Message]:
        return layouts.questions(topology, name)

    def layout(self, topology: str, answers: Sequence[Message], address: str) -> Layout:
        return layouts.layout(topology, answers, address)

    def redirect(self, request: Message, answer: Message) -> Redirect | None:
        return layouts.redirect(request, answer)

    def reword(self, request: Message, change: Callable[[str], str | None]) -> Message | None:
        return rewording.reword(request, change)

    def confidential(self, request: Message) -> bool:
        return request.get("command") in commands.CONFIDENTIAL

    @compiled_function("redis_split", commands.WITH_ONE_KEY)
    def split(self, request: Message, owner: Callable[[str], Hashable]) -> list[Part] | bytes | None:
        return None if self._pinned else pieces.split(request, owner)

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        return pieces.merge(request, parts, answers)


def _presented(present: str, advertise: str, pinned: bool) -> Presented | None:
    if present not in ("server", "cluster"):
        raise ValueError(f"present is {present!r}; write server or cluster")
    if present == "server":
        if advertise:
            raise ValueError("advertise is for `present: cluster`; leave it out")
        return None
    if pinned:
        raise ValueError("with mode: pinned the servers say themselves what they are: leave out present")
    if advertise:
        found = parse(advertise)
        if not found.port:
            raise ValueError(f"advertise is {advertise!r}; write host:port")
    return Presented(advertise)
