"""
Rules on a configuration that was made as values: those of a file, on sections that were never read.

Lives here: `check_made`. Does not: names and references (`value_check`), what a single value may be, which the types of
`model` say.

Rules ask a `Reading` where something is written, and what was built of a plugin. So the sections are laid out as the
text that they could have been: a tree of nodes without lines, whose paths say where a fault is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from zope.interface.interface import InterfaceClass

from metaproxy.config import model
from metaproxy.config.rules.every import RULES
from metaproxy.config.schema.nodes import Node, Problem
from metaproxy.config.schema.reading import Enough, Reading, Refused, Use
from metaproxy.config.schema.registry import Plugins
from metaproxy.config.schema.shape import Section
from metaproxy.config.slices import checkpoint
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer
from metaproxy.support import addresses as address

_PLUGINS: Mapping[str, InterfaceClass] = {
    "protocol": ICodec, "filters": IFilter, "balancer": ILoadBalancer, "discovery": IDiscovery,
}  # fmt: skip
"""Key of a section -> what the plugin at it is."""


def check_made(
    config: model.Config, plugins: Plugins, injected: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[list[Problem], list[Problem]]:
    """
    Return what is wrong with a configuration, and what is odd and works. Plugins must have been found to be there, with
    options that they take.
    """
    reading = Reading(config.source, Path("/"), plugins, environ, {**injected, "node": config.node}, RULES)
    try:
        _Made(reading).adopt(config, Node({}, 0, 0))
    except Enough:
        pass
    problems, warnings = reading.problems, reading.warnings
    return [_named(one, config) for one in dict.fromkeys(problems)], [_named(one, config) for one in warnings]


_PLACE = re.compile(r"(listeners|clusters)\[(\d+)\]")


def _named(problem: Problem, config: model.Config) -> Problem:
    """With the name of a listener or cluster in place of its number, which is not in the file."""

    def name(found: re.Match[str]) -> str:
        items: Sequence[model.Listener | model.Cluster] = (
            config.listeners if found[1] == "listeners" else config.clusters
        )
        return f"{found[1]}[{items[int(found[2])].name!r}]"

    return replace(problem, path=_PLACE.sub(name, problem.path, count=1))


class _Made:
    """Has a reading know sections as if it had read them."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def adopt(self, section: Section, node: Node) -> None:
        """A section stands at a node; its rules look at it behind those of what it holds."""
        checkpoint()
        entries: dict[str, Node] = {}
        node.value = entries
        for one in fields(section):
            value = getattr(section, one.name)
            if "option" in one.metadata and _is_given(section, one.name, value):
                entries[one.name] = Node(None, 0, 0).hang(node, one.name)
                self._fill(value, entries[one.name], one.name)
        self._reading.keep(section, node, entries)

    def _fill(self, value: object, node: Node, option: str) -> None:
        if isinstance(value, Section):
            self.adopt(value, node)
        elif isinstance(value, Use):
            self._use(value, node, option)
        elif isinstance(value, Mapping):
            inner: dict[str, Node] = {}
            node.value = inner
            for key, item in value.items():
                inner[str(key)] = Node(None, 0, 0).hang(node, str(key))
                self._fill(item, inner[str(key)], option)
        elif isinstance(value, (list, tuple)):
            items: list[Node] = []
            node.value = items
            for place, item in enumerate(value):
                items.append(Node(None, 0, 0).hang(node, place))
                self._fill(item, items[place], option)
        else:
            node.value = value if isinstance(value, (bool, int, float, str)) else None if value is None else str(value)
            node.text = str(node.value)
            if option == "listen" and isinstance(value, str):
                self._reading.addresses.append((address.parse(value), node))

    def _use(self, use: Use, node: Node, option: str) -> None:
        """A plugin, which is tried as those of a file are."""
        interface = _PLUGINS.get(option)
        if interface is None or use.name == "original_destination":
            return
        options: dict[str, Node] = {}
        node.value = options
        for key, value in use.options.items():
            options[key] = Node(None, 0, 0).hang(node, key)
            self._fill(value, options[key], "")
        try:
            self._reading.adopt(use, interface, node, options)
        except Refused:  # reported
            return
        if interface is not ILoadBalancer:  # that is built from endpoints, by a rule of the cluster
            self._reading.build(use)


def _is_given(section: Section, name: str, value: object) -> bool:
    """Whether a key would have to be written for its value; a cluster has endpoints or a discovery, be there none."""
    if isinstance(section, model.Cluster) and name == "endpoints":
        return section.discovery is None or bool(value)
    known = type(section).__dataclass_fields__[name].default_factory
    return not callable(known) or value != known()
