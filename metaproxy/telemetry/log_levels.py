"""
From which level on the process's own log has lines, by namespace, changed while it runs.

Lives here: `LogLevels`. Does not: where the log goes (twistd's `--logfile` and the like), access logs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
    globalLogPublisher,
)

LEVELS = ("debug", "info", "warn", "error", "critical")
DEFAULT = "info"
MAX_NAMESPACES = 100
"""Namespaces whose level may be set at a time."""
_NAMESPACE = re.compile(r"[A-Za-z_][\w.]{0,199}")


class LogLevels:
    """
    chosen: namespace -> level, as they were set; what is not in it has its parent's level, at last DEFAULT. changed:
    called behind each change.
    """

    def __init__(self, publisher: LogPublisher = globalLogPublisher) -> None:
        self.chosen: dict[str, str] = {}
        self.changed: list[Callable[[], object]] = []
        self._publisher = publisher
        self._predicate = LogLevelFilterPredicate(LogLevel.lookupByName(DEFAULT))
        self._wrapped: list[tuple[ILogObserver, FilteringLogObserver]] = []

    def start(self) -> None:
        """Put a filter between the publisher and the observers that are there. twistd has set them up by then."""
        if self._wrapped:
            return
        # The publisher's list of observers is not public, and Twisted has no other place for a filter on twistd's own.
        for observer in list(self._publisher._observers):
            filtered = FilteringLogObserver(observer, [self._predicate])
            self._publisher.removeObserver(observer)
            self._publisher.addObserver(filtered)
            self._wrapped.append((observer, filtered))

    def stop(self) -> None:
        for observer, filtered in self._wrapped:
            self._publisher.removeObserver(filtered)
            self._publisher.addObserver(observer)
        self._wrapped = []

    def set(self, namespace: str, level: str | None) -> None:
        """level: one of LEVELS; None: the parent's again. Raises ValueError with what to write instead."""
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"{namespace[:100]!r} is no namespace; write one such as metaproxy.proxy")
        if level is not None and level not in LEVELS:
            raise ValueError(f"{level[:100]!r} is no level; write one of {', '.join(LEVELS)}")
        if level is not None and namespace not in self.chosen and len(self.chosen) >= MAX_NAMESPACES:
            raise ValueError(f"{MAX_NAMESPACES} namespaces have a level of their own; take one back first")
        if level is None:
            self.chosen.pop(namespace, None)
        else:
            self.chosen[namespace] = level
        self._predicate.clearLogLevels()
        for name, one in self.chosen.items():
            self._predicate.setLogLevelForNamespace(name, LogLevel.lookupByName(one))
        for hear in self.changed:
            hear()

    def set_all(self, chosen: Mapping[str, str]) -> None:
        """Have these levels, and no others."""
        for namespace in [one for one in self.chosen if one not in chosen]:
            self.set(namespace, None)
        for namespace, level in chosen.items():
            self.set(namespace, level)

    def level(self, namespace: str) -> str:
        return str(self._predicate.logLevelForNamespace(namespace).name)

    def listing(self) -> dict[str, str]:
        """The level of each namespace that can log something, or that was set."""
        return {name: self.level(name) for name in sorted({*_namespaces(), *self.chosen})}


def _namespaces() -> set[str]:
    """Of our modules that are loaded."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "metaproxy"]
    logs = [getattr(module, "log", None) for module in modules]
    return {"metaproxy", *(log.namespace for log in logs if isinstance(log, Logger))}
