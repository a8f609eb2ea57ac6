"""
Envoy's HttpConnectionManager in tests: written as YAML, translated, read as our configuration is, asked for routes.

Lives here: `manager`, `hosts`, `section_of`, `RouteOf`. Does not: assertions about what comes out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import yaml
from checked import REGISTRY, accepted
from envoy_messages import errors, listener
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.model import Node
from metaproxy.config.values import Context as ReadingContext
from metaproxy.config.values import read_section
from metaproxy.envoy.message_types import url
from metaproxy.envoy.tables import Context, Plain
from metaproxy.envoy.translated import Translated
from metaproxy.message import Side
from metaproxy.telemetry.access_log.filter import LogFiles

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
NETWORK = "envoy.extensions.filters.network"


def chain(type: str, text: str, context: Context | None = None, before: str = "") -> Translated:
    """A listener with one network filter of these fields. before: the filters in front, as items of a YAML list."""
    indented = textwrap.indent(textwrap.dedent(text), " " * 6)
    whole = f"""\
name: in
address: {{socket_address: {{address: 127.0.0.1, port_value: 8080}}}}
filter_chains:
- filters:
{textwrap.indent(textwrap.dedent(before), "  ")}
  - name: it
    typed_config:
      "@type": {url(type)}
      stat_prefix: x
{indented}
"""
    return listener(whole, context)


def manager(text: str, context: Context | None = None) -> Translated:
    return chain(MANAGER, text, context)


def hosts(virtual_hosts: str, more: str = "", filters: str = "") -> Translated:
    """virtual_hosts, filters: YAML lists; more: fields of the route configuration."""
    table = textwrap.indent(textwrap.dedent(virtual_hosts), "    ")
    listed = textwrap.indent(textwrap.dedent(filters), "")
    return manager(
        f"route_config:\n{textwrap.indent(textwrap.dedent(more), '  ')}\n  virtual_hosts:\n{table}\n{listed}"
    )


def route(text: str, filters: str = "") -> Translated:
    """One route, for any host."""
    inner = textwrap.indent(textwrap.dedent(text), "    ").replace("    ", "  - ", 1)
    return hosts(f"- name: all\n  domains: ['*']\n  routes:\n{inner}", filters=filters)


def section_of(outcome: Translated) -> dict[str, Any]:
    """The one listener that came of it, once our own reader took it; nothing is wrong with it."""
    assert errors(outcome) == []
    (section,) = outcome.sections
    context = ReadingContext("envoy", REGISTRY, {"clock": Clock(), "node": model.Node(), "clusters": {}})
    read, problems = read_section(model.Listener, section, context)
    assert read is not None, [str(problem) for problem in problems]
    return dict(section)


def routes_of(outcome: Translated) -> list[dict[str, Any]]:
    routes = section_of(outcome)["routes"]
    assert isinstance(routes, list)
    return routes


def only(outcome: Translated) -> dict[str, Any]:
    """The only route."""
    (one,) = routes_of(outcome)
    return one


class RouteOf:
    """Which route a request takes: as in the proxy, with the routes of a section."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        clusters: set[str] = set()
        for one in section["routes"]:
            clusters |= {one["cluster"]} if "cluster" in one else set(one.get("clusters", ()))
        config = {
            "listeners": [section],
            "clusters": [{"name": name, "endpoints": ["127.0.0.1:1"]} for name in sorted(clusters)],
        }
        clock = Clock()
        made = Builder(REGISTRY, clock, LogFiles(clock)).build(accepted(yaml.safe_dump(config)))
        self._listener = made.listeners[section["name"]]

    def __call__(self, request: bytes, facts: Mapping[str, str] | None = None) -> str:
        """The name of the route, '-' for none."""
        message = self._listener.codec.session(Side.CLIENT, 1 << 20).receive(request)[0]
        found = self._listener.routes.match(message, dict(facts or {}))
        return found.name if found is not None else "-"


def get(target: str, host: str = "a.example", *headers: str) -> bytes:
    """A request of HTTP/1.1."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


__all__ = ["MANAGER", "NETWORK", "Node", "Plain", "RouteOf", "chain", "get", "hosts", "manager", "only", "route"]
