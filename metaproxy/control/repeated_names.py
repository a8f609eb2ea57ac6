"""
Names that clients say with each answer, known by their bytes.

Lives here: `RepeatedNames`. Does not: what a request means (`wire`), who wants what (`subscription`).

Of the state of the world an answer repeats all names that its client wants. Taking a thousand of them apart costs
more than all else of an update; that they are the same bytes as before is found at the speed of memory.
"""

from __future__ import annotations

from collections import OrderedDict

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from metaproxy.control.resource_types import PREFIX

FEW = 16
"""Names that are taken apart each time."""
MAX_LISTS = 64
"""Lists of names that are known, the latest ones: nodes of a group have the same."""
MAX_BYTES = 256 << 10
"""Of a list that is known."""

_VERSION, _NODE, _NAME, _TYPE_URL = b"\x0a", b"\x12", b"\x1a", b"\x22"
"""With what the fields of a DiscoveryRequest begin, in their order."""


class RepeatedNames:
    """Lists of names that some client said."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, frozenset[str]] = OrderedDict()

    def split(self, data: bytes) -> tuple[bytes, frozenset[str] | None]:
        """Return a request without its names, and these; the request as it is, and None, where they are not known."""
        start = _start(data)
        end = data.rfind(PREFIX.encode(), max(start, 0)) - 2  # from the end: the type is near it
        names = self._known.get(data[start:end]) if end > start and data[end : end + 1] == _TYPE_URL else None
        if names is None:
            return data, None
        self._known.move_to_end(data[start:end])
        return data[:start] + data[end:], names

    def learn(self, request: DiscoveryRequest) -> None:
        """Know the names of a request from now on."""
        if len(request.resource_names) < FEW:
            return
        # As protobuf writes them alone: whole fields, whatever stands around them.
        written = DiscoveryRequest(resource_names=request.resource_names).SerializeToString()
        if len(written) <= MAX_BYTES:
            self._known[written] = frozenset(request.resource_names)
            if len(self._known) > MAX_LISTS:
                self._known.popitem(last=False)


def _start(data: bytes) -> int:
    """Return where the names begin, behind the version and the node; -1 for a request without, or written otherwise."""
    at = 0
    while data[at : at + 1] in (_VERSION, _NODE):
        size, shift, at = 0, 0, at + 1
        while at < len(data) and data[at] & 0x80 and shift < 28:
            size, shift, at = size | (data[at] & 0x7F) << shift, shift + 7, at + 1
        if at >= len(data):
            return -1
        at += 1 + (size | data[at] << shift)
    return at if data[at : at + 1] == _NAME else -1
