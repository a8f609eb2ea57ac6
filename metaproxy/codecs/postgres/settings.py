"""
What a statement of SET, RESET and DISCARD changes, and the statements that bring a connection into such a state.

Lives here: `Change`, `change_of`, `in_order`, `restoring`. Does not: when changes are in force (`pooled_client`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from metaproxy.codecs import sql

MOST_SETTINGS = 64
"""Settings of a client that are remembered; one with more is bound to its server connection."""
MOST_VALUE = 1024
AS_TEXT = "="
"""What a value begins with that is the text of a StartupMessage, in which SET would quote a list."""
_MOST_TOKENS = 256
_NO_WORDS = ("block", "end")
_RESTRICTED = (
    "allow_", "backtrace_", "commit_delay", "compute_query_id", "deadlock_timeout", "debug_", "dynamic_library_path",
    "event_triggers", "extension_", "ignore_checksum_failure", "jit_dump_bitcode", "lc_messages", "lo_compat_", "log_",
    "max_stack_depth", "session_", "temp_file_limit", "track_", "update_process_title", "wal_", "zero_damaged_pages",
)  # fmt: skip
"""What settings begin with that take a right of their own."""
_MOST_LOOKED_AT = 1024
"""Tokens of a statement, comments included, in which those of a setting are looked for."""
_ROLE = "role"
_TIME_ZONE, _SEARCH_PATH, _ENCODING = "timezone", "search_path", "client_encoding"


class Change(NamedTuple):
    """
    settings: name to SQL of the value, None for the default. everything: all are set back first; but_role: but the
    role. known: False for what can't be read, so that the client must keep its connection.
    """

    settings: Mapping[str, str | None] = {}
    everything: bool = False
    known: bool = True
    but_role: bool = False

    def applied(self, now: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
        """The settings behind it. now: those before, in the order in which they were made."""
        found = dict(defaults if self.everything else now)
        if self.but_role and _ROLE in now:
            found[_ROLE] = now[_ROLE]
        for name, value in self.settings.items():
            value = defaults.get(name) if value is None else value
            found.pop(name, None)
            if value is not None:
                found[name] = value
        return found

    def hides(self, now: Mapping[str, str]) -> bool:
        """Whether it leaves a role as which settings were made that only some may make: no other order would do."""
        if _ROLE not in now or _ROLE not in self.settings or self.everything:
            return False
        names = list(now)
        return any(name.startswith(_RESTRICTED) for name in names[names.index(_ROLE) :])


_SPECIAL = ((["time", "zone"], _TIME_ZONE), (["schema"], _SEARCH_PATH), (["names"], _ENCODING), ([_ROLE], _ROLE))


UNKNOWN = Change(known=False)
NOTHING = Change()


def change_of(text: str) -> Change:
    """What a single statement changes for the session; `NOTHING` where that is for its transaction alone."""
    found = sql.tokens(text, sql.POSTGRES, _MOST_LOOKED_AT)
    words = [(kind, token) for kind, token in found if kind not in _NO_WORDS]
    if len(words) > _MOST_TOKENS or not words or words[-1][0] == "cut":
        return UNKNOWN
    first, *rest = [token.lower() if kind == "word" else token for kind, token in words]
    values = [token for _, token in words][1:]
    if first == "discard":
        return Change(everything=True) if rest == ["all"] else NOTHING
    if first == "reset":
        return _reset(rest)
    if first != "set":
        return UNKNOWN
    if rest[:1] == ["local"] or rest[:1] in (["transaction"], ["constraints"]):
        return NOTHING
    if rest[:2] == ["session", "characteristics"]:
        return _characteristics(rest[4:])
    if rest[:1] == ["session"] and rest[1:2] != ["authorization"]:
        rest, values = rest[1:], values[1:]
    return _set(rest, values)


def _reset(rest: list[str]) -> Change:
    if rest == ["all"]:
        return Change(everything=True, but_role=True)  # as it is with PostgreSQL
    if rest == ["time", "zone"]:
        return Change({_TIME_ZONE: None})
    name = _name(rest)
    return Change({name: None}) if name else UNKNOWN


def _set(rest: list[str], values: list[str]) -> Change:
    for words, name in _SPECIAL:
        if rest[: len(words)] == words and rest[len(words) : len(words) + 1] not in (["="], ["to"]):
            return _to(name, values[len(words) :])
    for sign in ("=", "to"):
        if sign in rest:
            place = rest.index(sign)
            name = _name(rest[:place])
            return _to(name, values[place + 1 :]) if name else UNKNOWN
    return UNKNOWN


def _name(words: list[str]) -> str:
    """The name of a setting, or '' for what is none."""
    name = "".join(words)
    bare = name.replace(".", "").replace("_", "")
    return name.lower() if bare.isalnum() and bare.isascii() and len(name) < 128 and name != "session" else ""


def _to(name: str, values: list[str]) -> Change:
    value = ""
    for token in values:  # texts that follow each other are one where they are on lines of their own
        between = "\n" if value[-1:] == token[:1] == "'" else " " if value else ""
        value += between + token
    default = value.lower() == "default" or (name == _TIME_ZONE and value.lower() == "local")
    if not value or len(value) > MOST_VALUE or ("$" in value and "'" not in value):
        return UNKNOWN
    return Change({name: None if default else value})


def _characteristics(rest: list[str]) -> Change:
    """SET SESSION CHARACTERISTICS AS TRANSACTION: the same as three settings."""
    text = " ".join(word for word in rest if word != ",")
    settings: dict[str, str | None] = {}
    for words, name, value in _CHARACTERISTICS:
        if words in text:
            settings[name] = value
            text = text.replace(words, "", 1)
    return Change(settings) if settings and not text.strip() else UNKNOWN


_ISOLATION, _READ_ONLY = "default_transaction_isolation", "default_transaction_read_only"
_DEFERRABLE = "default_transaction_deferrable"
_CHARACTERISTICS = (
    ("isolation level serializable", _ISOLATION, "'serializable'"),
    ("isolation level repeatable read", _ISOLATION, "'repeatable read'"),
    ("isolation level read committed", _ISOLATION, "'read committed'"),
    ("isolation level read uncommitted", _ISOLATION, "'read uncommitted'"),
    ("read only", _READ_ONLY, "on"),
    ("read write", _READ_ONLY, "off"),
    ("not deferrable", _DEFERRABLE, "off"),
    ("deferrable", _DEFERRABLE, "on"),
)


def literal(value: str) -> str:
    """A value as SQL, whatever is in it."""
    quoted = value.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in value else f"'{quoted}'"


def in_order(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """
    The same for all that have made the same settings, in whichever order; but those that were made as a role are made
    as that again, and the others before.
    """
    made = list(settings.items())
    place = list(settings).index(_ROLE) if _ROLE in settings else len(made)
    return (*sorted(made[:place]), *made[place : place + 1], *sorted(made[place + 1 :]))


def restoring(settings: Iterable[tuple[str, str]], before: Iterable[tuple[str, str]] | None) -> str:
    """The SQL that brings a connection into a state. before: the one that it is in, None where that is not known."""
    wanted = dict(settings)
    known = {} if before is None else dict(before)
    if before is None or (wanted != known and _ROLE in known):  # which may not make all of them
        parts = ["RESET ALL", "RESET ROLE"]
        known = {}
    else:
        parts = [f"RESET {name}" for name in known if name not in wanted]
    parts += [_setting(name, value) for name, value in wanted.items() if known.get(name) != value]
    return "; ".join(parts)


def _setting(name: str, value: str) -> str:
    if value.startswith(AS_TEXT):
        return f"SELECT set_config('{name}', {value[len(AS_TEXT) :]}, false)"
    if name == _TIME_ZONE:
        return f"SET TIME ZONE {value}"  # which takes an INTERVAL, too
    return f"SET ROLE {value}" if name == _ROLE else f"SET {name} TO {value}"
