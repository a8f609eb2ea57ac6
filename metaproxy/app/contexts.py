"""
What the sections of each source of configuration are read with.

Lives here: `Contexts`. Does not: reading (`config.values`), the sources.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from twisted.logger import Logger

from metaproxy.app.parts import Part
from metaproxy.config import model
from metaproxy.config.rules.secrets import secret_of
from metaproxy.config.values import Context
from metaproxy.plugins import Registry
from metaproxy.units import Secret

log = Logger()

SPARE = 50
"""Sections that are remembered besides twice those that a source contributes."""


class Contexts:
    """injected: what constructors of plugins get; folder: where relative paths start."""

    def __init__(self, registry: Registry, injected: Mapping[str, object], folder: Path) -> None:
        self._registry = registry
        self._injected = injected
        self._folder = folder
        self._by_source: dict[str, tuple[object, Context]] = {}

    def of(self, source: str, config: model.Config, stamps: Mapping[Path, object]) -> Context:
        """Return the one of a source: another one than before when plugins, secrets or the node have changed."""
        files = [one.file for one in config.secrets.values() if one.file is not None]
        basis = (self._registry.generation, config.node, config.secrets, [stamps.get(file) for file in files])
        known = self._by_source.get(source)
        if known is None or known[0] != basis:
            injected = {**self._injected, "node": config.node}
            context = Context(source, self._registry, injected, self._folder, os.environ, _secrets(config))
            known = self._by_source[source] = basis, context
        return known[1]

    def forget(self, source: str, part: Part) -> None:
        """
        What a source read before and contributes no more is not kept. A source may read with several contexts, whose
        names begin with its own: `xds istiod`.
        """
        most = 2 * (len(part.listeners) + len(part.clusters)) + SPARE
        for name, (_, context) in self._by_source.items():
            # Not each time that something is gone: it costs a look at all that there is.
            if name.split(" ")[0] == source and len(context.memo) > most:
                context.memo.forget(chain(part.listeners, part.clusters))


def _secrets(config: model.Config) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for name, one in config.secrets.items():
        try:
            found[name] = secret_of(one, os.environ)
        except ValueError as error:
            log.warn("secret {name} can't be read: {error}", name=name, error=error)
    return found
