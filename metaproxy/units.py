"""
What a plugin's constructor says of its options: durations, sizes, percentages, secrets, texts and bounds.

Lives here: the three notations, and the annotations that name them: `Seconds`, `Bytes`, `Percent`, `Secret`, `Option`,
`OptionsOf`. Does not: the reading of annotations (`metaproxy.options`); where in a file a value stood.
"""

from __future__ import annotations

import re
import sys
from dataclasses import KW_ONLY, dataclass
from typing import NewType

Seconds = NewType("Seconds", float)
"""An option written `250ms`, `2s`, `5m`, `1h` or as a number of seconds."""
Bytes = NewType("Bytes", int)
"""An option written `64KiB`, `16MiB`, `1GiB` or as a number of bytes."""
Percent = NewType("Percent", float)
"""An option written as a number from 0 to 100."""

Bound = float | str
"""A number, or a duration or size as a configuration writes it: `10ms`, `64KiB`."""


class Secret(str):
    """A text that is shown as '****'. It is an ordinary text where it is used; an option may be annotated with it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"


@dataclass(frozen=True, slots=True)
class Option:
    """
    What an option means: `limit: Annotated[float, Option("Requests per `per`.", above=0)]`.

    about: a line for the reference. least, most, above: bounds of a number, a duration or a size; for a text, a list or
    a mapping of its length. default: what the reference calls the default where its value does not tell. secret:
    whether no text of it is ever shown; or the keys within it at which such texts stand.
    """

    about: str
    _: KW_ONLY
    least: Bound | None = None
    most: Bound | None = None
    above: Bound | None = None
    default: str = ""
    secret: bool | tuple[str, ...] = False


@dataclass(frozen=True, slots=True)
class OptionsOf:
    """
    The keys of a mapping are the options of `target`, a class or its dotted name, which the plugin makes itself:
    `Annotated[dict[str, object], OptionsOf(Provider)]`. A class alone, as an annotation, is made before the plugin is.
    """

    target: type | str


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|KB|MB|GB)?")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_MOST = sys.float_info.max
"""What is written beyond it counts as it: an option with a bound can say so, and no timer is set for ever."""


def seconds(value: object) -> Seconds:
    """A duration in seconds, never infinite. Raises ValueError with a text that says how to write one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return Seconds(float(min(value, _MOST)))
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match:
            return Seconds(min(float(match[1]) * _SECONDS[match[2]], _MOST))
    raise ValueError(f"{value!r} is not a duration; write 15s, 500ms, 5m or a number of seconds")


def size(value: object) -> Bytes:
    """A size in bytes. Raises ValueError with a text that says how to write one."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Bytes(value)
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match:
            return Bytes(int(min(float(match[1]) * _BYTES[match[2] or "B"], _MOST)))
    raise ValueError(f"{value!r} is not a size; write 64KiB, 16MiB or a number of bytes")


def percent(value: object) -> Percent:
    """A percentage, 0 to 100. Raises ValueError with a text that says how to write one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 100:
        return Percent(float(value))
    raise ValueError(f"{value!r} is not a percentage; write a number from 0 to 100, such as 25 or 0.5")
