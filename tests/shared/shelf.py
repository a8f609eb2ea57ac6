"""
Shelf: Quill whose requests are statements of a database, for tests of what counts these.

Lives here: `Shelf`. Does not: assertions.
"""

from __future__ import annotations

from harness import Quill

from metaproxy.message import Kind, Message


class Shelf(Quill):
    """The service stands for the statement; each answer has as many rows as its body has bytes."""

    name = "shelf"
    keys = {**Quill.keys, "fingerprint": "of the statement", "normalized": "without values", "user": "who asks"}

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        known = message.metadata or {}
        if message.kind is Kind.REQUEST:
            service = known["service"]
            said = {"fingerprint": f"fp-{service}", "normalized": f"select ? from {service}", "user": "app"}
            message.metadata = {**known, **said, "database": "shop", "command": "query"}
        else:
            message.metadata = {**known, "rows": str(len(frame) - 13)}
        return message
