"""
Asking workers what they counted.

Lives here: `Counting`. Does not: adding it up (`sums`), when it is done (`supervisor`), one that hangs (`watch`).
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.workers.channel import Gone
from metaproxy.workers.member import GONE, Member
from metaproxy.workers.messages import Count
from metaproxy.workers.sums import Report, Totals
from metaproxy.workers.watch import Watch

PATIENCE = 2.0
"""Seconds that a look at counts waits for workers that are busy."""


class Counting:
    """totals: where what workers counted goes."""

    def __init__(self, members: Sequence[Member], totals: Totals, watch: Watch, clock: IReactorTime) -> None:
        self._members = members
        self._totals = totals
        self._watch = watch
        self._clock = clock
        self._under_way: Deferred[None] | None = None
        self._next: Deferred[None] | None = None
        self._next_with_filters = False

    def refresh(self, filters: bool = False) -> Deferred[None]:
        """
        Fires when what workers counted up to now is added up, or after PATIENCE without those that are busy. filters:
        also what filters measure and collect.
        """
        waiting: Deferred[None] = Deferred()
        if self._under_way is not None:
            # A worker may have answered already: what it has counted since is in the next look.
            if self._next is None:
                self._next = Deferred()
            self._next_with_filters |= filters
            self._next.addCallback(lambda _: waiting.callback(None))
            return waiting
        self._look(filters).addCallback(lambda _: waiting.callback(None))
        return waiting

    def _look(self, filters: bool) -> Deferred[None]:
        asked = [self._ask(one, filters) for one in self._members if one.answers and not self._watch.owes(one)]
        if not asked:
            return succeed(None)
        done = self._under_way = Deferred[None]()
        late = self._clock.callLater(PATIENCE, self._end, done)

        def all_answered(found: object) -> None:
            if late.active():
                late.cancel()
                self._end(done)

        DeferredList(asked, consumeErrors=True).addCallback(all_answered)
        return done

    def _ask(self, member: Member, filters: bool) -> Deferred[None]:
        """One that is busy for long is not asked again before it has answered: what it counted is in its answer."""
        assert member.channel is not None
        pid = member.pid
        self._watch.asked(member)

        def take(report: object) -> Deferred[None] | None:
            gone = isinstance(report, Failure) and report.check(Gone)  # the supervisor hears of that by itself
            if member.pid == pid and not gone:
                self._watch.answered(member)
                if isinstance(report, Report) and member.state != GONE:
                    self._totals.take(member.number, report)
                    return self._ask(member, False) if report.more else None
            return None

        return member.channel.ask(Count(filters)).addBoth(take)

    def _end(self, done: Deferred[None]) -> None:
        self._under_way = None
        if self._next is not None:
            following, self._next = self._next, None
            filters, self._next_with_filters = self._next_with_filters, False
            self._look(filters).addCallback(lambda _: following.callback(None))
        done.callback(None)
