"""
What is gathered while one configuration is read: values, names, plugins, and everything that is wrong.

Lives here: `Reading`; `Kind`, which reads one kind of value with it; what plugins and secrets are read as. Does not:
the kinds (`leaf`, `shape`), the options (`model`), rules between several options (`rules`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Final, Generic, TypeVar

from zope.interface.interface import InterfaceClass

from metaproxy.config.schema.nodes import MAX_PROBLEMS, Node, Problem, within
from metaproxy.config.schema.registry import Plugins
from metaproxy.config.slices import checkpoint
from metaproxy.config.smoke import slips, smoke, watched
from metaproxy.interfaces import ICodec
from metaproxy.options import hide, secrets_of
from metaproxy.plugins import OptionError, PluginError, UnknownPlugin, kind_of
from metaproxy.support.addresses import Address
from metaproxy.support.nearest_name import nearest_name
from metaproxy.units import Secret

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Schema = dict[str, object]
"""A JSON schema, draft 2020-12."""

MAX_LISTED = 10
"""Names that an error lists when none is near to what was written."""
MIN_MASKED = 4
"""Characters of a secret that is cut out of errors; a shorter one could be guessed from the holes it leaves."""


@dataclass(frozen=True, slots=True)
class Use:
    """A plugin as a configuration asks for it."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


class Refused(Exception):
    """A value can't be read, and why is reported already."""


class Enough(Exception):
    """There are MAX_PROBLEMS problems: nothing more is looked for."""


class Broken(Enum):
    """The type of `BROKEN` alone: a type checker tells it from every value."""

    BROKEN = "BROKEN"

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = Broken.BROKEN
"""What stands for a value that could not be read."""


class Kind(ABC, Generic[T_co]):
    """One kind of value: how it is read, named in the docs, and described to an editor."""

    @abstractmethod
    def read(self, node: Node, reading: Reading) -> T_co:
        """The value. Raises ValueError with a text that says what to write, or Refused when it reported that itself."""

    def default(self, written: object) -> T_co:
        """The value of an option that is not given. written: as the model has it. Raises ValueError."""
        raise ValueError(f"{written!r}: {type(self).__name__} has no default but None")

    @abstractmethod
    def words(self) -> str:
        """What may be written, for the docs: `a duration`."""

    @abstractmethod
    def schema(self, definitions: dict[str, Schema]) -> Schema:
        """The JSON schema; `definitions` collects what has a name."""


SectionRules = Mapping[type, Sequence[Callable[[object, "Reading"], None]]]
"""Section -> what must hold for it besides: called with each section that was read; reports what it finds."""


@dataclass(slots=True)
class _Made:
    """A section or plugin that was read, where it stood, and what stood at its keys."""

    value: object
    node: Node
    entries: Mapping[str, Node]


@dataclass(slots=True)
class _MadePlugin(_Made):
    """A plugin that was read. factory: what builds it; built: what `build` made of it."""

    factory: Callable[..., object]
    interface: InterfaceClass
    built: object = None


class Reading:
    """
    folder: what relative paths start from; environ: the variables; injected: arguments that the constructors of plugins
    get besides their options. `secrets` is filled by the rule that reads them, `addresses` with each one that the proxy
    is to listen at; `problems` and `warnings` are the outcome; unknown_plugins: whether one of them
    is a plugin that is not there. codecs: those that other readings built, and this one will.
    """

    def __init__(
        self,
        file: str,
        folder: Path,
        plugins: Plugins,
        environ: Mapping[str, str],
        injected: Mapping[str, object],
        rules: SectionRules,
        codecs: dict[object, object] | None = None,
    ) -> None:
        self.folder = folder
        self.environ = environ
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.secrets: dict[str, Secret] = {}
        self.addresses: list[tuple[Address, Node]] = []
        self.unknown_plugins = False
        self.used: frozenset[str] = frozenset()  # clusters that something else refers to
        self._file = file
        self._plugins = plugins
        self._injected = injected
        self._rules = rules
        self._reused: dict[int, object] = {}  # by the identity of their nodes, which `_made` keeps
        self._made: dict[int, _Made] = {}  # by identity; the value is kept, so that it stays one
        self._names: dict[str, dict[str, Node]] = {}
        self._codecs = {} if codecs is None else codecs
        self._hidden: dict[Secret, None] = {}  # secrets that are written out in the options of plugins
        self._references: list[tuple[str, str, Node, bool]] = []

    # -- what is wrong

    def problem(self, node: Node, text: str, key: bool = False) -> None:
        """key: the fault is in the key at which the node hangs. Raises Enough."""
        self.problems.append(self._at(node, text, key))
        if len(self.problems) >= MAX_PROBLEMS:
            raise Enough

    def warn(self, node: Node, text: str) -> None:
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(self._at(node, text, False))

    def _at(self, node: Node, text: str, key: bool) -> Problem:
        for secret in (*self.secrets.values(), *self._hidden):
            if len(secret) >= MIN_MASKED:
                text = text.replace(secret, "****")
        line, column = (node.key_line, node.key_column) if key and node.key_line else (node.line, node.column)
        return Problem(self._file, line, column, node.path, text)

    # -- values

    def read(self, kind: Kind[T], node: Node) -> T | Broken:
        """The value at a node, or BROKEN with the reason reported."""
        checkpoint()
        if not node.broken:
            try:
                return kind.read(node, self)
            except (ValueError, OverflowError) as error:
                self.problem(node, str(error))
            except Refused:
                pass
        return BROKEN

    def keep(self, section: object, node: Node, entries: Mapping[str, Node]) -> None:
        """A section was read: remembers where it stood, and has its rules look at it. entries: key -> value's node."""
        self._made[id(section)] = _Made(section, node, entries)
        for rule in self._rules.get(type(section), ()):
            checkpoint()
            rule(section, self)

    def forget(self) -> None:
        """Free where sections stood, in slices: of 10,000 routes at once it takes tens of milliseconds."""
        while self._made:
            checkpoint()
            self._made.popitem()

    def reuse(self, section: object, node: Node) -> None:
        """A section that was read before, by which it was found right, stands at a node: its rules are left out."""
        self._reused[id(node)] = section
        self._made[id(section)] = _Made(section, node, {})

    def reused(self, node: Node) -> object:
        """The section that stands at a node and was read before; None where there is none."""
        return self._reused.get(id(node))

    def is_reused(self, section: object) -> bool:
        """Whether a section was read before, so that only its relations to others may have changed."""
        made = self._made.get(id(section))
        return made is not None and id(made.node) in self._reused

    def at(self, section: object, key: str = "") -> Node:
        """What is written at a key of a section that was read, else where the whole of it stands."""
        made = self._made[id(section)]
        return made.entries.get(key, made.node)

    def gives(self, section: object, key: str) -> bool:
        """Whether a key is written, be it with its default."""
        return id(section) in self._made and key in self._made[id(section)].entries

    # -- names

    def define(self, what: str, name: str, node: Node, key: bool = False) -> None:
        """`what`, such as 'cluster', has one of this name. Reports one that is there already."""
        known = self._names.setdefault(what, {})
        if name in known:
            self.problem(node, f"a {what} {name!r} is there already, {known[name].place}", key)
        else:
            known[name] = node

    def refer(self, what: str, name: str, node: Node, key: bool = False) -> None:
        """When everything is read there must be a `what` of this name."""
        self._references.append((what, name, node, key))

    def check_references(self, elsewhere: Mapping[str, Iterable[str]] | None = None) -> None:
        """Reports each name that refers to nothing. elsewhere: names that something else defines, by what they name."""
        names = {what: set(found) for what, found in self._names.items()}
        for what, others in (elsewhere or {}).items():
            names.setdefault(what, set()).update(others)
        for what, name, node, key in self._references:
            checkpoint()
            known = names.get(what, set())
            if name not in known:
                self.problem(node, f"no {what} {name!r}; {near(name, known, what)}", key)

    def give_secrets(self, secrets: Mapping[str, Secret]) -> None:
        """Secrets that were read elsewhere."""
        self.secrets.update(secrets)
        self._names["secret"] = {name: Node(name, 0, 0) for name in secrets}

    def secret(self, name: str) -> Secret:
        """The text of a secret. All of them are read before anything else."""
        known = self._names.get("secret", {})
        if name not in known:
            raise ValueError(f"no secret {name!r}; {near(name, known, 'secret')}")
        if name not in self.secrets:
            raise Refused
        return self.secrets[name]

    # -- plugins

    def use(
        self,
        interface: InterfaceClass,
        name: str,
        at: Node,
        entries: Mapping[str, Node],
        given: Mapping[str, object],
        key: bool = False,
    ) -> Use:
        """
        A plugin and its options. at: where its name stands, as the node's key or not; entries: option -> node; given:
        option -> value or BROKEN. Raises Refused unless there is such a plugin and it takes them all; each that it
        does not take is reported.
        """
        given = self._hide(interface, name, given)
        sound = {key: value for key, value in given.items() if value is not BROKEN}
        factory = None
        while factory is None:
            try:
                factory = self._plugins.factory(interface, name, sound, self._injected)
            except OptionError as error:
                if error.option not in sound:
                    if len(sound) == len(given):  # else what is missing may be what was reported
                        self.problem(at, f"{name}: {error}", key)
                    raise Refused from None
                self._bad_option(entries[error.option], name, error)
                del sound[error.option]
            except UnknownPlugin as error:
                self.unknown_plugins = True
                self.problem(at, f"{error}; {near(name, error.known, kind_of(interface))}", key)
                raise Refused from None
            except PluginError as error:
                self.problem(at, _one_line(error), key)
                raise Refused from None
            except BaseException as error:  # somebody else's code: its annotations can't be read, or worse
                self.problem(at, f"{name}: {type(error).__name__}: {_one_line(error)}", key)
                raise Refused from None
        if len(sound) < len(given):
            raise Refused
        use = Use(name, given)
        self._made[id(use)] = _MadePlugin(use, at, entries, factory, interface)
        return use

    def adopt(self, use: Use, interface: InterfaceClass, node: Node, entries: Mapping[str, Node]) -> None:
        """A plugin of a configuration that never was read stands at a node. Raises Refused as `use` does."""
        known = self.use(interface, use.name, node, entries, use.options)
        made = self._made[id(known)]
        if isinstance(made, _MadePlugin):
            self._made[id(use)] = _MadePlugin(use, node, entries, made.factory, interface)

    @property
    def folders(self) -> list[Path]:
        """From which plugins come, those of the command line included."""
        return list(self._plugins.folders)

    def names(self, interface: InterfaceClass) -> list[str]:
        """Of the plugins that there are."""
        return list(self._plugins.names(interface))

    def _hide(self, interface: InterfaceClass, name: str, given: Mapping[str, object]) -> Mapping[str, object]:
        """The options with secrets in the place of the texts that the plugin declares to be some."""
        try:
            hidden = hide(self._plugins.load(interface, name), given)
        except BaseException:  # there is no such plugin, or its annotations can't be read: the factory reports it
            return given
        self._hidden.update(dict.fromkeys(secrets_of(hidden)))
        return hidden

    def _bad_option(self, node: Node, name: str, error: OptionError) -> None:
        unknown = str(error).startswith("no option")
        if error.path:
            self.problem(within(node, error.path), f"{name}: {error}", key=unknown)
        elif error.known or unknown:
            self.problem(node, f"{name}: {error}; {near(str(error.option), error.known, 'option')}", key=True)
        else:
            self.problem(node, f"{name}: {error}")

    def build(self, use: Use, endpoints: Sequence[object] | None = None) -> None:
        """
        Builds a plugin that was read as it will be built when the configuration is applied, and reports if that fails.
        endpoints: what a balancer is built from.
        """
        made = self._made.get(id(use))
        if not isinstance(made, _MadePlugin):  # a default, which is not in the file
            return
        try:
            made.built = self._tried(made, use, endpoints)
        except OptionError as error:
            self.problem(within(made.entries.get(error.option or "", made.node), error.path), f"{use.name}: {error}")
        except PluginError as error:
            self._blame(made, use, _one_line(error))
        except ValueError as error:
            self.problem(made.node, f"{use.name}: {_one_line(error)}")
        except BaseException as error:  # somebody else's constructor: whatever it raises is its author's mistake
            self.problem(made.node, f"{use.name}: its constructor raises {type(error).__name__}: {_one_line(error)}")

    def _tried(self, made: _MadePlugin, use: Use, endpoints: Sequence[object] | None) -> object:
        """The plugin, once it has passed its trial; the same codec is built and tried once a configuration."""
        interface = made.interface
        key = self._codec_key(use) if interface is ICodec else None
        if key in self._codecs:
            return self._codecs[key]
        # What is installed is not watched: that costs many times what building does, a ring of 65,537 places for one.
        watch = watched if self._plugins.origin(interface, use.name) is not None else _directly
        built = watch(made.factory if endpoints is None else partial(made.factory, endpoints))
        watch(lambda: smoke(interface, built, endpoints or ()))
        for text in slips(interface, built):
            self.warn(made.node, f"{use.name}: {text}")
        if hasattr(built, "stop"):
            built.stop()
        if key is not None:
            self._codecs[key] = built
        return built

    def _codec_key(self, use: Use) -> object:
        return self._plugins.load(ICodec, use.name), repr(sorted(use.options.items(), key=str))

    def _blame(self, made: _MadePlugin, use: Use, text: str) -> None:
        """The author of a plugin has to mend it: reported with its file, and at /plugins."""
        origin = self._plugins.origin(made.interface, use.name)
        line = f"{use.name}: {text}" if origin is None else f"{use.name}: {text}; in {origin}"
        if origin is not None:
            self._plugins.blame(made.interface, use.name, line)
        self.problem(made.node, line)

    def built(self, use: Use | None) -> object:
        """What `build` made of a plugin; None if it failed, or if nothing asks for the plugin."""
        made = self._made.get(id(use))
        return made.built if isinstance(made, _MadePlugin) else None

    def codec(self, use: Use | None) -> ICodec | None:
        """What `build` made of a codec; None as in `built`."""
        built = self.built(use)
        return built if ICodec.providedBy(built) else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).partition("Traceback")[0].split())[:500]


def near(name: str, known: Collection[str], what: str) -> str:
    """What to write in the place of a name that is not known: the nearest, else all; what: as which it was meant."""
    meant = nearest_name(name, known)
    if meant is not None:
        return f"did you mean {meant!r}?"
    if not known:
        return f"no {what} is defined"
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"there is {', '.join(nsmallest(MAX_LISTED, known))}{more}"


def _directly(call: Callable[[], object]) -> object:
    return call()
