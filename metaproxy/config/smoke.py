"""
A plugin tried out before it is believed: a mistake of its author refuses a configuration, and costs no client anything.

Lives here: `smoke`, for each kind of plugin: types of attributes, sessions of both sides, a pick; `watched`, which ends
what does not come back; names that were meant. Does not: what a plugin does with real bytes (`metaproxy.testing`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter, thread_time
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from zope.interface.interface import InterfaceClass, Method

from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import OPTIONAL, ICodec, IDiscovery, IFilter, ILoadBalancer, ISession
from metaproxy.message import Correlation, FrameError, Side
from metaproxy.plugins import HOOKS, PluginError, kind_of
from metaproxy.support.nearest_name import did_you_mean, nearest_name

if TYPE_CHECKING:
    from _typeshed import TraceFunction

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds of CPU time that a plugin of a drop-in file may take to be built, and to be tried."""
MAX_FRAME = 65536
_NEAR = 0.85
"""How alike two names must be for one to be a slip of the other."""

CONNECTIONS = ("multiplex", "pool", "transaction", "pinned")


class TooLong(PluginError):
    """It did not come back in time."""


def watched(call: Callable[[], T], seconds: float = PATIENCE) -> T:
    """
    What `call` gives. Raises TooLong where its Python takes more CPU time, so that a busy machine refuses nothing, or
    fifty times as long altogether; what waits in a function of C can't be ended. A timer and a signal were rejected: a
    check may run in another thread than the first.
    """
    until, at_last = thread_time() + seconds, perf_counter() + 50 * seconds
    events = 0

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction:
        nonlocal events
        frame.f_trace_opcodes = True  # a loop within one line has no other events
        events += 1
        if events % 64 == 0 and (thread_time() > until or perf_counter() > at_last):
            sys.settrace(None)
            raise TooLong(f"does not come back: {frame.f_code.co_filename}, line {frame.f_lineno}")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call()
    finally:
        sys.settrace(before)


def smoke(interface: InterfaceClass, built: object, endpoints: Sequence[object] = ()) -> None:
    """Raises PluginError with what to write. endpoints: those that a balancer was built with."""
    if interface is ICodec:
        _codec(built)
    elif interface is IFilter:
        _filter(built)
    elif interface is ILoadBalancer:
        _balancer(built, endpoints)
    elif interface is IDiscovery:
        for name in ("start", "stop"):
            _callable(built, name, "")


def slips(interface: InterfaceClass, built: object) -> Iterator[str]:
    """Names of a plugin that are nearly those of its interface, which it has not: what was meant is never called."""
    known = {*interface.names(all=True), *(_FILTER if interface is IFilter else ())}
    own = _own_names(built)
    for name in own:
        if name not in known:
            meant = did_you_mean(name, known - own, cutoff=_NEAR)
            if meant:
                yield f"{name}: no {kind_of(interface)} has that; {meant}"


def _own_names(built: object) -> set[str]:
    """What the classes of a plugin, not those of metaproxy that they derive from, define in public."""
    found: set[str] = set()
    for one in type(built).__mro__:
        if one is not object and not one.__module__.startswith(("metaproxy.", "zope.", "typing")):
            found.update(name for name in vars(one) if not name.startswith("_"))
    return found


# -- codecs


class _Wanted(NamedTuple):
    """What an attribute must be: whether a value is, and the words for it."""

    test: Callable[[object], bool]
    words: str


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair)


_FLAG = _Wanted(_flag, "True or False")
_TEXTS = _Wanted(_texts, 'a dict of texts, {"service": "the service that is called"}')
_CODEC: Mapping[str, _Wanted] = {
    "name": _Wanted(lambda value: isinstance(value, str) and bool(value), "a text"),
    "correlation": _Wanted(
        lambda value: isinstance(value, Correlation), "Correlation.ID or Correlation.FIFO, of metaproxy.message"
    ),
    "connections": _Wanted(lambda value: value in CONNECTIONS, f"one of {', '.join(map(repr, CONNECTIONS))}"),
    "max_id": _Wanted(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0, "a whole number above 0"
    ),
    "mutable": _Wanted(lambda value: isinstance(value, str), "'' or a text that says why not"),
    "keys": _TEXTS,
    "hash_aliases": _TEXTS,
    **dict.fromkeys(("ordered", "sequential", "server_first", "stateful"), _FLAG),
    "open_keys": _Wanted(lambda value: value is None or isinstance(value, bool), "True, False or None"),
    "upper_keys": _Wanted(
        lambda value: not isinstance(value, str) and isinstance(value, Collection), "a tuple of keys"
    ),
}
_GONE = {"affinity": "write connections = 'pinned' where each client needs a connection of its own, else leave it out"}
"""Attributes of earlier editions of the contract, and what is written in their place."""
_SESSION: Mapping[str, _Wanted] = {
    "error": _Wanted(
        lambda value: value is None or isinstance(value, FrameError), "None at the beginning, later a FrameError"
    ),
    "buffered": _Wanted(lambda value: isinstance(value, int) and not isinstance(value, bool), "a number of bytes"),
    "cutter": _Wanted(
        lambda value: value is None or callable(value), "None, or a function (data, at, messages) -> where it stopped"
    ),
    **dict.fromkeys(("ready", "closing", "reusable", "fenced"), _FLAG),
}


def _codec(codec: object) -> None:
    _attributes(codec, _CODEC, "")
    for name, instead in _GONE.items():
        if hasattr(codec, name):
            raise PluginError(f"{name} is not looked at any more; {instead}")
    for name in _methods(ICodec):
        _callable(codec, name, "")
    _mirror(codec)
    hint = _hint(codec, "reply")
    if hint and isinstance(codec, Codec) and type(codec).reply is Codec.reply:
        raise PluginError(f"reply is not written{hint}")
    make = _method(codec, "session", "")
    for side in Side:
        where = f"session(Side.{side.name}, {MAX_FRAME})"
        _session(_called(where, partial(make, side, MAX_FRAME), codec, "session"), side, where)


def _mirror(codec: object) -> None:
    mirror = getattr(codec, "mirror", None)
    if mirror is None:
        return
    if not ICodec.providedBy(mirror):
        raise PluginError(f"mirror is {_told(mirror)}; write a codec, or None")
    if mirror.connections == "pinned":
        raise PluginError("mirror has connections of 'pinned'; copies share them: write 'multiplex'")
    _method(mirror, "copied", "mirror.")


def _session(session: object, side: Side, where: str) -> None:
    if session is None:
        raise PluginError(f"{where} gives None; return a session")
    where = f"{where} gives a {type(session).__name__} whose "
    _attributes(session, _SESSION, where)
    for name in _methods(ISession):
        _callable(session, name, where)
    if side is Side.SERVER:
        _opened(session, where)
    receive = _method(session, "receive", where)
    found = _called(f"{where}receive(b'')", partial(receive, b""), session, "receive")
    if not isinstance(found, list):
        raise PluginError(f"{where}receive(b'') gives {_told(found)}; return a list of messages, [] for none")
    error = _attributes(session, _SESSION, where).get("error")
    _sends(session, where)
    if error is not None:
        raise PluginError(f"{where}receive(b'') sets error to {error!r}; nothing was read, so nothing is wrong")


def _sends(session: object, where: str) -> None:
    try:
        inspect.signature(_method(session, "send", where)).bind(None, 1)
    except TypeError as error:
        raise PluginError(f"{where}send can't be called with a message and an id: {error}") from error
    goodbye = _called(f"{where}drain()", _method(session, "drain", where), session, "drain")
    if not isinstance(goodbye, (bytes, bytearray)):
        raise PluginError(f"{where}drain() gives {_told(goodbye)}; return bytes, b'' for none")


def _opened(session: object, where: str) -> None:
    begin = _method(session, "open", where)
    try:
        found = begin(None, {})
    except PluginError:
        raise
    except BaseException as error:
        if "None" in str(error):  # its requests have profiles of their own, and None is none of these
            return
        raise PluginError(f"{where}open(None, {{}}) raises {type(error).__name__}: {error}") from error
    if not isinstance(found, (bytes, bytearray)):
        raise PluginError(f"{where}open(None, {{}}) gives {_told(found)}; return bytes, b'' for none")


def _methods(interface: InterfaceClass) -> list[str]:
    return [name for name, one in interface.namesAndDescriptions(all=True) if isinstance(one, Method)]


def _called(words: str, call: Callable[[], object], owner: object, name: str) -> object:
    try:
        return call()
    except PluginError:
        raise
    except NotImplementedError as error:
        hint = _hint(owner, name)
        raise PluginError(f"{words} is not written{hint or f'; write def {name}'}") from error
    except BaseException as error:
        raise PluginError(f"{words} raises {type(error).__name__}: {error}{_hint(owner, name)}") from error


# -- filters, balancers

_FILTER = (
    *HOOKS, "stop", "counters", "gauges", "collect", "explain", "inherit", "error_names", "parts", "asks", "translates",
    "per_worker",
)  # fmt: skip


def _filter(built: object) -> None:
    for name in (*HOOKS, "stop", "collect", "explain", "inherit"):
        if hasattr(built, name):
            _callable(built, name, "")
    for name, kind in (("counters", int), ("gauges", (int, float))):
        value = getattr(built, name, {})
        if not isinstance(value, Mapping) or not all(
            isinstance(key, str) and isinstance(one, kind) for key, one in value.items()
        ):
            raise PluginError(f"{name} is {_told(value)}; write a dict, name -> number")
    for name in ("error_names", "parts", "per_worker"):
        names = getattr(built, name, ())
        if isinstance(names, str) or not isinstance(names, Collection):
            raise PluginError(f"{name} is {_told(names)}; write a tuple of names")


def _balancer(built: object, endpoints: Sequence[object]) -> None:
    _attributes(built, {"uses_hash": _FLAG}, "")
    pick = _method(built, "pick", "")
    if endpoints:
        found = _called("pick(0)", partial(pick, 0), built, "pick")
        if not any(found is one for one in endpoints):
            raise PluginError(f"pick(0) gives {_told(found)}; return one of the endpoints that it was built with")


# -- words


def _attributes(owner: object, wanted: Mapping[str, _Wanted], where: str) -> dict[str, object]:
    """Their values, without those that are optional and not there."""
    found: dict[str, object] = {}
    for name, (test, words) in wanted.items():
        try:
            value = getattr(owner, name)
        except AttributeError:
            if name in OPTIONAL:
                continue
            raise PluginError(f"{where}{name} is missing{_hint(owner, name)}; write {words}") from None
        if not test(value):
            raise PluginError(f"{where}{name} is {_told(value)}; write {words}")
        found[name] = value
    return found


def _callable(owner: object, name: str, where: str) -> None:
    if name not in OPTIONAL or getattr(owner, name, None) is not None:
        _method(owner, name, where)


def _method(owner: object, name: str, where: str) -> Callable[..., object]:
    value: object = getattr(owner, name, None)
    if value is None:
        raise PluginError(f"{where}{name} is missing{_hint(owner, name)}; write def {name}")
    if not callable(value):
        raise PluginError(f"{where}{name} is {_told(value)}; write def {name}")
    return value


def _hint(owner: object, name: str) -> str:
    """The name that was written in the place of the right one."""
    near = nearest_name(name, _own_names(owner) - {name}, 0.75)
    return f"; did you mean it by {near!r}?" if near else ""


def _told(value: object) -> str:
    return f"{value!r:.60} ({type(value).__name__})" if value is not None else "None"
