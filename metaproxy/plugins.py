"""
Declaring, finding, checking and building plugins: codecs, filters, balancers, discoveries.

Lives here: `Declaration` (how a plugin is made known) and `Registry` (what is known now: `twisted.plugin` and the
drop-in folders). Does not: any plugin; what an annotation asks of an option (`options`); the decision when to look
again (`service`).

A plugin is a `Declaration` at the top level of a module in a `twisted/plugins` directory, or of a file in a drop-in
folder. Built-in ones are found in the same way; a drop-in shadows any other of its name.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import Attribute, implementer
from zope.interface.exceptions import BrokenImplementation, Invalid
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from metaproxy.interfaces import (
    OPTIONAL,
    ICodec,
    IDiscovery,
    IFilter,
    ILoadBalancer,
    IOnChunk,
    IOnComplete,
    IOnRequest,
    IOnResponse,
)
from metaproxy.options import OptionError, convert, parameters
from metaproxy.support.nearest_name import nearest_name
from metaproxy.units import Option, OptionsOf, Secret
from twisted import plugin as twisted_plugin

__all__ = [
    "HOOKS", "KINDS", "Declaration", "IDeclaration", "Known", "Option", "OptionError", "OptionsOf", "PluginError",
    "Registry", "Secret", "UnknownPlugin", "convert", "kind_of", "parameters", "verify",
]  # fmt: skip

KINDS: dict[str, InterfaceClass] = {
    "codec": ICodec,
    "filter": IFilter,
    "balancer": ILoadBalancer,
    "discovery": IDiscovery,
}
"""What a plugin can be, by the name that errors and /plugins use."""


class UnknownPlugin(LookupError):
    """No plugin of that interface has that name. `name` and `known` tell which was asked for and which there are."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"no {kind} {name!r}")
        self.name = name
        self.known = known


class PluginError(Exception):
    """The plugin's author has to mend something: it can't be imported, or doesn't keep the interface."""


class IDeclaration(IPlugin):
    """A plugin made known without importing it."""

    interface = Attribute("InterfaceClass: ICodec, IFilter, ILoadBalancer or IDiscovery.")
    name = Attribute("str: by which a configuration refers to it.")

    def load() -> Callable[..., object]:
        """The class or factory."""


@implementer(IDeclaration)
class Declaration:
    """`quill = Declaration(ICodec, "quill", "metaproxy.codecs.quill.Quill")`; target: a dotted name, or the class."""

    def __init__(self, interface: InterfaceClass, name: str, target: str | Callable[..., object]) -> None:
        self.interface = interface
        self.name = name
        self.target = target
        self._loaded: Callable[..., object] | None = None

    def load(self) -> Callable[..., object]:
        if not isinstance(self.target, str):
            return self.target
        try:
            if self._loaded is None:
                self._loaded = typing.cast("Callable[..., object]", namedAny(self.target))
            return self._loaded
        except BaseException as error:
            raise PluginError(
                f"{self.name}: {self.target} can't be imported: {error}\n{traceback.format_exc()}"
            ) from error


class Known(typing.NamedTuple):
    """A declaration and where it came from: the path of a drop-in file, or the name of a module."""

    declaration: Declaration
    origin: str


class _File(typing.NamedTuple):
    """A drop-in file as last read. known: what it declares, or its last sound content did; error: a traceback."""

    digest: bytes
    known: list[Known]
    error: str


def kind_of(interface: InterfaceClass) -> str:
    """The word for an interface in errors and listings."""
    return next(kind for kind, candidate in KINDS.items() if candidate is interface)


HOOKS: dict[str, InterfaceClass] = {
    "on_request": IOnRequest,
    "on_response": IOnResponse,
    "on_chunk": IOnChunk,
    "on_complete": IOnComplete,
}
"""The hooks that a filter may have; each that it has must keep its interface."""


def verify(interface: InterfaceClass, built: object) -> None:
    """Raises PluginError, in zope's words, unless `built` keeps the interface; of a filter, the hooks that it has."""
    try:
        verify_contract(interface, built)
        if interface is IFilter:
            hooks = [name for name in HOOKS if hasattr(built, name)]
            if not hooks:
                known = [name for name in dir(built) if not name.startswith("_")]
                near = next(filter(None, (nearest_name(hook, known, 0.75) for hook in HOOKS)), "")
                hint = f"; did you mean it by {near!r}?" if near else ""
                raise PluginError(f"{built!r} does nothing: a filter has one of {', '.join(HOOKS)}{hint}")
            for name in hooks:
                verifyObject(HOOKS[name], built, tentative=True)
                if inspect.iscoroutinefunction(getattr(built, name)):
                    raise PluginError(
                        f"{name} is a coroutine function, and nothing awaits it: return Deferred.fromCoroutine(...)"
                    )
    except Invalid as error:
        raise PluginError(str(error)) from error


def verify_contract(interface: InterfaceClass, built: object) -> None:
    """Raises Invalid for what the interface asks for, but for names that came later."""
    try:
        verifyObject(interface, built)
    except Invalid as error:
        found = getattr(error, "exceptions", [error])
        left = [one for one in found if not isinstance(one, BrokenImplementation) or _name(one) not in OPTIONAL]
        if left:
            raise left[0] if len(left) == 1 else error from None


def _name(error: BrokenImplementation) -> str:
    """Of what is missing; zope gives the name, or what the interface has under it."""
    name: object = error.args[1]
    return str(getattr(name, "__name__", name))


class Registry:
    """
    What plugins there are. `refresh` looks at the folders again and tells whether anything changed; all else answers
    from what it saw last. `errors`: file -> traceback of each that could not be loaded; everything else goes on. Of two
    plugins of a name the one in the later folder wins, in one folder that in the later file. blamed: drop-in file ->
    digest of the content that failed when it was tried, and why.
    """

    def __init__(self, folders: Iterable[str | Path] = ()) -> None:
        self.folders = [Path(folder) for folder in folders]
        self.errors: dict[str, str] = {}
        self.blamed: dict[Path, tuple[bytes, str]] = {}
        self.generation = 0
        self._installed = _installed()
        self._files: dict[Path, _File] = {}
        self._known: dict[tuple[str, str], Known] = {}
        self.refresh()

    def refresh(self, folders: Iterable[str | Path] | None = None) -> bool:
        """Loads drop-in files that are new or have changed, forgets those that are gone. True when anything differs."""
        if folders is not None:
            self.folders = [Path(folder) for folder in folders]
        found = dict.fromkeys(path for folder in self.folders for path in _drop_ins(folder))
        before, files, errors = self._files, dict[Path, _File](), dict(self._installed.errors)
        for path in found:
            known = before.get(path)
            try:
                known = _loaded(path, known)
            except OSError as error:  # its plugins stay, if there were any
                errors[str(path)] = str(error)
            if known is not None:
                files[path] = known
                if known.error:
                    errors.setdefault(str(path), known.error)
        for path, (digest, text) in self.blamed.items():
            if path in files and files[path].digest == digest:
                errors.setdefault(str(path), text)
        self._files, self.errors = files, errors
        changed = list(before.items()) != list(files.items())
        if changed or not self.generation:
            self._known = dict(self._installed.known)
            for file in files.values():
                for one in file.known:
                    self._known[kind_of(one.declaration.interface), one.declaration.name] = one
            self.generation += 1
        return changed

    def copy(self) -> Registry:
        """Another one that knows the same, to try something with: this one stays as it is."""
        return copy.copy(self)  # what one refreshes is replaced in it, never changed in place

    def take(self, other: Registry) -> None:
        """Knows from now on what `other`, a copy, does."""
        vars(self).update(vars(other))

    def names(self, interface: InterfaceClass) -> list[str]:
        """The names that a configuration may use for this interface, sorted."""
        return sorted(name for kind, name in self._known if kind == kind_of(interface))

    def origin(self, interface: InterfaceClass, name: str) -> Path | None:
        """The drop-in file that a plugin comes from; None if it is installed, or not there."""
        known = self._known.get((kind_of(interface), name))
        path = Path(known.origin) if known is not None else None
        return path if path in self._files else None

    def blame(self, interface: InterfaceClass, name: str, text: str) -> None:
        """A plugin fails when it is tried: `errors` has it under its file, until that changes."""
        path = self.origin(interface, name)
        if path is not None:
            self.blamed = {**self.blamed, path: (self._files[path].digest, text)}
            self.errors = {**self.errors, str(path): text}

    def note_blame(self, other: Registry) -> None:
        """Knows what `other`, a copy, found to fail; all else stays."""
        self.blamed = {**self.blamed, **other.blamed}
        self.errors = {**{str(path): text for path, (_, text) in other.blamed.items()}, **self.errors}

    def listing(self) -> list[dict[str, object]]:
        """What /plugins shows: kind, name, origin and the first line of the documentation of each."""
        rows: list[dict[str, object]] = []
        for (kind, name), known in sorted(self._known.items()):
            row: dict[str, object] = {"kind": kind, "name": name, "origin": known.origin}
            try:
                doc = inspect.getdoc(known.declaration.load()) or ""
                row["about"] = " ".join(doc.split("\n\n")[0].split())
            except PluginError as error:
                row["error"] = str(error)
            rows.append(row)
        return rows

    def load(self, interface: InterfaceClass, name: str) -> Callable[..., object]:
        """The class that a name stands for. Raises UnknownPlugin, or PluginError when it can't be imported."""
        known = self._known.get((kind_of(interface), name))
        if known is None:
            raise UnknownPlugin(kind_of(interface), name, self.names(interface))
        return known.declaration.load()

    def factory(
        self,
        interface: InterfaceClass,
        name: str,
        options: Mapping[str, object],
        injected: Mapping[str, object] | None = None,
    ) -> Callable[..., object]:
        """
        What builds the plugin with these options; whatever it is called with comes first (a balancer's endpoints).

        injected: arguments of these names are given to constructors that have them (`clock`), and are no options.
        The object is verified when it is built. Raises UnknownPlugin, PluginError, or OptionError for an option that
        is not there, is missing, or has the wrong type.
        """
        target = self.load(interface, name)
        skip = ("endpoints",) if interface is ILoadBalancer else ()
        arguments = convert(target, options, injected or {}, skip)

        def build(*first: object) -> object:
            built = target(*first, **arguments)
            verify(interface, built)
            return built

        return build


class _Installed(typing.NamedTuple):
    """What the `twisted/plugins` directories hold. errors: file -> traceback of each that can't be imported."""

    known: dict[tuple[str, str], Known]
    errors: dict[str, str]


def _installed() -> _Installed:
    """What is installed now: looked for again when a directory has changed or there is another one."""
    import twisted.plugins as package

    folders = [Path(folder) for folder in package.__path__]
    return _look_at_installed(package, tuple((path, path.stat().st_mtime_ns) for path in folders if path.is_dir()))


@lru_cache(maxsize=1)
def _look_at_installed(package: types.ModuleType, folders: tuple[tuple[Path, int], ...]) -> _Installed:
    """Reads the `twisted/plugins` directories; `getPlugins` merely logs a module that can't be imported."""
    found = _Installed({}, {})
    readable = twisted_plugin.getCache(package)
    for folder, _ in folders:
        for path in sorted(folder.glob("*.py")):
            if path.stem not in readable and path.stem != "__init__":
                found.errors[str(path)] = _import_error(f"{package.__name__}.{path.stem}")
    for one in twisted_plugin.getPlugins(IDeclaration):
        declaration = typing.cast(Declaration, one)
        origin = declaration.target if isinstance(declaration.target, str) else declaration.target.__module__
        found.known[kind_of(declaration.interface), declaration.name] = Known(declaration, origin)
    return found


def _drop_ins(folder: Path) -> list[Path]:
    """Return the Python files of a folder, sorted. Called each second; `Path.glob` takes several times as long."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in sorted(names) if name.endswith(".py")]


def _loaded(path: Path, before: _File | None) -> _File:
    """A drop-in file as it is now; `before` itself if it did not change. Raises OSError when it can't be read."""
    source = path.read_bytes()
    digest = hashlib.sha256(source).digest()
    if before is not None and before.digest == digest:
        return before
    # A module object of its own per content: exchanges under way keep the old one alive until they end.
    place = hashlib.sha256(bytes(path)).hexdigest()[:12]
    module = types.ModuleType(f"metaproxy_dropin_{path.stem}_{place}_{digest.hex()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # typing.get_type_hints and pickling look modules up by name
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
        declarations = [value for value in vars(module).values() if isinstance(value, Declaration)]
        if not declarations:
            raise PluginError("no Declaration at its top level, such as: mine = Declaration(ICodec, 'mine', Mine)")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        sys.modules.pop(module.__name__, None)
        # What an earlier content of the file declared stays in force, as a refused configuration would.
        return _File(digest, before.known if before is not None else [], traceback.format_exc())
    return _File(digest, [Known(one, str(path)) for one in declarations], "")


def _import_error(name: str) -> str:
    try:
        namedAny(name)
    except BaseException:
        return traceback.format_exc()
    return f"{name} holds no plugin"
