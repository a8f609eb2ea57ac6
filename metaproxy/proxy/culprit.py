"""
Whose code failed: the plugin and its method, from the traceback of what it raised.

Lives here: `culprit`, and `text_of` an error that a session keeps. Does not: what happens to the exchange or connection
that met it.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from metaproxy.message import FrameError

_PATH = ("metaproxy.proxy", "metaproxy.cluster", "metaproxy.routing", "metaproxy.message", "twisted.", "zope.")
"""Modules that call plugins: their frames are passed over."""


def culprit(failure: Failure, otherwise: str) -> str:
    """
    The class and method that the data path had called when `failure` was raised: 'Quill.reply', or a function's name;
    `otherwise` when it was the data path's own code that failed. A word of the code, so fit for a metric's label.
    """
    traceback = failure.getTracebackObject()
    while traceback is not None:
        frame = traceback.tb_frame
        if not str(frame.f_globals.get("__name__", "")).startswith(_PATH):
            own = frame.f_locals.get("self")
            name = frame.f_code.co_name
            return f"{type(own).__name__}.{name}" if own is not None else frame.f_code.co_qualname
        traceback = traceback.tb_next
    return otherwise


def text_of(error: FrameError) -> str:
    """
    The text of an error that a session keeps. Where it was raised is dropped: that holds the session, whose connection
    would stay until the collector finds the two.
    """
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return str(error)
