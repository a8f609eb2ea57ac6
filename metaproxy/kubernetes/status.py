"""
What became of objects, written into their status.

Lives here: `Statuses`: when a status is written, and when not. Does not: what became of an object (its reader), the
request (`api`).

Several proxies watch the same objects, and other controllers write statuses, too. So: a status that says already what
would be written is left alone; each proxy writes once about a version of an object, and does not write again because
another disagrees; it waits for a moment first, so that of many proxies one writes; and a field that another manager has
is his.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.kubernetes.api import ApiError
from metaproxy.kubernetes.resources import Key, Object, Resource, items, key_of, mapping, text
from metaproxy.support.bounded_map import BoundedMap
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

CONDITION, MANAGER = "Accepted", "metaproxy"
WITHIN = 2.0
"""Seconds within which a status is written, if no other proxy was quicker."""
AGAIN = 5.0
"""Seconds after which a status that could not be written is tried again."""
TRIES = 4
"""So often for 403 and 404, which also come from a server that has only just started; other refusals are for good."""
PAUSE = 0.05
"""Seconds between two writes: the API server has more to do."""
MESSAGE = 4096
"""Characters of a message; a condition may have 32768."""
REMEMBERED = 10_000
"""Objects of which is known what was written."""


class Verdict(NamedTuple):
    """reason: a word, such as Refused. message: for people."""

    accepted: bool
    reason: str
    message: str = ""


class Writer(Protocol):
    """What is asked of an `Api`."""

    def apply_status(
        self, resource: Resource, key: Key, status: Mapping[str, object], manager: str
    ) -> Deferred[Object]: ...


class _Subject(NamedTuple):
    resource: Resource
    key: Key


class _Wish(NamedTuple):
    """What is to be written about a version of an object. flipped: when that became so, "" for now; tries: so far."""

    uid: str
    generation: int
    verdict: Verdict
    flipped: str
    tries: int = 0

    @property
    def about(self) -> tuple[str, int, Verdict]:
        return self.uid, self.generation, self.verdict


class Statuses:
    """
    seconds: the time of day, in seconds since 1970. chance: a number from 0 to 1, for the wait.

    written: how many were; refused: how many the server did not take for good.
    """

    def __init__(
        self,
        api: Writer,
        clock: IReactorTime,
        seconds: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._clock = clock
        self._seconds = seconds
        self._chance = chance
        self._wishes: dict[_Subject, _Wish] = {}
        self._done: BoundedMap[_Subject, tuple[str, int, Verdict]] = BoundedMap(REMEMBERED)
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[float] | None = None
        self._stopped = False
        self._throttle = LogThrottle(clock.seconds)
        self.written = self.refused = 0

    def report(self, resource: Resource, found: Object, verdict: Verdict) -> None:
        """Have the status of an object say what became of this version of it. found: as the server has it now."""
        subject = _Subject(resource, key_of(found))
        metadata = mapping(found.get("metadata"))
        generation = metadata.get("generation")
        uid, number = text(metadata.get("uid")), generation if isinstance(generation, int) else 0
        verdict = verdict._replace(message=verdict.message[:MESSAGE])
        said = _condition(found)
        self._wishes.pop(subject, None)
        if _says(said, number, verdict):
            self._done.keep(subject, (uid, number, verdict))
            return
        same = said.get("status") == _word(verdict.accepted)
        wish = _Wish(uid, number, verdict, text(said.get("lastTransitionTime")) if same else "")
        if self._done.get(subject) != wish.about:
            self._wishes[subject] = wish
            self._soon(WITHIN * self._chance())

    def forget(self, resource: Resource, key: Key) -> None:
        """The object is gone."""
        subject = _Subject(resource, key)
        self._wishes.pop(subject, None)
        self._done.pop(subject, None)

    def stop(self) -> None:
        self._stopped = True
        self._wishes.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            self._writing.cancel()

    # -- writing, one after the other

    def _soon(self, seconds: float) -> None:
        if self._timer is None and self._writing is None and self._wishes and not self._stopped:
            self._timer = self._clock.callLater(seconds, self._write)

    def _write(self) -> None:
        self._timer = None
        if not self._wishes:
            return
        subject = next(iter(self._wishes))
        wish = self._wishes.pop(subject)
        asked = self._api.apply_status(subject.resource, subject.key, self._status(wish), MANAGER)
        self._writing = asked.addCallbacks(self._right, self._wrong, (subject, wish), {}, (subject, wish), {})
        self._writing.addCallback(self._next)

    def _next(self, wait: float) -> None:
        self._writing = None
        self._soon(wait)

    def _right(self, _: Object, subject: _Subject, wish: _Wish) -> float:
        self.written += 1
        self._done.keep(subject, wish.about)
        return PAUSE

    def _wrong(self, failure: Failure, subject: _Subject, wish: _Wish) -> float:
        """Give up what the server does not want; try again later when it could not be asked."""
        if self._stopped:
            return PAUSE
        error = failure.value
        lasting = isinstance(error, ApiError) and _is_lasting(error.status, wish.tries)
        if not isinstance(error, ApiError):
            log.failure("status of {key} not written", failure, key=subject.key)
        elif self._throttle.allows((subject.resource, error.status)):
            log.warn(
                "status of {kind} {key} not written: {why}{hint}",
                kind=subject.resource.kind, key=str(subject.key), why=str(error), hint=_HINTS.get(error.status, ""),
            )  # fmt: skip
        if lasting or not isinstance(error, ApiError):
            self.refused += 1
            self._done.keep(subject, wish.about)
            return PAUSE
        self._wishes.setdefault(subject, wish._replace(tries=wish.tries + 1))
        return max(AGAIN, error.wait)

    def _status(self, wish: _Wish) -> dict[str, object]:
        now = datetime.fromtimestamp(self._seconds(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": CONDITION, "status": _word(wish.verdict.accepted), "reason": wish.verdict.reason,
            "message": wish.verdict.message, "observedGeneration": wish.generation,
            "lastTransitionTime": wish.flipped or now,
        }  # fmt: skip
        return {"observedGeneration": wish.generation, "conditions": [condition]}


_HINTS = {
    403: "; may the service account patch this resource's status?",
    404: "; it is gone, or its CRD has no status subresource",
    409: "; another manager has this field, and keeps it",
}


def _is_lasting(status: int, tries: int) -> bool:
    """Whether a refusal is for good."""
    if status in (403, 404):
        return tries >= TRIES
    return 400 <= status < 500 and status not in (401, 408, 429)


def _word(accepted: bool) -> str:
    return "True" if accepted else "False"


def _condition(found: Object) -> Object:
    """Return the condition of ours that an object has; an empty one when it has none."""
    conditions = map(mapping, items(mapping(found.get("status")).get("conditions")))
    return next((one for one in conditions if one.get("type") == CONDITION), {})


def _says(condition: Object, generation: int, verdict: Verdict) -> bool:
    """Whether a condition says that, whenever that was."""
    said = [condition.get(name) for name in ("status", "reason", "message", "observedGeneration")]
    return said == [_word(verdict.accepted), verdict.reason, verdict.message, generation]
