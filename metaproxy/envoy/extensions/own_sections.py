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
    chain.section.clear()
    chain.section.update(section)
    chain.filters[:] = filters if isinstance(filters, list) else [filters]
    chain.terminal = LISTENER
