"""
OP_COMPRESSED: messages that a client has compressed, unpacked as they come, and answers compressed for it.

    head, originalOpcode, uncompressedSize, compressorId (one byte), the message's bytes behind its head, compressed

zlib and zstd are unpacked piece by piece, so that a message of 48 MB is never there as a whole. snappy can't be: such a
message may have as many bytes as a frame. What one read of the socket unpacks to is bounded as well, whatever it says.

Lives here: the compressors, `Unpacking`, `pack`. Does not: what messages mean; when a client may compress (`hello`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Final, Protocol

from metaproxy.codecs.mongodb.wire import HEAD, HEADER, LARGEST, OP_COMPRESSED, OP_MSG, OP_QUERY, SECTIONS
from metaproxy.message import FrameError
from metaproxy.support.extras import install

IDS: Final[Mapping[str, int]] = {"snappy": 1, "zlib": 2, "zstd": 3}
_NAMES: Final = {number: name for name, number in IDS.items()}
_NEEDS: Final = {"snappy": "cramjam", "zstd": "backports.zstd"}
_ABOUT: Final = struct.Struct("<iiB")
PREFIX: Final = HEADER + _ABOUT.size
"""Bytes of a compressed message before what is compressed."""
_PIECE: Final = 65536
MOST_AT_ONCE: Final = 16 << 20
"""Bytes that what one read brings may be when it is unpacked; or a frame's, where these are more."""
LEAST: Final = 256
"""Bytes of an answer that is worth to be compressed."""
_ZLIB_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 1
_WINDOW_LOG: Final = 23
"""Of zstd: 8 MiB are kept of what was unpacked; encoders take more only at levels that no driver has."""


def missing(name: str) -> str:
    """What to install for a compressor, "" if it can be used."""
    package = _NEEDS.get(name)
    try:
        found = package is None or find_spec(package) is not None
    except ModuleNotFoundError:  # of the package that `backports` is
        found = False
    return "" if found else f"{name} needs {package}; install it with: {install('compression')}"


class _Decoder(Protocol):
    """Feed it, then take pieces until there is none: it needs more then, or is at its end."""

    @property
    def ended(self) -> bool: ...
    def pieces(self, data: bytes) -> Iterator[bytes]: ...


class Unpacking:
    """
    A compressed message on its way. left: compressed bytes that are still to come. held: unpacked bytes that are no
    message yet, and need: how many it takes.
    """

    __slots__ = ("_decoder", "_head", "_last", "_size", "held", "left", "need")

    def __init__(self, data: bytes, at: int, most: int) -> None:
        """at: where it begins in `data`; its PREFIX is there. most: bytes of a message that is unpacked at once."""
        size: int
        plain: int
        size, id, to, _ = HEAD.unpack_from(data, at)
        code, plain, compressor = _ABOUT.unpack_from(data, at + HEADER)
        if size < PREFIX:
            raise FrameError(f"a compressed message of {size} bytes; it has {PREFIX} at least")
        if code not in (OP_MSG, OP_QUERY):
            raise FrameError(f"a compressed message with opCode {code}; known is OP_MSG (2013)")
        if not SECTIONS + 1 - HEADER <= plain <= LARGEST - HEADER:
            raise FrameError(f"a compressed message of {plain} bytes; allowed are {LARGEST - HEADER}")
        self.left = size - PREFIX
        self._size = plain
        self._head = HEAD.pack(plain + HEADER, id, to, code)
        self._decoder = _decoder(compressor, plain, self.left, most)
        self._last = b""
        self.held = bytearray()
        self.need = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Some of its compressed bytes; what they are, in pieces. Raises FrameError where they are something else. The
        last piece comes when all is known to be well, so that nothing broken is taken for a whole message.
        """
        self.left -= len(data)
        if self._head:
            yield self._head
            self._head = b""
        for piece in self._decoder.pieces(data):
            self._size -= len(piece)
            if self._size < 0:
                raise FrameError(_TOO_LONG)
            if self._size:
                yield piece
            else:
                self._last = piece
        if not self.left:
            if self._size or not self._decoder.ended:
                raise FrameError("a compressed message has fewer bytes than it says")
            yield self._last


def _decoder(compressor: int, plain: int, packed: int, most: int) -> _Decoder:
    name = _NAMES.get(compressor, "")
    if name == "zlib":
        return _Zlib()
    if name == "zstd":
        return _Zstd()
    if name == "snappy":
        if max(plain, packed) > most:
            raise FrameError(f"a message of {plain} bytes compressed by snappy; allowed are {most} (max_frame)")
        return _Snappy(plain, packed)
    raise FrameError(f"compressor {compressor}; offered were {', '.join(IDS)} at most")


_TOO_LONG: Final = "a compressed message has more bytes than it says"


class _Zlib:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj()

    @property
    def ended(self) -> bool:
        return self._decoder.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        if decoder.eof and data:
            raise FrameError(_TOO_LONG)
        try:
            while piece := decoder.decompress(data, _PIECE):
                yield piece
                data = decoder.unconsumed_tail
        except zlib.error as error:
            raise FrameError(f"a message that is not compressed by zlib: {error}") from None
        if decoder.unused_data:
            raise FrameError(_TOO_LONG)


class _Zstd:
    def __init__(self) -> None:
        from backports import zstd

        self._decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        self._error = zstd.ZstdError

    @property
    def ended(self) -> bool:
        return self._decoder.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        decoder = self._decoder
        if decoder.eof and data:
            raise FrameError(_TOO_LONG)
        try:
            while not decoder.eof:
                piece = decoder.decompress(data, _PIECE)
                if not piece:
                    break
                yield piece
                data = b""
        except self._error as error:
            raise FrameError(f"a message that is not compressed by zstd: {error}") from None
        if decoder.unused_data:
            raise FrameError(_TOO_LONG)


class _Snappy:
    """Without a stream format: all of it is needed first."""

    def __init__(self, plain: int, packed: int) -> None:
        self._plain = plain
        self._packed = packed
        self._held = bytearray()
        self.ended = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        import cramjam

        self._held += data
        if len(self._held) < self._packed:
            return
        try:
            size = cramjam.snappy.decompress_raw_len(bytes(self._held[:5]))
            if size != self._plain:
                raise FrameError(f"a message of {self._plain} bytes, of which snappy says that it has {size}")
            plain = bytes(cramjam.snappy.decompress_raw(bytes(self._held)))
        except cramjam.DecompressionError as error:
            raise FrameError(f"a message that is not compressed by snappy: {error}") from None
        self._held.clear()
        self.ended = True
        for at in range(0, len(plain), _PIECE):
            yield plain[at : at + _PIECE]


def pack(frame: bytes, compressor: int) -> bytes:
    """A whole message, compressed."""
    size, id, to, code = HEAD.unpack_from(frame, 0)
    plain = frame[HEADER:]
    if compressor == IDS["zlib"]:
        packed = zlib.compress(plain, _ZLIB_LEVEL)
    elif compressor == IDS["zstd"]:
        from backports import zstd

        packed = zstd.compress(plain, level=_ZSTD_LEVEL)
    else:
        import cramjam

        packed = bytes(cramjam.snappy.compress_raw(plain))
    about = _ABOUT.pack(code, size - HEADER, compressor)
    return b"%b%b%b" % (HEAD.pack(PREFIX + len(packed), id, to, OP_COMPRESSED), about, packed)


def compressor_of(data: bytes, at: int) -> int:
    """The compressor of a message whose PREFIX is there."""
    return data[at + PREFIX - 1]
