"""
What a discovery reports of the instances that a registry lists: which of them, when, and what stays when it is away.

Lives here: `EndpointList`, and the options that all registries share. Does not: asking a registry; what an endpoint may
be (the receiver of the list checks that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.discovery.instances import Instance
from metaproxy.units import Option, Seconds

Update = Callable[[Sequence[Mapping[str, object]]], None]
Failed = Callable[[str], None]
Endpoint = dict[str, object]

MOST = 10_000
"""Instances of one cluster."""
MAX_TEXT = 200

Where = Annotated[
    dict[str, str] | None,
    Option("Only instances whose metadata have these values, such as `{version: 2.0.0}`.", default="all"),
]
KeepEmpty = Annotated[
    bool,
    Option("When the registry lists no usable instance: keep the last endpoints, and report it as a failure."),
]
Settle = Annotated[
    Seconds,
    Option("After the registry was away: how long endpoints that it does not list are kept, until servers are back."),
]


class EndpointList:
    """
    The endpoints of one cluster. where: metadata that instances must have. Instances that the registry calls unhealthy
    and those of weight 0 are left out. Of two instances at one address the first is taken, without the metadata on
    which they differ.
    """

    def __init__(
        self, clock: IReactorTime, where: Mapping[str, str] | None = None, keep_empty: bool = False, settle: float = 0.0
    ) -> None:
        self._clock = clock
        self._where = dict(where or {})
        self._keep_empty = keep_empty
        self._settle = settle
        self.problem = ""
        """Why the list may be old; "" while it is not."""
        self._update: Update | None = None
        self._failed: Failed | None = None
        self._found: dict[str, Endpoint] = {}
        self._kept: dict[str, Endpoint] = {}
        self._reported: dict[str, Endpoint] | None = None
        self._away = False
        self._timer: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._update is not None

    def start(self, update: Update, failed: Failed) -> None:
        self._update, self._failed = update, failed

    def stop(self) -> None:
        self._update = self._failed = None
        self._end_settling()

    def away(self, text: str) -> None:
        """The registry does not answer: the last list stays."""
        self._away = True
        self.failed(text)

    def failed(self, text: str) -> None:
        """Something of its answer can't be used."""
        if self._failed is not None:
            self.problem = text[:MAX_TEXT]
            self._failed(self.problem)

    def found(self, instances: Iterable[Instance]) -> None:
        """The registry lists these, and no others."""
        if self._update is None:
            return
        listed = list(instances)
        self.problem = ""  # what one of the instances is wrong in is counted, but does not make the list old
        if len(listed) > MOST:
            self.failed(f"{len(listed)} instances; allowed are {MOST}")
            return
        self._found = self._usable(listed)
        if self._away:
            self._away = False
            self._begin_settling()
        self._report()

    def _usable(self, instances: Sequence[Instance]) -> dict[str, Endpoint]:
        endpoints: dict[str, Endpoint] = {}
        metadata: dict[str, dict[str, str]] = {}
        for one in instances:
            if not one.healthy or one.weight < 1 or not self._fits(one):
                continue
            before = metadata.get(one.address)
            if before is not None:
                _keep_common(before, one.metadata)
                continue
            metadata[one.address] = own = dict(one.metadata)
            endpoint: Endpoint = {"address": one.address, "weight": one.weight, "metadata": own}
            if one.zone:
                endpoint["zone"] = one.zone
            if one.priority:
                endpoint["priority"] = one.priority
            endpoints[one.address] = endpoint
        return endpoints

    def _fits(self, instance: Instance) -> bool:
        return all(instance.metadata.get(key) == value for key, value in self._where.items())

    def _report(self) -> None:
        assert self._update is not None
        endpoints = {**self._kept, **self._found}
        if not endpoints and self._keep_empty and self._reported:
            self.failed(f"no usable instance is listed; the last {len(self._reported)} stay (keep_empty)")
            return
        if endpoints != self._reported:
            self._reported = endpoints
            self._update(list(endpoints.values()))

    # -- after the registry was away

    def _begin_settling(self) -> None:
        self._end_settling()
        if self._settle and self._reported:
            self._kept = dict(self._reported)
            self._timer = self._clock.callLater(self._settle, self._settled)

    def _settled(self) -> None:
        self._timer = None
        self._kept = {}
        self._report()

    def _end_settling(self) -> None:
        self._kept = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _keep_common(metadata: dict[str, str], other: Mapping[str, str]) -> None:
    for key in [key for key, value in metadata.items() if other.get(key) != value]:
        del metadata[key]
