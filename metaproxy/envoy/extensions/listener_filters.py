"""
Listener filters: what looks at a connection before its filter chain does.

Lives here: the PROXY protocol, original destinations, inspectors. Does not: network filters.
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import LISTENER_FILTERS, Chain

_PACKAGE = "envoy.extensions.filters.listener"


@LISTENER_FILTERS.add(f"{_PACKAGE}.original_dst.v3.OriginalDst", "envoy.filters.listener.original_dst")
def original_dst(config: Fields, chain: Chain) -> None:
    chain.section["original_destination"] = True


@LISTENER_FILTERS.add(f"{_PACKAGE}.proxy_protocol.v3.ProxyProtocol", "envoy.filters.listener.proxy_protocol")
def proxy_protocol(config: Fields, chain: Chain) -> None:
    config.ignore("stat_prefix")
    config.refuse("allow_requests_without_proxy_protocol", "every client must send a PROXY header", False)
    chain.section["proxy_protocol"] = True


@LISTENER_FILTERS.add(f"{_PACKAGE}.tls_inspector.v3.TlsInspector", "envoy.filters.listener.tls_inspector")
def tls_inspector(config: Fields, chain: Chain) -> None:
    """What a client asks for in its TLS is looked at wherever a chain asks for it."""
    config.ignore("initial_read_buffer_size")


@LISTENER_FILTERS.add(f"{_PACKAGE}.http_inspector.v3.HttpInspector", "envoy.filters.listener.http_inspector")
def http_inspector(config: Fields, chain: Chain) -> None:
    """The codec sees by itself which version of HTTP a client speaks."""
