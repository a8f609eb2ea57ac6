"""A listener of HTTP with a filter that a server configures, and what the server sends for it (ECDS), in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

TYPES = (cors_pb2, local_rate_limit_pb2, router_pb2, http_connection_manager_pb2)
"""Of messages that are packed here: what reads JSON has to have them."""


def discovered(name: str, more: Mapping[str, object] = MappingProxyType({}), port: int = 20880) -> dict[str, object]:
    """A listener of HTTP whose filter `limit` is configured by a server."""
    prefix = "type.googleapis.com/envoy.extensions.filters"
    limit = {
        "config_source": {"ads": {}, "resource_api_version": "V3"},
        "type_urls": [f"{prefix}.http.local_ratelimit.v3.LocalRateLimit"], **more,
    }  # fmt: skip
    router = {"@type": f"{prefix}.http.router.v3.Router"}
    manager = {
        "@type": f"{prefix}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name,
        "http_filters": [
            {"name": "limit", "config_discovery": limit}, {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
        }]},
    }  # fmt: skip
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "m", "typed_config": manager}]}],
    }  # fmt: skip


def limit_of(tokens: int) -> dict[str, object]:
    """The configuration of a filter that lets through so many requests a second."""
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "x", "token_bucket": {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "1s"},
        "filter_enabled": {"default_value": {"numerator": 100}},
        "filter_enforced": {"default_value": {"numerator": 100}},
    }  # fmt: skip


def extension(config: Mapping[str, object], name: str = "limit") -> dict[str, object]:
    kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
    return {"@type": kind, "name": name, "typed_config": config}
