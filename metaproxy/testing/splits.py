"""
A request in pieces: every key goes where it belongs, once, and the answers come back as one.

Lives here: `check_splits`. Does not: how an endpoint is found for a key (the cluster's balancer).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Part, Side
from metaproxy.testing.bench import Bench
from metaproxy.testing.report import need, shorten

_MOST_MERGES = 24
_ANSWERS = (Kind.RESPONSE, Kind.ERROR)


def check_splits(bench: Bench) -> None:
    for what, request in bench.requests():
        owner = _Owner(lambda number: 0)
        parts = _split(bench, what, request, owner)
        asked = bool(owner.keys)
        need(
            parts is None or isinstance(parts, _Done),
            f"{what}: split() gave {shorten(parts or [])} though one endpoint owns all keys; give None when it is not"
            " to be split" + ("" if asked else ", and ask `owner` whose each key is"),
            request.frame,
        )
        for owners in (2, 3, 1000):
            _check_split(bench, f"{what}, over {owners} endpoints", request, owners)
        _check_everywhere(bench, f"{what}, over 3 endpoints", request)
        _check_merge(bench, what, request)


class _Done(list[Part]):
    """No parts: the codec has answered the request by itself, or refused it."""


class _Owner:
    """Gives keys to endpoints by the order in which they are first asked for; `keys`: each key asked for."""

    def __init__(self, place: Callable[[int], Hashable]) -> None:
        self.keys: list[str] = []
        self.known: dict[str, Hashable] = {}
        self.bound: Hashable = None
        self._place = place

    def __call__(self, key: str) -> Hashable:
        need(isinstance(key, str), f"split() asked for the owner of {key!r}; keys are str")
        self.keys.append(key)
        return self.known.setdefault(key, self._place(len(self.known)))


class _Everyone(_Owner):
    """Knows all endpoints, too, for what is sent to each."""

    def __init__(self, count: int) -> None:
        super().__init__(lambda number: f"endpoint {number % count}")
        self._all = [f"endpoint {number}" for number in range(count)]

    def everyone(self, replicas: bool = False) -> list[str]:
        return list(self._all)


def _over(count: int) -> _Owner:
    return _Owner(lambda number: number % count)


def _split(bench: Bench, what: str, request: Message, owner: _Owner) -> list[Part] | None:
    try:
        parts = bench.call(f"{what}: split()", bench.codec.split, request, owner, data=request.frame, refusal=True)
    except FrameError:  # refused, with a reason
        return _Done()
    if isinstance(parts, bytes):  # the codec answers by itself
        return None
    if isinstance(parts, bytes):  # the whole answer
        answer = bench.one(Side.SERVER, parts, f"{what}: the answer of split()")
        need(answer.kind in _ANSWERS, f"{what}: split() gave bytes that are a {answer.kind.name}, no answer", parts)
        return _Done()
    listed = parts is None or (isinstance(parts, list) and all(isinstance(part, Part) for part in parts))
    need(listed, f"{what}: split() gave {parts!r:.200}; it must give a list of Parts, bytes or None", request.frame)
    return parts


def _check_split(bench: Bench, what: str, request: Message, owners: int) -> None:
    owner = _over(owners)
    parts = _split(bench, what, request, owner)
    frame = request.frame
    places = {owner.known[key] for key in owner.keys}
    if parts is None:
        need(
            len(places) < 2,
            f"{what}: split() gave None though its keys {shorten(owner.keys)} are at {len(places)} endpoints: it would"
            " go to one of them, whole. Give [] for what can't be split",
            frame,
        )
    if not parts:  # None: it goes to one endpoint; []: it is refused
        return
    need(len(parts) > 1, f"{what}: split() gave one part; give None when it is not to be split", frame)
    found: list[str] = []
    owned: list[Hashable] = []
    for i, part in enumerate(parts):
        name = f"{what}: part {i} of split()"
        keys = _check_part(bench, name, request, part, owner)
        found += keys
        owned += list({owner.known.get(key) for key in keys})
    if not found:
        return
    need(
        len(owned) == len(set(owned)),
        f"{what}: split() gave {len(parts)} parts for {len(set(owned))} endpoints; give one an endpoint",
        frame,
    )
    asked = _distinct(owner.keys)
    lost, new = asked - Counter(found), Counter(found) - _most(owner.keys)
    need(not lost, f"{what}: the parts of split() lack the keys {shorten(list(lost))}", frame)
    need(not new, f"{what}: the parts of split() have {shorten(list(new))} more often than the request", frame)


def _check_everywhere(bench: Bench, what: str, request: Message) -> None:
    """Parts for all endpoints are requests, each for one of them, and errors of all make an error."""
    owner = _Everyone(3)
    parts = _split(bench, what, request, owner)
    if not parts or all(part.endpoint is None for part in parts):
        return
    for i, part in enumerate(parts):
        name = f"{what}: part {i} of split()"
        piece = bench.one(Side.CLIENT, part.message.frame, name)
        need(piece.kind is Kind.REQUEST, f"{name} is {piece.kind.name}, no REQUEST", part.message.frame)
        known = [*owner.everyone(), *owner.known.values(), None]
        need(part.endpoint in known, f"{name} is for {part.endpoint!r}, which `owner` did not give", request.frame)
    refusals = [_refusal(bench, part) for part in parts]
    merged = _check_merged(bench, f"{what}: merge() of errors only", request, parts, refusals)
    need(merged.kind is Kind.ERROR, f"{what}: merge() of errors only decodes as {merged.kind.name}", merged.frame)


def _distinct(keys: Sequence[str]) -> Counter[str]:
    return Counter(set(keys))


def _most(keys: Sequence[str]) -> Counter[str]:
    return Counter(keys)


def _check_part(bench: Bench, name: str, request: Message, part: Part, owner: _Owner) -> list[str]:
    """The keys of a part, as far as they can be known; all of one owner."""
    message = part.message
    need(isinstance(message, Message), f"{name}: message is {message!r:.100}, no Message", request.frame)
    need(isinstance(message.frame, bytes), f"{name}: its frame is {message.frame!r:.100}; it must be bytes")
    piece = bench.one(Side.CLIENT, message.frame, name)
    for kind in (piece.kind, message.kind):
        need(kind is Kind.REQUEST, f"{name} is {kind.name}, no REQUEST", message.frame)
    need(
        message.profile == request.profile,
        f"{name} has profile {message.profile!r}; the request's is {request.profile!r}",
        message.frame,
    )
    again = _Owner(lambda number: None)
    again.known = dict(owner.known)
    need(
        _split(bench, name, piece, again) is None,
        f"{name} would be split again: its keys {shorten(again.keys)} are at several endpoints",
        message.frame,
    )
    keys = again.keys
    routed = _hashed(bench, message)
    reads = _hashed(bench, piece)
    need(
        routed is None or routed == reads,
        f"{name} says that it is for the endpoint of {routed!r}; its bytes decode with {reads!r}",
        message.frame,
    )
    if not keys:
        keys = [key for key in owner.known if key == routed] if routed is not None else []
    else:
        strange = [key for key in keys if key not in owner.known]
        need(not strange, f"{name} has the keys {shorten(strange)}, which are not the request's", message.frame)
    if keys and routed is not None and routed in owner.known:
        need(
            owner.known[routed] == owner.known[keys[0]],
            f"{name} would go to the endpoint of {routed!r}; its keys {shorten(keys)} are at another",
            message.frame,
        )
    return keys


def _hashed(bench: Bench, message: Message) -> str | None:
    """What a hashing balancer would take a message's endpoint from."""
    try:
        return message.get(bench.codec.hash_aliases.get("key", "key"))
    except FrameError:
        return None


# -- answers


def _check_merge(bench: Bench, what: str, request: Message) -> None:
    parts = _split(bench, what, request, _over(2))
    if not parts:
        return
    successes = [message for _, message in bench.messages(Side.SERVER) if message.kind is Kind.RESPONSE]
    for answer in successes[:8]:
        _check_merged(bench, f"{what}: merge()", request, parts, [answer] * len(parts))
    refusals = [_refusal(bench, part) for part in parts]
    merged = _check_merged(bench, f"{what}: merge() of errors only", request, parts, refusals)
    need(
        merged.kind is Kind.ERROR,
        f"{what}: merge() of errors only decodes as {merged.kind.name}; it must be an ERROR",
        merged.frame,
    )
    for answer in successes[:4]:
        _check_partial(bench, what, request, parts, answer, refusals)
    _check_order(bench, what, request, successes)


def _refusal(bench: Bench, part: Part) -> Message:
    what = "reply() to a part of split()"
    return bench.one(Side.SERVER, bench.reply(what, part.message, ErrorKind.DENIED, "not allowed"), what)


def _check_merged(
    bench: Bench, what: str, request: Message, parts: Sequence[Part], answers: Sequence[Message]
) -> Message:
    data = bench.call(what, bench.codec.merge, request, parts, answers, data=request.frame)
    need(isinstance(data, bytes), f"{what} gave {data!r:.200}; it must give bytes", request.frame)
    merged = bench.one(Side.SERVER, data, what)
    kinds = (Kind.RESPONSE, Kind.ERROR)
    need(merged.kind in kinds, f"{what} decodes as {merged.kind.name}; it must be an answer", data)
    if bench.codec.correlation is Correlation.ID:
        need(merged.id == request.id, f"{what} has id {merged.id}; the request's is {request.id}", data)
    return merged


def _check_partial(
    bench: Bench, what: str, request: Message, parts: Sequence[Part], answer: Message, refusals: Sequence[Message]
) -> None:
    """One error among the answers, wherever it is, does not vanish."""
    fine = [answer] * len(parts)
    good = _check_merged(bench, f"{what}: merge()", request, parts, fine)
    if good.kind is Kind.ERROR:  # no answer to this request
        return
    for i, refusal in enumerate(refusals):
        answers = [*fine[:i], refusal, *fine[i + 1 :]]
        merged = _check_merged(bench, f"{what}: merge() with an error of part {i}", request, parts, answers)
        need(
            merged.kind is Kind.ERROR or merged.frame != good.frame,
            f"{what}: part {i} was answered by an error, and merge() gives what it gives without",
            merged.frame,
        )
        need(
            merged.kind is Kind.ERROR or refusal.frame in merged.frame or len(merged.frame) > len(good.frame),
            f"{what}: part {i} was answered by an error, and merge() gives a {merged.kind.name} without it",
            merged.frame,
        )


def _check_all_count(
    bench: Bench, what: str, request: Message, parts: Sequence[Part], usable: Sequence[Message]
) -> None:
    """Where the answers of two parts count, those of all do. (An MSET is answered by any of its OKs.)"""
    for one, other in itertools.islice(itertools.combinations(usable, 2), 6):
        before = _check_merged(bench, f"{what}: merge()", request, parts, [one] * len(parts)).frame
        counts = []
        for i in range(len(parts)):
            answers = [other if i == place else one for place in range(len(parts))]
            counts.append(_check_merged(bench, f"{what}: merge()", request, parts, answers).frame != before)
        need(
            sum(counts) < 2 or all(counts),
            f"{what}: merge() gives the same bytes whatever the answers to the parts {shorten(_places(counts))} are",
            before,
        )


def _places(counts: Sequence[bool]) -> list[int]:
    return [i for i, counted in enumerate(counts) if not counted]


def _check_order(bench: Bench, what: str, request: Message, successes: Sequence[Message]) -> None:
    """
    However the keys are spread, the merged answer is the same: with two endpoints, whose parts hold every other key, as
    with one endpoint a key. What a part's endpoint answers is made by `merge`, too, of an answer to each of its keys.
    """
    alone = _split(bench, what, request, _over(1000))
    spread = _split(bench, what, request, _over(2))
    if not alone or not spread or len(alone) < 3:
        return
    usable = [
        answer
        for answer in successes
        if _check_merged(bench, f"{what}: merge()", request, alone, [answer] * len(alone)).kind is Kind.RESPONSE
    ]
    _check_all_count(bench, what, request, alone, usable)
    for pair in itertools.islice(itertools.permutations(usable, 2), _MOST_MERGES):
        by_key = [pair[i % 3 > 0] for i in range(len(alone))]
        wanted = _check_merged(bench, f"{what}: merge()", request, alone, by_key)
        answers = []
        for number, part in enumerate(spread):
            mine = by_key[number::2]
            pieces = _split(bench, what, part.message, _over(1000))
            if pieces is None and len(mine) == 1:
                answers.append(mine[0])
            elif pieces is None or len(pieces) != len(mine):
                return
            else:
                answers.append(_check_merged(bench, f"{what}: merge()", part.message, pieces, mine))
        merged = _check_merged(bench, f"{what}: merge()", request, spread, answers)
        need(
            merged.frame == wanted.frame,
            f"{what}: merge() of two endpoints' answers, each for every other key, gives other bytes than of one"
            f" endpoint a key: answers go where `Part.place` says. Expected: {wanted.frame.hex(' '):.600}. Got:",
            merged.frame,
        )
