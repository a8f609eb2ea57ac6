"""
Istio's own network filters.

Lives here: translators of those that can be passed over. Does not: its statistics and metadata exchange for protocols
of Aeraki (`aeraki`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain


@NETWORK_FILTERS.add("envoy.tcp.metadataexchange.config.MetadataExchange", "istio.metadata_exchange")
def metadata_exchange(config: Fields, chain: Chain) -> None:
    """Acts only on connections that agreed on istio-peer-exchange, to which `tls` never agrees."""
    config.ignore("protocol", "enable_discovery", "additional_labels")
