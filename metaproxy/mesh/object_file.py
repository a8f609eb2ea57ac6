"""
One file of objects, of which only the documents that have changed are read again.

Lives here: `ObjectFile`. Does not: which files there are (`folder`), what stands in a document (`objects`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from metaproxy.config.schema.load import MAX_BYTES
from metaproxy.config.slices import checkpoint
from metaproxy.mesh.objects.reading import MAX_DOCUMENTS, Document, read_text

_BEGINS = re.compile(rb"^---(?=\s|\Z)", re.MULTILINE)
"""Where a document begins: YAML has this at the beginning of a line nowhere else."""
_TOGETHER = re.compile(rb"^(?:%|\.\.\.(?:\s|\Z))|\r(?!\n)|\xc2\x85|\xe2\x80[\xa8\xa9]", re.MULTILINE)
"""What makes documents depend on those above, or lines end otherwise: directives, `...`, the rarer line breaks."""

_Part = tuple[int, bytes]
"""A piece of a text: how many lines are above it, and the digest of its bytes."""


class ObjectFile:
    """What a file says, and what it said before."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[_Part, tuple[Document, ...]] = {}

    def read(self, text: bytes) -> Iterator[Document]:
        """Return the documents of a text. What stands where it stood is the same as before."""
        before, self._known = self._known, {}
        for above, piece in _pieces(text):
            checkpoint()
            part = above, blake2b(piece, digest_size=16).digest()
            found = before.get(part)
            self._known[part] = tuple(read_text(piece, self._file, above)) if found is None else found
            yield from self._known[part]


def _pieces(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the documents of a text as they are written, each with the number of lines above it."""
    begins = [found.start() for found in _BEGINS.finditer(text)]
    if len(text) > MAX_BYTES or len(begins) >= MAX_DOCUMENTS or _TOGETHER.search(text):
        yield 0, text
        return
    above = 0
    for begin, end in zip([0, *begins], [*begins, len(text)], strict=True):
        piece = text[begin:end]
        yield above, piece
        above += piece.count(b"\n")
