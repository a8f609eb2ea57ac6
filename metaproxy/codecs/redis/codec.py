"""
The Redis codec: options, errors, and requests that several servers answer together.

Lives here: `Redis`. Does not: framing (`resp`), what a connection remembers (`client`, `server`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.accounts import Accounts
from metaproxy.codecs.redis.client import ClientSession
from metaproxy.codecs.redis.metadata import read_command, tag, without_multi
from metaproxy.codecs.redis.server import ServerSession
from metaproxy.message import Affinity, Correlation, ErrorKind, Kind, Message, Part, Side

ERRORS: dict[ErrorKind, str] = {
    ErrorKind.NOT_FOUND: "ERR", ErrorKind.NO_CLUSTER: "ERR", ErrorKind.NO_ENDPOINT: "ERR", ErrorKind.CONNECT: "ERR",
    ErrorKind.RESET: "ERR", ErrorKind.TIMEOUT: "ERR", ErrorKind.OVERLOAD: "ERR", ErrorKind.LIMITED: "ERR",
    ErrorKind.DENIED: "NOPERM", ErrorKind.BAD_REQUEST: "ERR", ErrorKind.BAD_RESPONSE: "ERR",
    ErrorKind.UNSUPPORTED: "ERR", ErrorKind.DRAINING: "ERR", ErrorKind.INTERNAL: "ERR",
}  # fmt: skip
"""
The word that an error begins with. Clients act on some of them: LOADING and TRYAGAIN are tried again, READONLY and
MOVED make them look for another server. None of these would be true here, so all but one are the plain ERR.
"""

CROSSSLOT = "CROSSSLOT Keys in request don't belong to the same endpoint"


class Redis(Codec):
    """
    Redis, RESP2 and RESP3. auth: the password of clients, {password: ...} or {users: {name: password}}; databases: how
    many there are to SELECT; deny: commands that clients may not use.
    """

    name = "redis"
    correlation = Correlation.FIFO
    affinity = Affinity.MESSAGE
    ordered = True
    stateful = True
    keys = {
        "command": "the command, in upper case",
        "key": "its first key",
        "keys": "all its keys, with spaces between",
        "tag": "the part of the first key in {}, or all of it; what balancers hash for `key`",
        "database": "the number that was selected",
        "operation": "the command",
    }
    hash_aliases = {"key": "tag"}

    def __init__(
        self, auth: str | dict[str, object] | None = None, databases: int = 16, deny: list[str] | None = None
    ) -> None:
        if not 1 <= databases <= 16384:
            raise ValueError("databases must be 1 to 16384")
        self._accounts = Accounts(_users(auth))
        self._databases = databases
        self._denied = frozenset(name.upper() for name in deny or ())

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.CLIENT:
            return ClientSession(max_frame, self._accounts, self._databases, self._denied)
        return ServerSession(max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if request.kind is Kind.ONEWAY:
            return b""
        if name == "CROSSSLOT":
            line = CROSSSLOT
        elif name.isalpha() and name.isupper():
            line = f"{name} {text}"
        else:
            line = f"{ERRORS[kind]} {text or kind.value}"
        return b"-" + line.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace") + b"\r\n"

    def safe(self, request: Message) -> bool:
        return request.get("command") in commands.READS

    def split(self, request: Message, owner: Callable[[str], Hashable]) -> list[Part] | None:
        arguments = resp.arguments(without_multi(request.frame))
        name = request.get("command") or ""
        keys = commands.keys(name, arguments)
        if len(keys) < 2:
            return None
        owners = [owner(tag(key.decode("utf-8", "surrogateescape"))) for key in keys]
        if all(one == owners[0] for one in owners):
            return None
        width = commands.SPLIT.get(name)
        if width is None or (len(arguments) - 1) % width or request.hold:
            return []
        places: dict[Hashable, list[int]] = {}
        for place, one in enumerate(owners):
            places.setdefault(one, []).append(place)
        return [self._part(request, arguments, mine, width) for mine in places.values()]

    def _part(self, request: Message, arguments: Sequence[bytes], places: list[int], width: int) -> Part:
        chosen = [arguments[1 + place * width + extra] for place in places for extra in range(width)]
        frame = resp.encode([arguments[0], *chosen])
        return Part(Message(Kind.REQUEST, frame, 0, None, read_command, profile=request.profile), places)

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        for answer in answers:
            if answer.kind is Kind.ERROR:
                return answer.frame
        name = request.get("command")
        if name == "MSET":
            return answers[0].frame
        if name == "MGET":
            return _in_place(parts, answers)
        return b":%d\r\n" % sum(int(answer.frame[1:-2]) for answer in answers)


def _in_place(parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
    """The values of several answers to MGET, in the order of the keys of the one request."""
    values: dict[int, bytes] = {}
    for part, answer in zip(parts, answers, strict=True):
        frame = answer.frame
        at = frame.index(b"\r\n") + 2
        for place in part.place:  # type: ignore[attr-defined]
            line = frame.index(b"\r\n", at)
            length = int(frame[at + 1 : line]) if frame[at : at + 1] == b"$" else -1
            stop = line + 2 + (length + 2 if length >= 0 else 0)
            values[place] = frame[at:stop]
            at = stop
    return b"*%d\r\n" % len(values) + b"".join(values[place] for place in sorted(values))


def _users(auth: str | Mapping[str, object] | None) -> dict[str, str]:
    """name -> password. Raises ValueError."""
    if auth is None:
        return {}
    if isinstance(auth, str):
        auth = {"password": auth}
    unknown = set(auth) - {"password", "users"}
    if unknown:
        raise ValueError(f"auth has {', '.join(sorted(unknown))}; write password, or users")
    users: dict[str, str] = {}
    named = auth.get("users", {})
    if not isinstance(named, Mapping):
        raise ValueError("auth.users is no mapping of names to passwords")
    for name, password in [*named.items(), *([("default", auth["password"])] if "password" in auth else [])]:
        if not isinstance(password, str) or not password:
            raise ValueError(f"the password of {name} is no text")
        users[str(name)] = password
    if not users:
        raise ValueError("auth names nobody; write password, or users")
    return users
