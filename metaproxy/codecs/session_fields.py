"""
What is read of sessions with each message by what is compiled, in classes of their own, as these are compiled, too.

Lives here: `SessionFields` and those derived from it, `hidden_fields`. Does not: what the fields mean
(`interfaces.ISession`, and the sessions of Dubbo, Thrift and Redis), what reads them (`_cut.pyx`).
"""

from __future__ import annotations

from typing import Any


class SessionFields:
    """
    Fields of ISession. Stands in front of `framing.Session` among the bases of a class. Set them in `__init__`, behind
    that of the base: an attribute of that name in the body of a derived class hides the field, see `hidden_fields`.
    """

    __slots__ = ("buffered", "closing", "cutter", "error", "owes")
    buffered: int
    closing: bool
    cutter: Any
    error: Any
    owes: bool

    def __init__(self) -> None:
        self.buffered = 0
        self.closing = self.owes = False
        self.cutter = self.error = None
        super().__init__()  # of the class that stands behind this one


class FrameFields(SessionFields):
    """_serialization: of Dubbo: the number of the one that came last."""

    __slots__ = ("_serialization",)
    _serialization: int


class StraightFields(SessionFields):
    """_straight: a read begins with a message, so that it may be given to the cutter."""

    __slots__ = ("_straight",)
    _straight: bool


class CommandFields(StraightFields):
    """_resetting: of a client of Redis: RESET is not answered yet."""

    __slots__ = ("_resetting",)
    _resetting: bool


class ReplyFields(SessionFields):
    """Of a server of Redis. _special: what is sent needs a look; _unanswered: commands whose reply is to come."""

    __slots__ = ("_special", "_unanswered")
    _special: bool
    _unanswered: int


def hidden_fields(kind: type) -> list[str]:
    """
    Return the fields which what is compiled would read and a class has attributes of its own for: in its body, or in
    that of a base that stands before them.
    """
    before: set[str] = set()
    hidden: set[str] = set()
    for base in kind.__mro__:
        names = vars(base).keys()
        if base.__module__ == __name__:
            hidden |= before & names
        else:
            before |= {name for name in names if not name.startswith("__")}
    return sorted(hidden)
