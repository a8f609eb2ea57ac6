"""
The admin API of a supervisor: what it answers for all of its workers.

Lives here: /workers, what goes on to one worker, and the endpoints whose answer takes a word from each. Does not:
pauses (`decisions`); those that look at counts, configuration and clusters, which the supervisor has itself, with what
workers counted added up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from metaproxy.admin.live import Live
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, as_time
from metaproxy.admin.roles import IReactor
from metaproxy.clients.http import Answer, HttpCalls, HttpFailed
from metaproxy.workers.asking import AdminLine
from metaproxy.workers.decisions import DecideAll, paused, resumed
from metaproxy.workers.member import Member
from metaproxy.workers.supervisor import Workers

TIMEOUT = 10.0
"""Seconds that a worker may take to answer."""
MOST = 64 << 20
"""Bytes of a worker's answer."""
LONG = 86400.0
"""Seconds that a stream of lines may last."""


class Asking:
    """Asks workers over their admin lines."""

    def __init__(self, workers: Workers, reactor: IReactor) -> None:
        self.workers = workers
        self._calls = [HttpCalls(reactor, partial(_line, member, reactor)) for member in workers.members]

    def one(self, member: Member, method: str, path: str, body: bytes = b"") -> Deferred[Answer]:
        """Fires with a worker's answer; fails with HttpFailed."""
        return self._calls[member.number].call(method, f"http://worker{path}", TIMEOUT, body=body, most=MOST)

    def stream(self, member: Member, path: str, received: Callable[[bytes], None]) -> Deferred[Answer]:
        """The answer piece by piece; see HttpCalls.stream."""
        return self._calls[member.number].stream(f"http://worker{path}", TIMEOUT, LONG, received)

    def all(self, method: str, path: str, body: Callable[[Member], bytes]) -> Deferred[list[Answer]]:
        """Fires with the answers of all that are ready and answered, in their order."""
        asked = [self.one(one, method, path, body(one)) for one in self.workers.members if one.answers]
        done: Deferred[list[Answer]] = Deferred()
        DeferredList(asked, consumeErrors=True).addCallback(
            lambda found: done.callback([answer for good, answer in found if good])
        )
        return done


def _line(member: Member, reactor: IReactor, host: str) -> IStreamClientEndpoint:
    line: IStreamClientEndpoint = AdminLine(member, reactor)
    return line


def _path(ask: AdminRequest, path: str) -> str:
    return f"{path}?{urlencode(ask.query)}" if ask.query else path


class WorkersNow(Endpoint):
    path = "/workers"
    about = "The worker processes: state, connections, what each was given, how often it was started again."

    def __init__(self, asking: Asking) -> None:
        self._workers = asking.workers

    def get(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        return self._workers.refresh().addCallback(
            lambda _: as_json({"workers": [_shown(one) for one in self._workers.members]})
        )


def _shown(member: Member) -> Json:
    return {
        "worker": member.number,
        "state": member.state,
        "pid": member.pid,
        "data_path": member.data_path,
        "started": as_time(member.started),
        "answers": member.answers,
        "restarts": max(member.restarts, 0),
        "lost_connections": member.lost,
        "why": member.why,
        "connections": member.total,
        "handed_connections": member.given,
        "connections_by_listener": {name: number for name, number in sorted(member.connections.items()) if number},
        "cpu": member.cpu,
        "cpu_seconds": round(member.cpu_seconds, 2),
        "memory_bytes": member.memory_bytes,
    }


class OneWorker(Endpoint):
    path = "/workers/{worker}/{rest*}"
    about = "What one worker answers to a request that changes nothing, such as `/workers/0/clusters`."

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def get(self, ask: AdminRequest) -> AdminResponse | Deferred[AdminResponse]:
        member = _member(self._asking.workers, ask.place["worker"])
        path = _path(ask, f"/{ask.place['rest']}")
        if ask.place["rest"].partition("?")[0] == "tap":
            return _lines(self._asking, [member], path)
        answered = self._asking.one(member, "GET", path)
        return answered.addCallbacks(_passed_on, lambda failure: _failed(failure, member))


def _member(workers: Workers, text: str) -> Member:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
    if not 0 <= number < len(workers.members):
        most = len(workers.members) - 1
        raise HttpError(404, f"no worker {text[:100]!r}; write a number from 0 to {most}", "worker")
    if not workers.members[number].answers:
        raise HttpError(503, f"worker {number} is not ready", "worker")
    return workers.members[number]


def _passed_on(answer: Answer) -> AdminResponse:
    kind = next((value for name, value in answer.headers if name == "content-type"), "text/plain; charset=utf-8")
    return AdminResponse(answer.body, kind, answer.status)


def _failed(failure: Failure, member: Member) -> AdminResponse:
    failure.trap(HttpFailed)
    return as_json({"error": f"worker {member.number}: {failure.value}", "where": "worker"}, 502)


class Everywhere(Endpoint):
    """An endpoint that all workers answer. inner: the supervisor's own, which says what the path is."""

    def __init__(self, inner: Endpoint, asking: Asking, merge: Callable[[Sequence[Json]], Json]) -> None:
        self._inner = inner
        self._asking = asking
        self._merge = merge
        self.path, self.about = inner.path, inner.about  # type: ignore[misc]
        self.aliases, self.open = inner.aliases, inner.open  # type: ignore[misc]
        for method in inner.methods():
            setattr(self, method.lower(), self._ask)

    def _ask(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        path = self.path
        for name, value in ask.place.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return self._asking.all(ask.method, _path(ask, path), self._bodies(ask)).addCallback(self._joined)

    def _bodies(self, ask: AdminRequest) -> Callable[[Member], bytes]:
        """What each worker is sent."""
        return lambda member: ask.body

    def _joined(self, answers: Sequence[Answer]) -> AdminResponse:
        """The first that refuses speaks for all: they have the same configuration."""
        if not answers:
            return _none_ready()
        refused = next((one for one in answers if one.status >= 300), None)
        if refused is not None:
            return _passed_on(refused)
        return as_json(self._merge([json.loads(one.body) for one in answers]))


def _none_ready() -> AdminResponse:
    return as_json({"error": "no worker is ready", "where": "workers"}, 503)


class RecordAll(Everywhere):
    """/record of all workers: each writes a file of its own, with its number in the name."""

    def __init__(self, inner: Endpoint, asking: Asking) -> None:
        super().__init__(inner, asking, lambda answers: {"workers": list(answers)})

    def _bodies(self, ask: AdminRequest) -> Callable[[Member], bytes]:
        if ask.method != "POST":
            return lambda member: ask.body
        wanted = ask.json('{"file": NAME, ...}')
        if not isinstance(wanted, dict | None):
            return lambda member: ask.body  # which is refused
        spec = wanted or {}
        name = str(spec.get("file") or f"record-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
        stem, dot, suffix = name.rpartition(".")
        stem, suffix = (stem, dot + suffix) if stem else (name, "")
        return lambda member: json.dumps({**spec, "file": f"{stem}-worker{member.number}{suffix}"}).encode()


class TapAll(Endpoint):
    """/tap of all workers."""

    def __init__(self, inner: Endpoint, asking: Asking) -> None:
        self._asking = asking
        self.path, self.about = inner.path, inner.about  # type: ignore[misc]

    def get(self, ask: AdminRequest) -> AdminResponse | Deferred[AdminResponse]:
        ready = [one for one in self._asking.workers.members if one.answers]
        if not ready:
            return _none_ready()
        limit = ask.query.get("limit", "")
        most = int(limit) if limit.isascii() and limit.isdecimal() and len(limit) < 12 else None
        return _lines(self._asking, ready, _path(ask, self.path), most or None)


def _lines(asking: Asking, members: Sequence[Member], path: str, most: int | None = None) -> Deferred[AdminResponse]:
    """
    The lines of several workers as they come, so many at most. Fires with them once each has begun, or with the first
    refusal: what is wrong with the request is wrong for all.
    """
    done: Deferred[AdminResponse] = Deferred()
    streams: list[Deferred[Answer]] = []
    left = len(members)

    def end_all() -> None:
        for one in streams:
            one.cancel()

    lines = Live(end_all)
    answered = AdminResponse(lines, "application/x-ndjson")

    def ended(result: object) -> None:
        nonlocal left
        left -= 1
        if isinstance(result, Answer) and result.status != 200 and not done.called:
            done.callback(_passed_on(result))
        if not left:
            if not done.called:
                done.callback(answered)
            lines.end()

    def received(rest: bytearray, data: bytes) -> None:
        nonlocal most
        rest += data
        whole = rest.rfind(b"\n") + 1
        for line in bytes(rest[:whole]).splitlines(keepends=True):
            if line.strip() and most != 0 and lines.room():
                lines.put(line)
                most = None if most is None else most - 1
        del rest[:whole]
        if most == 0:
            lines.end()

    for member in members:
        rest = bytearray()
        stream = asking.stream(member, path, lambda data, rest=rest: received(rest, data))  # type: ignore[misc]
        streams.append(stream)
        stream.addErrback(lambda failure: None).addCallback(ended)
    asking.workers.later(0.05, lambda: None if done.called else done.callback(answered))
    return done


# -- what several answers make


def _number(values: Sequence[object]) -> float:
    return sum(value for value in values if isinstance(value, int | float))


STATEMENT = ("fingerprint", "listener", "cluster", "route", "database", "user", "operation")
"""What tells statements apart."""


class _Rows:
    """Rows of one list, those with the same names made one. names: the keys that tell rows apart."""

    worst: ClassVar = ("p50", "p90", "p99", "p999", "longest")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def join(self, lists: Sequence[Sequence[Json]]) -> list[Json]:
        found: dict[str, Json] = {}
        for row in (row for rows in lists for row in rows):
            key = json.dumps([row.get(name) for name in self._names], sort_keys=True)
            found[key] = self._plus(found[key], row) if key in found else dict(row)
        return list(found.values())

    def _plus(self, one: Json, other: Json) -> Json:
        """Counts are added, percentiles are the worst: what was measured apart has no common one."""
        whole = dict(one)
        for key, value in other.items():
            mine = one.get(key)
            if isinstance(mine, dict) and isinstance(value, dict):
                whole[key] = self._plus(mine, value)
            elif isinstance(mine, bool) or key in self._names or not isinstance(value, int | float):
                continue
            elif isinstance(mine, int | float):
                whole[key] = max(mine, value) if key in self.worst else mine + value
            else:
                whole[key] = value
        return whole


def flows(answers: Sequence[Json]) -> Json:
    """The rows of all; of percentiles the worst."""
    rows = _Rows(("caller", "listener", "protocol", "route", "cluster", "operation"))
    whole: Json = dict(answers[0])
    whole["flows"] = rows.join([_list(one, "flows") for one in answers])
    for key in ("total", "other"):
        parts = [part for one in answers if isinstance(part := one.get(key), dict)]
        whole[key] = rows.join([[part] for part in parts])[0] if parts else None
    return whole


def statements(answers: Sequence[Json]) -> Json:
    """The same of statements."""
    whole: Json = dict(answers[0])
    for key, value in answers[0].items():
        if isinstance(value, list):
            rows = _Rows(STATEMENT if key == "statements" else ("name", "protocol", "always", "since"))
            whole[key] = rows.join([_list(one, key) for one in answers])
    return whole


def reset(answers: Sequence[Json]) -> Json:
    return {"reset": _number([one.get("reset") for one in answers])}


def fanned(endpoints: Sequence[Endpoint], asking: Asking) -> list[Endpoint]:
    """The endpoints of a supervisor: its own, those that all workers answer in their places, and those of workers."""
    found: list[Endpoint] = []
    for one in endpoints:
        if one.path in MERGED:
            found.append(Everywhere(one, asking, MERGED[one.path]))
        elif one.path == "/clusters/{name}/pause":
            found.append(DecideAll(one, asking.workers.decisions, paused))
        elif one.path == "/clusters/{name}/resume":
            found.append(DecideAll(one, asking.workers.decisions, resumed))
        elif one.path == "/tap":
            found.append(TapAll(one, asking))
        elif one.path == "/record":
            found.append(RecordAll(one, asking))
        else:
            found.append(one)
    return [*found, WorkersNow(asking), OneWorker(asking)]


MERGED: Mapping[str, Callable[[Sequence[Json]], Json]] = {
    "/flows": flows,
    "/statements": statements,
    "/statements/reset": reset,
}
"""Endpoints that take a word from each worker, with what makes one answer of theirs."""


def _list(answer: Mapping[str, object], key: str) -> list[Json]:
    found = answer.get(key)
    return found if isinstance(found, list) else []
