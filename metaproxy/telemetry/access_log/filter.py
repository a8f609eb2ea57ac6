"""
A line in a file for each exchange.

Lives here: the filter. Does not: formats (`format`), files (`files`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from zope.interface import implementer

from metaproxy.interfaces import ICompletedExchange, IOnComplete
from metaproxy.telemetry.access_log.files import LogFile, LogFiles
from metaproxy.telemetry.access_log.format import compile_format

__all__ = ["AccessLog", "LogFile", "LogFiles", "compile_format"]

SAME_CLOCK = 1.0
"""Seconds by which two clocks may differ and still be the same one, read twice."""


@implementer(IOnComplete)
class AccessLog:
    """
    file: where lines go; format: 'text', 'json', or a line with operators; fields: for JSON with fields of one's own,
    name -> text with operators, in the place of `format`. Raises ValueError for a format that can't be read.
    """

    def __init__(self, file: LogFile, format: str = "text", fields: Mapping[str, str] | None = None) -> None:
        offset = time.time() - file.clock.seconds()
        line = compile_format(format if fields is None else fields, offset if abs(offset) > SAME_CLOCK else 0.0)
        self._template, self._reads = line
        self._write = file.write

    def on_complete(self, exchange: ICompletedExchange) -> None:
        self._write(self._template % tuple([read(exchange) for read in self._reads]))
