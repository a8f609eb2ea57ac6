"""
Statements of databases by their fingerprint: which of them take the time, and which of them fail.

Lives here: /statements, /statements/reset, and for how long counting goes on after a request. Does not: counting
(`telemetry.inspect.statements`).
"""

from __future__ import annotations

from time import time

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from metaproxy.admin.flows import LOOKED, in_ms, number
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, as_time, nearest
from metaproxy.admin.view import View
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.telemetry.inspect.statements import FINGERPRINT, MOST, ORDERS, Counted, Statement, Statements, read
from metaproxy.telemetry.roles import CompletedExchange

log = Logger()

ROWS = 100
"""What is answered when nothing else is asked for."""


class StatementCounts:
    """
    The tables: one of the listeners with `statements: true`, always, and one of the others, while somebody looks.
    """

    def __init__(self, view: View) -> None:
        self.proxy = view.proxy
        self._clock = view.reactor
        self._always = view.statements
        self._lately = Statements()
        self._end: IDelayedCall | None = None

    def look(self, count: bool) -> tuple[Statements, Statements]:
        """Return both. count: have the second go on for LOOKED seconds from now, and begin if it does not yet."""
        if not count:
            return self._always, self._lately
        if self._end is None:
            self._lately.reset(self._clock.seconds())
            self._end = self._clock.callLater(LOOKED, self._forget)
            self.proxy.watch(self._count)
        else:
            self._end.reset(LOOKED)
        return self._always, self._lately

    def counts(self, snapshot: ListenerSnapshot) -> bool:
        """Whether the statements of a listener are counted now."""
        return snapshot.statements or self._end is not None

    def reset(self) -> int:
        """Forget all. Return how many statements there were."""
        tables = (self._always, self._lately)
        known = sum(map(len, tables))
        for one in tables:
            one.reset(self._clock.seconds())
        return known

    def unix(self, seconds: float) -> float:
        """Unix time of what the reactor's clock says."""
        return seconds + time() - self._clock.seconds()

    def _count(self, exchange: CompletedExchange) -> None:
        snapshot = exchange.snapshot
        if FINGERPRINT in snapshot.codec.keys and not snapshot.statements:
            self._lately.on_complete(exchange)

    def _forget(self) -> None:
        self._end = None
        self.proxy.unwatch(self._count)
        self._lately.reset(self._clock.seconds())


class StatementsNow(Endpoint):
    path = "/statements"
    about = (
        "Statements of databases by fingerprint: calls, errors, rows, bytes, p50, p99 and the slowest; `listener=`, "
        "`sort=`, `limit=`. Counted always at listeners with `statements: true`, else while it is asked for; "
        "`count=false` leaves it at what is counted anyway."
    )

    def __init__(self, counts: StatementCounts) -> None:
        self._counts = counts

    def get(self, ask: AdminRequest) -> AdminResponse:
        order = ask.query.get("sort", ORDERS[0])
        if order not in ORDERS:
            raise HttpError(400, f"sort={order[:100]!r}; write one of {', '.join(ORDERS)}", "sort")
        limit = int(number(ask, "limit", ROWS, 1, 2 * MOST))
        name, known = ask.query.get("listener", ""), _with_statements(self._counts)
        if name and name not in known:
            raise HttpError(
                404, f"no listener {name[:200]!r} with statements; {nearest(name, list(known))}", "listener"
            )
        always, lately = tables = self._counts.look(_flag(ask, "count", True))
        found = read(tables, order, limit, name)
        listeners = [one for one in known.values() if name in ("", one.name)]
        return as_json(
            {
                "sort": order,
                "listeners": [self._listener(one, always if one.snapshot.statements else lately) for one in listeners],
                "statements": [self._row(statement, counted) for statement, counted in found.rows],
                "other": None if found.other is None else self._figures(found.other),
                "made_room": always.made_room + lately.made_room,
                "total": self._figures(found.total),
            }
        )

    def _listener(self, listener: Listener, table: Statements) -> Json:
        snapshot = listener.snapshot
        return {
            "name": listener.name,
            "protocol": snapshot.codec.name,
            "always": snapshot.statements,
            "since": as_time(self._counts.unix(table.began)) if self._counts.counts(snapshot) else None,
        }

    def _row(self, statement: Statement, counted: Counted) -> Json:
        slowest = counted.slowest
        return {
            **statement._asdict(),
            "text": counted.text,
            "since": as_time(self._counts.unix(counted.since)),
            **self._figures(counted),
            "slowest": {
                "time": as_time(self._counts.unix(slowest.ended - slowest.duration)),
                "duration_ms": in_ms(slowest.duration),
                "outcome": slowest.outcome,
                "endpoint": slowest.endpoint,
                "traceparent": slowest.trace or None,
            },
        }

    def _figures(self, counted: Counted) -> Json:
        calls = counted.count
        return {
            "calls": calls,
            "errors": counted.errors,
            "outcomes": dict(counted.outcomes),
            "rows": counted.rows,
            "request_bytes": counted.request_bytes,
            "response_bytes": counted.response_bytes,
            "total_ms": in_ms(counted.seconds),
            "mean_ms": in_ms(counted.seconds / calls) if calls else None,
            "latency_ms": {name: in_ms(counted.percentile(share)) for name, share in (("p50", 0.5), ("p99", 0.99))},
        }


class StatementsReset(Endpoint):
    path = "/statements/reset"
    about = "Forgets the statements that were counted."

    def __init__(self, counts: StatementCounts) -> None:
        self._counts = counts

    def post(self, ask: AdminRequest) -> AdminResponse:
        known = self._counts.reset()
        log.info("admin: {count} statements are forgotten", count=known)
        return as_json({"reset": known})


def _flag(ask: AdminRequest, name: str, default: bool) -> bool:
    text = ask.query.get(name)
    if text not in (None, "true", "false"):
        raise HttpError(400, f"{name}={text[:100]!r}; write true or false", name)
    return default if text is None else text == "true"


def _with_statements(counts: StatementCounts) -> dict[str, Listener]:
    """The listeners whose codec gives fingerprints."""
    return {name: one for name, one in sorted(counts.proxy.listeners.items()) if FINGERPRINT in one.snapshot.codec.keys}
