"""
Connections of the supervisor to the admin API of a worker.

Lives here: `AdminLine`, which clients.http connects by. Does not: which requests go where (`fan_out`).
"""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorSocket, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, ServerFactory
from zope.interface import implementer

from metaproxy.workers.channel import Gone
from metaproxy.workers.member import Member
from metaproxy.workers.messages import AdminConnection


class _Kept(ServerFactory[Protocol]):
    """Makes the protocol of the one connection, and keeps it."""

    made: IProtocol | None = None

    def __init__(self, inner: IProtocolFactory) -> None:
        self._inner = inner

    def buildProtocol(self, addr: IAddress) -> Protocol | None:  # type: ignore[override]
        self.made = self._inner.buildProtocol(addr)
        return cast(Protocol | None, self.made)


@implementer(IStreamClientEndpoint)
class AdminLine:
    """Connects to the admin API of a worker: one end of a socket pair goes to it."""

    def __init__(self, member: Member, reactor: object) -> None:
        self._member = member
        self._reactor = IReactorSocket(reactor)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self._member.channel is None or self._member.quiet:
            return fail(Gone())  # what a worker does not take would wait, with a descriptor
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._member.channel.tell(AdminConnection(), theirs.fileno())
            kept = _Kept(protocolFactory)
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, kept)  # type: ignore[arg-type]
        assert kept.made is not None
        return succeed(kept.made)
