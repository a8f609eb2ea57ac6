"""
`check_filter`: the contract of a filter, for the tests of its author.

Lives here: that an object is declared as a filter and has hooks that the proxy can call. Does not: what its hooks do;
`FakeExchange` is for that.
"""

from __future__ import annotations

import inspect

from metaproxy.interfaces import IFilter
from metaproxy.plugins import HOOKS, PluginError, verify
from metaproxy.support.nearest_name import nearest_name
from metaproxy.testing.report import need


def check_filter(filter: object) -> None:
    """Raise AssertionError unless the object is a filter: declared as one, with hooks that the proxy can call."""
    need(
        IFilter.providedBy(filter),
        f"{filter!r} is no IFilter: put @implementer(IOnRequest), or the interfaces of its hooks, above the class",
    )
    for name in dir(filter):
        if name.startswith("on_") and name not in HOOKS:
            near = nearest_name(name, HOOKS)
            hint = f"did you mean {near}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise AssertionError(f"{filter!r} has {name}, which is never called; {hint}")
    try:
        verify(IFilter, filter)
    except PluginError as error:
        raise AssertionError(str(error)) from error
    for name in HOOKS:
        hook = getattr(filter, name, None)
        if hook is None:
            continue
        need(
            not inspect.iscoroutinefunction(hook),
            f"{name} is a coroutine function, and nothing awaits it: return Deferred.fromCoroutine(...) where it waits",
        )
        need(
            HOOKS[name].providedBy(filter),
            f"{filter!r} has {name} but is no {HOOKS[name].__name__}: name it in @implementer above the class",
        )
