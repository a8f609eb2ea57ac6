"""
Proxies that are driven by a folder of YAML, and nothing else.

Lives here: `MeshFolder`: writing objects, waiting until they are in force. Does not: peers, fixtures.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml
from proxied import Proxy
from running import eventually

API = {
    "MetaRouter": "metaprotocol.aeraki.io/v1alpha1",
    "ApplicationProtocol": "metaprotocol.aeraki.io/v1alpha1",
    "DubboAuthorizationPolicy": "dubbo.aeraki.io/v1alpha1",
    "RedisService": "redis.aeraki.io/v1alpha1",
    "RedisDestination": "redis.aeraki.io/v1alpha1",
    "Secret": "v1",
}
"""The API of each kind; Istio's for those that are not here."""


Server = tuple[str, int, str]
"""Address, port, version."""


class MeshFolder:
    """A folder of objects in the namespace demo, and the proxies that read it."""

    def __init__(self, path: Path, start: Callable[[Any], Proxy]) -> None:
        self.path = path
        self._start = start
        self.proxies: list[Proxy] = []

    def proxy(self, node_id: str = "", outbound: bool = True, **metadata: Any) -> Proxy:
        """Start a proxy that reads the folder. node_id, metadata: who it is."""
        node = {"id": node_id, "metadata": {"NAMESPACE": "demo", **metadata}}
        self.proxies.append(self._start({"crds": {"folder": str(self.path), "outbound": outbound}, "node": node}))
        self._taken(time.time())
        return self.proxies[-1]

    def put(self, kind: str, name: str, spec: str, at: str = "spec", **metadata: Any) -> None:
        """Write an object into a file of its own."""
        head = {"apiVersion": API.get(kind, "networking.istio.io/v1beta1"), "kind": kind}
        named = {"metadata": {"name": name, "namespace": "demo", **metadata}}
        inner = yaml.safe_load(dedent(spec))
        self._replace(f"{kind}-{name}.yaml", yaml.safe_dump({**head, **named, **({at: inner} if at else inner)}))

    def remove(self, kind: str, name: str) -> None:
        (self.path / f"{kind}-{name}.yaml").unlink()

    def service(
        self, host: str, port: int, protocol: str, servers: Sequence[tuple[str, int, str]], **more: Any
    ) -> None:
        """A ServiceEntry with its servers (address, port, version), and the DestinationRule with the versions."""
        name = f"tcp-{protocol}"
        workloads = [
            {"address": address, "ports": {name: at}, "labels": {"version": version}}
            for address, at, version in servers
        ]
        entry = {"hosts": [host], "ports": [{"number": port, "name": name, "protocol": "TCP"}], "endpoints": workloads}
        self.put("ServiceEntry", host.partition(".")[0], yaml.safe_dump(entry), annotations=more.get("annotations", {}))
        versions = list(dict.fromkeys(version for _, _, version in servers))
        self.rule(host, versions, more.get("policy"))

    def rule(self, host: str, versions: Sequence[str], policy: Any = None) -> None:
        subsets = [{"name": version, "labels": {"version": version}} for version in versions]
        rule = {"host": host, "subsets": subsets, **({"trafficPolicy": policy} if policy else {})}
        self.put("DestinationRule", host.partition(".")[0], yaml.safe_dump(rule))

    def router(self, host: str, spec: str) -> None:
        """A MetaRouter of a host. spec: without `hosts`."""
        self.put(
            "MetaRouter", host.partition(".")[0], yaml.safe_dump({"hosts": [host], **yaml.safe_load(dedent(spec))})
        )
        self.settle()

    def settle(self) -> None:
        """Wait until what is in the folder now is in force, and refused nowhere."""
        self._taken(time.time())
        for proxy in self.proxies:
            status = proxy.admin("/crds")
            wrong = [one for one in status["objects"] if one["state"] != "accepted"]
            assert not wrong and not status["refused"], f"{wrong} {status['refused']}"

    def _taken(self, since: float) -> None:
        for proxy in self.proxies:
            assert eventually(partial(_looked_since, proxy, since), 10), proxy.log()[-2000:]

    def _replace(self, name: str, text: str) -> None:
        new = self.path / f".{name}"
        new.write_text(text)
        os.replace(new, self.path / name)


def _looked_since(proxy: Proxy, since: float) -> bool:
    status, text = proxy.ask("/crds")
    looked = yaml.safe_load(text).get("looked") if status == 200 else None
    return bool(looked) and datetime.fromisoformat(str(looked)).timestamp() > since
