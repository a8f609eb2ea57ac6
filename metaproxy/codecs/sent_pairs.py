"""
Pairs of text that a message carries besides (user_fields, trans_info), as metadata: what a route, a policy may see.

Lives here: which keys they get beside the codec's own, and which values a receiver may see where they are not clear.
Does not: where they stand in a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

Pair = tuple[str | None, str | None]
"""Key and value; None for what is no text."""
Values = tuple[str | None, ...]


def add(metadata: dict[str, str], pairs: Iterable[Pair], own: Set[str], prefix: str) -> bool:
    """
    Add pairs to the metadata, under their lower-cased keys too where those are free. A key that is one of the codec's
    own, in whatever case, gets the prefix: no pair can stand for what the frame says elsewhere. False if a receiver may
    see others than these: one is there twice, or is no text.
    """
    expected, clear = len(metadata), True
    for key, text in pairs:
        if key is None or text is None:
            clear = False
            continue
        lower = key.lower()
        if lower in own:
            key, lower = prefix + key, prefix + lower
        metadata[key] = text
        expected += 1
        if lower != key:
            metadata.setdefault(lower, text)
            expected += 1
    return clear and len(metadata) == expected


class Unclear:
    """
    `Message.unclear` where pairs are not clear, or a field of the head is there more than once.

    Readers of protobuf take the last of equal keys; what is written by hand may take the first. A service that looks
    for a key in any case may find either spelling. What is no text to us may be any to the server.
    """

    __slots__ = ("_hidden", "_own", "_values")

    def __init__(
        self, pairs: Sequence[Pair], own: Set[str], prefix: str, repeated: Mapping[str, Values] | None = None
    ) -> None:
        self._own = own
        self._hidden = any(key is None for key, _ in pairs)
        found: dict[str, Values] = {}
        hidden: set[str] = set()
        for key, text in pairs:
            if key is None:
                continue
            lower = key.lower()
            if lower in own:
                lower = prefix + lower
            values = found.get(lower, ())
            if text is None:
                hidden.add(lower)
            elif text not in values:
                found[lower] = (*values, text)
        self._values = {key: values for key, values in found.items() if len(values) > 1}
        self._values.update((key, ()) for key in hidden)
        self._values.update(repeated or {})

    def __call__(self, key: str) -> Values | None:
        values = self._values.get(key)
        return () if values is None and self._hidden and key not in self._own else values
