"""
Templates of paths as google.api.http has them, and which of them a path matches.

    /v1/{name=shelves/*/books/*}:move    segments (a literal, * for one, ** for the rest), variables, a verb

Lives here: `Template`, `Paths`. Does not: what a variable's value becomes (`parameters`, the options of a protocol).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
_LITERAL = re.compile(r"[!$&'()+,;@~.\-\w%]+", re.ASCII)
_ESCAPE = re.compile(rb"%(?!2[Ff])([0-9A-Fa-f]{2})")


class Variable(NamedTuple):
    """name: such as `book.name`; start, stop: its segments, None for all the rest; several: it may hold slashes."""

    name: str
    start: int
    stop: int | None
    several: bool


class Template:
    """A template, read. segments: literals, `*` and `**`; verb: behind the last colon, "" for none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.segments: list[str] = []
        self.variables: list[Variable] = []
        if not text.startswith("/"):
            raise ValueError(f"{text!r:.200} is no template of a path; it begins with /")
        rest, self.verb = _verb(text[1:])
        while True:
            rest = self._variable(rest) if rest.startswith("{") else self._segment(rest)
            if not rest:
                break
            if rest[0] != "/":
                raise ValueError(f"{text!r:.200} has {rest[0]!r} behind a segment; write / or the end")
            rest = rest[1:]
        if "**" in self.segments[:-1]:
            raise ValueError(f"{text!r:.200} has ** before its last segment")
        names = [variable.name for variable in self.variables]
        if len(set(names)) < len(names):
            raise ValueError(f"{text!r:.200} has a variable twice")

    def _segment(self, rest: str) -> str:
        """Takes one segment off the text."""
        for wild in ("**", "*"):
            if rest.startswith(wild):
                self.segments.append(wild)
                return rest[len(wild) :]
        literal = _LITERAL.match(rest)
        if literal is None:
            raise ValueError(f"{self.text!r:.200} has no segment at {rest!r:.40}; write a word, *, ** or {{name}}")
        self.segments.append(literal[0])
        return rest[literal.end() :]

    def _variable(self, rest: str) -> str:
        inner, brace, behind = rest[1:].partition("}")
        name, equals, segments = inner.partition("=")
        if not brace or not _NAME.fullmatch(name) or (equals and not segments):
            raise ValueError(f"{self.text!r:.200}: {rest!r:.60} is no variable; write {{name}} or {{name=segments}}")
        start = len(self.segments)
        segments = segments or "*"
        while True:
            segments = self._segment(segments)
            if not segments:
                break
            if segments[0] != "/":
                raise ValueError(f"{self.text!r:.200} has {segments[0]!r} within the variable {name}")
            segments = segments[1:]
        stop = len(self.segments)
        rests = self.segments[-1] == "**"
        self.variables.append(Variable(name, start, None if rests else stop, rests or stop - start > 1))
        return behind


def _verb(text: str) -> tuple[str, str]:
    """The path without its verb, and the verb."""
    place = text.rfind(":")
    if place < 0 or place < text.rfind("}") or "/" in text[place:]:
        return text, ""
    if not _LITERAL.fullmatch(text[place + 1 :]):
        raise ValueError(f"{text!r:.200} has no word behind its last colon")
    return text[:place], text[place + 1 :]


@dataclass(slots=True)
class _Node(Generic[T]):
    """Where templates lead that begin alike. ends, rests: verb -> method -> what is found, here and by `**`."""

    literals: dict[str, _Node[T]] = field(default_factory=dict)
    any: _Node[T] | None = None
    ends: dict[str, dict[str, tuple[Template, T]]] = field(default_factory=dict)
    rests: dict[str, dict[str, tuple[Template, T]]] = field(default_factory=dict)


class Match(NamedTuple, Generic[T]):
    """values: of the template's variables, by name."""

    found: T
    values: dict[str, str]


class WrongMethod(Exception):
    """Templates match the path, for other methods."""

    def __init__(self, allowed: set[str]) -> None:
        super().__init__(f"the path has {', '.join(sorted(allowed))}")
        self.allowed = sorted(allowed)


class Paths(Generic[T]):
    """
    Templates and what they stand for. A literal goes before `*`, `*` before `**`. A path is looked up in a tree: no
    more steps than it has nodes, whatever the path.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._verbs: set[str] = set()

    def add(self, method: str, template: Template, found: T) -> None:
        """Raises ValueError where the same method and template are there."""
        node = self._root
        rests = template.segments[-1] == "**"
        for segment in template.segments[:-1] if rests else template.segments:
            if segment == "*":
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literals.setdefault(segment, _Node())
        methods = (node.rests if rests else node.ends).setdefault(template.verb, {})
        if method in methods:
            raise ValueError(f"{method} {template.text} is there twice, also as {methods[method][0].text}")
        methods[method] = template, found
        if template.verb:
            self._verbs.add(template.verb)

    def find(self, method: str, path: str) -> Match[T] | None:
        """path: as it was sent, without the query. Raises WrongMethod; ValueError for escapes that are no UTF-8."""
        allowed: set[str] = set()
        segments = path[1:].split("/")
        head, colon, verb = segments[-1].rpartition(":")
        if colon and verb in self._verbs:
            shorter = [*segments[:-1], head]
            found = self._find(self._root, shorter, 0, verb, method, allowed)
            if found is not None:
                return Match(found[1], _values(found[0], shorter))
        found = self._find(self._root, segments, 0, "", method, allowed)
        if found is not None:
            return Match(found[1], _values(found[0], segments))
        if allowed:
            raise WrongMethod(allowed)
        return None

    def _find(
        self, node: _Node[T], segments: list[str], at: int, verb: str, method: str, allowed: set[str]
    ) -> tuple[Template, T] | None:
        if at == len(segments):
            found = _of(node.ends, verb, method, allowed)
        else:
            found = None
            segment = segments[at]
            if segment and (inner := node.literals.get(segment)) is not None:
                found = self._find(inner, segments, at + 1, verb, method, allowed)
            if found is None and segment and node.any is not None:
                found = self._find(node.any, segments, at + 1, verb, method, allowed)
        return found or _of(node.rests, verb, method, allowed)


def _of(
    leaves: dict[str, dict[str, tuple[Template, T]]], verb: str, method: str, allowed: set[str]
) -> tuple[Template, T] | None:
    methods = leaves.get(verb)
    if methods is None:
        return None
    allowed.update(methods)
    return methods.get(method)


def _values(template: Template, segments: list[str]) -> dict[str, str]:
    found = {}
    for name, start, stop, several in template.variables:
        raw = "/".join(segments[start:stop])
        try:
            found[name] = _decoded(raw, several) if "%" in raw else raw
        except UnicodeDecodeError:
            raise ValueError(f"{name}: {raw!r:.100} is no UTF-8") from None
    return found


def _decoded(raw: str, several: bool) -> str:
    """A variable of several segments keeps %2F, as a slash in it parts segments."""
    data = raw.encode()
    if several:
        return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data).decode()
    return unquote_to_bytes(data).decode()
