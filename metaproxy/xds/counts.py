"""
What is counted of each subscription and server. Metrics read it.

Lives here: `SubscriptionCounts`, `ServerCounts`. Does not: names of metrics (`telemetry.metrics`).
"""

from __future__ import annotations

from metaproxy.xds.resource_types import ResourceType


class SubscriptionCounts:
    """
    Of one kind from one server, in Envoy's words. attempts: requests for an update, one for each stream or poll and
    response; successes, rejected: responses that were accepted, refused; failures: streams and polls that failed;
    timeouts: resources that were not there in time; resources: in use now; updated: when a response was accepted, Unix
    time; version: of that response.
    """

    __slots__ = ("attempts", "failures", "rejected", "resources", "successes", "timeouts", "updated", "version")

    def __init__(self) -> None:
        self.attempts = self.successes = self.rejected = self.failures = self.timeouts = self.resources = 0
        self.updated = 0.0
        self.version = ""


class ServerCounts:
    """Of one server. connected: whether a stream is open; streams: how many were opened; subscriptions: by kind."""

    def __init__(self) -> None:
        self.connected = False
        self.streams = 0
        self.subscriptions: dict[str, SubscriptionCounts] = {}

    def of(self, kind: ResourceType) -> SubscriptionCounts:
        """Return the counts of a kind."""
        found = self.subscriptions.get(kind.name)
        if found is None:
            found = self.subscriptions[kind.name] = SubscriptionCounts()
        return found
