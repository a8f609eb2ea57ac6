"""
Where a message in JSON ends: at the bracket that closes its first one.

Lives here: `JsonWalk`. Does not: bounds that all walks have (walking); heads of messages (encodings).
"""

from __future__ import annotations

import re

from metaproxy.codecs.thrift.heads import Data
from metaproxy.codecs.thrift.runs import JSON_LEVELS, json_run
from metaproxy.codecs.thrift.walking import BYTES_A_STEP, MAX_DEPTH, MAX_STEPS, PAUSES, WORTH, Walk, too_many
from metaproxy.message import FrameError

_JSON_DEPTH = 2 + 3 * MAX_DEPTH
"""Brackets in each other: a level of nesting takes at most three, as in `{"1":{"map":["str","rec",1,{`."""

_NEXT = re.compile(rb'["\[\]{}]')
_QUOTED = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_JSON_RUN = json_run()
_OPEN, _QUOTE = 0x5B, 0x22
_CLOSES = {_OPEN: 0x5D, 0x7B: 0x7D}


class JsonWalk(Walk):
    """From the first bracket to the one that closes it."""

    __slots__ = ("_closes", "_inside")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._closes = bytearray()
        self._inside = False

    def begin(self) -> None:
        super().begin()
        self._closes.clear()
        self._inside = False

    def _begin(self, data: Data, start: int, stop: int) -> int:
        if start >= stop:
            return -1
        if data[start] != _OPEN:
            raise FrameError(f"a JSON message begins with [, not with {data[start : start + 1].hex()}")
        return start + 1

    def _run(self, data: Data, at: int, stop: int, top: int) -> int:
        closes = self._closes
        if not closes:
            closes.append(_CLOSES[_OPEN])
        misses = pause = 0
        steps, most = self._steps, MAX_STEPS + (stop - top + self._limit) // BYTES_A_STEP
        while closes:
            if not self._inside and not pause and len(closes) < _JSON_DEPTH - JSON_LEVELS:
                run = _JSON_RUN(data, at, stop)
                at, before = run.end() if run else at, at
                misses = min(misses + 1, len(PAUSES) - 1) if at - before < WORTH else 0
                pause = PAUSES[misses]
            if self._inside:
                quoted = _QUOTED.match(data, at, stop)
                at = quoted.end() if quoted else at
                if at >= stop or data[at] != _QUOTE:
                    break
                self._inside = False
                at += 1
                continue
            found = _NEXT.search(data, at, stop)
            if found is None:
                at = stop
                break
            at = found.end()
            mark = data[at - 1]
            steps += 1
            if steps > most:
                raise too_many(most)
            if pause:
                pause -= 1
            if mark == _QUOTE:
                self._inside = True
            elif mark in _CLOSES:
                closes.append(_CLOSES[mark])
                if len(closes) > _JSON_DEPTH:
                    raise FrameError(f"JSON nested more than {_JSON_DEPTH} brackets deep")
            elif mark != closes.pop():
                raise FrameError(f"JSON that closes with {chr(mark)} what it did not open so")
        self._steps = steps
        return ~at if closes else at
