"""
What a user may do: rules as Redis' ACL has them.

    +get -config|set +@read -@dangerous    commands, their subcommands, categories
    ~app:* %R~shared:* %W~log:*            keys, to read and write, to read, to write
    &news.*                                channels

Semantics and words: redis-server 7.0; tests compare decisions with it. Lives here: `Rules`, patterns. Does not: who a
client is (`accounts`), which categories a command is in and what it does to its keys (`acl_table`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from metaproxy.codecs.redis.acl_table import ALWAYS, CATEGORIES, CONTAINERS, NAMES, READ, WRITE, accesses
from metaproxy.codecs.redis.commands import plain
from metaproxy.support.nearest_name import nearest_name

_DENIED = "NOPERM this user has no permissions to run the '{}' command"
_KEY = "NOPERM this user has no permissions to access one of the keys used as arguments"
_CHANNEL = "NOPERM this user has no permissions to access one of the channels used as arguments"
_SORT = "ERR {} option of SORT denied due to insufficient ACL permissions"

_PUBLISH = frozenset(("PUBLISH", "SPUBLISH"))
_SUBSCRIBE = frozenset(("SUBSCRIBE", "SSUBSCRIBE"))
_NEEDS = {"R": READ, "W": WRITE, "RW": READ | WRITE, "WR": READ | WRITE}
_KEYS = re.compile(r"(?:%([RrWw]{1,2}))?~(.*)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SAME = {
    "allcommands": "+@all", "nocommands": "-@all", "allkeys": "~*", "allchannels": "&*",
}  # fmt: skip


class Glob:
    """
    A pattern as Redis compares it with bytes: *, ?, [a-z], [^a-z], and a backslash before what is to be itself. Takes
    time in proportion to the text, whatever the pattern.
    """

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        pieces = [_expression(piece) for piece in _between_stars(pattern)]
        (first, self._shortest), *rest = pieces
        self._first = re.compile(first, re.DOTALL)
        self._last = re.compile(rest[-1][0], re.DOTALL) if rest else None
        self._last_size = rest[-1][1] if rest else 0
        self._inner = [re.compile(piece, re.DOTALL) for piece, _ in rest[:-1]]

    def matches(self, text: bytes) -> bool:
        if self._last is None:
            return self._first.fullmatch(text) is not None
        found = self._first.match(text)
        if found is None:
            return False
        at, end = found.end(), len(text) - self._last_size
        # Pieces between stars have each its own size, so the leftmost place is always as good as any.
        for piece in self._inner:
            found = piece.search(text, at)
            if found is None:
                return False
            at = found.end()
        return at <= end and self._last.match(text, end) is not None


def _between_stars(pattern: bytes) -> list[list[tuple[bytes, bool]]]:
    """The pieces of a pattern, each a list of what stands for one byte: (its bytes, whether it is a class)."""
    pieces: list[list[tuple[bytes, bool]]] = [[]]
    at = 0
    while at < len(pattern):
        one = pattern[at : at + 1]
        at += 1
        if one == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif one == b"[":
            stop = _end_of_class(pattern, at)
            pieces[-1].append((pattern[at:stop], True))
            at = stop + 1
        elif one == b"\\" and at < len(pattern):
            pieces[-1].append((pattern[at : at + 1], False))
            at += 1
        else:
            pieces[-1].append((b"" if one == b"?" else one, False))
    return pieces


def _end_of_class(pattern: bytes, at: int) -> int:
    """Where the ] stands that ends a class, or the end of the pattern where there is none."""
    if pattern[at : at + 1] == b"^":
        at += 1
    while at < len(pattern):
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 2
        elif pattern[at : at + 1] == b"]":
            return at
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            at += 3
        else:
            at += 1
    return len(pattern)


def _expression(piece: list[tuple[bytes, bool]]) -> tuple[bytes, int]:
    """A piece as a regular expression, and how many bytes it stands for."""
    return b"".join(_class(one) if is_class else re.escape(one) or b"." for one, is_class in piece), len(piece)


def _class(inner: bytes) -> bytes:
    inverted = inner.startswith(b"^")
    chosen = bytearray(256)
    at = int(inverted)
    while at < len(inner):
        first = last = inner[at]
        if first == 0x5C and at + 1 < len(inner):
            first = last = inner[at + 1]
            at += 2
        elif inner[at + 1 : at + 2] == b"-" and at + 2 < len(inner):
            first, last = sorted((first, inner[at + 2]))
            at += 3
        else:
            at += 1
        for byte in range(first, last + 1):
            chosen[byte] = 1
    found = b"".join(re.escape(bytes((byte,))) for byte in range(256) if bool(chosen[byte]) != inverted)
    return b"[" + found + b"]" if found else b"(?!)"


class Rules:
    """
    Rules, the later ones changing what the earlier ones said; to begin with nothing is allowed. Raises ValueError for
    one that is none. enabled: whether the user can log in.
    """

    def __init__(self, rules: Sequence[str]) -> None:
        self.enabled = True
        self._commands: set[str] = set()
        self._others = False  # whether commands that are not known here are allowed
        self._removed: set[str] = set()  # those of them that are not
        self._keys: list[tuple[int, Glob]] = []
        self._channels: list[Glob] = []
        for rule in rules:
            self._add(_SAME.get(rule.lower(), rule))
        self._all_keys = {need: self._full_access(need) for need in range(4)}
        self._all_channels = any(glob.pattern == b"*" for glob in self._channels)

    def _full_access(self, need: int) -> bool:
        return any(glob.pattern == b"*" and needs & need == need for needs, glob in self._keys)

    @property
    def everything(self) -> bool:
        """Whether nothing is denied."""
        commands = self._others and not self._removed and self._commands >= NAMES
        return commands and self._all_keys[READ | WRITE] and self._all_channels

    # -- rules

    def _add(self, rule: str) -> None:
        word = rule.lower()
        found = _KEYS.fullmatch(rule)
        if word in ("on", "off"):
            self.enabled = word == "on"
        elif word == "resetkeys":
            self._keys = []
        elif word == "resetchannels":
            self._channels = []
        elif found is not None:
            needs = _NEEDS.get((found[1] or "RW").upper())
            if needs is None:
                raise ValueError(f"{rule!r}: write ~PATTERN, %R~PATTERN or %W~PATTERN")
            self._keys.append((needs, Glob(found[2].encode())))
        elif rule.startswith("&"):
            self._channels.append(Glob(rule[1:].encode()))
        elif word.startswith(("+@", "-@")):
            self._category(word)
        elif word.startswith(("+", "-")):
            self._command(word)
        elif rule.startswith(("(", ")")):
            raise ValueError("selectors, rules in parentheses, are not supported")
        elif rule.startswith((">", "<", "#", "!")) or word in ("nopass", "resetpass"):
            # Not reported with its text: that may be a password.
            raise ValueError("passwords are no rules; write password: {secret: NAME}, or nopass: true")
        else:
            raise ValueError(f"{rule!r} is no rule; write such as +get, -@dangerous, ~key:*, &channel.*")

    def _category(self, word: str) -> None:
        name = word[2:]
        if name == "all":
            self._others = word[0] == "+"
            self._removed.clear()
            self._change(word, NAMES if self._others else frozenset(self._commands))
        elif name in CATEGORIES:
            self._change(word, CATEGORIES[name])
        else:
            raise ValueError(f"no category @{name}; there are @all, {', '.join(f'@{one}' for one in CATEGORIES)}")

    def _command(self, word: str) -> None:
        name = word[1:]
        base, bar, _ = name.partition("|")
        if name not in NAMES:
            if bar and base in NAMES:
                raise ValueError(f"{base} has no subcommand {name.partition('|')[2]}")
            if bar or "." not in name or not _NAME.fullmatch(name):  # a module's commands have a dot in their names
                near = nearest_name(name, NAMES)
                raise ValueError(f"no command {name!r}" + (f"; did you mean {near}?" if near else ""))
        self._change(word, frozenset((name,)) | CONTAINERS.get(name, frozenset()))

    def _change(self, word: str, names: frozenset[str]) -> None:
        if word[0] == "+":
            self._commands |= names
            self._removed -= names
        else:
            self._commands -= names
            self._removed |= names - NAMES

    # -- decisions

    def refusal(self, name: bytes, arguments: Callable[[], list[bytes]]) -> str:
        """
        Why a command is refused, as redis-server would say it, or nothing. name: in upper case; arguments: gives them
        all, the command itself in front.
        """
        lower = name.decode("latin-1").lower()
        if lower in ALWAYS:
            return ""
        words: list[bytes] | None = None
        if lower in CONTAINERS:
            words = arguments()
            full = f"{lower}|{words[1].decode('latin-1').lower()}" if len(words) > 1 else lower
            if full in NAMES:
                lower = full
            elif not CONTAINERS[lower] <= self._commands:  # a server may know a subcommand that is not known here
                return _DENIED.format(lower)
        if not self._allows(lower):
            return _DENIED.format(lower[:128])
        upper = name.decode("latin-1")
        if not self._all_keys[READ | WRITE]:
            words = words or arguments()
            refused = self._keys_refusal(upper, words)
            if refused:
                return refused
        if not self._all_channels and not self._hears(upper, words, arguments):
            return _CHANNEL
        return ""

    def _allows(self, name: str) -> bool:
        return name in self._commands or (self._others and name not in NAMES and name not in self._removed)

    def _keys_refusal(self, name: str, words: list[bytes]) -> str:
        for key, need in accesses(name, words):
            if not self._all_keys[need] and not any(
                needs & need == need and glob.matches(key) for needs, glob in self._keys
            ):
                return _KEY
        if name in ("SORT", "SORT_RO") and not self._all_keys[READ]:
            # By their patterns it would read any key.
            for option in _looks_elsewhere(words):
                return _SORT.format(option)
        return ""

    def _hears(self, name: str, words: list[bytes] | None, arguments: Callable[[], list[bytes]]) -> bool:
        if name in _PUBLISH:
            channels = (words or arguments())[1:2]
        elif name in _SUBSCRIBE:
            channels = (words or arguments())[1:]
        elif name == "PSUBSCRIBE":
            allowed = {glob.pattern for glob in self._channels}
            return allowed.issuperset((words or arguments())[1:])
        else:
            return True
        return all(any(glob.matches(channel) for glob in self._channels) for channel in channels)


def _looks_elsewhere(words: list[bytes]) -> Iterator[str]:
    """The options of a SORT that have it look at other keys than its own."""
    for place, word in enumerate(words[2:-1], 2):
        upper = plain(word).upper()
        if upper == b"GET" or (upper == b"BY" and b"*" in words[place + 1]):
            yield upper.decode()
