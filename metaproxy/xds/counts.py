"""
What is counted of each subscription and server. Metrics read it.

Lives here: `SubscriptionCounts`, `ServerCounts`. Does not: names of metrics (`telemetry.metrics`).
"""

from __future__ import annotations

from metaproxy.xds.resource_types import ResourceType


class SubscriptionCounts:
    """
    Of one kind from one server, in Envoy's words. successes, rejected: responses that were accepted, refused; failures:
    streams and polls that failed; attempts: all of these; timeouts: resources that were not there in time; resources:
    in use now; updated: when a response was accepted, Unix time; version: of that response.
    """

    __slots__ = ("failures", "rejected", "resources", "successes", "timeouts", "updated", "version")

    @property
    def attempts(self) -> int:
        return self.successes + self.rejected + self.failures

    @property
    def answered(self) -> bool:
        """Whether there was a response."""
        return self.successes + self.rejected > 0

    def __init__(self) -> None:
        self.successes = self.rejected = self.failures = self.timeouts = self.resources = 0
        self.updated = 0.0
        self.version = ""


class ServerCounts:
    """
    Of one server. connected: whether a stream is open, the last poll was answered, or the files are there; streams: how
    many were opened; reason: why the last one ended, or the last poll failed; subscriptions: by kind.
    """

    def __init__(self) -> None:
        self._links: set[int] = set()
        self.streams = 0
        self.reason = ""
        self.subscriptions: dict[str, SubscriptionCounts] = {}

    @property
    def connected(self) -> bool:
        return bool(self._links)

    def link(self, owner: object, there: bool) -> None:
        """Note whether a session, a poll or a watch has reached the server."""
        if there:
            self._links.add(id(owner))
        else:
            self._links.discard(id(owner))

    def of(self, kind: ResourceType) -> SubscriptionCounts:
        """Return the counts of a kind."""
        found = self.subscriptions.get(kind.name)
        if found is None:
            found = self.subscriptions[kind.name] = SubscriptionCounts()
        return found
