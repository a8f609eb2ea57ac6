"""
The registry of plugins, as it is seen while a configuration is read.

Lives here: `Plugins`, what is asked of it; `NoPlugins`, for what is read without one. Does not: finding plugins
(`metaproxy.plugins`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from zope.interface.interface import InterfaceClass

from metaproxy.plugins import UnknownPlugin, kind_of


class Plugins(Protocol):
    """What is asked of `metaproxy.plugins.Registry`."""

    @property
    def folders(self) -> Sequence[Path]: ...

    @property
    def errors(self) -> Mapping[str, str]: ...

    def names(self, interface: InterfaceClass) -> list[str]: ...

    def load(self, interface: InterfaceClass, name: str) -> Callable[..., object]: ...

    def factory(
        self,
        interface: InterfaceClass,
        name: str,
        options: Mapping[str, object],
        injected: Mapping[str, object] | None = None,
    ) -> Callable[..., object]: ...

    def origin(self, interface: InterfaceClass, name: str) -> Path | None: ...

    def blame(self, interface: InterfaceClass, name: str, text: str) -> None: ...


class NoPlugins:
    """A registry without a plugin."""

    folders: Sequence[Path] = ()
    errors: Mapping[str, str] = {}

    def names(self, interface: InterfaceClass) -> list[str]:
        return []

    def load(self, interface: InterfaceClass, name: str) -> Callable[..., object]:
        raise UnknownPlugin(kind_of(interface), name, [])

    def factory(
        self,
        interface: InterfaceClass,
        name: str,
        options: Mapping[str, object],
        injected: Mapping[str, object] | None = None,
    ) -> Callable[..., object]:
        return self.load(interface, name)

    def origin(self, interface: InterfaceClass, name: str) -> Path | None:
        return None

    def blame(self, interface: InterfaceClass, name: str, text: str) -> None:
        self.load(interface, name)
