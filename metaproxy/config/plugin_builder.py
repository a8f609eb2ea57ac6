"""
Plugins of one configuration: built with their options, or taken over from the configuration before.

Lives here: `PluginBuilder`. Does not: where a plugin stands in the configuration (`build`), checks (`schema.reading`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from zope.interface.interface import InterfaceClass

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model
from metaproxy.config.kept import Drafts
from metaproxy.config.masking import as_data
from metaproxy.config.schema.reading import Use
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import Registry, parameters


class PluginBuilder:
    """
    injected: what constructors are handed that ask for it, besides the node; drafts: where it looks for what the
    configuration before leaves, and adds what it makes. Plugins keep their interfaces: the registry verifies each that
    it builds.
    """

    def __init__(self, registry: Registry, injected: Mapping[str, object], node: model.Node, drafts: Drafts) -> None:
        self._registry = registry
        self._injected = {**injected, "node": node}
        self._node = json.dumps(as_data(node), sort_keys=True)
        self._drafts = drafts

    def codec(self, use: Use) -> ICodec:
        """The same object as before while its code and its options are the same."""

        def make() -> ICodec:
            built = self._made(ICodec, use)
            assert ICodec.providedBy(built)
            return built

        return self._drafts.codecs.get(self._identity(ICodec, use), make)

    def filter(self, use: Use, place: object) -> object:
        """The same object as before while its code, its options and its place are the same."""
        return self._drafts.filters.get((self._identity(IFilter, use), place), partial(self._made, IFilter, use))

    def balancer(self, use: Use) -> Callable[[Sequence[Endpoint]], ILoadBalancer]:
        """What builds a balancer, whenever the endpoints change."""
        factory = self._factory(ILoadBalancer, use)

        def build(endpoints: Sequence[Endpoint]) -> ILoadBalancer:
            built = factory(endpoints)
            assert ILoadBalancer.providedBy(built)
            return built

        return build

    def discovery(self, use: Use) -> IDiscovery:
        """A new one."""
        built = self._made(IDiscovery, use)
        assert IDiscovery.providedBy(built)
        return built

    def code(self, interface: InterfaceClass, use: Use) -> Callable[..., object]:
        """The class that a name stands for now: another one when its file changes."""
        return self._registry.load(interface, use.name)

    def _factory(self, interface: InterfaceClass, use: Use) -> Callable[..., object]:
        return self._registry.factory(interface, use.name, use.options, self._injected)

    def _made(self, interface: InterfaceClass, use: Use) -> object:
        return self._factory(interface, use)()

    def _identity(self, interface: InterfaceClass, use: Use) -> tuple[object, ...]:
        """What a plugin is made of. Equal for two uses of the same code with equal options."""
        code = self.code(interface, use)
        options = json.dumps([use.name, use.options], sort_keys=True, default=str)
        return code, options, self._node if "node" in parameters(code) else None
