"""
A process that another one follows: what it hands over, and how it leaves.

Lives here: `RunningProxy`, which does what `upgrade.Predecessor` says. Does not: when (`upgrade`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from metaproxy.admin.roles import IReactor, Json
from metaproxy.admin.service import AdminService
from metaproxy.app.carried import Carried
from metaproxy.app.handover import Link, SocketEntry, entry
from metaproxy.app.pid_file import PidFile
from metaproxy.app.service import ProxyService
from metaproxy.app.systemd import Notifier
from metaproxy.proxy.transport import Network
from metaproxy.support.inherited import ADMIN, LISTENER

log = Logger()

QUIT_AFTER = 0.1
"""Seconds in which the last answers of the admin API arrive."""
PATIENCE = 60.0
"""Seconds, behind its own drain, that a process waits for the last counts of the one before it."""


class RunningProxy:
    """
    The parts of this process that an upgrade is about. counted: fires when what worker processes counted is added to
    what this one shows. before: fires when the process before this one has ended, if there was one: what that says last
    goes on from here, or is lost where upgrades follow each other faster than processes drain.
    """

    def __init__(
        self,
        network: Network,
        proxy: ProxyService,
        admin: AdminService,
        carried: Carried,
        pid_file: PidFile,
        notifier: Notifier,
        reactor: IReactor,
        counted: Callable[[], Deferred[None]],
    ) -> None:
        self._network = network
        self._proxy = proxy
        self._admin = admin
        self._carried = carried
        self._pid_file = pid_file
        self._notifier = notifier
        self._reactor = reactor
        self._counted = counted
        self.before: Callable[[], Deferred[None]] = lambda: succeed(None)

    def sockets(self) -> list[SocketEntry]:
        found = [entry(one.fileno(), LISTENER, one.address, one.keeps_file) for one in self._network.listening()]
        port = self._admin.port
        return [*found, *([] if port is None else [entry(port.fileno(), ADMIN, port.where, port.keeps_file)])]

    def state(self) -> Json:
        return self._carried.state()

    def warm(self) -> bool:
        return self._proxy.ready

    def starting(self) -> None:
        self._notifier.reloading("a new process starts")
        self._pid_file.set_aside()

    def stays(self) -> None:
        self._pid_file.put_back()
        self._notifier.ready()

    def resume(self, name: str) -> None:
        """What is held here goes on as what the new process held did."""
        self._proxy.resume(name)

    def leave(self, pid: int, taken: Sequence[int], link: Link) -> None:
        self._notifier.ready(pid)
        self._pid_file.leave()
        for one in self._network.listening():
            one.keeps_file = one.keeps_file or one.fileno() in taken
        port = self._admin.port
        self._admin.hand_over(port is not None and port.fileno() in taken)
        # Only then the end: the admin API's answers, and what is still counted, arrive before it.
        drained = self._proxy.drain(patient=True)
        drained.addBoth(lambda _: self.before().addTimeout(PATIENCE, self._reactor))
        drained.addBoth(lambda _: self._counted()).addBoth(lambda _: self._end(link))

    def _end(self, link: Link) -> None:
        link.send({"counts": self._carried.counted()})
        link.close()
        self._reactor.callLater(QUIT_AFTER, self._stop)

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # SIGTERM came before
            self._reactor.stop()
