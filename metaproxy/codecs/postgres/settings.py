"""
What a statement of SET, RESET and DISCARD changes, and the statements that bring a connection into such a state.

Lives here: `Change`, `change_of`, `restoring`. Does not: when changes are in force (`pooled_client`).
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
_ROLE = "role"
_TIME_ZONE, _SEARCH_PATH, _ENCODING = "timezone", "search_path", "client_encoding"


class Change(NamedTuple):
    """
    settings: name to SQL of the value, None for the default. everything: all are set back first. known: False for what
    can't be told, so that the client must keep its connection.
    """

    settings: Mapping[str, str | None] = {}
    everything: bool = False
    known: bool = True


_SPECIAL = ((["time", "zone"], _TIME_ZONE), (["schema"], _SEARCH_PATH), (["names"], _ENCODING), ([_ROLE], _ROLE))


UNKNOWN = Change(known=False)
NOTHING = Change()


def change_of(text: str) -> Change:
    """What a single statement changes for the session; `NOTHING` where that is for its transaction alone."""
    words = [(kind, token) for kind, token in sql.tokens(text, sql.POSTGRES) if kind not in ("block", "end")]
    if len(words) > _MOST_TOKENS or not words:
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
        return Change(everything=True)
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
    value = " ".join(values)
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


def restoring(settings: Iterable[tuple[str, str]], before: Iterable[tuple[str, str]] | None) -> str:
    """The SQL that brings a connection into a state. before: the one that it is in, None where that is not known."""
    wanted = dict(settings)
    if before is None:
        parts = ["RESET ALL", "RESET ROLE"]
        known: dict[str, str] = {}
    else:
        known = dict(before)
        parts = [f"RESET {name}" for name in known if name not in wanted]
    parts += [_setting(name, value) for name, value in wanted.items() if known.get(name) != value]
    return "; ".join(parts)


def _setting(name: str, value: str) -> str:
    if value.startswith(AS_TEXT):
        return f"SELECT set_config('{name}', {value[len(AS_TEXT) :]}, false)"
    return f"SET ROLE {value}" if name == _ROLE else f"SET {name} TO {value}"
