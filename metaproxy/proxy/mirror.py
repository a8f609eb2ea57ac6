"""
Copies of requests for other clusters: sent beside the original, which never waits for them and never fails by them.

Lives here: `Mirror` (a route's): which requests are copied, and what compares answers. Does not: one cluster of it and
a copy on its way (`mirror_target`); which cluster the original goes to.

Envoy's `request_mirror_policies` are the reference: fire and forget, the answer dropped. Comparing is not in Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from metaproxy.comparison import Digest
from metaproxy.message import Chunk, FrameError, Hold, Kind, Message, Side
from metaproxy.proxy.culprit import culprit
from metaproxy.proxy.mirror_target import Copy, MirrorTarget
from metaproxy.proxy.roles import OpenExchange


class Mirror:
    """`mirror:` of a route. watchers: the hooks of ProxyService.watch, called for differences, too."""

    def __init__(self, targets: Sequence[MirrorTarget], uniform: Callable[[], float]) -> None:
        self.targets = tuple(targets)
        self.watchers: Sequence[Callable[..., object]] = ()
        self._uniform = uniform
        self._compares = any(target.compare for target in targets)
        self._making = tuple(target for target in targets if target.makes)
        self._open: dict[OpenExchange, list[Copy]] = {}
        self._digests: dict[OpenExchange, Digest] = {}

    @property
    def copied(self) -> int:
        """Exchanges with copies that are not over."""
        return len(self._open)

    def copy(self, exchange: OpenExchange, message: Message) -> None:
        """
        Sends copies of a request that was just forwarded. Not of one that binds a connection, or of a client that has
        its own: what a mirror would make of the rest of a transaction can't be known, unless its codec makes copies
        that stand alone. Where clients borrow connections for their requests, only what reads is copied: of the others
        each may begin a transaction.
        """
        targets = self.targets
        if exchange.client.session_pin is not None or (message.hold is not Hold.NONE and not _reads(exchange, message)):
            targets = self._making
        for target in targets:
            if target.share >= 1.0 or self._uniform() < target.share:
                copy = None
                try:
                    for one in target.copies_of(message):
                        copy = target.send(exchange, one)
                except FrameError:
                    target.counts.dropped += 1
                    continue
                except BaseException:
                    target.counts.dropped += 1
                    exchange.client.listener.plugin_failed(culprit(Failure(), "mirror"), Failure())
                    continue
                if copy is not None and target.compare and not exchange.outcome:
                    self._open.setdefault(exchange, []).append(copy)

    def completed(self, exchange: OpenExchange) -> None:
        """The on_complete hook of routes whose mirrors compare."""
        digest = self._digests.pop(exchange, None)
        for copy in self._open.pop(exchange, ()):
            copy.original = digest
            if digest is None:
                copy.reserve_bytes(exchange.response_bytes)
            copy.compare()

    def chunk(self, exchange: OpenExchange, chunk: Chunk, side: Side) -> None:
        """The on_chunk hook of routes whose mirrors compare: what answers are compared by, as they pass."""
        if side is Side.SERVER and exchange in self._open and exchange.response is not None:
            digest = self._digests.get(exchange)
            if digest is None:
                digest = self._digests[exchange] = Digest(exchange.response)
            digest.add(chunk)

    @property
    def hooks(self) -> tuple[Callable[[OpenExchange], None], ...]:
        return (self.completed,) if self._compares else ()

    @property
    def chunk_hooks(self) -> tuple[Callable[[OpenExchange, Chunk, Side], None], ...]:
        return (self.chunk,) if self._compares else ()

    def report(self, exchange: OpenExchange, cluster: str, answer: Message, text: str) -> None:
        """Call `on_difference(exchange, cluster, answer, text)` of each watcher that has it."""
        for hook in self.watchers:
            tell = getattr(getattr(hook, "__self__", None), "on_difference", None)
            if tell is not None:
                tell(exchange, cluster, answer, text)

    def __str__(self) -> str:
        """Such as `shadow 25 %, compared`."""
        return ", ".join(
            f"{target.name} {target.share * 100:g} %{', compared' if target.compare else ''}" for target in self.targets
        )

    def __repr__(self) -> str:
        return f"Mirror({self})"


def _reads(exchange: OpenExchange, message: Message) -> bool:
    """Whether a request that has a connection for itself, and for no longer, changes nothing."""
    if message.hold is not Hold.EXCHANGE or message.kind is not Kind.REQUEST:
        return False
    try:
        return bool(exchange.snapshot.codec.safe(message))
    except FrameError:
        return False
