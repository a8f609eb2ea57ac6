"""
What a configuration refers to: files, and which clusters are reached from where.

Lives here: questions about a `Config` that several ask. Does not: whether what is named is there (`check`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from metaproxy.config.model import Config
from metaproxy.config.sections.cluster import Cluster
from metaproxy.config.sections.listener import Listener
from metaproxy.config.sections.route import Route
from metaproxy.config.slices import checkpoint

_ASKED = ("service", "jwks", "reflection")


def files_of(config: Config) -> set[Path]:
    """Files whose content is part of the configuration: those of secrets, certificates and keys."""
    sections: Iterator[Listener | Cluster] = chain(config.listeners, config.clusters)
    return files_beside(config).union(*(tls_files(one) for one in sections if one.tls is not None))


def files_beside(config: Config) -> set[Path]:
    """As `files_of`, of what is no listener or cluster."""
    found = {one.file for one in config.secrets.values()}
    if config.admin.tls is not None:
        found.update((config.admin.tls.certificate, config.admin.tls.key, config.admin.tls.client_ca))
    return {path for path in found if path is not None}


def tls_files(section: Listener | Cluster) -> set[Path]:
    """The files of the certificates and keys of one listener or cluster."""
    found: list[Path | None] = []
    if isinstance(section, Listener):
        if section.tls is not None:
            found += (section.tls.certificate, section.tls.key, section.tls.client_ca)
            found += (path for one in section.tls.certificates for path in (one.certificate, one.key))
    elif section.tls is not None:
        found += (section.tls.ca, section.tls.certificate, section.tls.key)
    return {path for path in found if path is not None}


def clusters_of(route: Route) -> list[str]:
    """The clusters that a route names: where its requests go, then where copies go."""
    return [*targets_of(route), *(mirror.cluster for mirror in route.mirror)]


def targets_of(route: Route) -> list[str]:
    """The clusters that a route's requests go to."""
    return [route.cluster] if route.cluster is not None else list(route.clusters or ())


def mirrors(listener: Listener) -> set[str]:
    """The clusters that get copies of a listener's requests."""
    return {mirror.cluster for route in listener.routes for mirror in route.mirror}


def asked(config: Config) -> dict[str, bool]:
    """The clusters that are asked as services, by filters or as control planes -> whether it is over gRPC."""
    found = asked_for_xds(config)
    for listener in config.listeners:
        checkpoint()
        for name, over_grpc in asked_by(listener).items():
            found[name] = found.get(name, False) or over_grpc
    return found


def asked_for_xds(config: Config) -> dict[str, bool]:
    """As `asked`, of the control planes."""
    return {one.cluster: one.transport in ("grpc", "delta") for one in config.xds if one.cluster is not None}


def asked_by(listener: Listener) -> dict[str, bool]:
    """As `asked`, of one listener."""
    found: dict[str, bool] = {}
    uses = [*listener.filters, *(use for route in listener.routes for use in route.filters.values())]
    for name, service in [one for use in uses if use is not None for one in _services(use.options)]:
        over_grpc = not ("http" in service or "url" in service or service.get("kind") == "redis")
        found[name] = found.get(name, False) or over_grpc
    return found


def _services(options: object) -> Iterator[tuple[str, Mapping[object, object]]]:
    """
    The mappings within a filter's options that name a cluster, with its name: `service:`, `jwks:` and `reflection:`,
    wherever they stand.
    """
    if isinstance(options, Mapping):
        for key, inner in options.items():
            name = inner.get("cluster") if key in _ASKED and isinstance(inner, Mapping) else None
            if isinstance(name, str):
                yield name, inner
            else:
                yield from _services(inner)


def direct(listener: Listener) -> list[str]:
    """The clusters that a listener's routes name."""
    found: list[str] = []
    for route in listener.routes:
        checkpoint()
        found += clusters_of(route)
    return found


def senders(config: Config) -> dict[str, list[Listener]]:
    """Cluster -> the listeners whose requests may come to it, be it as a copy or by `fallback`."""
    fallback = {one.name: one.fallback for one in config.clusters}
    found: dict[str, list[Listener]] = {}
    for listener in config.listeners:
        waiting = direct(listener)
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                found.setdefault(name, []).append(listener)
                waiting += fallback.get(name, ())
    return found
