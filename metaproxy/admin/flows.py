"""
What flows from which caller to which cluster, by operation, over the last seconds.

Lives here: /flows, and for how long counting goes on after a request. Does not: counting (`telemetry.inspect.flows`).
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json
from metaproxy.admin.view import View
from metaproxy.telemetry.inspect.flows import CALLERS, KEPT, MAX_ROWS, STEP, Flows, Tally

LOOKED = 30.0
"""Seconds after the last request until nothing is counted any more."""
MAX_KEYS = 8
"""Keys of callers that are counted by at a time: each costs the path a hook."""
SECONDS = 10.0
ROWS = 200
"""What is answered when nothing else is asked for."""


class FlowsNow(Endpoint):
    path = "/flows"
    about = (
        "Who sends what where: rate, errors, p50, p99 by caller, cluster and operation over the last `seconds=`, and "
        "the streams that are open; `caller=KEY` names the key that tells callers apart. Counted only while it is "
        "asked for."
    )

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._clock = view.reactor
        self._watches: dict[str, _Watch] = {}

    def get(self, ask: AdminRequest) -> AdminResponse:
        seconds = number(ask, "seconds", SECONDS, STEP, KEPT)
        limit = int(number(ask, "limit", ROWS, 1, MAX_ROWS))
        flows = self._flows(ask.query.get("caller", ""))
        found = flows.read(self._clock.seconds(), seconds, limit, self._proxy.open_streams())
        return as_json(
            {
                "seconds": round(found.seconds, 3),
                "caller": ask.query.get("caller") or list(CALLERS),
                "flows": [{**flow._asdict(), **_figures(tally, found.seconds)} for flow, tally in found.rows],
                "other": None if found.other is None else _figures(found.other, found.seconds),
                "total": _figures(found.total, found.seconds),
            }
        )

    def _flows(self, key: str) -> Flows:
        """Return the counts by this key; counting goes on for LOOKED seconds from now."""
        watch = self._watches.get(key)
        if watch is None:
            if len(self._watches) >= MAX_KEYS:
                text = f"{MAX_KEYS} other keys are being looked at; ask again {LOOKED:g} s after one of them was"
                raise HttpError(400, text, "caller")
            flows = Flows(self._clock.seconds(), [key] if key else CALLERS)
            watch = self._watches[key] = _Watch(flows, self._clock.callLater(LOOKED, self._forget, key))
            self._proxy.watch(watch.hook)
        else:
            watch.end.reset(LOOKED)
        return watch.flows

    def _forget(self, key: str) -> None:
        self._proxy.unwatch(self._watches.pop(key).hook)


class _Watch:
    __slots__ = ("end", "flows", "hook")

    def __init__(self, flows: Flows, end: IDelayedCall) -> None:
        self.flows = flows
        self.hook = flows.on_complete
        self.end = end


def number(ask: AdminRequest, name: str, default: float, least: float, most: float) -> float:
    """Return a parameter. Raises HttpError unless it is a number between `least` and `most`."""
    text = ask.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise HttpError(400, f"{name}={text[:100]!r}; write a number from {least:g} to {most:g}", name)
    return value


def _figures(tally: Tally, seconds: float) -> Json:
    count, errors = tally.count, tally.errors
    return {
        "exchanges": count,
        "rate": round(count / seconds, 3),
        "errors": errors,
        "error_rate": round(errors / seconds, 3),
        "outcomes": dict(tally.outcomes),
        "latency_ms": {name: in_ms(tally.percentile(share)) for name, share in (("p50", 0.5), ("p99", 0.99))},
        "streams": {"open": tally.open, "request_bytes": tally.request_bytes, "response_bytes": tally.response_bytes},
    }


def in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
