"""A configuration file, the proxy that runs it, and a clock: what tests of the whole application stand on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness import MemoryNetwork

from metaproxy.app.application import Application
from metaproxy.app.service import ProxyService
from metaproxy.config.build import Builder
from metaproxy.config.schema.load import Loader, load_own
from metaproxy.plugins import Registry
from metaproxy.support.addresses import Address, show
from metaproxy.telemetry.access_log.filter import LogFiles


class Bound:
    def __init__(self, where: Address) -> None:
        self.bound = show(where.sockaddr)
        self.closed = False

    def hand_to(self, accepted: Any) -> None:
        self.accepted = accepted

    def close(self) -> None:
        self.closed = True


class Listening(MemoryNetwork):
    """Lets listeners listen, but for the ports in `taken`."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[int] = set()
        self.sockets: list[Bound] = []

    def listen(self, where: Address, accepted: Any) -> Any:
        if where.port in self.taken:
            raise OSError(98, "Address already in use")
        self.sockets.append(Bound(where))
        return self.sockets[-1]


class Stand:
    """A configuration file, what reads it, what runs on it."""

    def __init__(self, tmp_path: Path, text: str, loader: Loader = load_own) -> None:
        self.file = tmp_path / "proxy.yaml"
        self.file.write_text(text)
        self.network = Listening()
        self.registry = Registry()
        self.proxy = ProxyService(self.network, self.registry)
        self.builder = Builder(self.registry, self.network.clock, LogFiles(self.network.clock))
        self.configuration = Application(str(self.file), [], self.proxy, self.builder, self.network.clock, loader)
        self.errors = self.configuration.reload()

    @property
    def snapshot(self) -> Any:
        return self.proxy.snapshot

    def write(self, text: str) -> None:
        self.file.write_text(text)
        os.utime(self.file, ns=(0, int(self.file.stat().st_mtime_ns) + 1))
