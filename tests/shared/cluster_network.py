"""The network that a cluster is started with."""

from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.support.addresses import Address
from metaproxy.wire import ConnectingProtocol


class Network:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float, source: str = "") -> None:
        raise AssertionError("a cluster connects to nothing by itself")
