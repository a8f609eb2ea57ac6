"""
Which keys have values that must not be shown, also where the configuration does not call them secrets.

Lives here: `sounds_secret`, `looks_secret`, `masked`. Does not: secrets that the
configuration names (config.reading.Secret).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

MASK = "****"

_HIDDEN = re.compile(
    r"auth|authorization|cookie|pass(phrase)?"
    r"|(.*_)?(passwords?|passwd|secret|tokens?|jwt|api_?key|private_?key|access_?key|credentials?)"
)
_TOKEN = re.compile(r"(?i:bearer |basic )\S+|eyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A value that is a login under any key: an Authorization header's, a signed token."""
_JOINTS = re.compile(r"[-.\s]")


def sounds_secret(key: str) -> bool:
    """Whether a key names something like a password: `password`, `x-api-key`, `db.credentials`, in any case."""
    return _HIDDEN.fullmatch(_JOINTS.sub("_", key.lower())) is not None


def looks_secret(key: str, value: str) -> bool:
    """Whether a metadata key, or its value, shows a secret."""
    return sounds_secret(key) or _TOKEN.fullmatch(value) is not None


def masked(data: object, between: Callable[[], None] = lambda: None) -> object:
    """
    Return `data` with the texts of keys that sound like secrets replaced. between: called where other work may go on.
    """
    if isinstance(data, Mapping):
        between()
        return {
            key: MASK if isinstance(value, str) and value and sounds_secret(str(key)) else masked(value, between)
            for key, value in data.items()
        }
    return [masked(item, between) for item in data] if isinstance(data, (list, tuple)) else data
