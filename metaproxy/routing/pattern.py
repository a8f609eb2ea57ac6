"""
Regular expressions that meet what a peer sent: RE2, whose work is in proportion to the value, whatever the pattern.

Lives here: compiling a pattern for a text (the whole of it must match) or for bytes (found anywhere), and the reasons
for what RE2 does not have. Does not: patterns of the proxy's own code, which use `re`; where in a configuration a
pattern stands (the checker adds it).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import re2

MAX_PROGRAM = 10_000
"""Instructions of a compiled pattern. Where its states are too many to be kept, a character costs this many steps."""
_REMEMBERED, _SHORT = 256, 128
"""Values of which a pattern remembers whether they match, and the characters that such a value may have."""


class Searchable(Protocol):
    """A compiled pattern of bytes."""

    def search(self, data: bytes) -> object:
        """None unless the pattern is found somewhere in `data`."""


class _Pattern(Searchable, Protocol):
    """A pattern of RE2, which comes without types."""

    def fullmatch(self, data: bytes) -> object: ...
    def search(self, data: bytes) -> re.Match[bytes] | None: ...


def compile_text(pattern: str) -> Callable[[str], bool]:
    """
    What tells whether a pattern matches the whole of a text. What is no character, a lone surrogate, counts as U+FFFD.
    Raises ValueError with the reason.
    """
    fullmatch = _compiled(pattern, _options()).fullmatch

    def matches(value: str) -> bool:
        try:
            data = value.encode()
        except UnicodeEncodeError:
            data = _SURROGATE.sub("\ufffd", value).encode()
        return fullmatch(data) is not None

    # Crossing over to RE2 costs more than a microsecond, and the same short values come again and again.
    remembered = lru_cache(maxsize=_REMEMBERED)(matches)
    return lambda value: remembered(value) if len(value) <= _SHORT else matches(value)


def compile_rewrite(pattern: str, to: str) -> Callable[[str], str | None]:
    """
    What rewrites a text: the first part of it that the pattern matches becomes `to`, in which \\1 is what the first
    group matched, \\0 all of it. It gives None for a text that does not match. Raises ValueError with the reason.
    """
    options = _options()
    options.never_capture = False
    search = _compiled(pattern, options).search
    pieces = re.split(r"\\([0-9])", to)
    groups = re2.compile(pattern.encode(), options).groups
    if missing := [group for group in pieces[1::2] if int(group) > groups]:
        raise ValueError(f"\\{missing[0]} is no group of the pattern, which has {groups}")

    def rewrite(value: str) -> str | None:
        data = value.encode("utf-8", "surrogateescape")
        match = search(data)
        if match is None:
            return None
        said = [piece.encode() if place % 2 == 0 else match[int(piece)] or b"" for place, piece in enumerate(pieces)]
        return b"".join((data[: match.start()], *said, data[match.end() :])).decode("utf-8", "surrogateescape")

    return rewrite


def literally(text: str) -> str:
    """A pattern that matches this text and no other."""
    return str(re2.escape(text))


def compile_bytes(pattern: str) -> Searchable:
    """A pattern of bytes, a character of it standing for one; `.` is any byte. Raises ValueError with the reason."""
    try:
        data = pattern.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("it has a character that is no byte; write it as \\xhh") from None
    options = _options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    return _compiled(data, options)


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it would write to the standard error
    options.never_capture = True
    return options


def _compiled(pattern: str | bytes, options: re2.Options) -> _Pattern:
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    try:
        found = re2.compile(pattern.encode() if isinstance(pattern, str) else pattern, options)
    except UnicodeEncodeError:
        raise ValueError("it has a character that is not Unicode") from None
    except re2.error as error:
        raise ValueError(_reason(error)) from None
    _check_repeats(text)
    if found.programsize > MAX_PROGRAM:
        raise ValueError(
            f"the pattern is too large, {found.programsize} steps; allowed are {MAX_PROGRAM}; repeat less, or write "
            "several conditions"
        )
    pattern_found: _Pattern = found
    return pattern_found


_SURROGATE = re.compile("[\ud800-\udfff]")

_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\{(\d*),?(\d*)\}|.", re.DOTALL | re.ASCII
)
"""What a pattern is made of, as far as it takes to tell a repeat from a text."""


def _check_repeats(pattern: str) -> None:
    """Raises ValueError for braces that RE2 takes for a text, silently, and other engines for a repeat."""
    for token in _TOKEN.finditer(pattern):
        least, most = token[1], token[2]
        if most and not least:
            raise ValueError(f"{token[0]} is a text in RE2 and a repeat elsewhere; write {{0,{most}}} or \\{{,{most}}}")
        if least and len(max(least, most, key=len)) > 4:
            raise ValueError(f"invalid repetition size: {token[0][:20]}; {_REPEAT}")


_REPEAT = "a repeat may ask for 1000 at most, repeats within it included"
_HINTS: tuple[tuple[str, str], ...] = (
    (r"\(\?[=!]", "RE2 has no look-ahead; write what must not be as a condition with not: true"),
    (r"\(\?<[=!]|named capture group: \(\?<", "RE2 has no look-behind; write two conditions"),
    (r"invalid perl operator: \(\?P|escape sequence: \\[1-9]", "RE2 has no back references"),
    (r"escape sequence: \\Z", r"write \z, or leave it out: the whole value must match"),
    (r"escape sequence: \\u", r"write \x{0041}"),
    (r"\(\?>|repetition operator: [*+?}]\+", "RE2 has no possessive repeats, and needs none; write a+"),
    (r"invalid repetition size", _REPEAT),
)
"""Part of what RE2 says -> what helps."""


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    hint = next((hint for part, hint in _HINTS if re.search(part, text)), "")
    return f"{text}; {hint}" if hint else text
