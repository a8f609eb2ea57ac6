"""
Clients that ask again and again, over REST: one answer a request, and no stream.

Lives here: `Polls`. Does not: HTTP (`rest`), streams (`stream`).
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from metaproxy.control.fleet import Fleet
from metaproxy.control.nodes import read_node
from metaproxy.control.resource_types import ResourceType
from metaproxy.control.server import Control
from metaproxy.control.snapshot import Resource, total
from metaproxy.control.subscription import ALL
from metaproxy.control.wire import MAX_ERROR


class Polls:
    """Answers requests of the state of the world from what streams are served from."""

    def __init__(self, control: Control, fleet: Fleet) -> None:
        self._control = control
        self._fleet = fleet

    def answer(self, kind: ResourceType, request: DiscoveryRequest, peer: str) -> DiscoveryResponse | None:
        """
        Return the response; None when the client has all of it, or has refused it. Raises ValueError for a request
        without a node.

        The version is that of what is asked for, and the nonce is the version: so no server keeps anything of a client.
        """
        node = read_node(request.node, peer)
        target = self._control.targets.target(node)
        found = _wanted(kind, request, target.of(kind.url))
        version = total(found)
        refused = request.HasField("error_detail")
        error = request.error_detail.message[:MAX_ERROR] if refused else None
        self._fleet.polled(node, kind, request.version_info, request.response_nonce, error, version, target)
        if request.version_info == version or (refused and request.response_nonce == version):
            return None
        response = DiscoveryResponse(version_info=version, nonce=version, type_url=kind.url)
        response.control_plane.identifier = self._control.identifier
        for one in found:
            response.MergeFromString(one.state_of_the_world)
        return response


def _wanted(kind: ResourceType, request: DiscoveryRequest, there: Mapping[str, Resource]) -> list[Resource]:
    names = set(request.resource_names)
    if ALL in names or (kind.wildcard and not names):
        return list(there.values())
    return [there[name] for name in sorted(names) if name in there]
