"""
Where a request would go, and why: nothing is sent, and nothing that decides about others is moved.

Lives here: /explain. Does not: routing (`routing.table`), the choice of endpoints (`cluster`), which it only asks.

What chance or a turn decides is shown as shares: to ask a balancer that goes round would change whose turn it is. One
that hashes always gives the same answer, and so is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metaproxy.admin import resource
from metaproxy.admin.resource import AdminRequest, AdminResponse, HttpError, Json, as_json, nearest
from metaproxy.admin.view import View
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.original_destination import FACT, OriginalDestinationCluster
from metaproxy.cluster.plan import plan
from metaproxy.cluster.routes import Route, Target
from metaproxy.message import KIND_NAMES, Chunk, FrameError, Kind, Message, Side
from metaproxy.plugins import HOOKS
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.sessions import new_session
from metaproxy.proxy.snapshot import FilterUse, ListenerSnapshot
from metaproxy.routing.index import PERCENT, WEIGHTS
from metaproxy.routing.matcher import FACTS
from metaproxy.support.words import words
from metaproxy.telemetry.inspect.decoded import metadata
from metaproxy.telemetry.inspect.reasons import picked_by

MAX_BODY = 1 << 20
"""Bytes of a question."""


_REQUESTS = (Kind.REQUEST, Kind.ONEWAY, Kind.STREAM_OPEN)


class Explain(resource.Endpoint):
    path = "/explain"
    about = (
        'Body: {"listener": NAME, "metadata": {KEY: VALUE}} or, for metadata, "frame": HEX. Where such a request would '
        "go, and why; sends nothing."
    )

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def post(self, ask: AdminRequest) -> AdminResponse:
        asked = _question(ask)
        listeners = self._proxy.listeners
        name = asked.get("listener", "")
        if not isinstance(name, str):
            raise HttpError(400, "listener is no text", "listener")
        name = name or (next(iter(listeners)) if len(listeners) == 1 else "")
        if name not in listeners:
            raise HttpError(404, f"no listener {str(name)[:200]!r}; {nearest(str(name), list(listeners))}", "listener")
        snapshot = listeners[name].snapshot
        message, facts = _message(asked, snapshot)
        try:
            return as_json(
                _explained(snapshot, message, facts, self._proxy.snapshot.filters if self._proxy.snapshot else ())
            )
        except FrameError as error:
            raise HttpError(400, f"what routes ask for can't be decoded: {error}", "frame") from None


# -- the question


def _question(ask: AdminRequest) -> Json:
    shape = '{"listener": NAME, "metadata": {KEY: VALUE}}, or "frame": HEX in the place of metadata'
    asked = ask.json(shape, MAX_BODY)
    if not isinstance(asked, dict) or ("metadata" in asked) == ("frame" in asked):
        raise HttpError(400, f"write {shape}", "body")
    unknown = sorted(asked.keys() - {"listener", "metadata", "frame"})
    if unknown:
        raise HttpError(
            400, f"no key {unknown[0][:100]!r}; {nearest(unknown[0], ['listener', 'metadata', 'frame'])}", "body"
        )
    return asked


def _message(asked: Json, snapshot: ListenerSnapshot) -> tuple[Message, dict[str, str]]:
    """The request that is asked about, and the facts of its connection as far as they are given."""
    if "frame" in asked:
        return _decoded(asked["frame"], snapshot), {}
    given = asked["metadata"]
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise HttpError(400, "metadata is no mapping of texts", "metadata")
    facts = {key: value for key, value in given.items() if key.startswith(FACTS)}
    keys = {key: value for key, value in given.items() if key not in facts}
    kind = keys.pop("kind", "request")
    if kind not in ("request", "oneway", "connect"):
        raise HttpError(400, f"kind {kind[:100]!r}; write request, oneway or connect", "metadata")
    known = {**{key.lower(): value for key, value in keys.items()}, **keys}
    return Message(Kind[kind.upper()], b"", 0, known), facts


def _decoded(frame: object, snapshot: ListenerSnapshot) -> Message:
    try:
        data = bytes.fromhex(frame if isinstance(frame, str) else "no")
    except ValueError:
        raise HttpError(400, "frame is no text of hexadecimal digits, two for each byte", "frame") from None
    session = new_session(snapshot.codec, Side.CLIENT, snapshot.max_frame, {})
    messages = session.receive(data)
    if not messages:
        why = (
            str(session.error) if session.error else f"{len(data)} bytes are no whole message of {snapshot.codec.name}"
        )
        raise HttpError(400, why, "frame")
    # Of a stream its head is what routes see, not the pieces behind it.
    requests: list[Message] = [message for message in messages if not isinstance(message, Chunk)]
    return (requests or messages)[-1]


# -- the answer


def _explained(listener: ListenerSnapshot, message: Message, facts: dict[str, str], uses: Sequence[FilterUse]) -> Json:
    explained = listener.routes.explain(message, facts)
    route, routes = _routes(listener, explained, message, facts)
    answer: Json = {
        "listener": listener.name,
        "protocol": listener.codec.name,
        "request": {"kind": KIND_NAMES[message.kind], "metadata": metadata(message)},
        "answered_by": "route",
        "route": route.name,
        "routes": routes,
        "filters": _filters(listener, route, uses, lambda key: _known(key, message, facts)),
        "targets": [],
    }
    if message.answer is not None or message.kind not in _REQUESTS:
        answer["answered_by"] = "codec"
    elif route.reply is not None:
        kind = route.reply.kind
        answer["reply"] = {"error": kind.value if kind is not None else None, "message": route.reply.text}
    else:
        answer["answered_by"] = "cluster"
        answer["targets"] = _targets(route, message, facts)
        answer["mirrors"] = [
            {"cluster": one.name, "percent": 100.0 * one.share}
            for one in (route.mirror.targets if isinstance(route.mirror, Mirror) else ())
        ]
        timeout = route.timeout
        answer["timeout_seconds"] = route.targets[0].cluster.request_timeout if timeout is None else timeout
        answer["stream_idle_seconds"] = listener.stream_idle
        answer["retry"] = words(route.retry) if route.retry is not None else None
    return answer


def _routes(
    listener: ListenerSnapshot, explained: list[tuple[str, bool, str]], message: Message, facts: dict[str, str]
) -> tuple[Route, list[Json]]:
    """The route that would surely take it, and all of them with why, or why not."""
    taken: Route | None = None
    shown: list[Json] = []
    for route, (name, holds, reason) in zip(listener.routes.routes, explained, strict=True):
        takes = "no"
        if holds and taken is None:
            draw = route.split_by_hash(message.get, facts, PERCENT) if route.split_by_hash is not None else None
            if route.percent >= 100 or (draw is not None and draw * 100 < route.percent):
                taken, takes = route, "yes"
            elif draw is None and route.percent > 0:
                takes = f"{route.percent:g} %"
        shown.append({"name": name, "takes": takes, "why": reason})
    return taken or listener.no_route, shown


def _known(key: str, message: Message, facts: dict[str, str]) -> str | None:
    return facts.get(key) if key.startswith(FACTS) else message.get(key)


def _filters(
    listener: ListenerSnapshot, route: Route, uses: Sequence[FilterUse], get: Callable[[str], str | None]
) -> list[Json]:
    """
    The listener's filters in order, with the hooks of each that would be called (none: it is off for the route), and
    what it says of the request, if it says anything.
    """
    names = {id(use.plugin): use.name for use in uses}
    acting: dict[str, list[str]] = {}
    says: dict[str, list[str]] = {}
    for hook in HOOKS:
        for bound in getattr(route, hook):
            name = names.get(id(getattr(bound, "__self__", None)))
            if name is not None and hook not in acting.setdefault(name, []):
                acting[name].append(hook)
            if name is not None and hook == "on_request" and hasattr(bound.__self__, "explain"):
                says.setdefault(name, []).append(words(bound.__self__.explain(get)))
    shown = list(dict.fromkeys([*listener.filters, *acting]))
    return [
        {"name": name, "acts": name in acting, "hooks": acting.get(name, [])}
        | ({"says": "; ".join(says[name])} if name in says else {})
        for name in shown
    ]


def _targets(route: Route, message: Message, facts: dict[str, str]) -> list[Json]:
    """Where the route sends its requests: the shares, and in each cluster the endpoint, or its candidates."""
    draw = (
        route.split_by_hash(message.get, facts, WEIGHTS)
        if route.split_by_hash is not None and len(route.targets) > 1
        else None
    )
    stuck = route.stick(message.get, facts) if draw is not None else None
    total = sum(one.weight for one in route.targets)
    shown = []
    for one in route.targets:
        share = one.weight / total if stuck is None else float(one is stuck)
        shown.append(
            {"share": round(share, 4), **_cluster(one.cluster, route, message, facts), "fallback": _fallback(one)}
        )
    return shown


def _fallback(target: Target) -> list[str]:
    names = []
    while target.fallback is not None:
        target = target.fallback
        names.append(target.name)
    return names


def _cluster(cluster: Cluster, route: Route, message: Message, facts: dict[str, str]) -> Json:
    wanted = route.subset or {}
    fits = [one for one in cluster.endpoints if all(one.metadata.get(key) == wanted[key] for key in wanted)]
    levels = plan(fits, cluster.settings)
    shares = {
        one: level.share * weight / sum(weight for _, weight in level.members)
        for level in levels
        for one, weight in level.members
    }
    endpoint, how = _endpoint(cluster, route, message, facts, list(shares))
    return {
        "cluster": cluster.name,
        "endpoint": endpoint,
        "how": how,
        "endpoints": [
            {
                "address": one.address,
                "share": round(shares.get(one, 0.0), 4),
                "why_not": "" if one in shares else _why_not(one, one in fits),
            }
            for one in cluster.endpoints
        ],
    }


def _endpoint(
    cluster: Cluster, route: Route, message: Message, facts: dict[str, str], members: list[Endpoint]
) -> tuple[str | None, str]:
    """Its address, None when chance or a turn decides; and how it is found."""
    if cluster.paused_by is not None:
        return None, "the cluster is paused: it would wait"
    if isinstance(cluster, OriginalDestinationCluster):
        return facts.get(FACT), f"the fact {FACT}: where the client meant to go"
    if not members:
        return None, "no endpoint is usable"
    if len(members) == 1:
        return members[0].address, "the only one"
    how = picked_by(cluster, route)
    if cluster.uses_hash:
        keys = route.hash_keys or cluster.hash_keys
        if any(_known(key, message, facts) is not None for key in keys):
            picked = cluster.pick(message, route.hash_keys, route.subset, facts)
            return None if picked is None else picked.address, how
        return None, f"{how}; the request has none of these keys, and so goes to any"
    return None, f"{how}: a turn, a draw or the load decides, see the shares"


def _why_not(endpoint: Endpoint, fits: bool) -> str:
    if not fits:
        return "not of the route's subset"
    if endpoint.drained:
        return "drained"
    if endpoint.ejected:
        return "ejected"
    if endpoint.logged_off:
        return "logged off"
    return "others come first" if endpoint.healthy else "unhealthy"
