"""
`fault`: requests fail, wait or lose their answers on purpose.

Lives here: which fault hits an exchange, what is under way, and its end. Does not: what a configuration may ask for
(`fault_plan`).

Semantics: Envoy's "Fault Injection" filter. docs/reference/filters.md says where ours differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from metaproxy.filters.details import note
from metaproxy.filters.fault.pieces import AnswerPieces, RequestPieces
from metaproxy.filters.fault.plan import MAX_DELAY, Plan, Turns
from metaproxy.interfaces import IExchange, IOnChunk, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import Chunk, Ending, ErrorKind, FrameError, Kind, Reply, Several, Side
from metaproxy.plugins import OptionError
from metaproxy.routing.expression import Get
from metaproxy.units import Option

T = TypeVar("T")

EVENTS = (
    "delays", "answer_delays", "errors", "resets", "throttles", "truncations", "corruptions", "aborts", "overflow",
)  # fmt: skip


def fault(
    faults: Annotated[list[dict[str, object]], Option("What happens, to which requests; see below.")],
    clock: IReactorTime,
    seed: Annotated[
        int | None, Option("The same number draws the same sequence again, from each start or reload on.")
    ] = None,
    max_active: Annotated[
        int,
        Option(
            "Exchanges with a fault at a time; what is due beyond it goes on as if there were none, counted as "
            "`overflow`.",
            least=1,
        ),
    ] = 100,
    key: Annotated[
        str,
        Option(
            "A metadata key or fact that distinguishes callers, for `first`, `nth` and `every`; those without it "
            "are one caller."
        ),
    ] = "source.address",
    callers: Annotated[
        int,
        Option(
            "How many are remembered for each fault; of more, the one that was quiet for longest is forgotten, and "
            "counted from 1 if it comes again.",
            least=1,
        ),
    ] = 10000,
) -> Faults:
    """Delays, errors, resets, slow, cut or corrupted answers for a share of the requests, whole or in pieces."""
    plans = []
    for place, written in enumerate(faults):
        try:
            plans.append(Plan(written, f"faults[{place}]", callers))
        except ValueError as error:
            raise OptionError("faults", f"faults[{place}]: {error}", path=(place,)) from None
    names = sorted({plan.error[2] for plan in plans if plan.error is not None and plan.error[2]})
    parts = sorted({plan.each for plan in plans if plan.each})
    turns = {plan.name: plan.turns for plan in plans if plan.turns is not None}
    # What is not asked for must not even be asked about: no hook for answers without a fault that hits them.
    plans = [plan for plan in plans if plan.percentage > 0]
    kind = AnswerFaults if any(plan.hits_answers for plan in plans) else Faults
    if any(plan.hits_chunks for plan in plans):
        kind = StreamFaults
    return kind(plans, clock, seed, max_active, key, names, parts, turns)


def _share(plan: Plan) -> str:
    """How much of what it matches a fault hits."""
    each = f" of {plan.each}" if plan.each else ""
    return f"{plan.percentage:g} %{each}{', turns of its caller' if plan.turns else ''}"


def _parts(value: str | None) -> Sequence[str]:
    if value is None:
        return ()
    return value.parts if isinstance(value, Several) else (value,)


class _Active:
    """
    A fault that has hit an exchange. only: what it has hit of a request that names several things, None for all of it;
    timer: what it waits for; request, answer: their pieces, if they have any.
    """

    __slots__ = ("answer", "only", "plan", "request", "timer")

    def __init__(self, plan: Plan, only: Sequence[str] | None) -> None:
        self.plan = plan
        self.only = only
        self.timer: IDelayedCall | None = None
        self.request: RequestPieces | None = None
        self.answer: AnswerPieces | None = None


@implementer(IOnRequest, IOnComplete)
class Faults:
    """The filter, where no fault hits answers."""

    def __init__(
        self,
        plans: Sequence[Plan],
        clock: IReactorTime,
        seed: int | None,
        max_active: int,
        key: str,
        error_names: Collection[str],
        parts: Collection[str],
        turns: Mapping[str, Turns],
    ) -> None:
        self.counters = dict.fromkeys(EVENTS, 0)
        self.error_names = error_names
        self.parts = parts
        self._plans = tuple(plans)
        self._turns = turns  # also of plans that hit no request at present
        self._told_apart = (seed, key)
        self._clock = clock
        self._max_active = max_active
        self._key = key
        self._active: dict[IExchange, _Active] = {}
        # Two of them, so that who is hit does not depend on what the hits look like.
        self._uniform = random.Random(seed).random
        self._shapes = random.Random(None if seed is None else f"{seed}: shapes")

    def inherit(self, previous: object) -> None:
        """Goes on with what is under way, the turns of callers, and the numbers of the same seed."""
        if not isinstance(previous, Faults):
            return
        self._active = previous._active
        seed, key = self._told_apart
        if previous._told_apart[0] == seed:
            self._uniform, self._shapes = previous._uniform, previous._shapes
        if previous._told_apart[1] == key:
            for name, turns in self._turns.items():
                if name in previous._turns:
                    turns.inherit(previous._turns[name])

    @property
    def gauges(self) -> Mapping[str, float]:
        return {"active": len(self._active)}

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        if not self._plans:
            return None
        chosen = self._choose(exchange)
        if chosen is None:
            return None
        if len(self._active) >= self._max_active:
            self.counters["overflow"] += 1
            return None
        active = self._active[exchange] = _Active(*chosen)
        plan = active.plan
        note(exchange, f"fault_injected[{plan.name}]")
        if plan.delay is None:
            return self._fail(active)
        self.counters["delays"] += 1
        return self._later(active, plan.delay(self._shapes), lambda: self._fail(active))

    def on_complete(self, exchange: IExchange) -> None:
        if self._active:
            active = self._active.pop(exchange, None)
            if active is not None and active.timer is not None:
                active.timer.cancel()

    def explain(self, get: Get) -> str:
        """Turns of a caller are named, not counted."""
        named = [f"{plan.name} ({_share(plan)})" for plan in self._plans if plan.holds is None or plan.holds(get)]
        return f"may hit it: {', '.join(named)}" if named else "no fault for it"

    def _choose(self, exchange: IExchange) -> tuple[Plan, Sequence[str] | None] | None:
        """
        The fault that hits a request, if any does, and what of it. One number is drawn for all that match it, so that
        each hits its own percentage of them, and no two the same; and one for each name, where a fault hits these.
        """
        more = exchange.message.more
        try:
            matching = [plan for plan in self._plans if plan.holds is None or plan.holds(exchange.get)]
            caller = exchange.get(self._key) or "" if any(plan.turns for plan in matching) else ""
            named = {plan.each: _parts(exchange.get(plan.each)) for plan in matching if plan.each}
        except FrameError:
            # The error comes once only: left for those to whom it matters.
            exchange.message.more = more
            return None
        due = [plan for plan in matching if plan.turns is None or plan.turns.due(caller)]
        if not due:
            return None
        drawn = self._uniform() * 100.0
        for plan in due:
            if plan.each:
                hit = [name for name in named[plan.each] if self._uniform() * 100.0 < plan.percentage]
                if hit:
                    return plan, hit
                continue
            drawn -= plan.percentage
            if drawn < 0:
                return plan, None
        return None

    def _fail(self, active: _Active) -> Reply | None:
        """What becomes of the request itself."""
        plan = active.plan
        if plan.error is not None:
            self.counters["errors"] += 1
            kind, text, name = plan.error
            return Reply(kind, text, name=name, only=None if active.only is None else {plan.each: active.only})
        return self._reset() if plan.reset == "request" else None

    def _reset(self) -> Reply:
        self.counters["resets"] += 1
        return Reply(ErrorKind.RESET, "connection reset", frame=b"", ending=Ending.RESET)

    def _later(self, active: _Active, seconds: float, result: Callable[[], T]) -> Deferred[T]:
        """Fires after so many seconds, unless the exchange ends before."""
        waiting: Deferred[T] = Deferred()

        def fire() -> None:
            active.timer = None
            waiting.callback(result())

        active.timer = self._clock.callLater(seconds, fire)
        return waiting


@implementer(IOnRequest, IOnResponse, IOnComplete)
class AnswerFaults(Faults):
    """The filter, where faults hit answers too."""

    def on_response(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        active = self._active.get(exchange)
        if active is None:
            return None
        plan, counters = active.plan, self.counters
        seconds = 0.0
        if plan.delay_answer is not None:
            counters["answer_delays"] += 1
            seconds += plan.delay_answer(self._shapes)
        if plan.rate:
            counters["throttles"] += 1
            seconds += len(exchange.response.frame) / plan.rate
        if seconds > 0:
            return self._later(active, min(seconds, MAX_DELAY), lambda: self._spoil(exchange, plan))
        return self._spoil(exchange, plan)

    def _spoil(self, exchange: IExchange, plan: Plan) -> Reply | None:
        """What becomes of the answer."""
        if plan.reset == "answer":
            return self._reset()
        if exchange.response.kind is Kind.STREAM_OPEN:
            return None  # its pieces are, see StreamFaults
        change = plan.change(self._shapes)
        if change is not None:
            self.counters["corruptions"] += plan.corrupt is not None
            self.counters["truncations"] += plan.truncate is not None
            exchange.alter(change, Ending.CLOSE if plan.truncate is not None else None)
        return None


@implementer(IOnRequest, IOnResponse, IOnChunk, IOnComplete)
class StreamFaults(AnswerFaults):
    """The filter, where faults hit what comes in pieces, too."""

    def on_chunk(
        self, exchange: IExchange, chunk: Chunk, side: Side
    ) -> bytes | Reply | Deferred[bytes | Reply | None] | None:
        active = self._active.get(exchange)
        if active is None:
            return None
        plan = active.plan
        if side is Side.CLIENT:
            if active.request is None:
                active.request = RequestPieces(plan)
            return active.request.look(chunk, self.counters)
        answer = active.answer
        if answer is None:
            answer = active.answer = AnswerPieces(plan, len(exchange.response.frame), self._shapes)
        said = answer.look(chunk, self.counters)
        if not plan.rate:
            return said
        passing = said.frame if isinstance(said, Reply) else said
        now = self._clock.seconds()
        answer.free = max(answer.free, now) + len(passing if isinstance(passing, bytes) else chunk.frame) / plan.rate
        wait = min(answer.free - now, MAX_DELAY)
        return self._later(active, wait, lambda: said) if wait > 0 else said
