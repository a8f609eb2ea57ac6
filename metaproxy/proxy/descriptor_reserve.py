"""
What is kept back of the file descriptors that the process may have: clients must not take the last ones.

    the last `reserve` descriptors     no client is accepted: who connects is closed at once
    the last half of these             no connection to a server is made, either: what is left is for the admin API,
                                       files, look-ups of names and discoveries

A new socket has the lowest number that is free, so its number says how many are in use. Lives here:
`DescriptorReserve`. Does not: sockets (`transport`); raising the limit at the start (`app.process`).
"""

from __future__ import annotations

import math
import resource
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.support.log_throttle import LogThrottle

log = Logger()

SHARE = 10
"""The reserve is the limit divided by this."""
LEAST, MOST = 16, 1024
"""But so many at least and at most."""


def soft_limit() -> int:
    """How many descriptors this process may have now."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit if limit != resource.RLIM_INFINITY else 1 << 30


class DescriptorReserve:
    """
    limit: descriptors that the process may have, as of the last look. refused_connections: clients that were refused;
    failed_connects: connections to servers that were not made. read_limit: it may change while the process runs.
    """

    def __init__(self, clock: IReactorTime, read_limit: Callable[[], int] = soft_limit) -> None:
        self.refused_connections = 0
        self.failed_connects = 0
        self._clock = clock
        self._read_limit = read_limit
        self._refused = -math.inf
        self._log_throttle = LogThrottle(clock.seconds)
        self.look()

    def look(self) -> None:
        """Read the limit. Called once for each time that clients come, and not for each client."""
        self.limit = self._read_limit()
        self.reserve = max(LEAST, min(self.limit // SHARE, MOST))

    def refuses_client(self, descriptor: int, where: str) -> bool:
        """Whether a client's socket of this number is to be closed; counted, and logged now and then."""
        if descriptor < self.limit - self.reserve:
            return False
        self.no_descriptor(where)
        return True

    def no_descriptor(self, where: str) -> None:
        """A client is not accepted at the listening address `where`."""
        self.refused_connections += 1
        self.note_refusal()
        if self._log_throttle.allows():
            log.error("{where}: clients are refused: {why}", where=where, why=self.why())

    def note_refusal(self) -> None:
        """Remember when a client was refused: here, or by a worker, whose count is added to this one."""
        self._refused = self._clock.seconds()

    def refuses_connect(self, descriptor: int) -> bool:
        """Whether a socket of this number, which was to be a connection to a server, is to be closed; counted."""
        self.look()
        if descriptor < self.limit - self.reserve // 2:
            return False
        self.failed_connects += 1
        return True

    def refused_for(self, seconds: float) -> bool:
        """Whether a client was refused in the last `seconds`."""
        return self._clock.seconds() - self._refused <= seconds

    def why(self) -> str:
        """What is the matter, and what to set."""
        return (
            f"the process may have {self.limit} file descriptors (RLIMIT_NOFILE), and the last {self.reserve} are kept "
            "for servers and the admin API; raise the limit (LimitNOFILE= of systemd, --ulimit nofile= of a container, "
            "ulimit -n), or set max_connections of listeners below it"
        )
