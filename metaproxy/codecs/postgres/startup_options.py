"""
What a StartupMessage asks for beside user and database: settings, and versions and options of the protocol.

Lives here: `settings_of`, `negotiation`, `secret_size`, `replication_of`. Does not: the message's form (`wire`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from metaproxy.codecs.cancel_keys import SECRET_SIZE
from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.settings import AS_TEXT, MOST_SETTINGS, MOST_VALUE, literal
from metaproxy.message import FrameError

_NO_SETTINGS = frozenset(("user", "database", "replication", "options"))
_EXTENSION = "_pq_."
_NEWEST = 2
"""The minor version of protocol 3 that is spoken."""
_LONG_SECRETS, _LONG_SECRET = 2, 32
"""From which minor version on a secret to cancel by may be longer, and how long it is then: as PostgreSQL 18 has it."""
_RESERVED = 1
"""3.1 was never one."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
_WORD = re.compile(r"(?:[^\s\\]|\\.)+")
_TRUE = frozenset(("true", "on", "yes", "1"))


def settings_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """The settings, as `settings.restoring` takes them. May raise FrameError."""
    found = {}
    named = [
        (name, value)
        for name, value in parameters.items()
        if name not in _NO_SETTINGS and not name.startswith(_EXTENSION)
    ]
    for name, value in (*_options(parameters.get("options", "")), *named):
        if not _NAME.fullmatch(name) or len(name) > 128 or len(value) > MOST_VALUE:
            raise FrameError(f"the setting {name[:40]!r} of a StartupMessage")
        found[name.lower()] = AS_TEXT + literal(value)
    if len(found) > MOST_SETTINGS:
        raise FrameError(f"{len(found)} settings in a StartupMessage; allowed are {MOST_SETTINGS}")
    return found


def _options(text: str) -> Iterator[tuple[str, str]]:
    """The settings of `-c name=value` and `--name=value`."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in _WORD.findall(text)]
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            pair = words.pop(0)
        elif word.startswith(("-c", "--")):
            pair = word[2:]
        else:
            raise FrameError(f"{word[:40]!r} in the options of a StartupMessage; write -c NAME=VALUE")
        name, sign, value = pair.partition("=")
        if not sign:
            raise FrameError(f"{pair[:40]!r} in the options of a StartupMessage has no value")
        yield name.replace("-", "_"), value


def replication_of(parameters: Mapping[str, str]) -> str:
    """'' for a client of the usual kind, 'database' or 'true' for one that wants a stream of changes."""
    value = parameters.get("replication", "").lower()
    return value if value == "database" else "true" if value in _TRUE else ""


def negotiation(version: int, parameters: Mapping[str, str]) -> bytes:
    """What tells a client of a newer version, or with options that are not known, what is spoken; else b''."""
    spoken = _spoken(version)
    unknown = [name.encode() for name in parameters if name.startswith(_EXTENSION)]
    if spoken == version & 0xFFFF and not unknown:
        return b""
    names = b"".join(name + b"\0" for name in unknown)
    return wire.message(b"v", wire.LENGTH.pack((3 << 16) | spoken) + wire.LENGTH.pack(len(unknown)) + names)


def secret_size(version: int) -> int:
    """How many bytes of a secret to cancel by a client of this version is given."""
    return _LONG_SECRET if _spoken(version) >= _LONG_SECRETS else SECRET_SIZE


def _spoken(version: int) -> int:
    """The minor version of what is spoken with a client of this version."""
    minor = version & 0xFFFF
    return 0 if minor == _RESERVED else min(minor, _NEWEST)
