"""
A client of a listener with chains, until it is known which of them it is for.

Lives here: `ChainChoice`, which looks at the client's first bytes if a chain does, and hands the connection over. Does
not: the choice (`chains`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.proxy.chains import Chain, ChainTable
from metaproxy.proxy.client_hello import PLAIN, Hello, HelloReader
from metaproxy.proxy.roles import Candidate, DetectingListener
from metaproxy.proxy.undecided import Undecided


class ChainChoice(Undecided):
    """
    A client of a listener with chains. find: the listener of a name; find_meant: of an address that a connection was
    meant for, where that goes first.

    One that says nothing within the time is taken for one without TLS: its server may speak first.
    """

    def __init__(
        self,
        listener: DetectingListener,
        table: ChainTable,
        find: Callable[[str], Candidate | None],
        find_meant: Callable[[str], Candidate | None] | None = None,
    ) -> None:
        super().__init__(listener, table.wait)
        self._table = table
        self._find = find
        self._find_meant = find_meant
        self._reader = HelloReader(any(one.alpn and not one.encrypted for one in table.chains))
        self._left: list[Chain] = []

    def connectionMade(self) -> None:
        if self._find_meant is not None and (meant := self._find_meant(str(self.transport.getHost()))) is not None:
            self.hand_to(meant.take_over(self.transport, own_tls=True))
            return
        host, _, port = str(self.transport.getHost()).rpartition(":")
        self._left = self._table.at(host.strip("[]"), port)
        if any(chain.waits for chain in self._left):
            self.wait_for_bytes()
        else:
            self._choose(PLAIN)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._data += data
        hello = self._reader.receive(data)
        if hello is not None:
            self._choose(hello)

    def out_of_time(self) -> None:
        self._choose(PLAIN)

    def _choose(self, hello: Hello) -> None:
        source = str(self.transport.getPeer()).rpartition(":")[0].strip("[]")
        name = self._table.choose(self._left, hello, source)
        chosen = self._find(name) if name is not None else None
        if chosen is None:
            asked = "no TLS"
            if hello.encrypted:
                asked = f"TLS for {hello.name or 'no name'}, {', '.join(hello.alpn) or 'no ALPN'}"
            self.refuse(f"no chain is for {self.transport.getHost()}, {asked}")
            return
        self.hand_to(chosen.take_over(self.transport, own_tls=True))
