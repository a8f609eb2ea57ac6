"""
Watching rollouts: what nodes refuse, how many requests fail, and the return to the version before.

Lives here: `Watching`. Does not: asking nodes (`scraping`), rates (`rates`), where a rollout is (`rollout`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.admin.resource import Json
from metaproxy.admin.roles import IReactor
from metaproxy.control.fleet import Fleet, NodeRecord
from metaproxy.control.nodes import Node
from metaproxy.control.plan import Plan
from metaproxy.control.plane import Plane
from metaproxy.control.rates import Rate, Rates
from metaproxy.control.resource_types import BY_NAME
from metaproxy.control.rollout import Rollout
from metaproxy.control.scraping import Scraped, Scraper
from metaproxy.control.settings import Scrape
from metaproxy.control.subscription import ALL

log = Logger()

MAX_SHOWN = 20
"""Nodes without counters that are shown of a rollout."""


class Asks(Protocol):
    """The role of scraping.Scraper."""

    def ask(self, nodes: Sequence[Node], found: Callable[[Scraped], None]) -> None: ...
    def close(self) -> object: ...


class Watching(Service):
    """The rollouts that are under way. Nodes are asked for their counters only then."""

    name = "watching"

    def __init__(
        self, fleet: Fleet, plane: Plane, settings: Scrape, reactor: IReactor, scraper: Asks | None = None
    ) -> None:
        self._fleet = fleet
        self._plane = plane
        self._scraper: Asks = scraper or Scraper(settings, reactor)
        self._clock = reactor
        self._every = settings.every
        self._rates: dict[tuple[str, str, float | None], Rates] = {}
        self._silent: dict[str, str] = {}
        self._round = LoopingCall(self._look)
        self._round.clock = reactor
        fleet.listeners.append(self._refused)

    def startService(self) -> None:
        super().startService()
        self._round.start(self._every, now=False)

    def stopService(self) -> Deferred[object]:
        super().stopService()
        if self._round.running:
            self._round.stop()
        return maybeDeferred(self._scraper.close)

    def shown(self, rollout: Rollout) -> Json:
        """Return the rates of a rollout, as the admin API has them."""
        new, old = self._rates_of(rollout).rates(self._clock.seconds())
        return {
            "rates": {"new": _shown(new), "others": _shown(old)},
            "without_counters": dict(list(self._silent.items())[:MAX_SHOWN]),
        }

    def _rates_of(self, rollout: Rollout) -> Rates:
        key = rollout.group, rollout.spec.version, rollout.spec.start
        found = self._rates.get(key)
        if found is None:
            self._rates = {other: one for other, one in self._rates.items() if other[0] != rollout.group}
            found = self._rates[key] = Rates(rollout.spec.return_when.window)
        return found

    def _under_way(self, plan: Plan) -> list[Rollout]:
        now = self._plane.wall()
        return [one for one in plan.rollouts.values() if one.under_way(now)]

    # -- error rates

    def _look(self) -> None:
        plan = self._plane.plan
        going = self._under_way(plan) if plan is not None else []
        if plan is None or not going:
            return
        here = [one.node for one in self._fleet.nodes.values() if one.here and plan.rollout(one.node) in going]
        self._silent = {}
        self._scraper.ask(here, self._scraped)
        for rollout in going:
            self._judge(rollout)

    def _scraped(self, found: Scraped) -> None:
        plan = self._plane.plan
        rollout = plan.rollout(found.node) if plan is not None else None
        if plan is None or rollout is None:
            return
        if found.counts is None:
            self._silent[found.node.id] = found.error
            return
        new = plan.version(found.node) == rollout.spec.version
        self._rates_of(rollout).add(found.node.id, new, found.counts, self._clock.seconds())

    def _judge(self, rollout: Rollout) -> None:
        limit = rollout.spec.return_when
        rates = self._rates_of(rollout)
        rates.forget(self._fleet.nodes)
        new, old = rates.rates(self._clock.seconds())
        if new.requests >= limit.requests and new.percent - old.percent > limit.errors:
            reason = (
                f"{new.percent:.2f} % of {new.requests:.0f} requests fail with it, {old.percent:.2f} % without it; "
                f"allowed are {limit.errors:g} % more"
            )
            self._give_back(rollout, reason)

    # -- refusals

    def _refused(self, record: NodeRecord) -> None:
        """A node refuses something. It is looked at after its request: what it is to have may change then."""
        self._clock.callLater(0, self._judge_refusals, record)

    def _judge_refusals(self, record: NodeRecord) -> None:
        """End the node's rollout, unless it is the version before that has what the node refuses."""
        plan = self._plane.plan
        rollout = plan.rollout(record.node) if plan is not None else None
        if plan is None or rollout is None or not rollout.under_way(self._plane.wall()):
            return
        if not rollout.spec.return_when.refused or plan.version(record.node) != rollout.spec.version:
            return
        before = plan.content.snapshot(rollout.spec.before, record.node)
        for kind, name, refusal in record.refused:
            url = BY_NAME[kind].url
            same = before.versions.get(url) if name == ALL else getattr(before.of(url).get(name), "version", None)
            if same != refusal.version:
                self._give_back(rollout, f"{record.node.id} refuses {name} of {kind}: {refusal.error[:300]}")
                return

    def _give_back(self, rollout: Rollout, reason: str) -> None:
        self._plane.give_back(rollout, reason).addErrback(_not_written)


def _not_written(failure: Failure) -> None:
    log.error("the return could not be written to the source: {error}; others do not know", error=failure.value)


def _shown(rate: Rate) -> Json:
    return {"requests": rate.requests, "errors": rate.errors, "percent": round(rate.percent, 3)}
