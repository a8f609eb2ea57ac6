"""
Routes that lead to clusters, which is all that the proxy has.

Lives here: the types of `routing.table` with its targets being clusters. Does not: how a route is found, which is the
same for whatever it leads to (`routing.table`).
"""

from __future__ import annotations

from metaproxy.cluster.cluster import Cluster
from metaproxy.routing import table

Target = table.Target[Cluster]
ReplyTarget = table.Target[None]
"""Where a route's own replies are counted."""
Route = table.Route[Cluster]
RouteTable = table.RouteTable[Cluster]
