"""
How each kind of value is written in a configuration: what reads it, names it in the docs, and checks it in an editor.

Lives here: `Kind` and its kinds, `option` (a field of the model), `Section` (a mapping of such fields), and `Reading`,
what they read with. Does not: which options there are (`model`); rules between several of them (`check`).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from zope.interface.interface import InterfaceClass

from metaproxy import units
from metaproxy.config.load import MAX_PROBLEMS, Node, Problem, resolve
from metaproxy.interfaces import ICodec, IFilter, ILoadBalancer
from metaproxy.plugins import OptionError, PluginError, UnknownPlugin, kind_of
from metaproxy.proxy import address
from metaproxy.routing.matcher import compile_condition

T = TypeVar("T")
S = TypeVar("S", bound="Section")

Schema = dict[str, Any]
"""A JSON schema, draft 2020-12."""


class Secret(str):
    """A text that is shown as '****'. It is an ordinary text where it is used."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'****'"


@dataclass(frozen=True, slots=True)
class Use:
    """A plugin as a configuration asks for it."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


class Section:
    """
    A mapping with fixed keys: a frozen dataclass whose fields are made by `option`.

    SHORT: the key whose value alone may stand in the place of the mapping. ONE_OF: keys of which exactly one must be
    given. LATER: keys that are known and refused, as this version does nothing with them.
    """

    __slots__ = ()
    SHORT: ClassVar[str] = ""
    ONE_OF: ClassVar[tuple[str, ...]] = ()
    LATER: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """What the model says of one key. default: as one would write it, for the docs; None: there is none."""

    kind: Kind[Any]
    about: str
    default: str | None
    required: bool


def option(kind: Kind[T], about: str, default: Any = MISSING, otherwise: str = "") -> T:
    """
    A key of a section. about: a line for the docs. default: as written in a configuration; without one the key is
    required. otherwise: what the docs call the default where its value does not tell.
    """
    if default is MISSING:
        return cast(T, field(metadata={"option": Option(kind, about, None, True)}))
    shown = otherwise or ("" if default is None else kind.shown(default))
    made = field(
        default_factory=lambda: None if default is None else kind.default(default),
        metadata={"option": Option(kind, about, shown, False)},
    )
    return cast(T, made)


def options(section: type[Section]) -> dict[str, Option]:
    """The keys of a section, in the model's order."""
    return {one.name: one.metadata["option"] for one in fields(cast(Any, section)) if "option" in one.metadata}


# -- reading


class Plugins(Protocol):
    """What the checker asks of `metaproxy.plugins.Registry`."""

    def factory(
        self,
        interface: InterfaceClass,
        name: str,
        options: Mapping[str, object],
        injected: Mapping[str, object] | None = None,
    ) -> Callable[..., object]: ...


class _Broken:
    """Stands for a value that could not be read."""


BROKEN: Any = _Broken()


class Refused(Exception):
    """A value that can't be read, and why is told already."""


@dataclass(slots=True)
class _Made:
    """A section or plugin that was read: where, and what stood at its keys; `built`: what a plugin's factory made."""

    value: object
    node: Node
    entries: Mapping[str, Node]
    factory: Callable[..., object] | None = None
    built: object = None


class Reading:
    """
    What is found while one configuration is read.

    folder: what relative paths start from; environ: the variables; injected: arguments that plugins' constructors get
    besides their options; rules: section -> what else must hold for it, called with each one that was read.
    """

    def __init__(
        self,
        file: str,
        folder: Path,
        plugins: Plugins,
        environ: Mapping[str, str],
        injected: Mapping[str, object],
        rules: Mapping[type, Sequence[Callable[[Any, Reading], None]]],
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: dict[str, Secret] = {}
        self._file = file
        self._plugins = plugins
        self._injected = injected
        self._rules = rules
        self._made: dict[int, _Made] = {}
        self._names: dict[str, dict[str, Node]] = {}
        self._references: list[tuple[str, str, Node, bool]] = []

    # -- what is wrong

    def problem(self, node: Node, text: str, key: bool = False) -> None:
        """key: the fault is in the key at which the node hangs."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self._at(node, text, key))

    def warn(self, node: Node, text: str) -> None:
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(self._at(node, text, False))

    def _at(self, node: Node, text: str, key: bool) -> Problem:
        for secret in self.secrets.values():
            if secret:
                text = text.replace(str(secret), "****")
        line, column = (node.key_line, node.key_column) if key and node.key_line else (node.line, node.column)
        return Problem(self._file, line, column, node.path, text)

    # -- values

    def read(self, kind: Kind[T], node: Node) -> T:
        """The value at a node, or BROKEN with the reason reported."""
        if node.broken:
            return cast(T, BROKEN)
        try:
            return kind.read(node, self)
        except Refused:
            return cast(T, BROKEN)
        except (ValueError, OverflowError) as error:
            self.problem(node, str(error))
            return cast(T, BROKEN)

    def remember(self, value: object, node: Node, entries: Mapping[str, Node]) -> _Made:
        """Keeps where a section or plugin stood, and has the rules look at it."""
        made = self._made[id(value)] = _Made(value, node, entries)
        for rule in self._rules.get(type(value), ()):
            rule(value, self)
        return made

    def at(self, value: object, key: str = "") -> Node:
        """Where a section that was read stood, or what is written at one of its keys."""
        made = self._made[id(value)]
        return made.entries.get(key, made.node)

    def gives(self, section: Section, key: str) -> bool:
        """Whether a key is written, be it with its default."""
        return key in self._made[id(section)].entries

    # -- names

    def define(self, what: str, name: str, node: Node, key: bool = False) -> None:
        """`what`, such as 'cluster', has one of this name. Reports one that is there already."""
        known = self._names.setdefault(what, {})
        if name in known:
            self.problem(node, f"a {what} {name!r} is there already, in line {known[name].line}", key)
        else:
            known[name] = node

    def refer(self, what: str, name: str, node: Node, key: bool = False) -> None:
        """At the end there must be a `what` of this name."""
        self._references.append((what, name, node, key))

    def check_references(self) -> None:
        """Reports each name that refers to nothing."""
        for what, name, node, key in self._references:
            known = self._names.get(what, {})
            if name not in known:
                self.problem(node, f"no {what} {name!r}; {near(name, known, f'no {what} is defined')}", key)

    def secret(self, node: Node) -> Secret:
        """The text that `{secret: NAME}` stands for. Secrets are read before everything else."""
        name = _text(node)
        known = self._names.get("secret", {})
        if name not in known:
            raise ValueError(f"no secret {name!r}; {near(name, known, 'no secret is defined')}")
        if name not in self.secrets:
            raise Refused
        return self.secrets[name]

    # -- plugins

    def use(self, interface: InterfaceClass, name: str, at: Node, node: Node, entries: Mapping[str, Node]) -> Use:
        """A plugin with its options. at: where its name stands; node: where it is written."""
        # All options are looked at, so that two faults in them are told at once.
        given = {key: self.read(PLAIN, child) for key, child in entries.items()}
        sound = {key: value for key, value in given.items() if value is not BROKEN}
        while True:
            try:
                factory = self._plugins.factory(interface, name, sound, self._injected)
                break
            except UnknownPlugin as error:
                self.problem(at, f"{error}; {near(name, error.known, 'there is none')}", at is node)
                raise Refused from None
            except OptionError as error:
                if error.option not in sound:
                    if len(sound) == len(entries):
                        self.problem(at, f"{name}: {error}")
                    raise Refused from None
                unknown = error.option not in error.known and bool(error.known)
                text = f"{name}: {error}" + (f"; {near(error.option, error.known, '')}" if unknown else "")
                self.problem(entries[error.option], text, unknown)
                del sound[error.option]
            except PluginError as error:
                self.problem(at, str(error).partition("\n")[0])
                raise Refused from None
        if len(sound) < len(entries):
            raise Refused
        used = Use(name, given)
        self.remember(used, at, entries).factory = factory
        return used

    def build(self, use: Use, *first: object) -> object:
        """
        The object of a plugin that was read, as it will be built again when the configuration is applied; None, with
        the reason reported, if that fails.
        """
        made = self._made[id(use)]
        if made.factory is None:
            return None
        try:
            made.built = made.factory(*first)
        except OptionError as error:
            self.problem(made.entries.get(error.option or "", made.node), f"{use.name}: {error}")
        except (ValueError, PluginError) as error:
            self.problem(made.node, f"{use.name}: {str(error).partition(chr(10))[0]}")
        except Exception as error:  # somebody else's constructor: what it raises is its author's mistake
            self.problem(made.node, f"{use.name}: its constructor raises {type(error).__name__}: {error}")
        return made.built

    def built(self, use: Use | None) -> Any:
        """What `build` made of a plugin; None if it failed, or if no plugin was asked for."""
        made = self._made.get(id(use))
        return made.built if made is not None else None
