"""
From the text of a configuration to a tree of nodes that know where they stood.

Lives here: `load` and its kin: YAML with bounds on size, depth and aliases; `${ENVIRONMENT}` variables; merge
keys; `{runtime: NAME}`. Does not: the tree itself (`nodes`); what keys there are and what may stand at them
(`model`, `shape`).

Plain scalars mean what YAML 1.2 makes of them, and less: `off`, `no` and `1_000` are texts, and so is each number that
would not be written back as it stood (`007`, `0x1f`, `+5`), for it may have been meant as one.

Longer than most modules: bounds, places and merge keys are kept in one walk over the events of the text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from yaml.reader import Reader

from metaproxy.config.schema.aliases import MAX_ALIASED, too_many
from metaproxy.config.schema.nodes import MAX_PROBLEMS, Node, Problem, Scalar, resolve
from metaproxy.config.slices import checkpoint
from metaproxy.support.nearest_name import did_you_mean

MAX_BYTES = 16 << 20
"""Of a configuration."""
MAX_DEPTH = 64
"""Levels of values within values."""
MAX_NODES = 500_000
"""Values, once every alias is replaced by what it stands for."""

_Parser: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Read by events only, so that depth and aliases are bounded while they are read. libyaml's is ten times as fast."""


def read(path: str | Path) -> bytes:
    """The bytes of a configuration's file, one more than are allowed at most. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _unmoved(problem: Problem) -> Problem:
    return problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What a text is as a tree. root: None where it can't be read; problems: what is wrong with it; warnings: what is odd;
    moved: says where a problem of the tree stands in the text, of which the tree may be a translation; used: clusters
    that the text refers to where the tree does not.
    """

    root: Node | None
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    moved: Callable[[Problem], Problem] = _unmoved
    used: frozenset[str] = frozenset()


Loader = Callable[[str | bytes, str, "Mapping[str, str] | None", "Mapping[str, Scalar] | None"], Loaded]
"""As `load`: (text, filename, environ, runtime) -> what it is."""


def load_own(
    text: str | bytes,
    filename: str,
    environ: Mapping[str, str] | None = None,
    runtime: Mapping[str, Scalar] | None = None,
) -> Loaded:
    """A text in our own form; see `load`."""
    return Loaded(*load(text, filename, environ, runtime))


def fill_live(root: Node, filename: str, runtime: Mapping[str, Scalar]) -> list[Problem]:
    """Put the values of `runtime:` where a tree asks for them; see `load`. Return what is wrong with that."""
    tree = _Tree(filename, None)
    _Live(tree, root, runtime).fill()
    return tree.problems


def load(
    text: str | bytes,
    filename: str,
    environ: Mapping[str, str] | None = None,
    runtime: Mapping[str, Scalar] | None = None,
) -> tuple[Node | None, list[Problem]]:
    """
    The tree of a configuration's text, and what is wrong with it as YAML. The tree is None when it can't be read at
    all. environ: the variables; those of the process by default. runtime: values in the place of those that the text
    gives in its `runtime:`; a name that is not there is ignored. Raises nothing, whatever the text.
    """
    tree = _Tree(filename, os.environ if environ is None else environ)
    return _read(tree, text, runtime or {}), tree.problems


def load_foreign(text: str | bytes, filename: str) -> tuple[Node | None, list[Problem], list[Problem]]:
    """
    The tree of another program's file, what is wrong with it as YAML or JSON, and what is odd in it. `${NAME}` and
    `{runtime: NAME}` mean nothing there, and of a key that is given twice the last counts. Raises nothing.
    """
    tree = _Tree(filename, None, last_counts=True)
    return _read(tree, text, None), tree.problems, tree.warnings


def _read(tree: _Tree, text: str | bytes, runtime: Mapping[str, Scalar] | None) -> Node | None:
    """Fill a tree. runtime: see `load`; None where `{runtime: NAME}` means nothing."""
    root: Node | None = None
    try:
        decoded = _decoded(text)
        checkpoint()
        _check_aliases(decoded)
        root = tree.read(decoded)
        if runtime is not None:
            _Live(tree, root, runtime).fill()
    except _Unreadable as error:
        tree.problems.append(Problem(tree.file, error.line, error.column, "", str(error)))
    except yaml.MarkedYAMLError as error:
        tree.problems.append(_syntax(tree.file, error, text))
    except yaml.YAMLError as error:
        tree.problems.append(Problem(tree.file, 1, 1, "", str(error)))
    return root


def load_documents(text: str | bytes, filename: str, above: int = 0) -> tuple[list[Node], list[Problem]]:
    """
    The trees of all documents of a text, `---` between them, and what is wrong with it as YAML; a document without
    content is left out. Texts stand as they are: `${...}` is no variable. Where the text can't be read any further,
    the documents before are there. above: lines of the file that stand above the text. Raises nothing, whatever the
    text.
    """
    tree = _Tree(filename, None, above=above)
    roots: list[Node] = []
    try:
        decoded = _decoded(text)
        _check_aliases(decoded)
        for root in tree.documents(decoded):
            roots.append(root)
    except _Unreadable as error:
        tree.problems.append(Problem(filename, above + error.line, error.column, "", str(error)))
    except yaml.MarkedYAMLError as error:
        problem = _syntax(filename, error, "")
        tree.problems.append(replace(problem, line=above + problem.line))
    except yaml.YAMLError as error:
        tree.problems.append(Problem(filename, above + 1, 1, "", str(error)))
    return roots, tree.problems


def _check_aliases(text: str) -> None:
    """Raises _Unreadable for aliases that stand for too much, before any is replaced."""
    if "*" in text:
        most = min(MAX_ALIASED, MAX_NODES)
        event = too_many(yaml.parse(text, Loader=_Parser), most)
        if event is not None:
            words = f"more than {most} values, aliases replaced"
            raise _Unreadable(words, *_place(event))


class _Unreadable(Exception):
    """Nothing more can be made of the text. line, column: from 1."""

    def __init__(self, text: str, line: int = 1, column: int = 1) -> None:
        super().__init__(text)
        self.line = line
        self.column = column


def _decoded(text: str | bytes) -> str:
    """Raises _Unreadable for what is too large, not UTF-8, or holds characters that YAML does not allow."""
    # A lone surrogate is not UTF-8 either, however it got into a text: it becomes bytes that are reported as such.
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise _Unreadable(f"the file has more than {MAX_BYTES >> 20} MiB")
    try:
        decoded = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise _Unreadable(f"the byte {data[error.start]:#x} is not UTF-8", *_end(before)) from None
    checkpoint()
    unprintable = Reader.NON_PRINTABLE.search(decoded)
    if unprintable:
        before = decoded[: unprintable.start()]
        raise _Unreadable(f"the character {unprintable[0]!r} is not allowed here", *_end(before))
    return decoded


def _end(text: str) -> tuple[int, int]:
    """The line and column, from 1, of what comes after this text."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _syntax(filename: str, error: yaml.MarkedYAMLError, text: str | bytes) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    words = ", ".join(part for part in (error.context, error.problem) if part)
    lines = (text if isinstance(text, str) else text.decode(errors="replace")).splitlines()
    if line < len(lines) and "${" in lines[line]:
        words += '; within {...} and [...] write a variable in quotes: "${NAME}"'
    return Problem(filename, line + 1, column + 1, "", f"not YAML: {words}")


_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)(?::-((?:(?!\$\{)[^}])*))?\}|\$\{", re.ASCII)


_Hang = tuple[Node, str | int, int, int]
"""Where a value hangs: the arguments of Node.hang."""


@dataclass(slots=True)
class _Tree:
    """
    Makes nodes of the parser's events. environ: None where texts have no variables; last_counts: of a key that is given
    twice the last one counts, with a warning; above: lines of the file that stand above the text.
    """

    file: str
    environ: Mapping[str, str] | None
    last_counts: bool = False
    above: int = 0
    warnings: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)  # None: its end was not reached yet
    nodes: int = 0
    events: Iterator[yaml.Event] = field(default_factory=lambda: iter(()))

    def read(self, text: str) -> Node:
        self.events = yaml.parse(text, Loader=_Parser)
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise _Unreadable("the file is empty; write at least listeners: and clusters:")
        root = self.node(next(self.events), 1)
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.unreadable(event, "a second document; a configuration is one")
        return root

    def documents(self, text: str) -> Iterator[Node]:
        """The documents of a text, each as soon as it is read; anchors hold within one."""
        self.events = yaml.parse(text, Loader=_Parser)
        next(self.events)  # the start of the stream
        while not isinstance(next(self.events), yaml.StreamEndEvent):
            self.anchors = {}
            root = self.node(next(self.events), 1)
            next(self.events)  # the end of the document
            if root.value is not None:
                yield root

    def place(self, event: yaml.Event) -> tuple[int, int]:
        """Return where in the file an event begins."""
        line, column = _place(event)
        return self.above + line, column

    def unreadable(self, event: yaml.Event, text: str) -> _Unreadable:
        return _Unreadable(text, *_place(event))

    def problem(self, node: Node, text: str) -> None:
        node.broken = True
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.file, node.line, node.column, node.path, text))

    def count(self, event: yaml.Event, depth: int) -> None:
        """Called for each node before it is made; what is under it is one deeper."""
        checkpoint()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.unreadable(event, f"more than {MAX_NODES} values, aliases replaced")
        if depth > MAX_DEPTH:
            raise self.unreadable(event, f"more than {MAX_DEPTH} levels of values within values")

    def node(self, event: yaml.Event, depth: int, hang: _Hang | None = None) -> Node:
        """The value that begins with this event. hang: where (see Node.hang)."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth, hang)
        self.count(event, depth)
        node = Node(None, *self.place(event))
        if hang is not None:
            node.hang(*hang)
        anchor = event.anchor if isinstance(event, yaml.NodeEvent) else None
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(node, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.list(node, event, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            self.mapping(node, event, depth)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, depth: int, hang: _Hang | None) -> Node:
        original = self.anchors.get(event.anchor or "")
        if original is None:
            within = event.anchor in self.anchors
            text = f"*{event.anchor} stands for a value that it is part of" if within else f"no anchor &{event.anchor}"
            raise self.unreadable(event, text)
        copy = self.copy(original, event, depth)
        return copy.hang(*hang) if hang is not None else copy

    def copy(self, original: Node, event: yaml.Event, depth: int) -> Node:
        self.count(event, depth)
        copy = Node(original.value, original.line, original.column, original.text, original.filled, original.broken)
        children = original.value
        if isinstance(children, list):
            copy.value = [self.copy(child, event, depth + 1).hang(copy, i) for i, child in enumerate(children)]
        elif isinstance(children, dict):
            copy.value = {
                key: self.copy(child, event, depth + 1).hang(copy, key, child.key_line, child.key_column)
                for key, child in children.items()
            }
        return copy

    def scalar(self, node: Node, event: yaml.ScalarEvent) -> None:
        node.text = event.value
        if self.ignored(node, event.tag):
            return
        if self.environ is not None and "${" in event.value:
            self.fill(node, self.environ)
        if event.tag is None and event.implicit[0]:
            node.value = resolve(node.text)
        elif event.tag in (None, "!", "tag:yaml.org,2002:str"):
            node.value = node.text
        else:
            self.problem(node, f"the tag {event.tag} has no meaning here; leave it out")

    def fill(self, node: Node, environ: Mapping[str, str]) -> None:
        """Replaces the variables in the text of a node."""

        def value(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            node.filled = True
            name, default = match[1], match[2]
            if name is None:
                self.problem(node, "${ begins a variable: write ${NAME} or ${NAME:-default}; $${ stands for ${ itself")
            elif name in environ:
                return environ[name]
            elif default is None:
                self.problem(node, f"no environment variable {name}; ${{{name}:-default}} would give it a default")
            return default or ""

        node.text = _VARIABLE.sub(value, node.text)

    def list(self, node: Node, start: yaml.SequenceStartEvent, depth: int) -> None:
        self.untagged(node, start, "tag:yaml.org,2002:seq")
        items: list[Node] = []
        node.value = items
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.node(event, depth + 1, (node, len(items), 0, 0)))

    def mapping(self, node: Node, start: yaml.MappingStartEvent, depth: int) -> None:
        self.untagged(node, start, "tag:yaml.org,2002:map")
        entries: dict[str, Node] = {}
        node.value = entries
        merged: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, plain = self.key(event)
            child = self.node(next(self.events), depth + 1, (node, key, *self.place(event)))
            if plain and key == "<<":
                merged += child.value if isinstance(child.value, list) else [child]
            elif key in entries:
                first = entries[key]
                place = Node(None, *self.place(event)).hang(node, key)
                said = f"the key {key!r} is there already, in line {first.key_line}"
                if not self.last_counts:
                    self.problem(place, said)
                    continue
                self.warnings.append(Problem(self.file, *self.place(event), place.path, f"{said}; the last one counts"))
                entries[key] = child
            else:
                entries[key] = child
        for source in merged:
            self.merge(node, entries, source)

    def merge(self, node: Node, entries: dict[str, Node], source: Node) -> None:
        """What stands in the mapping itself goes before what is merged; of several merged, the first does."""
        if not isinstance(source.value, dict):
            self.problem(source, "<<: merges a mapping, or a list of mappings")
            return
        for key, child in source.value.items():
            if key not in entries:
                # `source` may have an anchor of its own, so that what it holds is copied again by an alias; that
                # copies values and keys, and never asks for the parent.
                entries[key] = child.hang(node, key, child.key_line, child.key_column)

    def key(self, event: yaml.Event) -> tuple[str, bool]:
        """A key, and whether it stood there without quotes. Keys are texts, whatever they look like (`on`, `1`)."""
        if isinstance(event, yaml.ScalarEvent):
            self.count(event, 0)
            if event.anchor is not None:
                self.anchors[event.anchor] = Node(event.value, *self.place(event), text=event.value)
            return event.value, event.implicit[0]
        if isinstance(event, yaml.AliasEvent):
            node = self.alias(event, 0, None)
            if not isinstance(node.value, (list, dict)):
                return node.text, False
        raise self.unreadable(event, "a list or a mapping can't be a key; write a text")

    def ignored(self, node: Node, tag: str | None) -> bool:
        """Whether a value is only there for anchors, as files of Envoy mark it. Nothing more is said about it."""
        node.broken = node.broken or (self.last_counts and tag == "!ignore")
        return self.last_counts and tag == "!ignore"

    def untagged(self, node: Node, event: yaml.CollectionStartEvent, usual: str) -> None:
        if event.tag not in (None, "!", usual) and not self.ignored(node, event.tag):
            self.problem(node, f"the tag {event.tag} has no meaning here; leave it out")


@dataclass(slots=True)
class _Live:
    """Puts the values of `runtime:` where `{runtime: NAME}` asks for them."""

    tree: _Tree
    root: Node
    overrides: Mapping[str, Scalar]

    def fill(self) -> None:
        table = self.root.value.get("runtime") if isinstance(self.root.value, dict) else None
        names = table.value if table is not None and isinstance(table.value, dict) else {}
        for name, value in self.overrides.items():
            if name in names:
                names[name].value, names[name].text = value, _written(value)
        below = self.root.value.items() if isinstance(self.root.value, dict) else ()
        waiting = [child for key, child in below if key != "runtime"]
        while waiting:
            checkpoint()
            node = waiting.pop()
            if isinstance(node.value, dict):
                if node.value.keys() == {"runtime"} and not isinstance(node.value["runtime"].value, (list, dict)):
                    self.put(node, node.value["runtime"], names)
                else:
                    waiting += node.value.values()
            elif isinstance(node.value, list):
                waiting += node.value

    def put(self, node: Node, name: Node, names: Mapping[str, Node]) -> None:
        known = names.get(name.text)
        if known is None:
            hint = did_you_mean(name.text, names, f"write runtime: {{{name.text}: VALUE}} at the top level")
            self.tree.problem(name, f"no runtime value {name.text[:100]!r}; {hint}")
            node.broken = True
        elif not isinstance(known.value, (list, dict)):
            node.value, node.text, node.broken = known.value, known.text, known.broken


def _written(value: Scalar) -> str:
    """A value as a file would have it."""
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else ""
    return str(value)


def _place(event: yaml.Event) -> tuple[int, int]:
    """Line and column, from 1, of where an event begins."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
