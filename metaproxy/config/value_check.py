"""
Check of a `Config` that did not come from a text: what its types can't rule out.

Lives here: names that must be unique, names that refer to clusters, plugins and their options. Does not: what a single
value may be (the types of `model`), texts (`check`), files (opened by `build`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from zope.interface.interface import InterfaceClass

from metaproxy.config import model, references
from metaproxy.config.delta import Changes
from metaproxy.config.schema.reading import Use, near
from metaproxy.config.schema.registry import Plugins
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import OptionError, PluginError, UnknownPlugin


class Before(NamedTuple):
    """
    What is known of a configuration that was right with the same plugins. changes: since then, with names that are
    unique; clusters: the names of those that there are now; users: cluster -> the listeners that reached or asked it;
    fallbacks: cluster -> those that it had.
    """

    changes: Changes
    clusters: Collection[str]
    users: Callable[[str], Collection[str]]
    fallbacks: Mapping[str, Collection[str]]


def check_value(
    config: model.Config,
    plugins: Plugins,
    injected: Mapping[str, object],
    before: Before | None = None,
) -> list[str]:
    """
    Return a line for each thing that is wrong, `listeners['in'].routes[1]: no cluster 'x'`; [] when nothing is.

    before: with it only what a change touches is looked at.
    """
    if before is None:
        lines = [*_names("listeners", config.listeners), *_names("clusters", config.clusters)]
        if lines:
            return lines
        known = {cluster.name for cluster in config.clusters}
        lines += _references(config.listeners, config.clusters, known)
        return [*lines, *_plugin_problems(config.listeners, config.clusters, plugins, injected)]
    listeners, (clusters, gone, *_) = before.changes.listeners.changed, before.changes.clusters
    touched = _touched(config, listeners, gone, before.users)
    is_named = any(name in gone for names in before.fallbacks.values() for name in names) if gone else False
    lines = [*_references(touched, config.clusters if is_named else clusters, before.clusters)]
    return [*lines, *_plugin_problems(listeners, clusters, plugins, injected)]


def _touched(
    config: model.Config,
    changed: Sequence[model.Listener],
    gone: Iterable[str],
    users: Callable[[str], Collection[str]],
) -> Sequence[model.Listener]:
    """The listeners that changed, and those that may name a cluster that is gone."""
    names = {name for cluster in gone for name in users(cluster)}
    if not names:
        return changed
    names |= {listener.name for listener in changed}
    return [listener for listener in config.listeners if listener.name in names]


def _names(section: str, items: Sequence[model.Listener | model.Cluster]) -> Iterator[str]:
    names = {item.name for item in items}
    if len(names) == len(items) and "" not in names:
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not item.name:
            yield f"{section}[{index}]: no name; give it one"
        elif item.name in seen:
            yield f"{section}[{index}]: {item.name!r} is also the name of another one; rename one"
        seen.add(item.name)


def _references(
    listeners: Iterable[model.Listener], clusters: Iterable[model.Cluster], known: Collection[str]
) -> Iterator[str]:
    for listener in listeners:
        for index, route in enumerate(listener.routes):
            yield from _unknown(references.clusters_of(route), known, f"listeners[{listener.name!r}].routes[{index}]")
        yield from _unknown(references.asked_by(listener), known, f"listeners[{listener.name!r}].filters")
    for cluster in clusters:
        yield from _unknown(cluster.fallback, known, f"clusters[{cluster.name!r}].fallback")


def _unknown(names: Iterable[str], known: Collection[str], place: str) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{place}: no cluster {name!r}; {near(name, known, 'cluster')}"


def _plugin_problems(
    listeners: Iterable[model.Listener],
    clusters: Iterable[model.Cluster],
    plugins: Plugins,
    injected: Mapping[str, object],
) -> Iterator[str]:
    for place, interface, use in _uses(listeners, clusters):
        try:
            plugins.factory(interface, use.name, use.options, injected)
        except UnknownPlugin as error:
            yield f"{place}: {error}; {near(error.name, error.known, 'plugin')}"
        except OptionError as error:
            steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
            option = "" if error.option is None else f".{error.option}{steps}"
            yield f"{place}.{use.name}{option}: {error}"
        except PluginError as error:
            yield f"{place}.{use.name}: {error}"


def _uses(
    listeners: Iterable[model.Listener], clusters: Iterable[model.Cluster]
) -> Iterator[tuple[str, InterfaceClass, Use]]:
    for listener in listeners:
        place = f"listeners[{listener.name!r}]"
        yield f"{place}.protocol", ICodec, listener.protocol
        for index, use in enumerate(listener.filters):
            yield f"{place}.filters[{index}]", IFilter, use
        for index, route in enumerate(listener.routes):
            for name, override in route.filters.items():
                if override is not None:
                    yield f"{place}.routes[{index}].filters.{name}", IFilter, override
    for cluster in clusters:
        place = f"clusters[{cluster.name!r}]"
        if cluster.protocol is not None:
            yield f"{place}.protocol", ICodec, cluster.protocol
        yield f"{place}.balancer", ILoadBalancer, cluster.balancer
        if cluster.discovery is not None and not cluster.has_original_destination:
            yield f"{place}.discovery", IDiscovery, cluster.discovery
