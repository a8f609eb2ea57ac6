"""
Bodies in chunked form (RFC 9112, section 7.1), however they are cut.

Lives here: `ChunkedReader`, and `chunk` and `last_chunk`, which write. llhttp is not asked: httptools neither bounds
extensions nor tells where a message ends. Does not: heads.
"""

from __future__ import annotations

import re

from metaproxy.codecs.http.heads import HeadError, Pair, check_lines, read_trailers

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t -~\x80-\xff]*)?")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_LONGEST_LINE = 272
_MOST_EXTENSIONS = 4096
"""Bytes of extensions in a body: a recipient has to read them and drops them."""
_LARGEST = (1 << 63) - 1

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedReader:
    """
    Reads one body. done: it is whole; trailers: what came behind it, without the fields that can't be there. held:
    bytes of an unfinished line.
    """

    __slots__ = ("_extensions", "_held", "_left", "_max", "_seek", "_state", "done", "trailers")

    def __init__(self, max_trailers: int) -> None:
        self._max = max_trailers
        self._state = _SIZE
        self._left = 0
        self._extensions = 0
        self._held = bytearray()
        self._seek = 0
        self.done = False
        self.trailers: list[Pair] = []

    @property
    def held(self) -> int:
        return len(self._held)

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The payload in `data` from `at` on, and where it stopped: at the end of the body, or of `data`."""
        pieces: list[bytes] = []
        end = len(data)
        while at < end and not self.done:
            if self._state == _SIZE and not self._held and (plain := _PLAIN_SIZE.match(data, at)) is not None:
                # Most chunks: without an extension, and whole.
                start = plain.end()
                stop = start + int(plain[1], 16)
                if start < stop < end - 1 and data.startswith(b"\r\n", stop):
                    pieces.append(data[start:stop])
                    at = stop + 2
                    continue
            if self._state == _DATA:
                stop = at + self._left
                piece = data[at:stop]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _DATA_END
            else:
                at = self._line(data, at, end)
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return payload, at

    def _line(self, data: bytes, at: int, end: int) -> int:
        """Take what is no payload: one line, or all trailers."""
        if self._state == _TRAILERS:
            return self._end(data, at)
        held = len(self._held)
        most = 2 if self._state == _DATA_END else _LONGEST_LINE + 2
        window = bytes(self._held) + data[at : at + most - held]
        stop = window.find(b"\n") + 1
        if self._state == _DATA_END:
            if not b"\r\n".startswith(window):
                raise HeadError("a chunk that is longer than its size says")
            self._state = _SIZE if stop else _DATA_END
        elif stop:
            self._sized(window[:stop])
        elif len(window) == most:
            raise HeadError(f"no end of a chunk's size within {_LONGEST_LINE} bytes")
        if stop:
            self._held.clear()
            return at + stop - held
        self._held[:] = window
        return end

    def _sized(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line, 0, len(line) - 2)
        if match is None or not line.endswith(b"\r\n"):
            raise HeadError(f"no size of a chunk: {line[:40]!r}")
        size, extension = match.groups()
        if extension:
            self._extensions += len(extension)
            if self._extensions > _MOST_EXTENSIONS:
                raise HeadError(f"chunk extensions of more than {_MOST_EXTENSIONS} bytes")
        self._left = int(size, 16)
        if self._left > _LARGEST:
            raise HeadError("a chunk of more than 2^63 bytes")
        self._state = _DATA if self._left else _TRAILERS

    def _end(self, data: bytes, at: int) -> int:
        """Take the trailers and the empty line behind them."""
        before = len(self._held)
        self._held += data[at : at + self._max + 4 - before]
        if self._held.startswith(b"\r\n"):
            stop = 2
        else:
            stop = self._held.find(b"\r\n\r\n", self._seek) + 4
            if stop < 4:
                check_lines(self._held, max(0, self._seek - 1))
                if len(self._held) >= self._max + 4:
                    raise HeadError(f"trailers of more than {self._max} bytes", 431)
                self._seek = max(0, len(self._held) - 3)
                return len(data)
            # What ends a message can't stand behind it: such fields are dropped, as RFC 9110, section 6.5.1, allows.
            self.trailers = read_trailers(bytes(self._held[: stop - 2]))[0]
        self._held.clear()
        self._state = _DONE
        self.done = True
        return at + stop - before


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def last_chunk(payload: bytes, trailers: bytes) -> bytes:
    """The last payload, if any, and the end of the body with a block of trailers."""
    return b"%b0\r\n%b\r\n" % (chunk(payload), trailers)
