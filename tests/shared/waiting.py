"""Waiting for the real reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, reactor, task


@defer.inlineCallbacks
def until(holds: Any) -> Any:
    """Lets the reactor run until `holds()`, ten seconds at most."""
    for _ in range(2000):
        if holds():
            return
        yield task.deferLater(reactor, 0.005, lambda: None)
    raise AssertionError("it never came true")
