from __future__ import annotations

from typing import Any

from harness import Stage, call

from metaproxy.filters.details import MAX_NOTES, note
from metaproxy.message import ErrorKind, Reply


class Noted:
    """What notes are made of."""

    details = ""


def test_notes_stand_behind_each_other() -> None:
    exchange: Any = Noted()
    note(exchange, "one")
    note(exchange, "two")
    assert exchange.details == "one; two"


def test_notes_are_bounded_and_whole() -> None:
    exchange: Any = Noted()
    for _ in range(1000):
        note(exchange, "policy")
    assert len(exchange.details) <= MAX_NOTES
    assert exchange.details.endswith("; policy")


def test_a_local_reply_stands_behind_the_notes() -> None:
    seen: list[str] = []
    hooks = {
        "on_request": (lambda exchange: note(exchange, "noted"), lambda exchange: Reply(ErrorKind.DENIED, "no")),
        "on_complete": (lambda exchange: seen.append(exchange.details),),
    }
    stage = Stage(hooks=hooks)
    stage.say(stage.client(), call(1))
    assert seen == ["noted; no"]
