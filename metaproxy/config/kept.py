"""
What stays the same object from one configuration to the next, while what it is made of stays the same.

Lives here: `Kept`, for objects of one kind; `Objects`, for all kinds. Does not: what they are made of (`build`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from metaproxy.counts import MirrorCounts
from metaproxy.interfaces import ICodec
from metaproxy.telemetry.access_log.filter import AccessLog

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from metaproxy.telemetry.tracing.filter import Tracing
    from metaproxy.telemetry.tracing.spans import Spans

T = TypeVar("T")


class Kept(Generic[T]):
    """Objects of one kind by what they are made of. before: those of the configuration before."""

    def __init__(self, before: Mapping[object, T]) -> None:
        self.made: dict[object, T] = {}
        self._before = before

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The object of the configuration before under the same key, or a new one."""
        if key not in self.made:
            self.made[key] = self._before[key] if key in self._before else make()
        return self.made[key]

    def forget(self) -> None:
        """Forgets the configuration before, so that what only it uses can go."""
        self._before = {}


class Objects:
    """All kinds of them. before: those of the configuration before, if there was one."""

    def __init__(self, before: Objects | None = None) -> None:
        self.codecs: Kept[ICodec] = Kept(before.codecs.made if before is not None else {})
        self.filters: Kept[object] = Kept(before.filters.made if before is not None else {})
        self.mirrors: Kept[MirrorCounts] = Kept(before.mirrors.made if before is not None else {})
        self.logs: Kept[AccessLog] = Kept(before.logs.made if before is not None else {})
        self.spans: Kept[Spans] = Kept(before.spans.made if before is not None else {})
        self.tracing: Kept[Tracing] = Kept(before.tracing.made if before is not None else {})

    def __iter__(self) -> Iterator[object]:
        """Each object, once for each key."""
        for kept in (self.codecs, self.filters, self.mirrors, self.logs, self.spans, self.tracing):
            yield from kept.made.values()

    def forget(self) -> None:
        """As `Kept.forget`, for all kinds."""
        for kept in (self.codecs, self.filters, self.mirrors, self.logs, self.spans, self.tracing):
            kept.forget()
