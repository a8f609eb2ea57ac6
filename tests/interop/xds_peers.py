"""
Control planes that drive the proxy, and the resources that they serve.

Lives here: `GoControlPlane`, a real one on go-control-plane; resources as JSON. Aeraki's own server is not to be had:
tests/shared/aeraki.py is a stand-in that was made from what is known of it. Does not: assertions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catalogue import Command, Start
from running import PEERS, Program, answers, free_port

TYPE = "type.googleapis.com/"
ADS = {"ads": {}, "resourceApiVersion": "V3"}
Resource = dict[str, Any]


def cluster(name: str) -> Resource:
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster", "name": name, "type": "EDS", "connectTimeout": "1s",
        "edsClusterConfig": {"edsConfig": ADS},
    }  # fmt: skip


def endpoints(name: str, *ports: int) -> Resource:
    found = [{"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": one}}}} for one in ports]
    return {
        "@type": f"{TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment", "clusterName": name,
        "endpoints": [{"lbEndpoints": found}],
    }  # fmt: skip


def listener(name: str, port: int, routes: str, protocol: str = "dubbo") -> Resource:
    """A listener as istiod has it once Aeraki's EnvoyFilter is applied: a TypedStruct, whose type it need not know."""
    value = {
        "statPrefix": name, "applicationProtocol": protocol,
        "codec": {"name": f"aeraki.meta_protocol.codec.{protocol}"},
        "rds": {"routeConfigName": routes, "configSource": ADS},
        "metaProtocolFilters": [{"name": "aeraki.meta_protocol.filters.router"}],
    }  # fmt: skip
    filter = {
        "@type": f"{TYPE}udpa.type.v1.TypedStruct",
        "typeUrl": f"{TYPE}aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy", "value": value,
    }  # fmt: skip
    return {
        "@type": f"{TYPE}envoy.config.listener.v3.Listener", "name": name,
        "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
        "filterChains": [{"filters": [{"name": "envoy.filters.network.meta_protocol_proxy", "typedConfig": filter}]}],
    }  # fmt: skip


def routes(name: str, cluster: str) -> Resource:
    route = {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": cluster}}
    return {
        "@type": f"{TYPE}envoy.config.route.v3.RouteConfiguration", "name": name,
        "virtualHosts": [{"name": "dummy", "domains": ["*"], "routes": [route]}],
    }  # fmt: skip


class GoControlPlane:
    """
    go-control-plane's snapshot cache on a port, or on `socket`; what it serves is in a file, which `serve` replaces.
    """

    def __init__(self, start: Start, folder: Path, socket: Path | None = None) -> None:
        self.port = free_port()
        self._socket = socket
        self._start = start
        self._file = folder / "resources.json"
        self._program: Program | None = None

    def serve(self, *resources: Resource) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(resources))
        beside.rename(self._file)

    def run(self) -> None:
        where, socket = self._socket or str(self.port), self._socket
        command = Command([PEERS / "bin" / "go-control-plane", where, self._file])
        self._program = self._start(command, socket.exists if socket else lambda: answers(self.port))

    def kill(self) -> None:
        assert self._program is not None
        self._program.kill()

    def asked(self) -> Sequence[Mapping[str, Any]]:
        """The requests of clients so far."""
        assert self._program is not None
        lines = self._program.text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
