"""
Listener filters: what looks at a connection before its chain is known.

Lives here: translators of those that metaproxy's listeners do by themselves. Does not: chains (`envoy.chains`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import LISTENER_FILTERS, Chain

_LISTENER = "envoy.extensions.filters.listener"


@LISTENER_FILTERS.add(f"{_LISTENER}.original_dst.v3.OriginalDst", "envoy.filters.listener.original_dst")
def original_dst(config: Fields, chain: Chain) -> None:
    """Connections were redirected."""
    chain.section["original_destination"] = True


@LISTENER_FILTERS.add(f"{_LISTENER}.tls_inspector.v3.TlsInspector", "envoy.filters.listener.tls_inspector")
def tls_inspector(config: Fields, chain: Chain) -> None:
    """Chains that ask for it see what a ClientHello says."""
    config.ignore("initial_read_buffer_size", "close_connection_on_client_hello_parsing_errors")
    config.refuse("enable_ja3_fingerprinting", "metaproxy makes no fingerprints", False)
    config.refuse("enable_ja4_fingerprinting", "metaproxy makes no fingerprints", False)


@LISTENER_FILTERS.add(f"{_LISTENER}.http_inspector.v3.HttpInspector", "envoy.filters.listener.http_inspector")
def http_inspector(config: Fields, chain: Chain) -> None:
    """Chains that ask for it see whether a client without TLS speaks HTTP."""


@LISTENER_FILTERS.add(f"{_LISTENER}.proxy_protocol.v3.ProxyProtocol", "envoy.filters.listener.proxy_protocol")
def proxy_protocol(config: Fields, chain: Chain) -> None:
    """A PROXY header tells who the client is."""
    chain.section["proxy_protocol"] = True
    config.ignore("stat_prefix")
    config.refuse("allow_requests_without_proxy_protocol", "every connection must begin with the header", False)
    for name in ("rules", "pass_through_tlvs", "disallowed_versions"):
        if config.given(name):
            config.unhonoured(name, "metaproxy reads addresses from a PROXY header, and no TLVs")
