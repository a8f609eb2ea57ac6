"""
Envoy's network filters before one that answers or forwards: RBAC, a limit of connections.

Lives here: their translators. Does not: policies (`rbac_policies`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.rbac_policies import options_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain

_NETWORK = "envoy.extensions.filters.network"


@NETWORK_FILTERS.add(f"{_NETWORK}.rbac.v3.RBAC", "envoy.filters.network.rbac")
def rbac(config: Fields, chain: Chain) -> None:
    """It is asked about each request in place of each connection: what it looks at is the connection's in any case."""
    config.ignore("stat_prefix", "shadow_rules_stat_prefix", "enforcement_type")
    options = options_of(config)
    if options:
        chain.filters.append({"rbac": options})


@NETWORK_FILTERS.add(f"{_NETWORK}.connection_limit.v3.ConnectionLimit", "envoy.filters.network.connection_limit")
def connection_limit(config: Fields, chain: Chain) -> None:
    config.ignore("stat_prefix")
    most = config.whole("max_connections")
    if not most:
        config.invalid("max_connections", "is missing, or 0")
        return
    config.refuse("delay", "connections that are too many are refused at once")
    chain.section["max_connections"] = most
