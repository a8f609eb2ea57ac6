"""
A listener of our own file that a control plane sends as it is.

Lives here: its translator. Does not: clusters, the messages (`envoy.own_sections`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.own_messages import LISTENER
from metaproxy.envoy.own_sections import section_of
from metaproxy.envoy.tables import NETWORK_FILTERS, Chain


@NETWORK_FILTERS.add(LISTENER, LISTENER)
def own_listener(fields: Fields, chain: Chain) -> None:
    """The section stands for the whole listener, whatever is around the filter."""
    section = section_of(fields)
    filters = section.pop("filters", [])
    if chain.filters or chain.section.get("tls") or "max_connections" in chain.section:
        fields.report.essential(fields.path, "TLS and filters around it would not act; write them in the section")
    chain.section.clear()
    chain.section.update(section)
    chain.filters[:] = filters if isinstance(filters, list) else [filters]
    chain.terminal = LISTENER
