"""
What a client says of itself, and what it is answered: AUTH, HELLO, SELECT, CLIENT.

The texts are redis-server's, as clients look for some of them. Lives here: the state that these commands set, and their
answers. Does not: what that state changes for the commands that follow (`client`).
"""

from __future__ import annotations

from metaproxy.codecs.redis.accounts import Account, Accounts
from metaproxy.codecs.redis.acl import Rules
from metaproxy.codecs.redis.metadata import ANYBODY
from metaproxy.codecs.redis.resp import bulk, encode

OK = b"+OK\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
_NO_PASSWORD = (
    b"-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
    b"configuration is correct?\r\n"
)
_HELLO_FIRST = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"
)
_BAD_NAME = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""What errors are translated with: they end at the first line end."""
_MOST_WORDS = 12
"""Words of a HELLO; three times what it can say."""
_SYNTAX = b"-ERR syntax error\r\n"
_NO_INTEGER = b"-ERR value is not an integer or out of range\r\n"
VERSION = b"7.0.0"
"""What HELLO tells: clients ask it for what they may use. INFO is the server's own."""
_SWITCHES = frozenset((b"NO-EVICT", b"NO-TOUCH"))


def arity(name: bytes) -> bytes:
    return b"-ERR wrong number of arguments for '%b' command\r\n" % name.lower()


class Identity:
    """
    user: who is logged in, or None. rules: what it may do, None for everything. version: of RESP. database: the
    selected one. number: what CLIENT ID tells; mode: HELLO. Each method takes the arguments of a command, itself in
    front, and gives the answer.
    """

    __slots__ = ("_accounts", "_databases", "_mode", "_name", "database", "number", "rules", "user", "version")

    def __init__(self, accounts: Accounts, databases: int, number: int, mode: bytes = b"standalone") -> None:
        self._mode = mode
        self._accounts = accounts
        self._databases = databases
        self.number = number
        self.reset()

    def reset(self) -> None:
        """As a new connection is."""
        self._is(self._accounts.newcomer)
        self.version = 2
        self.database = 0
        self._name = b""

    def _is(self, account: Account | None) -> None:
        self.user: str | None = account.name if account is not None else None
        self.rules: Rules | None = account.rules if account is not None else None

    def null(self) -> bytes:
        return b"_\r\n" if self.version == 3 else b"$-1\r\n"

    def auth(self, arguments: list[bytes]) -> bytes:
        if len(arguments) == 2:
            if self._accounts.asks_no_password:
                return _NO_PASSWORD
            return self._log_in(ANYBODY.encode(), arguments[1])
        if len(arguments) == 3:
            return self._log_in(arguments[1], arguments[2])
        return arity(b"auth")

    def _log_in(self, user: bytes, password: bytes) -> bytes:
        accepted = self._accounts.accept(user, password)
        if accepted is None:
            return WRONGPASS
        self._is(accepted)
        return OK

    def hello(self, arguments: list[bytes]) -> bytes:
        """HELLO [version [AUTH user password] [SETNAME name]]; nothing changes unless all of it is right."""
        version, name, login = self.version, self._name, None
        if len(arguments) > 1:
            if not arguments[1].isdigit():
                return b"-ERR Protocol version is not an integer or out of range\r\n"
            if arguments[1] not in (b"2", b"3"):
                return b"-NOPROTO unsupported protocol version\r\n"
            version = int(arguments[1])
        if len(arguments) > _MOST_WORDS:
            return b"-ERR Syntax error in HELLO option '%b'\r\n" % _line(arguments[_MOST_WORDS])
        rest = arguments[2:]
        while rest:
            word = rest[0].upper()
            if word == b"AUTH" and len(rest) > 2:
                login, rest = rest[1:3], rest[3:]
            elif word == b"SETNAME" and len(rest) > 1:
                name, rest = rest[1], rest[2:]
                if not _is_name(name):
                    return _BAD_NAME
            else:
                return b"-ERR Syntax error in HELLO option '%b'\r\n" % _line(rest[0])
        if login is not None and self._log_in(*login) is WRONGPASS:
            return WRONGPASS
        if self.user is None:
            return _HELLO_FIRST
        self.version, self._name = version, name
        return self._introduction()

    def _introduction(self) -> bytes:
        facts = (
            bulk(b"server"), bulk(b"redis"), bulk(b"version"), bulk(VERSION), bulk(b"proto"), b":%d\r\n" % self.version,
            bulk(b"id"), b":%d\r\n" % self.number, bulk(b"mode"), bulk(self._mode), bulk(b"role"), bulk(b"master"),
            bulk(b"modules"), b"*0\r\n",
        )  # fmt: skip
        return (b"%7\r\n" if self.version == 3 else b"*14\r\n") + b"".join(facts)

    def select(self, arguments: list[bytes]) -> bytes:
        if len(arguments) != 2:
            return arity(b"select")
        digits = arguments[1]
        if not digits.removeprefix(b"-").isdigit() or len(digits) > 18:
            return _NO_INTEGER
        number = int(digits)
        if not 0 <= number < self._databases:
            return b"-ERR DB index is out of range\r\n"
        self.database = number
        return OK

    def client(self, arguments: list[bytes]) -> bytes:
        """CLIENT with one of the subcommands that are answered here."""
        word, rest = arguments[1].upper(), arguments[2:]
        if word == b"ID" and not rest:
            return b":%d\r\n" % self.number
        if word == b"GETNAME" and not rest:
            return bulk(self._name) if self._name else self.null()
        if word == b"SETNAME" and len(rest) == 1:
            if not _is_name(rest[0]):
                return _BAD_NAME
            self._name = rest[0]
            return OK
        if word == b"SETINFO" and len(rest) == 2:
            return OK
        if word in _SWITCHES and len(rest) == 1:
            return OK if rest[0].upper() in (b"ON", b"OFF") else _SYNTAX
        if word == b"REPLY" and len(rest) == 1 and rest[0].upper() == b"ON":
            return OK
        return b"-ERR unknown subcommand '%b'. Try CLIENT HELP.\r\n" % _line(arguments[1])


def _is_name(name: bytes) -> bool:
    return all(0x21 <= byte <= 0x7E for byte in name)


def _line(word: bytes) -> bytes:
    """As it may stand in an error."""
    return word[:64].translate(ONE_LINE)


def unsubscribed(arguments: list[bytes], version: int) -> bytes:
    """What a client is answered that unsubscribes and has no subscription: a confirmation for each channel."""
    word = bulk(arguments[0].lower())
    null = b"_\r\n" if version == 3 else b"$-1\r\n"
    head = (b">3\r\n" if version == 3 else b"*3\r\n") + word
    return b"".join(head + name + b":0\r\n" for name in [*map(bulk, arguments[1:])] or [null])


def error_probe(text: str) -> bytes:
    """
    A command that no server has, and so answers with an error that holds `text`; a transaction fails by it. Its name
    has a blank in it and no control character, so that no text can be the name of a command.
    """
    name = "".join(one if one >= " " else "?" for one in text[:1024])
    return encode([(name if " " in name else f"refused: {name}").encode("utf-8", "replace")])
